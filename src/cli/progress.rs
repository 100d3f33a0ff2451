//! Shows a build while it runs: live lines on a terminal, plain lines elsewhere.
//!
//! Everything here goes to standard error. The whole output of every image
//! goes to its log file as well, whatever is shown. In a CI that folds, an
//! image's lines are kept until it ends, since images run beside each other
//! and a fold holds one.

mod ahead;
pub mod failures;
pub mod json;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::build::run::{Ending, Event, Summary};
use crate::build::summary::Ahead;
use crate::cli::ci::{self, Ci, Row};
use crate::cli::failure::Failure;
use crate::cli::out::{self, Line, live};
use crate::cli::progress::ahead::Outlook;
use crate::cli::progress::failures::Dockerfiles;
use crate::cli::words::quantity;
use crate::cli::{args, quote, words};
use crate::engine::{BuildEvent, ImageId};
use crate::exec::executor::JobEvent;
use crate::model::reason::Reason;
use crate::query::effect::BuildError;
use crate::session::removed_images::log_name;
use crate::state::folder::StateFolder;
use crate::syntax::git_source::masked;

/// How much of a failed build's log is shown again at the end.
const TAIL: usize = 20;

/// Tells programs what ended a run, an object a finding.
pub fn failure(failure: &Failure) {
    json::failure(failure).iter().for_each(|line| out::event(line));
}

/// The display of one run.
pub struct Progress {
    how: How,
    jobs: Mutex<BTreeMap<String, Job>>,
    outlook: Mutex<Outlook>,
    state: StateFolder,
    dockerfiles: Dockerfiles,
    trace: bool,
}

enum How {
    Live(MultiProgress),
    Plain,
    /// Plain, with each image's lines in a fold.
    Folded(Ci),
    /// An object a line, for programs.
    Json,
    Quiet,
}

/// One image, running or ended.
#[derive(Default)]
struct Job {
    bar: Option<ProgressBar>,
    log: Option<File>,
    step: String,
    names: BTreeMap<String, String>,
    /// The beginning of a line whose end has not come yet, by step.
    partial: BTreeMap<String, Vec<u8>>,
    tail: Vec<String>,
    /// Lines for the fold.
    lines: Vec<String>,
    /// Why an earlier result was looked for.
    reused: Vec<Reason>,
    id: Option<ImageId>,
    took: Duration,
}

impl Progress {
    /// A display; the logs are kept in `state`, and failed steps are looked for in `dockerfiles`.
    pub fn new(how: args::Progress, trace: bool, state: StateFolder, dockerfiles: Dockerfiles) -> Self {
        let terminal = out::has_screen();
        let how = match how {
            args::Progress::Auto if terminal => How::Live(live::begin()),
            args::Progress::Tty => How::Live(live::begin()),
            args::Progress::Auto | args::Progress::Plain => Ci::here().map_or(How::Plain, How::Folded),
            args::Progress::Json => How::Json,
            args::Progress::Quiet => How::Quiet,
        };
        Self { how, jobs: Mutex::default(), outlook: Mutex::default(), state, dockerfiles, trace }
    }

