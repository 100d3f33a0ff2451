//! Builds and tests what is about to be published: nothing is sent anywhere before every test has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::cli::args::Global;
use crate::cli::commands::containers::test::report::{self, Report, Shown};
use crate::cli::commands::containers::test::{self, Plan};
use crate::cli::commands::make::build::{self, BuildArgs, Going};
use crate::cli::failure::{Exit, Failure};
use crate::cli::{out, synced};
use crate::containers::suite::perform::{Choices, Verdict, by_receipt};
use crate::containers::suite::plan::{self, Planned, Wanted};
use crate::containers::suite::queue::Job;
use crate::query::effect::Built;
use crate::release::tested;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::state::receipts::Receipts;

/// Results that passed their tests.
pub struct Tested {
    /// The tests, by image.
    wanted: Wanted,
    /// The images that each is built on, near and far.
    bases: BTreeMap<String, BTreeSet<String>>,
    /// The results that were tested.
    results: BTreeMap<String, Built>,
    /// How each test came out.
    pub verdicts: Vec<(Job, Verdict)>,
}

/// Builds an order and runs the tests of its images that have no receipt; `None` when there are no
/// tests, and then nothing is built either. `synced` is the session's last word again afterwards.
///
/// # Errors
/// When a build or a test failed: that was told.
pub fn built_and_tested(
    global: &Global,
    session: &mut Session,
    synced: &mut Synced,
    args: &BuildArgs,
    started: Instant,
) -> Result<Option<Tested>, Failure> {
    let wanted = tested::wanted(session, synced);
    if wanted.is_empty() {
        return Ok(None);
    }
    let targets: Vec<String> = synced.targets.iter().cloned().collect();
    // Images that a test uses beside are built for it, and not published.
    let beside = plan::images_of(&session.project, &wanted);
    let all: BTreeSet<String> = beside.iter().chain(&synced.targets).cloned().collect();
    let is_wider = !all.iter().all(|name| synced.order.names.contains(name));
    if is_wider {
        *synced = synced::synced(global, session, &all.into_iter().collect::<Vec<_>>())?;
    }
    let typed = BuildArgs { push: false, load: false, ..args.clone() };
    let summary = build::carry_out(session, synced, &Going::new(global, &typed), started)?;
    let bases = plan::all_bases(&synced.order.bases);
    let mut tested = Tested { wanted, bases, results: summary.results, verdicts: Vec::new() };
    tested.verdicts = run(global, session, &tested, args)?;
    *synced = synced::synced(global, session, &targets)?;
    Ok(Some(tested))
}

/// Tests once more what is not what was tested, after it was sent: another machine's result may have
/// taken its place.
///
/// # Errors
/// When such a test failed: that was told.
pub fn still_tested(
    global: &Global,
    session: &mut Session,
    synced: &mut Synced,
    tested: &mut Tested,
    results: &BTreeMap<String, Built>,
    args: &BuildArgs,
) -> Result<(), Failure> {
    let changed = tested::changed(&tested.wanted, &tested.results, results);
    if changed.is_empty() {
        return Ok(());
    }
    let names = changed.iter().cloned().collect::<Vec<_>>().join(", ");
    out::note(format_args!("another machine published its result of {names} first; that one is tested"));
    let targets: Vec<String> = synced.targets.iter().cloned().collect();
    tested.results.extend(results.iter().map(|(name, built)| (name.clone(), built.clone())));
    tested.verdicts = run(global, session, tested, args)?;
    *synced = synced::synced(global, session, &targets)?;
    Ok(())
}

/// Runs the tests of results that have no receipt.
fn run(
    global: &Global,
    session: &mut Session,
    tested: &Tested,
    args: &BuildArgs,
) -> Result<Vec<(Job, Verdict)>, Failure> {
    let started = Instant::now();
    let cancel = session.executor.cancel.clone();
    let mut tests = test::planned(session, &tested.wanted, &tested.results, &cancel)?;
    let missing = not_here(session, &tests)?;
    if !missing.is_empty() {
        // A result that only its registry has is fetched when a test is run on it, and not for its receipt.
        let words: Vec<String> = missing.into_iter().collect();
        let synced = synced::synced(global, session, &words)?;
        let load = BuildArgs { load: true, push: false, ..args.clone() };
        let going = Going { tells_summary: false, ..Going::new(global, &load) };
        let fetched = build::carry_out(session, &synced, &going, started)?;
        let results: BTreeMap<_, _> = tested.results.clone().into_iter().chain(fetched.results).collect();
        tests = test::planned(session, &tested.wanted, &results, &cancel)?;
    }
    let report = Report::new(match (args.quiet, args.json) {
        (_, true) => Shown::Events,
        (true, false) => Shown::Failures,
        (false, false) => Shown::All,
    });
    let choices = Choices { always: false, keep: false, at_once: build::processors() };
    let plan = Plan { tests, bases: tested.bases.clone() };
    test::carry_out(global, session, &plan, &choices, &report, &cancel)?;
    let verdicts = report.take();
    if !args.quiet && !args.json {
        out::line(report::summary(&verdicts, started.elapsed()));
    }
    if cancel.is_cancelled() {
        return Err(Failure::silent(Exit::Interrupted));
    }
    let bad: Vec<String> = verdicts
        .iter()
        .filter(|(_, verdict)| !verdict.is_good())
        .map(|(Job { image, test }, _)| format!("`{image}` {test}"))
        .collect();
    match bad.is_empty() {
        true => Ok(verdicts),
        false => Err(Failure::with_hint(
            format!("nothing was published: {} did not pass", bad.join(", ")),
            "`imk test --keep` leaves what a failed test made for a look",
        )),
    }
}

/// Images of tests without a receipt that the engine which runs tests does not have.
fn not_here(session: &Session, tests: &[Planned]) -> Result<BTreeSet<String>, Failure> {
    let receipts = Receipts::read(session.state());
    let (_, todo) = by_receipt(tests, &receipts);
    let node = session.executor.pool().default_node().clone();
    let mut missing = BTreeSet::new();
    for planned in todo {
        let own = std::iter::once((&planned.job.image, &planned.id));
        for (name, id) in own.chain(&planned.images) {
            if session.project.images.contains_key(name)
                && !node.has(&crate::engine::ImageId(id.clone())).map_err(|error| Failure::engine(&error))?
            {
                missing.insert(name.clone());
            }
        }
    }
    Ok(missing)
}
