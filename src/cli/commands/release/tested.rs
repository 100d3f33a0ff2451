//! Builds and tests what is about to be published: nothing is sent anywhere before every test has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::build::outputs;
use crate::build::publish::Publication;
use crate::build::run::{Event, Summary};
use crate::cli::args::{Global, Progress};
use crate::cli::commands::containers::test::report::{self, Report, Shown};
use crate::cli::commands::containers::test::{self, Plan};
use crate::cli::commands::make::build::outcome::unwritten;
use crate::cli::commands::make::build::{self, BuildArgs, Going};
use crate::cli::failure::{Exit, Failure};
use crate::cli::progress::json;
use crate::cli::records::RecordArgs;
use crate::cli::words::release::count;
use crate::cli::{ci, out, synced};
use crate::containers::suite::perform::{Choices, Verdict, by_receipt};
use crate::containers::suite::plan::{self, Planned, Wanted};
use crate::containers::suite::queue::Job;
use crate::query::effect::Built;
use crate::release::attest::attach;
use crate::release::tested;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::sync::Synced;
use crate::state::receipts::{Receipt, Receipts};
use crate::syntax::reference;

/// Results that passed their tests.
pub struct Tested {
    /// The tests, by image.
    wanted: Wanted,
    /// The images that each is built on, near and far.
    bases: BTreeMap<String, BTreeSet<String>>,
    /// The results that were tested.
    pub results: BTreeMap<String, Built>,
    /// The receipts of those that have one, by image.
    receipts: BTreeMap<String, Vec<Receipt>>,
    /// How each test came out.
    pub verdicts: Vec<(Job, Verdict)>,
}

impl Tested {
    /// Says whether all passed.
    ///
    /// # Errors
    /// Names those that did not.
    pub fn passed(&self) -> Result<(), Failure> {
        let bad = self.verdicts.iter().filter(|(_, verdict)| !verdict.is_good());
        let bad: Vec<String> = bad.map(|(Job { image, test }, _)| format!("`{image}` {test}")).collect();
        match bad.is_empty() {
            true => Ok(()),
            false => Err(Failure::with_hint(
                format!("nothing was published: {} did not pass", bad.join(", ")),
                "`imk test --keep` leaves what a failed test made for a look",
            )),
        }
    }
}

/// How building and testing is gone about.
pub struct Manner<'a> {
    /// The arguments of every verb, as typed.
    pub global: &'a Global,
    /// Those of a build.
    pub args: &'a BuildArgs,
    /// The beginning of the run.
    pub started: Instant,
    /// It is built though there is nothing to test.
    pub builds_anyway: bool,
    /// The part of the tests that is shown.
    pub shown: Shown,
    /// Is told what the display of the build is told.
    pub heard: Arc<dyn Fn(&Event) + Send + Sync>,
}

impl<'a> Manner<'a> {
    /// As `imk publish` goes about it.
    pub fn new(global: &'a Global, args: &'a BuildArgs, started: Instant) -> Self {
        let shown = match (args.quiet, args.json) {
            (_, true) => Shown::Events,
            (true, false) => Shown::Failures,
            (false, false) => Shown::All,
        };
        Self { global, args, started, builds_anyway: false, shown, heard: Arc::new(|_| {}) }
    }
}

/// Builds an order and runs the tests of its images that have no receipt; `None` when there are no
/// tests, and then nothing is built either. `synced` is the session's last word again afterwards.
///
/// # Errors
/// When a build failed: that was told; when tests could not be run. A test that failed is no error here.
pub fn built_and_tested(
    session: &mut Session,
    synced: &mut Synced,
    manner: &Manner<'_>,
) -> Result<Option<Tested>, Failure> {
    let (global, args) = (manner.global, manner.args);
    let wanted = tested::wanted(session, synced);
    if wanted.is_empty() && !manner.builds_anyway {
        return Ok(None);
    }
    let targets: Vec<String> = synced.targets.iter().cloned().collect();
    // Images that a test uses beside are built for it, and not published.
    let beside = plan::images_of(session, &wanted);
    let all: BTreeSet<String> = beside.iter().chain(&synced.targets).cloned().collect();
    let is_wider = !all.iter().all(|name| synced.order.names.contains(name));
    if is_wider {
        *synced = synced::brought_up(global, session, &all.into_iter().collect::<Vec<_>>())?;
    }
    // The files for scripts are those of the last build of the run, which is told what is published.
    let records = RecordArgs::default();
    let typed = BuildArgs { push: false, load: false, records, ..args.clone() };
    let going =
        Going { report: Arc::clone(&manner.heard), withhold_outputs: true, ..Going::new(global, &typed) };
    let summary = build::carry_out(session, synced, &going, manner.started)?;
    let bases = plan::all_bases(&synced.order.bases);
    let mut tested =
        Tested { wanted, bases, results: summary.results, receipts: BTreeMap::new(), verdicts: Vec::new() };
    run(session, &mut tested, manner)?;
    *synced = synced::brought_up(global, session, &targets)?;
    Ok(Some(tested))
}

/// Tests once more what is not what was tested, after it was sent: another machine's result may have
/// taken its place.
///
/// # Errors
/// When such a test failed.
pub fn still_tested(
    session: &mut Session,
    synced: &mut Synced,
    tested: &mut Tested,
    results: &BTreeMap<String, Built>,
    manner: &Manner<'_>,
) -> Result<(), Failure> {
    let changed = tested::changed(&tested.wanted, &tested.results, results);
    if changed.is_empty() {
        return Ok(());
    }
    let names = changed.iter().cloned().collect::<Vec<_>>().join(", ");
    out::note(format_args!("another machine published its result of {names} first; that one is tested"));
    let targets: Vec<String> = synced.targets.iter().cloned().collect();
    tested.results.extend(results.iter().map(|(name, built)| (name.clone(), built.clone())));
    run(session, tested, manner)?;
    *synced = synced::brought_up(manner.global, session, &targets)?;
    tested.passed()
}