    /// Shows an event.
    pub fn event(&self, event: Event) {
        let mut jobs = self.jobs.lock();
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
                self.object(|| json::started(&name, &reasons));
            }
            Event::Job(name, JobEvent::Build(event)) => {
                let job = jobs.entry(name.clone()).or_default();
                if let How::Json = self.how
                    && let Some(line) = json::build(&name, &event)
                {
                    self.object(|| line);
                }
                self.build_event(&name, job, event);
            }
            Event::Job(name, JobEvent::Reused(reasons)) => {
                let why = words::first_reason(&reasons);
                self.line(&name, &format!("{why}; an earlier result serves again"));
                jobs.entry(name).or_default().reused = reasons;
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
                jobs.get(&name).into_iter().for_each(|job| job.show(&format!("on {engine}")));
                if matches!(self.how, How::Plain) {
                    self.line(&name, &format!("on engine `{engine}`"));
                }
            }
            Event::Job(name, JobEvent::Emulated { platform, on }) => {
                self.line(&name, &format!("commands for {platform} are emulated on {on}"));
            }
            Event::Job(name, JobEvent::EngineUnreachable { engine, why }) => {
                self.line(
                    &name,
                    &format!("engine `{engine}` stopped answering, another one builds it ({why})"),
                );
            }
            Event::Job(_, JobEvent::SameResult | JobEvent::AlreadyPublished) => {}
            Event::Result(name, id) => jobs.entry(name).or_default().id = Some(id),
            Event::Ahead(ahead) => self.ahead(&ahead),
            Event::Ended(name, ending, took) => {
                let job = jobs.entry(name.clone()).or_default();
                if let Some(bar) = job.bar.take() {
                    bar.finish_and_clear();
                }
                job.took = took;
                let at = self.place(&name, &ending);
                self.object(|| json::ended(&name, &ending, job.id.as_ref(), &job.reused, took, at));
                self.ended(&name, &ending, job);
            }
        }
    }

    /// The last lines of an image's output, and where all of it is.
    pub fn tail(&self, image: &str) -> (Vec<String>, Option<PathBuf>) {
        let jobs = self.jobs.lock();
        let tail = jobs.get(image).map(|job| job.tail.clone()).unwrap_or_default();
        (tail, self.state.path().map(|path| path.join(log_name(image))))
    }

    /// The last words, when everything has ended.
    pub fn summary(&self, summary: &Summary, took: Duration) {
        self.outlook.lock().end();
        if let How::Json = self.how {
            json::summary(summary, took).into_iter().for_each(|line| self.object(|| line));
        }
    }

    /// Whether a failure of the builder was told when it happened, so that the end need only name it.
    pub fn tells_failures(&self) -> bool {
        matches!(self.how, How::Live(_) | How::Plain | How::Folded(_))
    }

    /// The Dockerfiles of the images.
    pub fn dockerfiles(&self) -> &Dockerfiles {
        &self.dockerfiles
    }

    /// Tells programs alone what was sent, where the rest of the sum was told before.
    pub fn publications(&self, summary: &Summary) {
        if let How::Json = self.how {
            json::publications(summary).into_iter().for_each(|line| self.object(|| line));
        }
    }

    /// Whether programs read this, and people do not.
    pub fn is_for_programs(&self) -> bool {
        matches!(self.how, How::Json)
    }

    /// Rows for the job's summary, where there is one: all images but the fresh ones.
    pub fn rows(&self, summary: &Summary) -> Option<Vec<Row>> {
        let How::Folded(Ci::GitHub) = self.how else { return None };
        let jobs = self.jobs.lock();
        let row = |(name, ending): (&String, &Ending)| {
            let job = jobs.get(name);
            let (verdict, reason) = match ending {
                Ending::Built { reasons, same: false } => ("built", words::first_reason(reasons)),
                Ending::Built { reasons, same: true } => ("built, same result", words::first_reason(reasons)),
                Ending::Reused => {
                    ("earlier result", job.map_or(String::new(), |job| words::first_reason(&job.reused)))
                }
                Ending::Failed(error) => ("**failed**", words::build_error(error)),
                Ending::Skipped => ("skipped", String::new()),
                Ending::AlreadyPublished => ("already published", String::new()),
                Ending::Fresh if summary.retagged.contains(name) => ("retagged", String::new()),
                Ending::Fresh => return None,
            };
            let was_built = matches!(ending, Ending::Built { .. } | Ending::Failed(_));
            let took = job.filter(|_| was_built).map(|job| quantity::duration(job.took)).unwrap_or_default();
            Some(Row { image: name.clone(), verdict: verdict.into(), reason, took })
        };
        Some(summary.endings.iter().filter_map(row).collect())
    }

    fn ended(&self, name: &str, ending: &Ending, job: &mut Job) {
        let took = quantity::duration(job.took);
        let text = match ending {
            Ending::Built { same: false, .. } => format!("built in {took}"),
            Ending::Built { same: true, .. } => format!("built in {took}, with the same result as before"),
            // Mistakes are drawn with their places, when all else is done.
            Ending::Failed(BuildError::Invalid(_)) => return,
            Ending::Failed(error) => return self.failed(name, error, job),
            Ending::AlreadyPublished => "its registry has it".to_owned(),
            Ending::Fresh | Ending::Reused | Ending::Skipped => return,
        };
        self.ended_with(name, &text, job);
    }

    fn ended_with(&self, name: &str, text: &str, job: &mut Job) {
        match self.how {
            How::Folded(ci) if !job.lines.is_empty() => {
                let title = format!("{name}: {text}");
                let lines = std::mem::take(&mut job.lines);
                // Written as it is: without colour these sequences are still wanted.
                out::ci(&ci.fold(name, &title, &lines, job.took));
            }
            _ => self.line(name, text),
        }
    }

    /// The line of a Dockerfile on which a job failed.
    fn place<'a>(&'a self, name: &str, ending: &Ending) -> Option<json::At<'a>> {
        let Ending::Failed(error) = ending else { return None };
        let line = self.dockerfiles.line(name, error)?;
        Some(json::At { path: self.dockerfiles.path(name), line })
    }

    /// Tells a failure in full: why, where, and the end of its output where that was not shown yet or is in a fold.
    fn failed(&self, name: &str, error: &BuildError, job: &mut Job) {
        if !self.tells_failures() {
            return;
        }
        let why = self.dockerfiles.sentence(name, error);
        if !job.lines.is_empty() {
            self.ended_with(name, "failed", job);
        }
        self.annotate(name, error);
        self.line(name, &format!("failed: {why}"));
        if !matches!(self.how, How::Plain) && failures::has_log(error) {
            job.tail.iter().for_each(|line| out::note(format_args!("  | {line}")));
        }
    }

    /// Has a forge show a failure beside the line that failed.
    pub fn annotate(&self, name: &str, error: &BuildError) {
        let line = self.dockerfiles.line(name, error).map(|line| (line, None));
        let about = format!("image `{name}` failed: {}", words::build_error(error));
        out::ci(&ci::annotation(self.dockerfiles.path(name), line, &about));
    }

    /// A line of JSON, where that is wanted.
    fn object(&self, line: impl FnOnce() -> String) {
        if let How::Json = self.how {
            out::event(&line());
        }
    }

    fn build_event(&self, name: &str, job: &mut Job, event: BuildEvent) {
        match event {
            BuildEvent::Step { id, name: step, .. } => {
                job.write(format!("{step}\n").as_bytes());
                if is_instruction(&step) {
                    self.detail(name, job, &step);
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
                    (None, false, Some(took)) => format!("done in {}", quantity::duration(took)),
                    (None, false, None) => "done".into(),
                };
                job.write(format!("{step}: {how}\n").as_bytes());
                if let Some(rest) = job.partial.remove(&id) {
                    self.output(name, job, &id, &rest);
                }
            }
            BuildEvent::Log { id, bytes } => {
                job.write(&bytes);
                let mut buffer = job.partial.remove(&id).unwrap_or_default();
                buffer.extend(bytes);
                let mut rest = buffer.as_slice();
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let (line, after) = rest.split_at(end);
                    self.output(name, job, &id, line);
                    rest = &after[1..];
                }
                if !rest.is_empty() {
                    job.partial.insert(id, rest.to_vec());
                }
            }
            BuildEvent::Note(text) => {
                job.write(format!("{text}\n").as_bytes());
                match self.how {
                    How::Folded(_) => job.lines.push(text),
                    _ => self.line(name, &text),
                }
            }
            BuildEvent::Sent { .. } => {}
        }
    }

    /// One whole line of a step's output.
    fn output(&self, name: &str, job: &mut Job, step: &str, line: &[u8]) {
        let text = quote::output(line);
        if text.is_empty() {
            return;
        }
        if job.tail.len() == TAIL {
            job.tail.remove(0);
        }
        job.tail.push(text.clone());
        self.object(|| json::log(name, step, &text));
        job.show(&format!("{} │ {text}", job.step));
        self.detail(name, job, &format!("| {text}"));
    }

    /// A line that live display has no room for.
    fn detail(&self, name: &str, job: &mut Job, text: &str) {
        match self.how {
            How::Plain => self.line(name, text),
            How::Folded(_) => job.lines.push(text.to_owned()),
            How::Live(_) | How::Json | How::Quiet => {}
        }
    }

    /// How far all of it is.
    fn ahead(&self, ahead: &Ahead) {
        let mut outlook = self.outlook.lock();
        match &self.how {
            How::Live(bars) => outlook.show(bars, ahead),
            How::Plain | How::Folded(_) => outlook.sign(ahead).iter().for_each(out::note),
            How::Json if outlook.is_news(ahead) => out::event(&json::ahead(ahead)),
            How::Json | How::Quiet => {}
        }
    }

    fn line(&self, name: &str, text: &str) {
        let line = Line::styled(anstyle::Style::new().bold(), name).and(": ").and(text);
        match &self.how {
            How::Live(_) | How::Plain | How::Folded(_) => {
                self.outlook.lock().heard();
                out::note(line);
            }
            How::Json | How::Quiet => {}
        }
    }

    fn bar(&self, name: &str) -> Option<ProgressBar> {
        let How::Live(bars) = &self.how else { return None };
        let bar = self.outlook.lock().add(bars, ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(quote::line(name));
        bar.enable_steady_tick(Duration::from_millis(120));
        Some(bar)
    }

    fn open_log(&self, name: &str) -> Option<File> {
        // A log that cannot be kept is no reason not to build.
        self.state.create(&log_name(name)).ok()
    }
}

impl Job {
    /// Into its log, passwords of addresses struck out: a step's name is a line of the Dockerfile.
    fn write(&mut self, bytes: &[u8]) {
        let Some(log) = &mut self.log else { return };
        // Bytes that are no text have no address that a person could read.
        let _ = match std::str::from_utf8(bytes) {
            Ok(text) => log.write_all(masked(text).as_bytes()),
            Err(_) => log.write_all(bytes),
        };
    }

    fn show(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(quote::line(text));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let How::Live(_) = self.how {
            live::end();
        }
    }
}

/// Steps of the Dockerfile are numbered; the engine's own chores are not.
fn is_instruction(step: &str) -> bool {
    step.starts_with('[') && !step.starts_with("[internal]")
}
