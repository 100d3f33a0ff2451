//! Builds: demands the images of an order in parallel, tags the results, remembers.
//!
//! rayon runs the ready queue here and is never used inside a query: a task
//! starts when all its bases are done, so no worker waits inside salsa.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::build::ahead;
use crate::build::granted;
use crate::build::indexes;
use crate::build::loads;
pub use crate::build::options::BuildOptions;
use crate::build::outputs;
use crate::build::publish;
use crate::build::reports::Reports;
use crate::build::rounds::Rounds;
use crate::build::schedule::{Schedule, State};
use crate::build::summary::kept;
pub use crate::build::summary::{Ending, Event, Summary};
use crate::build::worker::Work;
use crate::engine::Caches;
use crate::exec::executor::Run;
use crate::plan::caches;
use crate::plan::outputs as plan_outputs;
use crate::plan::requirements;
use crate::plan::tags::tagging;
use crate::query::ImkDb;
use crate::query::action_key::input_hash;
use crate::query::effect::BuildError;
use crate::query::problem::Problem;
use crate::session::added_repositories;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::provisional::provisional;
use crate::session::sync::Synced;
use crate::session::{inputs, removed_images};

/// A job that takes longer asked somebody.
const QUICK: Duration = Duration::from_millis(2);

/// Everything wrong with the images of an order, before any build.
/// With `always`, the targets are to be built whatever they are; `more` are caches that each has beside its own.
pub fn problems(
    session: &Session,
    synced: &Synced,
    always: bool,
    more: &Caches,
) -> BTreeMap<String, Vec<Problem>> {
    let mut problems = BTreeMap::new();
    for name in &synced.order.names {
        if let Some(image) = session.image(name)
            && let Err(wrong) = input_hash(&session.db, image)
        {
            problems.insert(name.clone(), wrong);
        }
    }
    for (name, wrong) in plan_outputs::problems(session, synced) {
        problems.entry(name).or_default().extend(wrong);
    }
    for (name, problem) in requirements::not_allowed(session, synced) {
        problems.entry(name).or_default().push(problem);
    }
    for (name, problem) in caches::problems(session, synced, more) {
        problems.entry(name).or_default().push(problem);
    }
    for (name, problem) in requirements::unplaced(session, synced, always) {
        problems.entry(name).or_default().push(problem);
    }
    problems
}

/// Builds what is stale of an order and tags the results.
pub fn build(
    session: &mut Session,
    synced: &Synced,
    options: &BuildOptions,
    report_event: &Arc<dyn Fn(Event) + Send + Sync>,
) -> Summary {
    let forced = if options.always { synced.targets.clone() } else { BTreeSet::new() };
    for name in &forced {
        inputs::invalidate(session, name);
    }
    let reports = Reports::default();
    let cancel = session.executor.cancel.clone();
    let listener = reports.listener(options, cancel, Arc::clone(report_event));
    let share = session.share();
    session.executor.begin(Run {
        forced,
        share,
        report: Some(Arc::new(listener)),
        ..run_of(session, synced, options)
    });
    let mut summary = demand(session, synced, options, report_event, &reports);
    // The world was not as it was thought to be: once more, with that known.
    let mut rounds = Rounds::default();
    while !summary.interrupted {
        let again = rounds.next(session.executor.take_reruns());
        if again.is_empty() {
            break;
        }
        again.iter().for_each(|name| inputs::invalidate(session, name));
        let later = demand(session, synced, options, report_event, &reports);
        summary.follow(later);
    }
    for (name, ending) in summary.give_up() {
        report_event(Event::Ended(name, ending, Duration::ZERO));
    }
    if options.push && !summary.interrupted {
        indexes::publish(session, synced, options.withhold_tags, &mut summary);
    }
    if !summary.interrupted && !options.withhold_outputs {
        summary.outputs = outputs::write_lacking(session, synced, &summary.results);
    }
    if options.load && !summary.interrupted {
        loads::load(session, synced, &mut summary);
    }
    session.executor.release_pins();
    remember_results(session, &summary);
    if !options.withhold_outputs {
        outputs::remove_proofs(session, synced, &summary.results);
    }
    let keys = summary.results.iter().map(|(name, built)| (name.clone(), built.key)).collect();
    // What could not be dropped takes room, and is tried again by the next run.
    let _ = removed_images::forget_gone(session, &keys);
    summary.kept = kept(synced, &summary);
    summary
}

/// The executor's part of a run, but for what is forced, shared and reported.
fn run_of(session: &Session, synced: &Synced, options: &BuildOptions) -> Run {
    let proofs = plan_outputs::proofs(session, synced);
    let (publish, annotations) = match options.push {
        true => (
            synced.order.names.iter().filter(|name| !proofs.contains(*name)).cloned().collect(),
            publish::annotations(session, synced, options.source_date_epoch_seconds),
        ),
        false => (BTreeSet::new(), BTreeMap::new()),
    };
    Run {
        selections: synced.selections.clone(),
        no_cache: options.no_cache,
        proofs,
        publish,
        provisional: provisional(session, synced),
        annotations,
        secrets: granted::secrets(session),
        ssh: granted::ssh(session),
        nonce: session.nonce().trim_start_matches('-').to_owned(),
        machine: session.machine(),
        engine_labels: requirements::engine_labels(session),
        caches: caches::of_images(session, &options.cache),
        no_cache_stages: requirements::no_cache_stages(session),
        entitlements: requirements::entitlements(session),
        repositories: Some(added_repositories::of(session)),
        ..Run::default()
    }
}