/// Writes the outputs of results that passed their tests, and tells of them.
///
/// # Errors
/// Names those that could not be written.
pub fn outputs_written(
    session: &mut Session,
    synced: &Synced,
    results: &BTreeMap<String, Built>,
    manner: &Manner<'_>,
) -> Result<(), Failure> {
    let done = outputs::finish(session, synced, results);
    if manner.args.progress() == Progress::Json {
        done.iter().map(json::output).for_each(|line| out::event(&line));
    }
    if let Some(failure) = done.iter().filter_map(unwritten).reduce(Failure::and) {
        return Err(failure);
    }
    let is_told = matches!(manner.shown, Shown::All | Shown::Progress);
    if is_told && !done.is_empty() {
        out::line(format_args!("{} written", count(done.len(), "output")));
    }
    Ok(())
}

/// Runs the tests of results that have no receipt.
fn run(session: &mut Session, tested: &mut Tested, manner: &Manner<'_>) -> Result<(), Failure> {
    let (global, args, started) = (manner.global, manner.args, Instant::now());
    let cancel = session.executor.cancel.clone();
    let mut tests = test::planned(session, &tested.wanted, &tested.results, &cancel)?;
    let mut receipts = test::receipts(session, &tests, &tested.results)?;
    let missing = not_here(session, &tests, &receipts)?;
    if !missing.is_empty() {
        // A result that only its registry has is fetched when a test is run on it, and not for its receipt.
        let words: Vec<String> = missing.into_iter().collect();
        let synced = synced::brought_up(global, session, &words)?;
        let load = BuildArgs { load: true, push: false, records: RecordArgs::default(), ..args.clone() };
        let load = BuildArgs { always_make: false, no_cache: false, ..load };
        let going = Going { tells_summary: false, withhold_outputs: true, ..Going::new(global, &load) };
        let fetched = build::carry_out(session, &synced, &going, started)?;
        let results: BTreeMap<_, _> = tested.results.clone().into_iter().chain(fetched.results).collect();
        tests = test::planned(session, &tested.wanted, &results, &cancel)?;
        receipts = test::receipts(session, &tests, &results)?;
    }
    let report = Report::new(manner.shown);
    let at_once = args.jobs.map_or_else(build::processors, usize::from);
    let choices = Choices { always: false, keep: false, at_once };
    let plan = Plan { tests, results: tested.results.clone(), bases: tested.bases.clone() };
    let mut act = || test::carry_out(global, session, &plan, &mut receipts, &choices, &report, &cancel);
    match manner.shown {
        Shown::Progress if !plan.tests.is_empty() => ci::folded("test", act)?,
        _ => act()?,
    }
    let verdicts = report.take();
    for (job, verdict) in &verdicts {
        if let (Shown::Progress, Verdict::Failed { lines, .. }) = (manner.shown, verdict) {
            // A fold is closed, and this is what the job's reader came for.
            report::lines(job, verdict).into_iter().for_each(out::note);
            let why = lines.first().map_or("", String::as_str);
            let about = format!("test {} of image {} failed: {why}", job.test, job.image);
            out::ci(&ci::annotation("", None, &about));
        }
    }
    if manner.shown == Shown::All {
        out::line(report::summary(&verdicts, started.elapsed()));
    }
    tested.receipts.clear();
    for Planned { job: Job { image, test }, key, test: definition, .. } in &plan.tests {
        if let Some(receipt) = key.and_then(|key| receipts.of(&key, definition.max_age)) {
            // Another image of the same content may have earned it.
            let own = Receipt { image: image.clone(), test: test.clone(), ..receipt.clone() };
            tested.receipts.entry(image.clone()).or_default().push(own);
        }
    }
    tested.verdicts = verdicts;
    match cancel.is_cancelled() {
        true => Err(Failure::silent(Exit::Interrupted)),
        false => Ok(()),
    }
}

/// Attaches the receipts of tests to the published images, before any tag is moved to them.
///
/// # Errors
/// When a registry does not take one.
pub fn attested(session: &Session, tested: &Tested, summary: &Summary) -> Result<(), Failure> {
    let registry = session.executor.remote_cache.registry();
    for (name, receipts) in &tested.receipts {
        let Some(Publication::Done { at, .. }) = summary.publications.get(name) else { continue };
        let Ok(at) = reference::parse(at) else { continue };
        attach(registry, &at, receipts).map_err(|why| {
            Failure::with_hint(
                format!("nothing was published: the receipts of `{name}` were not attached: {why}"),
                "what was built and uploaded is kept; no tag was moved",
            )
        })?;
    }
    Ok(())
}

/// Images of tests without a receipt that the engine which runs tests does not have.
fn not_here(session: &Session, tests: &[Planned], receipts: &Receipts) -> Result<BTreeSet<String>, Failure> {
    let (_, todo) = by_receipt(tests, receipts);
    let node = session.executor.pool().default_node().clone();
    let mut missing = BTreeSet::new();
    for planned in todo {
        let own = std::iter::once((&planned.job.image, &planned.id));
        for (name, id) in own.chain(&planned.images) {
            if let Some(name) = platforms::on_engine(session, name)
                && !node.has(&crate::engine::ImageId(id.clone())).map_err(|error| Failure::engine(&error))?
            {
                missing.insert(name.clone());
            }
        }
    }
    Ok(missing)
}
