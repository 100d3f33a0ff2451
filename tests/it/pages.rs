//! Screens in the README and in `docs/` are what the program shows, word for word.
//!
//! A comment above a block of `console` says how it is made:
//!
//! - `<!-- run by tests/it/pages.rs: chain -->` begins in a new copy of `fixtures/chain`. `chain built`
//!   builds it first; `chain in git` has it committed. `goes on` begins where the block above ended.
//! - `, terminal 16x120` shows what is left on a terminal of 16 rows and 120 columns. `while it runs` is
//!   the screen during the last command, `at the end` how that one ended, `beside another` the screen
//!   of one command while others run at `(elsewhere) $`.
//! - `<!-- not run: REASON -->` is for what no test can make.
//!
//! Times, commits and the turn of a spinner are left out of the comparison. `IMK_WRITE_PAGES=1`
//! writes what plain blocks show into the pages. Knows nothing of what the pages say.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::docs::{blocks, pages};
use crate::sandbox::{Sandbox, fixture_or_skip};
use crate::terminal::{self, Terminal};

const RUN: &str = "run by tests/it/pages.rs: ";

/// How a block is made.
struct Screen {
    /// The fixture to begin with; `None` goes on where the block above ended.
    fixture: Option<String>,
    built: bool,
    in_git: bool,
    /// Rows, columns and the moment of a terminal.
    terminal: Option<(u16, u16, When)>,
}

#[derive(Clone, Copy, PartialEq)]
enum When {
    /// After each command.
    Each,
    /// While the last command runs.
    Runs,
    /// When that one has ended.
    End,
    /// While other commands run beside it.
    Beside,
}

/// Reads the words after `run by tests/it/pages.rs:`.
fn screen(words: &str) -> Screen {
    let (begin, shown) = words.split_once(", terminal ").map_or((words, None), |(a, b)| (a, Some(b)));
    let mut begin = begin.split(' ');
    let fixture = begin.next().filter(|word| *word != "goes").map(str::to_owned);
    let rest: Vec<&str> = begin.collect();
    let known = |words: &[&str]| words.iter().all(|word| ["built", "in", "git", "on"].contains(word));
    assert!(known(&rest), "{words}: how is that begun?");
    let terminal = shown.map(|shown| {
        let (size, when) = shown.split_once(' ').unwrap_or((shown, ""));
        let (rows, columns) = size.split_once('x').expect(size);
        let when = match when {
            "" => When::Each,
            "while it runs" => When::Runs,
            "at the end" => When::End,
            "beside another" => When::Beside,
            _ => panic!("{when}: when is that?"),
        };
        (rows.parse().unwrap(), columns.parse().unwrap(), when)
    });
    Screen { fixture, built: rest.contains(&"built"), in_git: rest.contains(&"git"), terminal }
}

#[test]
fn every_block_of_console_says_how_it_is_made() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in blocks(&text).iter().filter(|block| block.language == "console") {
            let remark = block.remark;
            let is_told = remark.starts_with(RUN) || remark.starts_with("not run: ");
            assert!(is_told, "{}:{}: run by tests/it/pages.rs, or why not?", page.display(), block.line);
            if let Some(words) = remark.strip_prefix(RUN) {
                screen(words);
            }
        }
    }
}

