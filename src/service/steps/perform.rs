//! A job's work from beginning to end: its private folder, its steps in their order, its outcome.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::command::{End, Running, folder_in};
use super::confinement::Confinement;
use super::environment;
use super::facts;
use super::masked::Masked;
use super::pipeline;
use super::report::Report;
use super::task::{Performed, Reach, Task};
use super::tools;
use crate::source::{inside, outside};
use crate::syntax::integration::{self, Integration, Line, Step};

/// The file that says what is to be done.
const FILE: &str = "integration.yml";
/// Output of one command that is kept for `$LOG`; of a longer one, the end.
const KEPT: usize = 64 * 1024;

/// Does the work. Trouble of the job itself is an outcome; whatever the repository holds, this process goes on.
///
/// # Errors
/// When the job could not begin: it is to be tried again.
pub fn perform(task: &Task<'_>) -> io::Result<Performed> {
    let until = Instant::now() + task.time_limit;
    let place =
        tempfile::Builder::new().prefix("imk-job-").permissions(Permissions::from_mode(0o700)).tempdir()?;
    let report = Report::of(&task.facts);
    let steps = match task.reach {
        Reach::Publish => inside::read(task.checkout, FILE).map_err(|error| error.why),
        // A policy that wants less than everything wants imk's part of it, and no step.
        _ => Ok(None),
    };
    let text = match steps {
        Ok(None) => return pipeline::run(task, place.path(), until),
        Ok(Some(bytes)) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()),
        Err(why) => Err(why),
    };
    let read = text.and_then(|text| integration::read(&text).map_err(|errors| told(&text, &errors)));
    let steps = match read {
        Ok(steps) => steps,
        Err(why) => return Ok(refused(task, report, &format!("{FILE}: {why}"))),
    };
    let confinement = match Confinement::of(task, place.path()) {
        Ok(confinement) => confinement,
        Err(why) => return Ok(refused(task, report, &why)),
    };
    let user = confinement.user();
    let home = prepared(task, place.path(), &confinement)?;
    let door = place.path().join("tools.sock");
    let closed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let opened = tools::open(scope, &door, task.tools, &closed).and_then(|()| match user {
            Some(user) => std::os::unix::fs::chown(&door, Some(user.id), Some(user.id)),
            None => Ok(()),
        });
        let confinement = &confinement;
        let mut job = Job { task, confinement, home: &home, door: &door, until, report, state: State::Good };
        if opened.is_ok() {
            job.steps(&steps);
        }
        closed.store(true, Ordering::SeqCst);
        user.iter().for_each(|user| user.end_all());
        opened.map(|()| job.performed(&steps))
    })
}

/// A job of which nothing runs, and why.
fn refused(task: &Task<'_>, mut report: Report, why: &str) -> Performed {
    for line in why.lines() {
        report.trouble(line);
    }
    (task.log)(format!("{why}\n").as_bytes());
    let summary = why.lines().next().unwrap_or_default().to_owned();
    Performed { summary, report: report.lines().to_vec(), ..Performed::default() }
}

/// The folders of a job, given to the user that its steps run as.
fn prepared(task: &Task<'_>, place: &Path, confinement: &Confinement) -> io::Result<PathBuf> {
    let home = place.join("home");
    outside::make_folder(&home.join("tmp"))?;
    let bin = place.join("bin");
    outside::make_folder(&bin)?;
    // By this name imk is the toolbox of steps.
    std::os::unix::fs::symlink(std::env::current_exe()?, bin.join("tools"))?;
    if let Some(user) = confinement.user() {
        user.own(task.checkout)?;
        user.own(&home)?;
        std::os::unix::fs::chown(place, Some(user.id), Some(user.id))?;
    }
    Ok(home)
}

/// Mistakes of the file, each with its place.
fn told(text: &str, errors: &[crate::syntax::error::SyntaxError]) -> String {
    let lines: Vec<String> = errors
        .iter()
        .map(|error| {
            let (line, column) = error.span.line_and_column(text);
            let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{line}:{column}: {}{hint}", error.message)
        })
        .collect();
    lines.join("\n")
}

/// How the steps have gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Well.
    Good,
    /// A command failed: only those marked so run still.
    Failed,
    /// Time is over, or somebody wants it stopped: nothing runs any more.
    Over(End),
}

