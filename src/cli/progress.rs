//! Shows a build while it runs: live lines on a terminal, plain lines elsewhere.
//!
//! Everything here goes to standard error. The whole output of every image
//! goes to its log file as well, whatever is shown.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fs_err as fs;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::args;
use super::words;
use crate::drive::run::{Ending, Event};
use crate::engine::BuildEvent;
use crate::query::hands::JobEvent;

/// How much of a failed build's log is shown again at the end.
const TAIL: usize = 20;

/// The display of one run.
pub struct Progress {
    how: How,
    jobs: Mutex<BTreeMap<String, Job>>,
    logs: Box<dyn Fn(&str) -> PathBuf + Send + Sync>,
    trace: bool,
}

enum How {
    Live(MultiProgress),
    Plain,
    Quiet,
}

/// One running image.
#[derive(Default)]
struct Job {
    bar: Option<ProgressBar>,
    log: Option<fs::File>,
    step: String,
    names: BTreeMap<String, String>,
    /// The beginning of a line whose end has not come yet, by step.
    partial: BTreeMap<String, Vec<u8>>,
    tail: Vec<String>,
}

impl Progress {
    /// A display; `logs` says where an image's log is kept.
    pub fn new(
        how: args::Progress,
        trace: bool,
        logs: impl Fn(&str) -> PathBuf + Send + Sync + 'static,
    ) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let how = match how {
            args::Progress::Auto if terminal => How::Live(MultiProgress::new()),
            args::Progress::Tty => How::Live(MultiProgress::new()),
            args::Progress::Auto | args::Progress::Plain => How::Plain,
            args::Progress::Quiet => How::Quiet,
        };
        Self { how, jobs: Mutex::default(), logs: Box::new(logs), trace }
    }

    /// Something happened.
    pub fn event(&self, event: Event) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Job(name, JobEvent::Started(reasons)) => {
                let why = if self.trace {
                    reasons.iter().map(words::reason).collect::<Vec<_>>().join("; ")
                } else {
                    words::first_reason(&reasons)
                };
                let job = jobs.entry(name.clone()).or_default();
                job.log = self.open_log(&name);
                job.bar = self.bar(&name);
                self.line(&name, &why);
            }
            Event::Job(name, JobEvent::Build(event)) => {
                let job = jobs.entry(name.clone()).or_default();
                self.build_event(&name, job, event);
            }
            Event::Job(name, JobEvent::Reused(reasons)) => {
                let why = words::first_reason(&reasons);
                self.line(&name, &format!("{why}; an earlier result serves again"));
            }
            Event::Job(name, JobEvent::Publishing) => {
                if let Some(job) = jobs.get_mut(&name) {
                    job.show("sent to its registry");
                }
                if matches!(self.how, How::Plain) {
                    self.line(&name, "sent to its registry");
                }
            }
            Event::Job(name, JobEvent::Yielded) => {
                self.line(&name, "another machine has published it meanwhile; that one is taken");
            }
            Event::Job(name, JobEvent::On(engine)) => {
                if let Some(job) = jobs.get_mut(&name) {
                    job.show(&format!("on {engine}"));
                }
                if matches!(self.how, How::Plain) {
                    self.line(&name, &format!("on engine `{engine}`"));
                }
            }
            Event::Job(name, JobEvent::Lost { engine, why }) => {
                self.line(&name, &format!("lost with engine `{engine}`, another is tried ({why})"));
            }
            Event::Job(_, JobEvent::SameResult | JobEvent::Found) => {}
            Event::Ended(name, ending, took) => {
                if let Some(bar) = jobs.get_mut(&name).and_then(|job| job.bar.take()) {
                    bar.finish_and_clear();
                }
                self.ended(&name, &ending, took);
            }
        }
    }

    /// The last lines of an image's output, and where all of it is.
    pub fn tail(&self, image: &str) -> (Vec<String>, PathBuf) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = jobs.get(image).map(|job| job.tail.clone()).unwrap_or_default();
        (tail, (self.logs)(image))
    }

    fn ended(&self, name: &str, ending: &Ending, took: Duration) {
        let took = words::duration(took);
        match ending {
            Ending::Built { same: false, .. } => self.line(name, &format!("built in {took}")),
            Ending::Built { same: true, .. } => {
                self.line(name, &format!("built in {took}, with the same result as before"));
            }
            Ending::Failed(error) => {
                self.line(name, &format!("failed: {}", words::build_error(error)));
            }
            Ending::Found => self.line(name, "its registry has it"),
            Ending::Fresh | Ending::Reused | Ending::Skipped => {}
        }
    }

    fn build_event(&self, name: &str, job: &mut Job, event: BuildEvent) {
        match event {
            BuildEvent::Step { id, name: step, .. } => {
                job.write(format!("{step}\n").as_bytes());
                if matches!(self.how, How::Plain) && is_instruction(&step) {
                    self.line(name, &step);
                }
                job.names.insert(id, step.clone());
                job.step.clone_from(&step);
                job.show(&step);
            }
            BuildEvent::StepDone { id, cached, error, took } => {
                let step = job.names.remove(&id).unwrap_or_default();
                let how = match (&error, cached, took) {
                    (Some(error), ..) => format!("failed: {error}"),
                    (None, true, _) => "cached".into(),
                    (None, false, Some(took)) => format!("done in {}", words::duration(took)),
                    (None, false, None) => "done".into(),
                };
                job.write(format!("{step}: {how}\n").as_bytes());
                if let Some(rest) = job.partial.remove(&id) {
                    self.output(name, job, &rest);
                }
            }
            BuildEvent::Log { id, bytes } => {
                job.write(&bytes);
                let mut buffer = job.partial.remove(&id).unwrap_or_default();
                buffer.extend(bytes);
                let mut rest = buffer.as_slice();
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let (line, after) = rest.split_at(end);
                    self.output(name, job, line);
                    rest = &after[1..];
                }
                if !rest.is_empty() {
                    job.partial.insert(id, rest.to_vec());
                }
            }
            BuildEvent::Note(text) => {
                job.write(format!("{text}\n").as_bytes());
                self.line(name, &text);
            }
            BuildEvent::Sent { .. } => {}
        }
    }

    /// One whole line of a step's output.
    fn output(&self, name: &str, job: &mut Job, line: &[u8]) {
        let text = plain_text(line);
        if text.is_empty() {
            return;
        }
        if job.tail.len() == TAIL {
            job.tail.remove(0);
        }
        job.tail.push(text.clone());
        match self.how {
            How::Plain => self.line(name, &format!("| {text}")),
            _ => job.show(&format!("{} │ {text}", job.step)),
        }
    }

    fn line(&self, name: &str, text: &str) {
        let bold = anstyle::Style::new().bold();
        match &self.how {
            How::Live(bars) => {
                let line = format!("{bold}{name}{bold:#}: {text}");
                let _ = bars.println(line);
            }
            How::Plain => anstream::eprintln!("{bold}{name}{bold:#}: {text}"),
            How::Quiet => {}
        }
    }

    fn bar(&self, name: &str) -> Option<ProgressBar> {
        let How::Live(bars) = &self.how else { return None };
        let bar = bars.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Some(bar)
    }

    fn open_log(&self, name: &str) -> Option<fs::File> {
        let path = (self.logs)(name);
        // A log that cannot be kept is no reason not to build.
        fs::create_dir_all(path.parent()?).ok()?;
        fs::File::create(path).ok()
    }
}

impl Job {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            let _ = log.write_all(bytes);
        }
    }

    fn show(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }
}

/// Steps of the Dockerfile are numbered; the engine's own chores are not.
fn is_instruction(step: &str) -> bool {
    step.starts_with('[') && !step.starts_with("[internal]")
}

/// A line as a terminal would leave it: what stands before a carriage return
/// was overwritten, and no escape sequence gets through to move the cursor.
fn plain_text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let last = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let stripped = anstream::adapter::strip_str(last).to_string();
    stripped.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(plain_text(b"10%\r50%\r100%"), "100%");
        assert_eq!(plain_text(b"\x1b[31mred\x1b[0m\x1b[2J\r\n".trim_ascii_end()), "red");
        assert_eq!(plain_text(b"a\x07b\xff"), "ab\u{fffd}");
    }
}
