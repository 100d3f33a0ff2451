//! `imk ci`: all that a pipeline does of a commit, the same on a laptop: check, build, test, publish as rules allow.

mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use parking_lot::Mutex;

use crate::build::run::{Ending, Event};
use crate::cli::args::{self, Global, Targets};
use crate::cli::commands::containers::test::report::Shown;
use crate::cli::commands::make::build::{self, BuildArgs};
use crate::cli::commands::make::plan;
use crate::cli::commands::release::occasion::{HookArgs, Hooks};
use crate::cli::commands::release::publish::{self, Consent, PatienceArgs};
use crate::cli::commands::release::tested::{Manner, Tested, built_and_tested, outputs_written};
use crate::cli::failure::{Exit, Failure};
use crate::cli::words::{cause, release as words};
use crate::cli::{ci, open, out, synced};
use crate::explain::why;
use crate::plan::verdicts;
use crate::release::gates::{self, Unasked};
use crate::release::publish::{Released, commit, no_gate, publishable};
use crate::session::open::Session;
use crate::session::sync::Synced;
use report::{Published, Report};

const EXAMPLES: &str = "\
imk ci                           check, build and test everything, and publish what `publish` admits from here
imk ci --junit report.xml        and leave a report for the job's page
imk ci --no-publish api          as a pull request is built, on a laptop";

/// Check, build, test, and publish as rules allow: the one line of a pipeline
///
/// Images that declare `publish` are published when their rules admit this build: the branch or git tag of the
/// commit. A pull request's build publishes nothing, on any CI that says that it is one (IMK_PULL_REQUEST for others).
/// Nothing is sent before every test has passed. Exit status 2 when anything failed.
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct CiArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Publish nothing, whatever the rules say
    #[arg(long, env = "IMK_NO_PUBLISH", value_parser = FalseyValueParser::new())]
    pub no_publish: bool,
    /// Publish images though their files are not as the commit has them
    #[arg(long)]
    pub allow_dirty: bool,
    /// Write a report of the tests in JUnit's form, also when something fails
    #[arg(long, value_name = "FILE", env = "IMK_JUNIT")]
    pub junit: Option<PathBuf>,
    /// Write a report of everything as JSON, also when something fails
    #[arg(long, value_name = "FILE", env = "IMK_REPORT")]
    pub report: Option<PathBuf>,
    /// Build so many images at once [default: the number of processors]
    #[arg(short, long, value_name = "N", env = "IMK_JOBS", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// Go on building what does not depend on a failure
    #[arg(short, long, env = "IMK_KEEP_GOING", value_parser = FalseyValueParser::new())]
    pub keep_going: bool,
    /// How to show the progress of builds
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW", env = "BUILDKIT_PROGRESS")]
    pub progress: args::Progress,
    /// How long to wait for others.
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// Commands and notices: wanted or not.
    #[command(flatten)]
    pub hooks: HookArgs,
}

/// Runs the pipeline.
///
/// # Errors
/// The failure that is told before the program ends, and its exit status.
pub fn run(global: &Global, args: &CiArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut report = Report::default();
    let outcome = carried_out(global, args, started, &heard, &mut report);
    report.images = std::mem::take(&mut *heard.lock());
    report.failure = outcome.as_ref().err().cloned();
    let written = report.write(global, args.junit.as_deref(), args.report.as_deref(), started.elapsed());
    out::line(report.line(started.elapsed()));
    outcome.and(written)
}

type Heard = Arc<Mutex<Vec<(String, Ending, std::time::Duration)>>>;