/// Steps under way.
struct Job<'a> {
    task: &'a Task<'a>,
    confinement: &'a Confinement,
    home: &'a Path,
    door: &'a Path,
    until: Instant,
    report: Report,
    state: State,
}

impl Job<'_> {
    fn steps(&mut self, steps: &Integration) {
        for step in &steps.steps {
            self.report.step(&step.title);
            self.say(&format!("== {}\n", step.title));
            for line in &step.shell {
                let runs = self.state == State::Good || (self.state == State::Failed && line.always);
                match runs {
                    true => self.line(step, line),
                    false => self.report.skipped(&line.command),
                }
            }
        }
    }

    fn line(&mut self, step: &Step, line: &Line) {
        self.say(&format!("$ {}\n", line.command.trim_end()));
        let begun = Instant::now();
        let mut kept = Vec::new();
        let ended = folder_in(self.task.checkout, &step.cwd).and_then(|folder| {
            let words: Vec<OsString> = ["/bin/sh", "-c", line.command.as_str()].map(OsString::from).into();
            let environment = self.environment(step);
            let running = Running {
                words: &words,
                folder: &folder,
                environment: &environment,
                confinement: self.confinement,
                until: self.until,
                cancel: self.task.cancel,
            };
            let mut masked = Masked::new(&self.task.secrets);
            let mut keep = |bytes: &[u8]| {
                (self.task.log)(bytes);
                kept.extend_from_slice(bytes);
                if kept.len() > 2 * KEPT {
                    kept.drain(..kept.len() - KEPT);
                }
            };
            let ended = running.run(&mut |bytes| keep(&masked.push(bytes)));
            keep(&masked.rest());
            ended
        });
        let output = step.debug.then(|| String::from_utf8_lossy(&kept).into_owned());
        let is_good = matches!(ended, Ok(End::Exited(0)));
        self.report.ended(&line.command, is_good, begun.elapsed().as_secs(), output.as_deref());
        match ended {
            Ok(End::Exited(0)) => {}
            Ok(End::Exited(status)) => {
                self.say(&format!("it ended with status {status}\n"));
                self.state = State::Failed;
            }
            Ok(end) => {
                self.state = State::Over(end);
                self.trouble(&self.over(end));
            }
            Err(error) => {
                self.state = State::Failed;
                let at = if step.cwd.is_empty() { "." } else { &step.cwd };
                self.trouble(&format!("cannot run it in `{at}`: {error}"));
            }
        }
    }

    fn environment(&self, step: &Step) -> BTreeMap<OsString, OsString> {
        let bin = self.home.with_file_name("bin");
        let mut all = environment::passed(self.task.server, self.home, Some(&bin));
        let mut set = |name: &str, value: &str| all.insert(name.into(), value.into());
        for (name, value) in self.task.variables.iter().chain(&step.env) {
            set(name, value);
        }
        // Facts are facts, whatever a step would like them to be.
        for (name, value) in self.task.facts.variables() {
            set(&name, &value);
        }
        set(facts::LOG, &self.report.log());
        set(facts::OK, if self.state == State::Good { "true" } else { "false" });
        all.insert(tools::VARIABLE.into(), self.door.into());
        all
    }

    fn say(&self, text: &str) {
        (self.task.log)(text.as_bytes());
    }

    fn trouble(&mut self, why: &str) {
        self.report.trouble(why);
        self.say(&format!("{why}\n"));
    }

    fn over(&self, end: End) -> String {
        match end {
            End::Overdue => format!("it took longer than {} seconds", self.task.time_limit.as_secs()),
            _ => "it was cancelled".to_owned(),
        }
    }

    fn performed(self, steps: &Integration) -> Performed {
        let count = steps.steps.len();
        let noun = if count == 1 { "step" } else { "steps" };
        let summary = match self.state {
            State::Good => format!("{count} {noun} passed"),
            State::Over(end) => self.over(end),
            State::Failed => {
                let failed = self.report.lines().iter().find(|line| line.starts_with("[failed]"));
                failed.cloned().unwrap_or_else(|| "a step failed".to_owned())
            }
        };
        let report = self.report.lines().to_vec();
        Performed { ok: self.state == State::Good, summary, images: Vec::new(), report }
    }
}

#[cfg(test)]
#[path = "perform_tests.rs"]
mod tests;