fn demand(
    session: &Session,
    synced: &Synced,
    options: &BuildOptions,
    report_event: &Arc<dyn Fn(Event) + Send + Sync>,
    reports: &Reports,
) -> Summary {
    let took = |name: &String| session.executor.ledger.newest_of(name).map(|record| record.took_ms);
    let mut known: Vec<u64> = synced.order.names.iter().filter_map(took).filter(|ms| *ms > 0).collect();
    known.sort_unstable();
    // An image never built is taken for a usual one: guessed short, a long chain of new ones would start late.
    let usual = known.get(known.len() / 2).copied().unwrap_or(1_000);
    let expected = |name: &str| took(&name.to_owned()).filter(|ms| *ms > 0).unwrap_or(usual);
    let work = Work {
        schedule: Mutex::new(Schedule::new(&synced.order, expected, options.keep_going)),
        summary: Mutex::default(),
        images: session.workspace().images(&session.db),
        executor: &session.executor,
        targets: &synced.targets,
        loaded: platforms::of_engine(session, &synced.targets),
        options,
        tagging: tagging::tagging(session, synced),
        reports,
        report_event,
    };
    if is_remembered(session, synced, options, &work) {
        by_one(&work, &session.db);
    }
    if work.schedule.lock().ready() > 0 {
        by_many(session, synced, options, &work);
    }
    let mut summary = work.summary.into_inner();
    summary.interrupted = session.executor.cancel.is_cancelled();
    let schedule = work.schedule.into_inner();
    for (name, state) in schedule.states() {
        if matches!(state, State::Skipped | State::Wanted | State::Ready) {
            summary.endings.insert(name.clone(), Ending::Skipped);
        }
    }
    summary
}

/// Whether all results are recorded and on their engines, and nothing else is to be done with them.
fn is_remembered(session: &Session, synced: &Synced, options: &BuildOptions, work: &Work<'_>) -> bool {
    !options.always
        && !options.push
        && !options.load
        && synced.missing.is_empty()
        && ahead::without_result(work, &session.db, &synced.order).is_empty()
}

/// Remembered results need no second thread. The first job that takes its time, to give names perhaps, is the last.
fn by_one(work: &Work<'_>, db: &ImkDb) {
    let mut began = Instant::now();
    while work.step(db).is_some() && began.elapsed() < QUICK {
        began = Instant::now();
    }
}

/// Runs the jobs that are left, as many at once as is allowed.
fn by_many(session: &Session, synced: &Synced, options: &BuildOptions, work: &Work<'_>) {
    let jobs = options.jobs.max(1);
    match rayon::ThreadPoolBuilder::new().num_threads(jobs).build() {
        Ok(pool) => {
            let db = Mutex::new(session.db.clone());
            let ready = work.schedule.lock().ready();
            let (ending, ended) = std::sync::mpsc::channel();
            let own = session.db.clone();
            std::thread::scope(|threads| {
                threads.spawn(move || ahead::tell(work, &own, &synced.order, &ended));
                pool.scope(|scope| (0..ready).for_each(|_| work.spawn(scope, db.lock().clone())));
                drop(ending);
            });
        }
        Err(_) => while work.step(&session.db).is_some() {},
    }
}

/// Remembers results for the next run's question to the engine, and makes failures be tried again.
fn remember_results(session: &mut Session, summary: &Summary) {
    let default_engine = session.executor.pool().default_node().name.clone();
    for (name, built) in &summary.results {
        // What only a registry has is not looked for on the engine.
        if session.executor.has(&built.id) == Ok(false) {
            session.changed |= session.memory.results.remove(name).is_some();
            continue;
        }
        if session.memory.results.get(name) != Some(&built.id) {
            session.memory.results.insert(name.clone(), built.id.clone());
            session.changed = true;
        }
        let engine = session.executor.engine_of(&built.id).filter(|engine| *engine != default_engine);
        if session.memory.engines.get(name) != engine.as_ref() {
            session.changed = true;
            match engine {
                Some(engine) => drop(session.memory.engines.insert(name.clone(), engine)),
                None => drop(session.memory.engines.remove(name)),
            }
        }
    }
    let known = session.project.images.keys().cloned().collect::<BTreeSet<_>>();
    session.memory.results.retain(|name, _| known.contains(name));
    session.memory.engines.retain(|name, _| known.contains(name));
    for (name, ending) in &summary.endings {
        if let Ending::Failed(error) = ending {
            session.memory.results.remove(name);
            // These two become stale by themselves, when what they report changes.
            if !matches!(error, BuildError::Base(_) | BuildError::Invalid(_)) {
                inputs::invalidate(session, name);
            }
        }
    }
}