fn carried_out(
    global: &Global,
    args: &CiArgs,
    started: Instant,
    heard: &Heard,
    report: &mut Report,
) -> Result<(), Failure> {
    let cancel = build::cancel_on_signals(|| {})?;
    let mut session = open::session(global, true, &cancel)?;
    let mut synced = synced::synced(global, &mut session, &args.targets.words)?;
    report.commit = commit(&session);
    ci::folded("check", || check(&session, &synced, &mut report.reasons))?;
    let (gates, why) = allowed(&session, &synced, args, report)?;
    let typed = BuildArgs {
        jobs: args.jobs,
        keep_going: args.keep_going,
        progress: args.progress,
        ..BuildArgs::default()
    };
    let listener = Arc::clone(heard);
    let manner = Manner {
        builds_anyway: true,
        shown: Shown::Progress,
        heard: Arc::new(move |event: &Event| {
            if let Event::Ended(name, ending, took) = event {
                listener.lock().push((name.clone(), ending.clone(), *took));
            }
        }),
        ..Manner::new(global, &typed, started)
    };
    let Some(unasked) = gates.filter(|unasked| !unasked.gates.open.is_empty()) else {
        built_and_passed(&mut session, &mut synced, &manner, report)?;
        out::note(format_args!("nothing is published: {why}"));
        report.published = Published::No(why);
        return Ok(());
    };
    let hooks = Hooks::of(&session, args.hooks)?;
    let consent = Consent { force: false, untested: false, patience: args.patience, hooks: &hooks };
    let released = built_and_passed(&mut session, &mut synced, &manner, report)
        .and_then(|tested| {
            report.published = Published::No("it failed".into());
            published(&mut session, &unasked, tested, args, &manner, consent)
        })
        .inspect_err(|failure| hooks.failed(&session, "publish", failure))?;
    let after = publish::after(&session, &released, consent);
    report.published = Published::Yes(released);
    after
}

/// Builds everything and runs the tests: all are to pass.
fn built_and_passed(
    session: &mut Session,
    synced: &mut Synced,
    manner: &Manner<'_>,
    report: &mut Report,
) -> Result<Option<Tested>, Failure> {
    let tested = built_and_tested(session, synced, manner)?;
    if let Some(tested) = &tested {
        report.tests.clone_from(&tested.verdicts);
        tested.passed()?;
        outputs_written(session, synced, &tested.results, manner)?;
    }
    match session.executor.cancel.is_cancelled() {
        true => Err(Failure::silent(Exit::Interrupted)),
        false => Ok(tested),
    }
}

/// Publishes the images whose gates are open.
fn published(
    session: &mut Session,
    unasked: &Unasked,
    mut tested: Option<Tested>,
    args: &CiArgs,
    manner: &Manner<'_>,
    consent: Consent<'_>,
) -> Result<Released, Failure> {
    ci::folded("publish", || {
        let cancel = session.executor.cancel.clone();
        publish::complete(session, &cancel)?;
        let names: Vec<String> = unasked.gates.open.iter().cloned().collect();
        let mut synced = synced::synced(manner.global, session, &names)?;
        publishable(session, &synced, &unasked.gates, args.allow_dirty)
            .map_err(|error| words::failure(&error))?;
        let released = publish::sent_and_released(session, &mut synced, tested.as_mut(), manner, consent)?;
        released.moves.iter().for_each(|step| out::note(format_args!("  {}", words::step(step))));
        Ok(released)
    })
}

/// Says what is out of date, and what is wrong; keeps the words of each image.
fn check(session: &Session, synced: &Synced, reasons: &mut BTreeMap<String, String>) -> Result<(), Failure> {
    let planned = verdicts::plan(session, synced, false);
    for (name, verdict) in &planned.jobs {
        if let Some(text) = plan::sentence(verdict, false) {
            out::note(format_args!("{name}: {text}"));
            // Whoever reads of it elsewhere has no plan beside it: the way to the root belongs to it.
            let way = why::why_stale(session, &planned, name);
            reasons.insert(name.clone(), way.as_ref().map_or(text, cause::chain));
        }
    }
    if planned.is_fresh() {
        out::note("everything is up to date");
    }
    plan::mistakes(session, &planned)
}

/// The images that may be published, or why none may be.
fn allowed(
    session: &Session,
    synced: &Synced,
    args: &CiArgs,
    report: &mut Report,
) -> Result<(Option<Unasked>, String), Failure> {
    if args.no_publish {
        return Ok((None, "--no-publish".into()));
    }
    let unasked = gates::unasked(session, &synced.targets)
        .map_err(|why| words::failure(&no_gate(&synced.targets, why)))?;
    report.pull_request = unasked.pull_request;
    if let Some(variable) = unasked.pull_request {
        return Ok((None, format!("this is a pull request's build, as {variable} says")));
    }
    for (name, rules) in &unasked.gates.closed {
        out::note(format_args!("{name}: not published from here: {}", words::closed(rules)));
    }
    let why = match unasked.gates.closed.is_empty() {
        true => "no image declares `publish`",
        false => "no rule of `publish` admits this build",
    };
    Ok((Some(unasked), why.into()))
}
