//! `imk test`: brings images up to date and tests them, unless a receipt says that they passed.

pub mod junit;
pub mod report;
mod structure;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use crate::cli::args::{Global, Targets};
use crate::cli::commands::make::build::{self, BuildArgs, Going};
use crate::cli::failure::{Exit, Failure, cannot};
use crate::cli::{engines, locate, open, out, registries, synced};
use crate::containers::DockerContainers;
use crate::containers::suite::host::Repository;
use crate::containers::suite::perform::{Choices, Event, Stage, Verdict, by_receipt, perform};
use crate::containers::suite::plan::{self, PlanError, Planned, Wanted};
use crate::engine::Cancel;
use crate::query::effect::Built;
use crate::release::attest::believe;
use crate::session::open::Session;
use crate::session::platforms;
use crate::state::receipts::{Receipts, TestRun};
use crate::syntax::tag;
use report::Report;

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
    let mut session = open::session(global, true, &cancel)?;
    let plan = plan(global, &mut session, args, &cancel, started)?;
    if cancel.is_cancelled() {
        return Err(Failure::silent(Exit::Interrupted));
    }
    let report = Report::default();
    let at_once = args.jobs.map_or_else(build::processors, usize::from);
    let choices = Choices { always: args.always_make, keep: args.keep, at_once };
    let mut receipts = receipts(&session, &plan.tests, &plan.results)?;
    carry_out(global, &session, &plan, &mut receipts, &choices, &report, &cancel)?;
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
    match verdicts.iter().all(|(_, verdict)| verdict.is_good()) {
        true => Ok(()),
        false => Err(Failure::silent(Exit::Error)),
    }
}

/// The tests of one run.
pub struct Plan {
    /// The tests, images in the order of their names.
    pub tests: Vec<Planned>,
    /// The results that are tested.
    pub results: BTreeMap<String, Built>,
    /// The images that each is built on, near and far.
    pub bases: BTreeMap<String, BTreeSet<String>>,
}

/// Brings the images up to date and finds their tests.
fn plan(
    global: &Global,
    session: &mut Session,
    args: &TestArgs,
    cancel: &Cancel,
    started: Instant,
) -> Result<Plan, Failure> {
    let words = &args.targets.words;
    let filter = args.filter.as_deref().map(tag::glob).transpose();
    let filter = filter.map_err(|why| Failure::error(format!("--filter: {why}")))?;
    let filter = filter.map(|glob| glob.compile_matcher());
    let mut synced = synced::brought_up(global, session, words)?;
    let targets = platforms::of_engine(session, &synced.targets);
    let mut wanted = plan::wanted(&session.project, &targets, filter.as_ref());
    if words.is_empty() {
        wanted.retain(|_, tests| !tests.is_empty());
    }
    if wanted.values().all(Vec::is_empty) {
        let hint = "give it some: `tests: {\"basics\": (steps: [Run(command: [\"true\"])])}`; docs/test.md";
        return Err(Failure::with_hint("no image has tests, or none that --filter means", hint));
    }
    structure::mistakes(&session.project.root, wanted.values().flatten().map(|(_, test)| test))?;
    let all = plan::images_of(session, &wanted);
    if all != synced.targets {
        let words: Vec<String> = all.into_iter().collect();
        synced = synced::brought_up(global, session, &words)?;
    }
    let build = BuildArgs { load: true, ..BuildArgs::default() };
    let going = Going { tells_summary: false, ..Going::new(global, &build) };
    let summary = build::carry_out(session, &synced, &going, started)?;
    let tests = planned(session, &wanted, &summary.results, cancel)?;
    Ok(Plan { tests, results: summary.results, bases: plan::all_bases(&synced.order.bases) })
}

/// The receipts that count for some tests: this machine's, and where the Imagefile says so those beside the images.
pub fn receipts(
    session: &Session,
    tests: &[Planned],
    results: &BTreeMap<String, Built>,
) -> Result<Receipts, Failure> {
    let mut receipts = Receipts::read(session.state());
    if session.project.believes_registry {
        believe(session, tests, results, &mut receipts).map_err(|why| {
            Failure::with_hint(
                format!("the receipts beside the images: {why}"),
                "without `receipts: \"registry\"` in the Imagefile, this machine's alone count",
            )
        })?;
    }
    Ok(receipts)
}

/// The tests of results, with a word on those whose pass leaves no receipt.
pub fn planned(
    session: &Session,
    wanted: &Wanted,
    results: &BTreeMap<String, Built>,
    cancel: &Cancel,
) -> Result<Vec<Planned>, Failure> {
    let pulling = |name: &str| out::note(format_args!("pulling `{name}`"));
    let tests = plan::planned(session, wanted, results, cancel, &pulling).map_err(|error| match error {
        PlanError::Engine(error) => Failure::engine(&error),
        PlanError::Read(error) => Failure::from(error),
        PlanError::NoImage(name) => Failure::with_hint(
            format!("a test needs the image `{name}`, and nobody has it"),
            "it is an image here, or a whole reference",
        ),
    })?;
    for Planned { job, .. } in tests.iter().filter(|planned| planned.key.is_none()) {
        out::note(format_args!(
            "{} {}: a script runs on this machine, so a pass leaves no receipt without `max_age`",
            job.image, job.test
        ));
    }
    Ok(tests)
}

/// Runs the tests of which no receipt tells that they passed, and reports all.
pub fn carry_out(
    global: &Global,
    session: &Session,
    plan: &Plan,
    receipts: &mut Receipts,
    choices: &Choices,
    report: &Report,
    cancel: &Cancel,
) -> Result<(), Failure> {
    let state = session.state();
    let (known, todo) = match choices.always {
        true => (Vec::new(), plan.tests.iter().collect()),
        false => by_receipt(&plan.tests, receipts),
    };
    for (planned, receipt) in known {
        report.add(&planned.job, Verdict::Receipt(receipt));
    }
    if todo.is_empty() {
        return Ok(());
    }
    structure::tell_left_out(&session.project.root, todo.iter().map(|planned| &planned.test))?;
    let refused = |error| Failure::engine(&error);
    let endpoint = engines::runner(session.executor.pool().default_node())?;
    let containers = DockerContainers::new(endpoint, &registries::patience(global)).map_err(refused)?;
    let run = TestRun::begin(state).map_err(cannot("write down that tests run"))?;
    let host = Repository {
        root: session.project.root.clone(),
        variable: |name| std::env::var(name).ok(),
        is_strangers: session.is_of_stranger(),
    };
    let at = Stage { containers: &containers, host: &host, run: &run, bases: &plan.bases };
    perform(&at, &todo, receipts, choices, cancel, &|event| match event {
        Event::Swept(swept) => out::note(format_args!(
            "removed what a test run left that was killed: {swept} containers, images, volumes and networks"
        )),
        Event::Left(error) => {
            out::warning(format_args!("{error}; the next run of tests tries again to remove it"))
        }
        Event::Came(job, verdict) => report.add(job, verdict),
        Event::ReceiptLost(error) => {
            out::warning(format_args!("a receipt could not be kept: {error}; that test runs again next time"))
        }
    })
    .map_err(refused)
}
