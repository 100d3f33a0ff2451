//! Runs of planned tests: those without a receipt are run, and each pass leaves one as it ends.
//!
//! Whoever calls is told of every test as it came out. Knows no session and prints nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::host::Host;
use super::plan::Planned;
use super::queue::{Came, Job, run_all};
use super::stage::{self, Subject};
use super::steps::{self, Outcome};
use super::sweep::{self, Swept};
use crate::containers::api::Containers;
use crate::engine::{Cancel, EngineError};
use crate::state::receipts::{Receipt, Receipts, TestRun, now};

/// How one test came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed now.
    Passed {
        /// The try at which it passed.
        tries: u32,
        /// From its start to its end.
        took: Duration,
    },
    /// It passed before, and nothing has changed.
    Receipt(Receipt),
    /// It failed.
    Failed {
        /// Lines for a person.
        lines: Vec<String>,
        /// From its start to its end.
        took: Duration,
    },
    /// It was not run: this base's tests failed; nobody's when it is empty, for then somebody stopped it.
    Skipped(String),
}

impl Verdict {
    /// Whether the image is as expected.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::Receipt(_))
    }
}

/// An event of a run of tests.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many containers, images, volumes and networks were taken away that a killed run left.
    Swept(usize),
    /// This is why something of a run stays on the engine; the next run tries again.
    Left(EngineError),
    /// A test came out so.
    Came(&'a Job, Verdict),
    /// A receipt could not be kept: that test runs again next time.
    ReceiptLost(io::Error),
}

/// How tests are run.
#[derive(Clone, Debug)]
pub struct Choices {
    /// Tests with a receipt are run again.
    pub always: bool,
    /// The leavings of a failed test stay for a look.
    pub keep: bool,
    /// So many tests at once.
    pub at_once: usize,
}

/// Splits tests into those with a receipt, which is given, and those that are to be run.
pub fn by_receipt<'p>(
    tests: &'p [Planned],
    receipts: &Receipts,
) -> (Vec<(&'p Planned, Receipt)>, Vec<&'p Planned>) {
    let (mut known, mut todo) = (Vec::new(), Vec::new());
    for planned in tests {
        match planned.key.and_then(|key| receipts.of(&key, planned.test.max_age)) {
            Some(receipt) => known.push((planned, receipt.clone())),
            None => todo.push(planned),
        }
    }
    (known, todo)
}

/// The tests that are run, and where.
pub struct Stage<'a> {
    /// The engine's containers.
    pub containers: &'a dyn Containers,
    /// Programs of this machine.
    pub host: &'a dyn Host,
    /// The run that all of it belongs to.
    pub run: &'a TestRun,
    /// The images that each image is built on, near and far.
    pub bases: &'a BTreeMap<String, BTreeSet<String>>,
}

/// Runs tests. Each pass leaves its receipt before it is told.
///
/// # Errors
/// When the engine does not answer before the first test; a test's own trouble is its failure.
pub fn perform(
    at: &Stage<'_>,
    todo: &[&Planned],
    receipts: &mut Receipts,
    choices: &Choices,
    cancel: &Cancel,
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(), EngineError> {
    let this = at.run;
    let swept = sweep::sweep(at.containers, &this.owner, |run| this.is_over(run))?;
    if swept.count > 0 {
        tell(Event::Swept(swept.count));
    }
    if let Some(error) = swept.left {
        tell(Event::Left(error));
    }
    let receipts = Mutex::new(receipts);
    let jobs: Vec<Job> = todo.iter().map(|planned| planned.job.clone()).collect();
    let run_one = |job: &Job| {
        let Some(number) = jobs.iter().position(|other| other == job) else { return Came::Badly };
        let planned = todo[number];
        let verdict = match cancel.is_cancelled() {
            true => Verdict::Skipped(String::new()),
            false => one(at, planned, number, choices.keep, cancel),
        };
        if let (Some(key), Verdict::Passed { tries, took }) = (planned.key, &verdict) {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let (image, test) = (job.image.clone(), job.test.clone());
            let receipt = Receipt { key, image, test, at: now(), took_ms, tries: *tries };
            if let Err(error) = receipts.lock().add(receipt) {
                tell(Event::ReceiptLost(error));
            }
        }
        let came = if verdict.is_good() { Came::Well } else { Came::Badly };
        tell(Event::Came(job, verdict));
        came
    };
    run_all(&jobs, at.bases, choices.at_once, run_one, |job, base| {
        tell(Event::Came(job, Verdict::Skipped(base.to_owned())));
    });
    // What a stage could not remove, or made without being told so, is removed now.
    match sweep::sweep(at.containers, &this.owner, |run| run == this.name) {
        Ok(Swept { left: None, .. }) => {}
        Ok(Swept { left: Some(error), .. }) | Err(error) => tell(Event::Left(error)),
    }
    Ok(())
}

fn one(at: &Stage<'_>, planned: &Planned, number: usize, keep: bool, cancel: &Cancel) -> Verdict {
    let run = at.run;
    let subject = Subject {
        name: planned.job.image.clone(),
        id: planned.id.clone(),
        images: planned.images.clone(),
        labels: stage::labels(&run.owner, &run.name, keep),
        mark: format!("imk-test-{}-{number}", &run.name[..12]),
        keep,
    };
    let began = Instant::now();
    let outcome = steps::run(at.containers, at.host, &subject, &planned.test, cancel);
    let took = began.elapsed();
    match outcome {
        Outcome::Passed(tries) => Verdict::Passed { tries, took },
        Outcome::Failed(lines) => Verdict::Failed { lines, took },
        Outcome::Interrupted => Verdict::Skipped(String::new()),
    }
}
