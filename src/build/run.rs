//! Builds: demands the images of an order in parallel, tags the results, remembers.
//!
//! rayon runs the ready queue here and is never used inside a query: a task
//! starts when all its bases are done, so no worker waits inside salsa.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::build::jobserver::{Jobserver, Turn};
use crate::build::local_names;
use crate::build::publish::{self, Publication, publish};
use crate::build::rounds::Rounds;
use crate::build::schedule::{Schedule, State};
use crate::build::summary::kept;
pub use crate::build::summary::{Ending, Event, Summary};
use crate::engine::{Caches, SecretValue};
use crate::exec::executor::{Discrepancy, Executor, JobEvent, Run};
use crate::exec::push::PublishError;
use crate::exec::remote_cache::Published;
use crate::model::reason::Reason;
use crate::plan::requirements;
use crate::plan::tags::tagging::{self, Tagging};
use crate::query::ImkDb;
use crate::query::action_key::input_hash;
use crate::query::effect::{BuildError, Built};
use crate::query::image::image;
use crate::query::inputs::Image;
use crate::query::problem::Problem;
use crate::session::open::Session;
use crate::session::provisional::provisional;
use crate::session::sync::Synced;
use crate::session::{inputs, removed_images};
use crate::source::outside;
use crate::syntax::imagefile::SecretSource;

/// The options of a build.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// How many images at once.
    pub jobs: usize,
    /// Go on with what does not depend on a failure.
    pub keep_going: bool,
    /// Build the targets though they are fresh.
    pub always: bool,
    /// And have the engine forget its own cache.
    pub no_cache: bool,
    /// Publish the results: everything by its key, the targets under their tags.
    pub push: bool,
    /// The targets' tags stay where they are in registries.
    pub withhold_tags: bool,
    /// Fetch the targets that only a registry or another engine has.
    pub load: bool,
    /// Layer caches of every image, beside those it declares.
    pub cache: Caches,
    /// The time that published images bear, seconds since 1970.
    pub source_date_epoch_seconds: i64,
    /// The jobserver that counts what runs at once: each build waits for its turn there.
    pub jobserver: Option<Arc<Jobserver>>,
}

