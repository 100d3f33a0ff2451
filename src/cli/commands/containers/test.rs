//! `imk test`: brings images up to date and tests them, unless a receipt says that they passed.

mod host;
mod junit;
mod plan;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use crate::cli::args::{Global, Targets};
use crate::cli::commands::make::build;
use crate::cli::failure::{Exit, Failure, cannot};
use crate::cli::{locate, out, registries};
use crate::containers::suite::queue::{Came, Job, run_all};
use crate::containers::suite::{Outcome, Subject, stage, sweep};
use crate::containers::{DockerContainers, suite};
use crate::state::receipts::{Receipt, Receipts, TestRun, now};
use host::Repository;
use plan::{Asked, Plan, Planned};
use report::{Report, Verdict};

const EXAMPLES: &str = "\
imk test                         test every image that has tests, as far as no receipt says that it passed
imk test app                     these
imk test --filter 'app/basic*'   tests by name, as IMAGE/TEST or TEST
imk test -B                      though they passed already
imk test --junit report.xml      and leave a report for CI";

/// Bring images up to date and test them
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
A test that passed leaves a receipt, and is not run again until something that it rests on changes: the image's content, the \
test, files and other images it uses, the platform, imk's runner. A failure leaves none. Exit status 2 when a test failed.")]
#[command(after_long_help = EXAMPLES)]
pub struct TestArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Only tests that this glob means: IMAGE/TEST, or TEST
    #[arg(long, value_name = "GLOB", env = "IMK_FILTER")]
    pub filter: Option<String>,
    /// Write a report in JUnit's form
    #[arg(long, value_name = "FILE", env = "IMK_JUNIT")]
    pub junit: Option<PathBuf>,
    /// Leave what a failed test made for a look
    #[arg(long, env = "IMK_TEST_KEEP", value_parser = FalseyValueParser::new())]
    pub keep: bool,
    /// Test again what has a receipt
    #[arg(short = 'B', long, env = "IMK_ALWAYS_MAKE", value_parser = FalseyValueParser::new())]
    pub always_make: bool,
    /// Run so many tests at once [default: the number of processors]
    #[arg(short, long, value_name = "N", env = "IMK_JOBS", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
}

pub fn run(global: &Global, args: &TestArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let cancel = build::cancel_on_signals(|| {})?;
    let plan = {
        let asked = Asked { words: &args.targets.words, filter: args.filter.as_deref() };
        plan::plan(global, &asked, &cancel)?
    };
    if cancel.is_cancelled() {
        return Err(Failure::silent(Exit::Interrupted));
    }
    let report = Report::default();
    let mut receipts = Receipts::read(&plan.state);
    let (known, todo): (Vec<_>, Vec<_>) = plan.tests.iter().partition(|planned| {
        let receipt = planned.key.and_then(|key| receipts.of(&key, planned.test.max_age));
        !args.always_make && receipt.is_some()
    });
    for planned in known {
        if let Some(receipt) = planned.key.and_then(|key| receipts.of(&key, planned.test.max_age)) {
            report.add(&planned.job, Verdict::Receipt(receipt.clone()));
        }
    }
    if !todo.is_empty() {
        let made = perform(global, args, &plan, &todo, &report, &cancel)?;
        for receipt in made {
            if let Err(error) = receipts.add(receipt) {
                out::warning(format_args!(
                    "a receipt could not be kept: {error}; that test runs again next time"
                ));
            }
        }
    }
    let verdicts = report.take();
    if let Some(file) = &args.junit {
        let text = junit::text(&verdicts);
        let file = locate::place(global, file);
        crate::source::outside::write(&file, text.as_bytes()).map_err(cannot("write the report"))?;
    }
    out::line(report::summary(&verdicts, started.elapsed()));
    if cancel.is_cancelled() {
        return Err(Failure::silent(Exit::Interrupted));
    }
    let failed =
        verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Failed { .. } | Verdict::Skipped(_)));
    if failed { Err(Failure::silent(Exit::Error)) } else { Ok(()) }
}

/// Runs tests, with the receipts of those that passed.
fn perform(
    global: &Global,
    args: &TestArgs,
    plan: &Plan,
    todo: &[&Planned],
    report: &Report,
    cancel: &crate::engine::Cancel,
) -> Result<Vec<Receipt>, Failure> {
    let refused = |error| Failure::engine(&error);
    let containers =
        DockerContainers::new(plan.endpoint.clone(), &registries::patience(global)).map_err(refused)?;
    let this = TestRun::begin(&plan.state).map_err(cannot("write down that tests run"))?;
    let swept = sweep::sweep(&containers, &this.owner, |run| this.is_over(run)).map_err(refused)?;
    if swept > 0 {
        out::note(format_args!(
            "removed what a test run left that was killed: {swept} containers, volumes and networks"
        ));
    }
    let host = Repository { root: plan.root.clone() };
    let made = parking_lot::Mutex::new(Vec::new());
    let jobs: Vec<Job> = todo.iter().map(|planned| planned.job.clone()).collect();
    let at_once = args.jobs.map_or_else(build::processors, usize::from);
    let run_one = |job: &Job| {
        let Some(planned) = todo.iter().find(|planned| planned.job == *job) else { return Came::Badly };
        if cancel.is_cancelled() {
            report.add(job, Verdict::Skipped(String::new()));
            return Came::Badly;
        }
        let number = todo.iter().position(|other| other.job == *job).unwrap_or_default();
        let subject = Subject {
            name: job.image.clone(),
            id: planned.id.clone(),
            images: planned.images.clone(),
            labels: stage::labels(&this.owner, &this.name, args.keep),
            mark: format!("imk-test-{}-{number}", &this.name[..12]),
            keep: args.keep,
        };
        let began = Instant::now();
        let outcome = suite::run(&containers, &host, &subject, &planned.test, cancel);
        let took = began.elapsed();
        match outcome {
            Outcome::Passed(tries) => {
                if let Some(key) = planned.key {
                    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                    let (image, test) = (job.image.clone(), job.test.clone());
                    made.lock().push(Receipt { key, image, test, at: now(), took_ms, tries });
                }
                report.add(job, Verdict::Passed { tries, took });
                Came::Well
            }
            Outcome::Failed(lines) => {
                report.add(job, Verdict::Failed { lines, took });
                Came::Badly
            }
            Outcome::Interrupted => {
                report.add(job, Verdict::Skipped(String::new()));
                Came::Badly
            }
        }
    };
    run_all(&jobs, &plan.bases, at_once, run_one, |job, base| {
        report.add(job, Verdict::Skipped(base.to_owned()))
    });
    Ok(made.into_inner())
}
