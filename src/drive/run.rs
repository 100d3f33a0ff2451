//! Builds: demands the images of an order in parallel, tags the results, remembers.
//!
//! rayon runs the ready queue here and is never used inside a query: a task
//! starts when all its bases are done, so no worker waits inside salsa.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::publish::{Shelved, publish};
use super::schedule::{Schedule, State};
use super::session::Session;
use super::sync::Synced;
use super::tags::{Skipped, Tagging};
use crate::engine::{EngineError, SecretValue};
use crate::query::ImkDb;
use crate::query::hands::{Hands, JobEvent, Run};
use crate::query::image::{BuildError, Built, image};
use crate::query::inputs::Image;
use crate::query::publish::PublishError;
use crate::query::recipe::Problem;
use crate::query::spec::spec;
use crate::reason::Reason;
use crate::source::outside;
use crate::syntax::imagefile::SecretSource;

/// How often a run begins again because a registry was not as it was thought to be.
const ROUNDS: usize = 2;

/// What a caller may choose of a build.
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
    /// Fetch the targets that only a registry has.
    pub load: bool,
    /// The time that published images bear, seconds since 1970.
    pub epoch: i64,
}

/// What is told while a build runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something happened to a job.
    Job(String, JobEvent),
    /// A job ended.
    Ended(String, Ending, Duration),
}

/// How one image came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its result was there already.
    Fresh,
    /// The engine built it.
    Built {
        /// Why.
        reasons: Vec<Reason>,
        /// With the same content as before: its users are left alone.
        same: bool,
    },
    /// An older result of the same inputs serves again.
    Reused,
    /// A registry has its result: another machine built it.
    Found,
    /// It has no result.
    Failed(BuildError),
    /// It was not tried.
    Skipped,
}

/// What a build came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Every image of the order, by name.
    pub endings: BTreeMap<String, Ending>,
    /// The results, by name.
    pub results: BTreeMap<String, Built>,
    /// Images that were not built and got a tag they did not bear.
    pub retagged: BTreeSet<String>,
    /// What each result is named when it has all its tags.
    pub names: BTreeMap<String, Vec<String>>,
    /// Tags that results were not given, and why not.
    pub skipped_tags: Vec<(String, Skipped)>,
    /// Tags that the engine refused.
    pub untagged: Vec<(String, EngineError)>,
    /// What became of each result at its registry.
    pub shelved: BTreeMap<String, Shelved>,
    /// Results that could not be published.
    pub unpublished: BTreeMap<String, PublishError>,
    /// Targets that could not be fetched.
    pub unfetched: BTreeMap<String, EngineError>,
    /// Somebody asked to stop.
    pub interrupted: bool,
    /// Images left alone though a base of theirs was built, because it came out the same.
    pub kept: BTreeSet<String>,
}

impl Session {
    /// Everything wrong with the images of an order, before any build.
    pub fn problems(&self, synced: &Synced) -> BTreeMap<String, Vec<Problem>> {
        let mut problems = BTreeMap::new();
        for name in &synced.order.names {
            if let Some(image) = self.image(name)
                && let Err(wrong) = spec(&self.db, image)
            {
                problems.insert(name.clone(), wrong);
            }
        }
        problems
    }

