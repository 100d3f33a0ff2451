//! `imk` in a pseudo-terminal of its own, and what a person sees there.
//!
//! What the program writes is interpreted as a terminal would, so a test compares a screen and not
//! escape sequences. The terminal is the program's controlling one: a resize reaches it as a signal.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::sandbox::{Sandbox, fixture_or_skip};

/// A terminal in which `imk` runs.
pub struct Terminal {
    master: File,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
    child: Child,
}

impl Terminal {
    /// Starts `imk WORDS` in a terminal of so many rows and columns.
    pub fn start(sandbox: &Sandbox, words: &str, rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        tcsetwinsize(&master, size(rows, columns)).unwrap();
        let slave = || {
            let file = fs_err::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            Stdio::from(File::from(file))
        };
        let model = sandbox.command("", words);
        // util-linux' `setsid` makes the terminal the controlling one, which no safe call does.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(model.get_program()).args(model.get_args());
        command.current_dir(sandbox.root()).stdin(slave()).stdout(slave()).stderr(slave());
        for (name, value) in model.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let child = command.spawn().expect("util-linux is installed");
        drop(command);
        let [rows, columns] = [rows, columns].map(|number| NonZeroU16::new(number).unwrap());
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 1000)));
        let mut from = File::from(master.try_clone().unwrap());
        let to = Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end is an error (EIO): nobody has the other side open any more.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap().process(&buffer[..length]);
            }
        });
        Self { master: File::from(master), screen, reader: Some(reader), child }
    }

    /// Makes the window another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, size(rows, columns)).unwrap();
        let [rows, columns] = [rows, columns].map(|number| NonZeroU16::new(number).unwrap());
        self.screen.lock().unwrap().screen_mut().set_size(rows, columns);
    }

    /// What is on the screen.
    pub fn shown(&self) -> String {
        let screen = self.screen.lock().unwrap();
        let columns = screen.screen().size().1.get();
        let rows = screen.screen().rows(0, columns).map(|row| format!("{}\n", row.trim_end()));
        rows.collect::<String>().trim_end().to_owned()
    }

    /// Waits until the screen is as wanted, and returns it.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let shown = self.shown();
            if wanted(&shown) {
                return shown;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "waited a minute until {what}:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys.
    pub fn press(&self, keys: &str) {
        (&self.master).write_all(keys.as_bytes()).unwrap();
    }

    /// Ctrl-C: the terminal makes a signal of it.
    pub fn interrupt(&self) {
        (&self.master).write_all(b"\x03").unwrap();
    }

    /// Waits for the end: the exit status, and what is left on the screen.
    pub fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status.code().unwrap_or(-1), self.shown())
    }
}

impl Drop for Terminal {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// A screen with what varies replaced: times, and how far a spinner has turned.
pub fn tidy(sandbox: &Sandbox, screen: &str) -> String {
    let still = |c: char| if ('\u{2801}'..='\u{28ff}').contains(&c) { '⠋' } else { c };
    sandbox.tidy(&screen.chars().map(still).collect::<String>())
}

#[test]
fn live_lines_follow_the_width_of_the_window() {
    let Some(sandbox) = fixture_or_skip("resize", "diamond") else { return };
    sandbox.imk("base").success();
    let long = "a line that is far too long for a window which somebody makes small";
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY words.txt /\nRUN cat words.txt && sleep 4\n");
    // The engine remembers steps by what they read, and this one must run.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    sandbox.edit("left/words.txt", &format!("{long} {now}\n"));
    let terminal = Terminal::start(&sandbox, "left", 20, 120);
    terminal.until("the output is shown", |shown| shown.contains("│ a line that is far too long"));
    terminal.resize(20, 50);
    let narrow = terminal.until("the line fits the window", |shown| {
        let live: Vec<&str> =
            shown.lines().filter(|line| line.contains("left") && line.contains("[3/3]")).collect();
        live.len() == 1 && live[0].chars().count() <= 50
    });
    assert!(narrow.lines().all(|line| line.chars().count() <= 50), "{narrow}");
    let (code, last) = terminal.end();
    assert_eq!(code, 0, "{last}");
    assert!(!last.contains("[3/3]"), "the live line is gone at the end:\n{last}");
    assert!(tidy(&sandbox, &last).contains("1 fresh, 1 built, 0 failed in [TIME]"), "{last}");
}

#[test]
fn the_last_line_and_the_summary_are_two_lines_after_a_resize() {
    for columns in [70, 130] {
        let Some(sandbox) = fixture_or_skip("resize_end", "diamond") else { return };
        sandbox.imk("base").success();
        sandbox.edit("left/Dockerfile", "FROM base\nCOPY words.txt /\nRUN cat words.txt && sleep 3\n");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        sandbox.edit("left/words.txt", &format!("now {now}\n"));
        let terminal = Terminal::start(&sandbox, "left", 20, 100);
        terminal.until("the step runs", |shown| shown.contains("│ now"));
        terminal.resize(20, columns);
        let (code, last) = terminal.end();
        assert_eq!(code, 0, "{last}");
        let lines: Vec<String> = tidy(&sandbox, &last).lines().map(str::to_owned).collect();
        let [.., before, summary] = &lines[..] else { panic!("{last}") };
        assert_eq!(summary, "1 fresh, 1 built, 0 failed in [TIME]", "{last}");
        assert_eq!(before, "left: built in [TIME]", "{last}");
    }
}

#[test]
fn the_list_of_images_fits_a_narrow_terminal_and_keeps_their_names() {
    let sandbox = Sandbox::with(
        "//- a-name-of-some-length/Dockerfile\nFROM registry.example/a/base/with/a/very/long/name:and-tag\n",
    );
    let sandbox = sandbox.without_engine();
    let (code, shown) = Terminal::start(&sandbox, "list --offline", 20, 72).end();
    assert_eq!(code, 0, "{shown}");
    let line = shown.lines().find(|line| line.starts_with("a-name-of-some-length  stale")).expect(&shown);
    assert!(line.ends_with('…') && line.chars().count() <= 72, "{shown}");
}
