//! A run as a job that comes again: one at a time, within a time, with a log.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use super::target::Target;
use crate::cli::failure::{Exit, Failure, cannot};
use crate::cli::out;
use crate::cli::words::quantity;
use crate::containers::log::{RotatingLog, is_shown};
use crate::containers::prepare::{Prepared, escaped};
use crate::containers::{Control, End};
use crate::engine::Cancel;
use crate::state::lock::Turn;
use crate::syntax::container::Profile;

/// How long a command has that was asked to end, before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How soon the end of a run is seen.
const TICK: Duration = Duration::from_millis(20);

/// When the same command of an image runs already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Overlap {
    /// Run beside it
    Allow,
    /// Run nothing, and say so in the log; status 0
    Skip,
    /// Wait until it has ended
    Wait,
}

/// How a run is gone about.
pub struct Job {
    /// When it runs already.
    pub overlap: Overlap,
    /// Milliseconds that it may take.
    pub limit: Option<u64>,
    /// Set to stop.
    pub cancel: Cancel,
}

/// The name of a job: the image's command and, where that runs scripts, the script.
fn name(what: &[String]) -> String {
    match what {
        [] => "run".to_owned(),
        [one] => escaped(one),
        [one, two, ..] => format!("{}-{}", escaped(one), escaped(two)),
    }
}

impl Job {
    /// The right to run; `None` when it runs already and is to be skipped. The kernel gives it back, whoever dies.
    pub fn turn(&self, target: &Target, what: &[String]) -> Result<Option<Turn>, Failure> {
        if self.overlap == Overlap::Allow {
            return Ok(Some(Turn::default()));
        }
        let Some(state) = &target.state else {
            let hint = "leave --cron and --overlap out, or run an image of a repository";
            return Err(Failure::with_hint("an image of no repository has no place for a lock", hint));
        };
        let file = format!("{}--{}.lock", escaped(&target.name), name(what));
        let state = state.sub("turns");
        let waits = self.overlap == Overlap::Wait;
        let turn = Turn::take(&state, &file, waits, || self.cancel.is_cancelled());
        let turn = turn.map_err(|error| match error.kind() {
            std::io::ErrorKind::Interrupted => Failure::silent(Exit::Interrupted),
            _ => cannot("take the lock of this command")(error),
        })?;
        if turn.is_none() {
            out::note(format_args!("`{}` runs already, and is skipped", what.join(" ")));
        }
        Ok(turn)
    }

    /// Ends the container when its time is over.
    pub fn watch(&self, profile: &Profile, asker: UnboundedSender<Control>) -> Option<Watch> {
        let limit = Duration::from_millis(self.limit.or(profile.timeout)?);
        let (ended, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (is_ended, is_over) = (Arc::clone(&ended), Arc::clone(&over));
        let until = Instant::now() + limit;
        thread::spawn(move || {
            for (at, signal) in [(until, "TERM"), (until + GRACE, "KILL")] {
                while Instant::now() < at {
                    if is_ended.load(Ordering::SeqCst) {
                        return;
                    }
                    thread::sleep(TICK);
                }
                is_over.store(true, Ordering::SeqCst);
                let _ = asker.send(Control::Signal(signal.into()));
            }
        });
        Some(Watch { ended, over })
    }
}

/// Looks at the clock until a run has ended.
pub struct Watch {
    ended: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// It has ended; true when its time was over before.
    pub fn end(self) -> bool {
        self.ended.store(true, Ordering::SeqCst);
        self.over.load(Ordering::SeqCst)
    }
}

/// The log of one run.
pub struct Log {
    log: Mutex<RotatingLog>,
    failed: AtomicBool,
    title: String,
    began: Instant,
}

/// Where the logs of an image are: in its folders, else in the repository's state.
pub fn folder(prepared: Option<&PathBuf>, target_state: Option<PathBuf>, image: &str) -> Option<PathBuf> {
    prepared.cloned().or_else(|| Some(target_state?.join("run-logs").join(escaped(image))))
}

/// Opens the log of a run whose profile has one, and writes its head.
pub fn log(
    profile: &Profile,
    prepared: &Prepared,
    target: &Target,
    what: &[String],
) -> Result<Option<Log>, Failure> {
    let Some((mut log, title)) = opened(profile, prepared, target, what)? else { return Ok(None) };
    let env = prepared.spec.env.iter().map(|(name, value)| match is_shown(name) {
        true => format!(" {name}={value}"),
        false => format!(" {name}=…"),
    });
    let env: String = env.collect();
    let head = format!("--- {} {title}: begins\n---{}\n", now(), env.replace('\n', " "));
    log.write(head.as_bytes()).map_err(cannot("write the log"))?;
    Ok(Some(Log { log: Mutex::new(log), failed: AtomicBool::new(false), title, began: Instant::now() }))
}

/// Says in the log of a command that a run of it was skipped: nobody who is not at a terminal hears of it otherwise.
pub fn log_skip(
    profile: &Profile,
    prepared: &Prepared,
    target: &Target,
    what: &[String],
) -> Result<(), Failure> {
    let Some((mut log, title)) = opened(profile, prepared, target, what)? else { return Ok(()) };
    let line = format!("--- {} {title}: skipped, since it runs already\n", now());
    log.write(line.as_bytes()).map_err(cannot("write the log"))
}

/// The log of a command whose profile has one, and what its lines call the run.
fn opened(
    profile: &Profile,
    prepared: &Prepared,
    target: &Target,
    what: &[String],
) -> Result<Option<(RotatingLog, String)>, Failure> {
    let Some(rules) = profile.log else { return Ok(None) };
    let state = target.state.as_ref().and_then(|state| state.path());
    let Some(folder) = folder(prepared.log_folder.as_ref(), state, &target.name) else { return Ok(None) };
    let log = RotatingLog::open(&folder.join(name(what)), rules).map_err(cannot("open the log"))?;
    let title = format!("{}:{} {}", target.name, target.version, what.join(" "));
    // An argument may have a line end, and a line of the log has one.
    Ok(Some((log, title.replace(['\n', '\r'], " "))))
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

impl Log {
    /// Takes output as it comes. A log that cannot be written is told of once, is not tried again, and ends nothing.
    pub fn write(&self, bytes: &[u8]) {
        if self.failed.load(Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.log.lock().write(bytes)
            && !self.failed.swap(true, Ordering::SeqCst)
        {
            out::warning(format_args!("the log cannot be written: {error}"));
        }
    }

    /// Writes how it ended.
    pub fn end(self, end: Option<&End>) {
        let how = match end {
            Some(End::Exited(status)) => format!("ends with status {status}"),
            Some(End::Detached) => "goes on without a log".to_owned(),
            None => "was not run to its end".to_owned(),
        };
        let took = quantity::duration(self.began.elapsed());
        if self.failed.load(Ordering::SeqCst) {
            return;
        }
        let mut log = self.log.lock();
        let written = log.finish().and_then(|()| {
            log.write(format!("--- {} {}: {how} after {took}\n", now(), self.title).as_bytes())
        });
        if let Err(error) = written {
            out::warning(format_args!("the log cannot be written: {error}"));
        }
    }
}