    /// Builds what is stale of an order and tags the results.
    pub fn build(
        &mut self,
        synced: &Synced,
        options: &BuildOptions,
        tell: &Arc<dyn Fn(Event) + Send + Sync>,
    ) -> Summary {
        let forced = if options.always { synced.targets.clone() } else { BTreeSet::new() };
        for name in &forced {
            self.ask_again(name);
        }
        let told: Arc<Mutex<BTreeMap<String, Told>>> = Arc::default();
        let share = self.share();
        let report = {
            let (told, tell) = (Arc::clone(&told), Arc::clone(tell));
            move |name: &str, event: JobEvent| {
                match &event {
                    JobEvent::Build(_) | JobEvent::Publishing | JobEvent::Yielded => {}
                    JobEvent::Found => lock(&told).entry(name.to_owned()).or_default().found = true,
                    JobEvent::Started(reasons) => {
                        lock(&told).entry(name.to_owned()).or_default().built = Some(reasons.clone());
                    }
                    JobEvent::SameResult => lock(&told).entry(name.to_owned()).or_default().same = true,
                    JobEvent::Reused(_) => lock(&told).entry(name.to_owned()).or_default().reused = true,
                }
                tell(Event::Job(name.to_owned(), event));
            }
        };
        self.hands.begin(Run {
            selections: synced.selections.clone(),
            forced,
            no_cache: options.no_cache,
            publish: match options.push {
                true => synced.order.names.iter().cloned().collect(),
                false => BTreeSet::new(),
            },
            annotations: match options.push {
                true => self.annotations(synced, options.epoch),
                false => BTreeMap::new(),
            },
            secrets: self.secrets(),
            nonce: share[..12].to_owned(),
            share,
            report: Some(Arc::new(report)),
        });
        let mut summary = self.demand(synced, options, tell, &told);
        // What a registry had is gone from there, or another machine was faster: once more, with that known.
        for _ in 0..ROUNDS {
            let again = self.hands.take_again();
            if again.is_empty() || summary.interrupted {
                break;
            }
            again.iter().for_each(|name| self.ask_again(name));
            let later = self.demand(synced, options, tell, &told);
            summary.follow(later);
        }
        self.hands.release_pins();
        self.remember_results(&summary);
        let keys = summary.results.iter().map(|(name, built)| (name.clone(), built.key)).collect();
        // What could not be dropped takes room, and is tried again by the next run.
        let _ = self.forget_gone(&keys);
        summary.kept = kept(synced, &summary);
        summary
    }

    fn demand(
        &self,
        synced: &Synced,
        options: &BuildOptions,
        tell: &Arc<dyn Fn(Event) + Send + Sync>,
        told: &Mutex<BTreeMap<String, Told>>,
    ) -> Summary {
        let engine = self.workspace().engine(&self.db).to_owned();
        let ledger = &self.hands.ledger;
        let took = |name: &String| ledger.latest(name, &engine).map(|record| record.took_ms);
        let mut known: Vec<u64> = synced.order.names.iter().filter_map(took).filter(|ms| *ms > 0).collect();
        known.sort_unstable();
        // An image never built is taken for a usual one: guessed short, a long chain of new ones would start late.
        let usual = known.get(known.len() / 2).copied().unwrap_or(1_000);
        let expected = |name: &str| took(&name.to_owned()).filter(|ms| *ms > 0).unwrap_or(usual);
        let work = Work {
            schedule: Mutex::new(Schedule::new(&synced.order, expected, options.keep_going)),
            summary: Mutex::default(),
            images: self.workspace().images(&self.db),
            hands: &self.hands,
            targets: &synced.targets,
            options,
            tagging: self.tagging(synced),
            told,
            tell,
        };
        // What is remembered or in the ledger needs no second thread; a pool is made when the first image does.
        let jobs = options.jobs.max(1);
        match rayon::ThreadPoolBuilder::new().num_threads(jobs).build() {
            Ok(pool) => {
                let db = Mutex::new(self.db.clone());
                let ready = lock(&work.schedule).ready();
                pool.scope(|scope| (0..ready).for_each(|_| work.spawn(scope, lock(&db).clone())));
            }
            Err(_) => while work.step(&self.db).is_some() {},
        }
        let mut summary = work.summary.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.interrupted = self.hands.cancel.is_cancelled();
        let schedule = work.schedule.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (name, state) in schedule.states() {
            if matches!(state, State::Skipped | State::Wanted | State::Ready) {
                summary.endings.insert(name.clone(), Ending::Skipped);
            }
        }
        summary
    }