#[test]
fn a_page_shows_what_imk_shows() {
    if crate::sandbox::engine_or_skip("pages").is_none() {
        return;
    }
    let mut wrong = Vec::new();
    for page in pages() {
        if let Err(difference) = compare(&page) {
            wrong.push(difference);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Makes every block of a page, in order.
fn compare(page: &Path) -> Result<(), String> {
    let text = fs::read_to_string(page).unwrap();
    let mut rewritten = text.clone();
    let mut sandbox: Option<Sandbox> = None;
    let mut running: Option<Terminal> = None;
    for block in blocks(&text) {
        let Some(words) = block.remark.strip_prefix(RUN) else { continue };
        let screen = screen(words);
        if let Some(fixture) = &screen.fixture {
            sandbox = Some(begin(fixture, &screen));
        }
        let sandbox = sandbox.as_ref().expect("something to go on with");
        let happened = match screen.terminal {
            None => plain(sandbox, block.text),
            Some((rows, columns, When::Beside)) => {
                beside(sandbox, block.text, rows, columns);
                continue;
            }
            Some((_, _, When::End)) => {
                format!("$ imk\n{}\n", running.take().expect("a command runs").end().1)
            }
            Some((rows, columns, when)) => {
                on_a_terminal(sandbox, block.text, (rows, columns, when), &mut running)
            }
        };
        let [expected, found] =
            [block.text, &happened].map(|text| comparable(sandbox, text).trim_end().to_owned());
        if expected != found {
            let place = format!("{}:{}", page.display(), block.line);
            if std::env::var_os("IMK_WRITE_PAGES").is_none() || screen.terminal.is_some() {
                return Err(format!("{place}: the page has\n{expected}\n\nand imk shows\n{found}"));
            }
            rewritten = rewritten.replacen(block.text, &format!("{}\n", happened.trim_end()), 1);
            fs::write(page, &rewritten).unwrap();
        }
    }
    Ok(())
}

fn begin(fixture: &str, screen: &Screen) -> Sandbox {
    let sandbox = fixture_or_skip("pages", fixture).unwrap();
    if screen.in_git {
        sandbox.edit(".gitignore", "busybox\n");
        shell(&sandbox, "git init --quiet && git add . && git commit --quiet -m 'first'");
    }
    if screen.built {
        sandbox.imk("").success();
    }
    sandbox
}

/// The lines of a block that are commands.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("$ "))
}

/// Runs commands without a terminal, and without the steps that a terminal would not keep.
fn plain(sandbox: &Sandbox, text: &str) -> String {
    let mut happened = String::new();
    for command in commands(text) {
        let (stderr, stdout) = shell(sandbox, command);
        let is_step = |line: &&str| line.contains(": [") || line.contains(": | ");
        let kept: String =
            stderr.lines().filter(|line| !is_step(line)).map(|line| format!("{line}\n")).collect();
        happened += &format!("$ {command}\n{kept}{stdout}\n");
    }
    happened
}

/// Runs a line of shell with `imk` on its path: standard error and output.
fn shell(sandbox: &Sandbox, line: &str) -> (String, String) {
    let model = sandbox.command("", "");
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(sandbox.root());
    for (name, value) in model.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let folder = Path::new(env!("CARGO_BIN_EXE_imk")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path))).unwrap();
    command.env("PATH", path).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "page").env(format!("GIT_{role}_EMAIL"), "page@localhost");
    }
    let output = command.output().unwrap();
    if !line.starts_with("imk") {
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Runs commands on a terminal. With [`When::Runs`], the last one is left running.
fn on_a_terminal(
    sandbox: &Sandbox,
    text: &str,
    (rows, columns, when): (u16, u16, When),
    running: &mut Option<Terminal>,
) -> String {
    let mut happened = String::new();
    for command in commands(text) {
        happened += &format!("$ {command}\n");
        let Some(words) = command.strip_prefix("imk") else {
            shell(sandbox, command);
            happened += "\n";
            continue;
        };
        let terminal = Terminal::start(sandbox, words, rows, columns);
        if when == When::Runs {
            let expected = text.rsplit_once("$ imk\n").expect("it ends with a run").1;
            let expected = comparable(sandbox, expected);
            let shown = terminal.until("the page's screen is there", |shown| {
                comparable(sandbox, shown).trim_end() == expected.trim_end()
            });
            *running = Some(terminal);
            happened += &format!("{shown}\n\n");
        } else {
            happened += &format!("{}\n\n", terminal.end().1);
        }
    }
    happened
}

/// Runs a command that goes on until Ctrl-C, and `(elsewhere) $ COMMAND` wherever that stands.
fn beside(sandbox: &Sandbox, text: &str, rows: u16, columns: u16) {
    let (command, lines) = text.split_once('\n').unwrap();
    let terminal = Terminal::start(sandbox, command.strip_prefix("$ imk ").unwrap(), rows, columns);
    let mut expected = String::new();
    let as_expected = |expected: &str| {
        let expected = comparable(sandbox, expected);
        terminal.until(&format!("the page's screen is there:\n{expected}"), |shown| {
            comparable(sandbox, shown).trim_end() == expected.trim_end()
        });
    };
    for line in lines.lines() {
        let Some(elsewhere) = line.strip_prefix("(elsewhere) $ ") else {
            expected += &format!("{line}\n");
            continue;
        };
        as_expected(&expected);
        shell(sandbox, elsewhere);
    }
    as_expected(&expected);
    terminal.interrupt();
    assert_eq!(terminal.end().0, 130);
}

/// Text without what differs from run to run.
fn comparable(sandbox: &Sandbox, text: &str) -> String {
    let mut words = Vec::new();
    let text = terminal::tidy(sandbox, text);
    for line in text.lines() {
        let mut after_commit = false;
        let line: Vec<&str> = line
            .split(' ')
            .map(|word| {
                let is_commit = std::mem::replace(&mut after_commit, word == "commit");
                if is_commit { "[COMMIT]" } else { word }
            })
            .collect();
        words.push(line.join(" "));
    }
    words.join("\n")
}
