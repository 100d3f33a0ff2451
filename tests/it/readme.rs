//! The transcript in the README is what the program says, word for word.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::sandbox::{Sandbox, fixture_or_skip};
use crate::terminal::{Terminal, tidy};

#[test]
fn the_transcript_is_what_happens() {
    let Some(chain) = fixture_or_skip("readme", "chain") else { return };
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let after =
        readme.split("<!-- transcript: checked by tests/it/readme.rs -->\n```console\n").nth(1).unwrap();
    let written = after.split("```").next().unwrap();
    let mut happened = String::new();
    for command in written.lines().filter_map(|line| line.strip_prefix("$ ")) {
        happened += &format!("$ {command}\n");
        if let Some(words) = command.strip_prefix("imk") {
            // On a terminal the steps are one live line an image, gone when it ends.
            let run = chain.imk(words);
            let steps = |line: &&str| !line.contains(": [") && !line.contains(": | ");
            let told: Vec<String> =
                chain.tidy(&run.stderr).lines().filter(steps).map(str::to_owned).collect();
            told.iter().for_each(|line| happened += &format!("{line}\n"));
            happened += &chain.tidy(&run.stdout);
        } else {
            let status = Command::new("sh").args(["-c", command]).current_dir(chain.root()).status();
            assert!(status.unwrap().success(), "{command}");
        }
        happened += "\n";
    }
    assert_eq!(happened.trim_end(), written.trim_end());
}

/// A screen of the README: `<!-- terminal 20x96 WHEN: checked by tests/it/readme.rs -->` and what it shows.
struct Screen {
    rows: u16,
    columns: u16,
    when: When,
    text: String,
}

#[derive(PartialEq)]
enum When {
    /// What is left on the screen by each command.
    Each,
    /// The screen while the command runs.
    Runs,
    /// How that one ended.
    End,
    /// The screen of one command while others are typed elsewhere.
    Beside,
}

fn screens(readme: &str) -> Vec<Screen> {
    let blocks = readme.split("<!-- terminal ").skip(1);
    blocks
        .map(|block| {
            let (head, rest) =
                block.split_once(": checked by tests/it/readme.rs -->\n```console\n").expect(block);
            let (size, when) = head.split_once(' ').expect(head);
            let (rows, columns) = size.split_once('x').expect(size);
            Screen {
                rows: rows.parse().unwrap(),
                columns: columns.parse().unwrap(),
                when: match when {
                    "each" => When::Each,
                    "while it runs" => When::Runs,
                    "at the end" => When::End,
                    "beside another" => When::Beside,
                    _ => panic!("{head}: when is that?"),
                },
                text: rest.split("```").next().unwrap().to_owned(),
            }
        })
        .collect()
}

#[test]
fn a_terminal_shows_what_the_readme_says_it_shows() {
    let Some(chain) = fixture_or_skip("readme terminal", "chain") else { return };
    chain.imk("").success();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let tidy = |shown: &str| tidy(&chain, shown.trim_end()).trim_end().to_owned();
    let mut running: Option<Terminal> = None;
    let screens = screens(&readme);
    assert!(!screens.is_empty());
    for screen in screens {
        let mut happened = String::new();
        if screen.when == When::Beside {
            beside(&chain, &screen, tidy);
            continue;
        }
        assert_eq!(screen.when == When::End, running.is_some());
        if let Some(terminal) = running.take() {
            happened = format!("$ imk\n{}\n", tidy(&terminal.end().1));
        } else {
            for command in screen.text.lines().filter_map(|line| line.strip_prefix("$ ")) {
                happened += &format!("$ {command}\n");
                let Some(words) = command.strip_prefix("imk") else {
                    let status = Command::new("sh").args(["-c", command]).current_dir(chain.root()).status();
                    assert!(status.unwrap().success(), "{command}");
                    happened += "\n";
                    continue;
                };
                let terminal = Terminal::start(&chain, words, screen.rows, screen.columns);
                if screen.when == When::Runs {
                    let expected = screen.text.rsplit_once("$ imk\n").expect("it ends with a run").1;
                    let shown =
                        terminal.until("it is as in the README", |shown| tidy(shown) == expected.trim_end());
                    running = Some(terminal);
                    happened += &format!("{}\n\n", tidy(&shown));
                } else {
                    happened += &format!("{}\n\n", tidy(&terminal.end().1));
                }
            }
        }
        assert_eq!(happened.trim_end(), screen.text.trim_end());
    }
}

/// A command that runs on while `(elsewhere) $ COMMAND` is done at the place where it stands, ended by Ctrl-C.
fn beside(chain: &Sandbox, screen: &Screen, tidy: impl Fn(&str) -> String) {
    const ELSEWHERE: &str = "(elsewhere) $ ";
    let (command, lines) = screen.text.split_once('\n').unwrap();
    let terminal =
        Terminal::start(chain, command.strip_prefix("$ imk ").unwrap(), screen.rows, screen.columns);
    let mut expected = String::new();
    for line in lines.lines() {
        let Some(elsewhere) = line.strip_prefix(ELSEWHERE) else {
            expected += &format!("{line}\n");
            continue;
        };
        terminal.until("it is as in the README", |shown| tidy(shown) == expected.trim_end());
        let status = Command::new("sh").args(["-c", elsewhere]).current_dir(chain.root()).status();
        assert!(status.unwrap().success(), "{elsewhere}");
    }
    terminal.until("it is as in the README", |shown| tidy(shown) == expected.trim_end());
    terminal.interrupt();
    assert_eq!(terminal.end().0, 130);
}

#[test]
fn the_imagefile_of_the_readme_is_one() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let text = readme.split("```ron\n").nth(1).unwrap().split("```").next().unwrap();
    let file = imk::syntax::imagefile::read(text, &Default::default()).unwrap();
    assert_eq!(file.images.len(), 3);
}