    /// Remembers results for the next run's question to the engine, and makes failures be tried again.
    fn remember_results(&mut self, summary: &Summary) {
        for (name, built) in &summary.results {
            // What only a registry has is not looked for on the engine.
            if self.hands.has(&built.id) == Ok(false) {
                self.changed |= self.memory.results.remove(name).is_some();
            } else if self.memory.results.get(name) != Some(&built.id) {
                self.memory.results.insert(name.clone(), built.id.clone());
                self.changed = true;
            }
        }
        let known = self.project.images.keys().cloned().collect::<BTreeSet<_>>();
        self.memory.results.retain(|name, _| known.contains(name));
        for (name, ending) in &summary.endings {
            if let Ending::Failed(error) = ending {
                self.memory.results.remove(name);
                // These two become stale by themselves, when what they report changes.
                if !matches!(error, BuildError::Base(_) | BuildError::Invalid(_)) {
                    self.ask_again(name);
                }
            }
        }
    }

    fn secrets(&self) -> BTreeMap<String, BTreeMap<String, Result<SecretValue, String>>> {
        let root = &self.project.root;
        let value = |id: &String, source: &SecretSource| match source {
            SecretSource::Env(variable) => self
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
        let images = self.project.images.iter().filter(|(_, image)| !image.secrets.is_empty());
        images.map(|(name, image)| (name.clone(), of_image(&image.secrets))).collect()
    }
}

/// What was told of a job while its query ran; nothing of one that was remembered.
#[derive(Default)]
struct Told {
    built: Option<Vec<Reason>>,
    same: bool,
    reused: bool,
    found: bool,
}

/// What the workers of one run share.
struct Work<'a> {
    schedule: Mutex<Schedule>,
    summary: Mutex<Summary>,
    images: &'a BTreeMap<String, Image>,
    hands: &'a Hands,
    targets: &'a BTreeSet<String>,
    options: &'a BuildOptions,
    tagging: Tagging,
    told: &'a Mutex<BTreeMap<String, Told>>,
    tell: &'a Arc<dyn Fn(Event) + Send + Sync>,
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

    /// Gives a result the tags its image declares. A fresh image is only tagged.
    fn tag(&self, name: &str, built: &Built, summary: &mut Summary) {
        // What only a registry has is given its tags there, when it is pushed, or here, when it is fetched.
        if self.hands.has(&built.id) == Ok(false) {
            return;
        }
        let names = self.tagging.references(name, &built.id, &built.key);
        // An engine that does not say is asked for each tag, and says then what is wrong.
        let lacks = self.tagging.lacks(self.hands, name, &built.id, &built.key);
        let lacks = lacks.unwrap_or_else(|_| names.clone());
        summary.names.insert(name.to_owned(), names);
        let skipped = self.tagging.of(name, Some(&built.key)).skipped.into_iter();
        summary.skipped_tags.extend(skipped.map(|skipped| (name.to_owned(), skipped)));
        let is_new = lock(self.told).get(name).is_some_and(|told| told.built.is_some());
        for tag in lacks {
            match self.hands.tag(&built.id, &tag) {
                Ok(()) if is_new => {}
                Ok(()) => {
                    summary.retagged.insert(name.to_owned());
                }
                Err(error) => summary.untagged.push((tag, error)),
            }
        }
    }

    /// Publishes a result, if that is asked for. Takes its time, so no lock is held meanwhile.
    fn shelve(
        &self,
        db: &ImkDb,
        image: Image,
        name: &str,
        built: &Built,
    ) -> Option<Result<Shelved, PublishError>> {
        if !self.options.push || self.hands.cancel.is_cancelled() {
            return None;
        }
        let tags = match self.targets.contains(name) {
            true => self.tagging.references(name, &built.id, &built.key),
            false => Vec::new(),
        };
        let shelved = publish(db, self.hands, image, built, &tags);
        if shelved == Ok(Shelved::Elsewhere) {
            self.hands.ask_again(name);
        }
        Some(shelved)
    }