/// Everything wrong with the images of an order, before any build.
/// With `always`, the targets are to be built whatever they are.
pub fn problems(session: &Session, synced: &Synced, always: bool) -> BTreeMap<String, Vec<Problem>> {
    let mut problems = BTreeMap::new();
    for name in &synced.order.names {
        if let Some(image) = session.image(name)
            && let Err(wrong) = input_hash(&session.db, image)
        {
            problems.insert(name.clone(), wrong);
        }
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
    let reports: Arc<Mutex<BTreeMap<String, JobReport>>> = Arc::default();
    let share = session.share();
    let report = {
        let (reports, report_event) = (Arc::clone(&reports), Arc::clone(report_event));
        let (jobserver, cancel) = (options.jobserver.clone(), session.executor.cancel.clone());
        move |name: &str, event: JobEvent| {
            match &event {
                JobEvent::Build(_)
                | JobEvent::On(_)
                | JobEvent::EngineUnreachable { .. }
                | JobEvent::Publishing
                | JobEvent::Yielded => {}
                JobEvent::AlreadyPublished => reports.lock().entry(name.to_owned()).or_default().found = true,
                JobEvent::Started(reasons) => {
                    // The build begins when this returns. One that was cancelled meanwhile ends at once.
                    let turn = jobserver.as_ref().and_then(|jobserver| jobserver.turn(&cancel));
                    let mut reports = reports.lock();
                    let reports = reports.entry(name.to_owned()).or_default();
                    reports.built = Some(reasons.clone());
                    (reports.turn, reports.began) = (turn, Some(Instant::now()));
                }
                JobEvent::SameResult => reports.lock().entry(name.to_owned()).or_default().same = true,
                JobEvent::Reused(_) => reports.lock().entry(name.to_owned()).or_default().reused = true,
            }
            report_event(Event::Job(name.to_owned(), event));
        }
    };
    session.executor.begin(Run {
        selections: synced.selections.clone(),
        forced,
        no_cache: options.no_cache,
        publish: match options.push {
            true => synced.order.names.iter().cloned().collect(),
            false => BTreeSet::new(),
        },
        provisional: provisional(session, synced),
        annotations: match options.push {
            true => publish::annotations(session, synced, options.source_date_epoch_seconds),
            false => BTreeMap::new(),
        },
        secrets: secrets(session),
        nonce: session.nonce().trim_start_matches('-').to_owned(),
        share,
        machine: session.machine(),
        engine_labels: requirements::engine_labels(session),
        caches: requirements::caches(session, &options.cache),
        report: Some(Arc::new(report)),
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
    session.executor.release_pins();
    remember_results(session, &summary);
    let keys = summary.results.iter().map(|(name, built)| (name.clone(), built.key)).collect();
    // What could not be dropped takes room, and is tried again by the next run.
    let _ = removed_images::forget_gone(session, &keys);
    summary.kept = kept(synced, &summary);
    summary
}

fn demand(
    session: &Session,
    synced: &Synced,
    options: &BuildOptions,
    report_event: &Arc<dyn Fn(Event) + Send + Sync>,
    reports: &Mutex<BTreeMap<String, JobReport>>,
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
        options,
        tagging: tagging::tagging(session, synced),
        reports,
        report_event,
    };
    // What is remembered or in the ledger needs no second thread; a pool is made when the first image does.
    let jobs = options.jobs.max(1);
    match rayon::ThreadPoolBuilder::new().num_threads(jobs).build() {
        Ok(pool) => {
            let db = Mutex::new(session.db.clone());
            let ready = work.schedule.lock().ready();
            pool.scope(|scope| (0..ready).for_each(|_| work.spawn(scope, db.lock().clone())));
        }
        Err(_) => while work.step(&session.db).is_some() {},
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

fn secrets(session: &Session) -> BTreeMap<String, BTreeMap<String, Result<SecretValue, String>>> {
    let root = &session.project.root;
    let value = |id: &String, source: &SecretSource| match source {
        SecretSource::Env(variable) => session
            .environment
            .get(OsStr::new(variable))
            .map(|value| SecretValue(value.as_bytes().to_vec()))
            .ok_or_else(|| format!("secret `{id}`: the variable {variable} is not set")),
        SecretSource::File(path) => outside::read(&root.join(path))
            .map(SecretValue)
            .map_err(|error| format!("secret `{id}`: {error}")),
    };
    let of_image = |secrets: &BTreeMap<String, SecretSource>| {
        secrets.iter().map(|(id, source)| (id.clone(), value(id, source))).collect()
    };
    let images = session.project.images.iter().filter(|(_, image)| !image.secrets.is_empty());
    images.map(|(name, image)| (name.clone(), of_image(&image.secrets))).collect()
}

/// The reports of a job while its query ran; nothing of one that was remembered.
#[derive(Default)]
struct JobReport {
    built: Option<Vec<Reason>>,
    same: bool,
    reused: bool,
    found: bool,
    /// When its build began, and the turn it began with.
    began: Option<Instant>,
    turn: Option<Turn>,
}

/// The state that the workers of one run share.
struct Work<'a> {
    schedule: Mutex<Schedule>,
    summary: Mutex<Summary>,
    images: &'a BTreeMap<String, Image>,
    executor: &'a Executor,
    targets: &'a BTreeSet<String>,
    options: &'a BuildOptions,
    tagging: Tagging,
    reports: &'a Mutex<BTreeMap<String, JobReport>>,
    report_event: &'a Arc<dyn Fn(Event) + Send + Sync>,
}

impl Work<'_> {
    /// One task: it takes the most urgent job, and afterwards starts a task for each job that became ready.
    fn spawn<'scope>(&'scope self, scope: &rayon::Scope<'scope>, db: ImkDb) {
        scope.spawn(move |scope| {
            let newly_ready = self.step(&db).unwrap_or_default();
            for _ in 0..newly_ready {
                self.spawn(scope, db.clone());
            }
        });
    }

    /// Publishes a result, if that is asked for. Takes its time, so no lock is held meanwhile.
    fn publish(
        &self,
        db: &ImkDb,
        image: Image,
        name: &str,
        built: &Built,
    ) -> Option<Result<Publication, PublishError>> {
        if !self.options.push || self.executor.cancel.is_cancelled() {
            return None;
        }
        let is_tagged = self.targets.contains(name) && !self.options.withhold_tags;
        let tags = |there: &Published| match is_tagged {
            true => self.tagging.to_publish(self.executor, name, built, there),
            false => Ok(Vec::new()),
        };
        let publication = publish(db, self.executor, image, built, &tags);
        if publication == Ok(Publication::Overtaken) {
            self.executor.request_rerun(name, Discrepancy::Superseded);
        }
        Some(publication)
    }

    /// Fetches a target that the default engine does not have.
    fn load(&self, name: &str, built: &Built) -> Result<Option<Built>, PublishError> {
        if !self.options.load
            || !self.targets.contains(name)
            || self.executor.pool().default_node().has(&built.id)?
        {
            return Ok(None);
        }
        let fetched = self.executor.pull_to_default(name, built)?;
        if fetched.is_none() {
            self.executor.request_rerun(name, Discrepancy::ResultMissing);
        }
        Ok(fetched.map(|id| Built { id, ..built.clone() }))
    }

    /// Runs the most urgent job; tells how many became ready by it, `None` when there was none to run.
    fn step(&self, db: &ImkDb) -> Option<usize> {
        let name = {
            let mut schedule = self.schedule.lock();
            if self.executor.cancel.is_cancelled() {
                schedule.stop();
            }
            schedule.start_next()?
        };
        let started = Instant::now();
        let demanded = *self.images.get(&name)?;
        let outcome = salsa::Cancelled::catch(AssertUnwindSafe(|| image(db, demanded)));
        let publication = match &outcome {
            Ok(Ok(built)) => self.publish(db, demanded, &name, built),
            _ => None,
        };
        let loaded = match &outcome {
            Ok(Ok(built)) => self.load(&name, built),
            _ => Ok(None),
        };
        if let (None, Ok(Ok(built))) = (&publication, &outcome) {
            self.tagging.learn_times(self.executor, &name, &built.id, &built.key);
        }
        // Given back when all has been reported, and however this ends.
        let (_turn, began) = match self.reports.lock().get_mut(&name) {
            Some(reports) => (reports.turn.take(), reports.began),
            None => (None, None),
        };
        let took = began.unwrap_or(started).elapsed();
        let mut schedule = self.schedule.lock();
        let mut summary = self.summary.lock();
        match publication {
            Some(Ok(publication)) => drop(summary.publications.insert(name.clone(), publication)),
            Some(Err(error)) => drop(summary.unpublished.insert(name.clone(), error)),
            None => {}
        }
        let Ok(result) = outcome else {
            schedule.stop();
            summary.endings.insert(name, Ending::Skipped);
            return Some(0);
        };
        let mut id = None;
        let (ending, newly_ready) = match result {
            Ok(built) => {
                id = Some(built.id.clone());
                let here = loaded.unwrap_or_else(|error| {
                    summary.unfetched.insert(name.clone(), error);
                    None
                });
                // At once, and before its pin goes: a result must never be without a name.
                let is_new = self.reports.lock().get(&name).is_some_and(|reports| reports.built.is_some());
                let result = here.as_ref().unwrap_or(&built);
                local_names::give(self.executor, &self.tagging, &name, result, is_new, &mut summary);
                if !self.executor.ledger.knows(&built.key) {
                    self.executor.request_rerun(&name, Discrepancy::Unrecorded);
                }
                summary.results.insert(name.clone(), built);
                let reports = self.reports.lock().remove(&name).unwrap_or_default();
                let ending = match reports.built {
                    Some(reasons) => Ending::Built { reasons, same: reports.same },
                    None if reports.found => Ending::AlreadyPublished,
                    None if reports.reused => Ending::Reused,
                    None => Ending::Fresh,
                };
                (ending, schedule.done(&name))
            }
            // No failure yet: only what is built on it has to wait for another round.
            Err(error @ BuildError::BaseMissing(_)) => {
                schedule.put_off(&name);
                (Ending::Failed(error), 0)
            }
            Err(error) => {
                schedule.failed(&name);
                (Ending::Failed(error), 0)
            }
        };
        summary.endings.insert(name.clone(), ending.clone());
        drop((schedule, summary));
        if let Some(id) = id {
            (self.report_event)(Event::Result(name.clone(), id));
        }
        // Another round tells how that one ends.
        if !matches!(ending, Ending::Failed(BuildError::BaseMissing(_))) {
            (self.report_event)(Event::Ended(name, ending, took));
        }
        Some(newly_ready)
    }
}