    /// Fetches a target that only a registry has.
    fn load(&self, name: &str, built: &Built) -> Result<(), EngineError> {
        if !self.options.load || !self.targets.contains(name) || self.hands.has(&built.id)? {
            return Ok(());
        }
        let engine = self.hands.engine.identity()?.id;
        let record = self.hands.ledger.lookup(&built.key, &engine);
        let Some(at) = record.and_then(|record| record.published) else { return Ok(()) };
        if self.hands.fetch(name, &at, &built.key)?.is_none() {
            self.hands.ask_again(name);
        }
        Ok(())
    }

    /// Runs the most urgent job; tells how many became ready by it, `None` when there was none to run.
    fn step(&self, db: &ImkDb) -> Option<usize> {
        let name = {
            let mut schedule = lock(&self.schedule);
            if self.hands.cancel.is_cancelled() {
                schedule.stop();
            }
            schedule.start_next()?
        };
        let started = Instant::now();
        let demanded = *self.images.get(&name)?;
        let outcome = salsa::Cancelled::catch(AssertUnwindSafe(|| image(db, demanded)));
        let shelved = match &outcome {
            Ok(Ok(built)) => self.shelve(db, demanded, &name, built),
            _ => None,
        };
        let mut schedule = lock(&self.schedule);
        let mut summary = lock(&self.summary);
        match shelved {
            Some(Ok(shelved)) => drop(summary.shelved.insert(name.clone(), shelved)),
            Some(Err(error)) => drop(summary.unpublished.insert(name.clone(), error)),
            None => {}
        }
        let Ok(result) = outcome else {
            schedule.stop();
            summary.endings.insert(name, Ending::Skipped);
            return Some(0);
        };
        let (ending, newly_ready) = match result {
            Ok(built) => {
                if let Err(error) = self.load(&name, &built) {
                    summary.unfetched.insert(name.clone(), error);
                }
                // At once, and before its pin goes: a result must never be without a name.
                self.tag(&name, &built, &mut summary);
                summary.results.insert(name.clone(), built);
                let told = lock(self.told).remove(&name).unwrap_or_default();
                let ending = match told.built {
                    Some(reasons) => Ending::Built { reasons, same: told.same },
                    None if told.found => Ending::Found,
                    None if told.reused => Ending::Reused,
                    None => Ending::Fresh,
                };
                (ending, schedule.done(&name))
            }
            Err(error) => {
                schedule.failed(&name);
                (Ending::Failed(error), 0)
            }
        };
        summary.endings.insert(name.clone(), ending.clone());
        drop((schedule, summary));
        // Another round tells how that one ends.
        if !matches!(ending, Ending::Failed(BuildError::BaseGone(_))) {
            (self.tell)(Event::Ended(name, ending, started.elapsed()));
        }
        Some(newly_ready)
    }
}

impl Summary {
    /// Takes over what a later round came to. What was built in an earlier one was built.
    fn follow(&mut self, later: Self) {
        for (name, ending) in later.endings {
            let built = matches!(self.endings.get(&name), Some(Ending::Built { .. }));
            if !(built && ending == Ending::Fresh) {
                self.endings.insert(name, ending);
            }
        }
        for name in later.results.keys() {
            self.unpublished.remove(name);
            self.unfetched.remove(name);
        }
        self.results.extend(later.results);
        self.retagged.extend(later.retagged);
        self.untagged.extend(later.untagged);
        self.shelved.extend(later.shelved);
        self.unpublished.extend(later.unpublished);
        self.unfetched.extend(later.unfetched);
        self.interrupted |= later.interrupted;
    }
}

/// Fresh images that have a base which was built to the same content.
fn kept(synced: &Synced, summary: &Summary) -> BTreeSet<String> {
    let same = |name: &String| matches!(summary.endings.get(name), Some(Ending::Built { same: true, .. }));
    let fresh = |name: &&String| summary.endings.get(*name) == Some(&Ending::Fresh);
    let names = synced.order.names.iter().filter(fresh);
    names
        .filter(|name| synced.order.bases.get(*name).is_some_and(|bases| bases.iter().any(same)))
        .cloned()
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A worker that panicked ends the run; what it left is only counted.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
