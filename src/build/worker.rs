//! A worker's step: the most urgent job is demanded, its result shared, named and told.
//!
//! Knows neither how many workers there are nor what a round is.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::build::local_names;
use crate::build::options::BuildOptions;
use crate::build::publish::{Publication, publish};
use crate::build::reports::Reports;
use crate::build::schedule::Schedule;
use crate::build::summary::{Ending, Event, Summary};
use crate::exec::executor::{Discrepancy, Executor};
use crate::exec::push::PublishError;
use crate::exec::remote_cache::Published;
use crate::model::name::platform_of;
use crate::plan::tags::tagging::Tagging;
use crate::query::ImkDb;
use crate::query::effect::{BuildError, Built};
use crate::query::image::image;
use crate::query::inputs::Image;

/// The state that the workers of one run share.
pub(super) struct Work<'a> {
    pub(super) schedule: Mutex<Schedule>,
    pub(super) summary: Mutex<Summary>,
    pub(super) images: &'a BTreeMap<String, Image>,
    pub(super) executor: &'a Executor,
    pub(super) targets: &'a BTreeSet<String>,
    /// The targets that are fetched where that is asked for: of several platforms the engine's own.
    pub(super) loaded: BTreeSet<String>,
    pub(super) options: &'a BuildOptions,
    pub(super) tagging: Tagging,
    pub(super) reports: &'a Reports,
    pub(super) report_event: &'a Arc<dyn Fn(Event) + Send + Sync>,
}

impl Work<'_> {
    /// One task: it takes the most urgent job, and afterwards starts a task for each job that became ready.
    pub(super) fn spawn<'scope>(&'scope self, scope: &rayon::Scope<'scope>, db: ImkDb) {
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
        if !self.options.push || self.is_proof(name) || self.executor.cancel.is_cancelled() {
            return None;
        }
        // The tags of a name for several platforms are its index's.
        let is_tagged =
            self.targets.contains(name) && !self.options.withhold_tags && platform_of(name).is_none();
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

    /// Whether nothing is to be kept of an image.
    fn is_proof(&self, name: &str) -> bool {
        self.executor.run().proofs.contains(name)
    }

    /// Fetches a target that the default engine does not have.
    fn load(&self, name: &str, built: &Built) -> Result<Option<Built>, PublishError> {
        if !self.options.load
            || self.is_proof(name)
            || !self.loaded.contains(name)
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
    pub(super) fn step(&self, db: &ImkDb) -> Option<usize> {
        let name = self.next()?;
        let started = Instant::now();
        let demanded = *self.images.get(&name)?;
        let outcome = salsa::Cancelled::catch(AssertUnwindSafe(|| image(db, demanded)));
        let shared = match &outcome {
            Ok(Ok(built)) => self.share(db, demanded, &name, built),
            _ => Shared { publication: None, loaded: Ok(None) },
        };
        // Given back when all has been reported, and however this ends.
        let (_turn, began) = self.reports.take_turn(&name);
        let took = began.unwrap_or(started).elapsed();
        let Ok(result) = outcome else { return Some(self.interrupted(name)) };
        let id = result.as_ref().ok().map(|built| built.id.clone());
        let (ending, newly_ready) = match result {
            Ok(built) => self.succeeded(&name, built, shared),
            Err(error) => self.failed(&name, error),
        };
        if let Some(id) = id {
            (self.report_event)(Event::Result(name.clone(), id));
        }
        // Another round tells how that one ends.
        if !matches!(ending, Ending::Failed(BuildError::BaseMissing(_))) {
            (self.report_event)(Event::Ended(name, ending, took));
        }
        Some(newly_ready)
    }

    fn next(&self) -> Option<String> {
        let mut schedule = self.schedule.lock();
        if self.executor.cancel.is_cancelled() {
            schedule.stop();
        }
        schedule.start_next()
    }

    /// Publishes and fetches a result, as far as that is asked for. Takes its time, so no lock is held meanwhile.
    fn share(&self, db: &ImkDb, image: Image, name: &str, built: &Built) -> Shared {
        let publication = self.publish(db, image, name, built);
        let loaded = self.load(name, built);
        if publication.is_none() && !self.is_proof(name) {
            self.tagging.learn_times(self.executor, name, &built.id, &built.key);
        }
        Shared { publication, loaded }
    }

    fn interrupted(&self, name: String) -> usize {
        self.schedule.lock().stop();
        self.summary.lock().endings.insert(name, Ending::Skipped);
        0
    }

    fn succeeded(&self, name: &str, built: Built, shared: Shared) -> (Ending, usize) {
        let mut schedule = self.schedule.lock();
        let mut summary = self.summary.lock();
        match shared.publication {
            Some(Ok(publication)) => drop(summary.publications.insert(name.to_owned(), publication)),
            Some(Err(error)) => drop(summary.unpublished.insert(name.to_owned(), error)),
            None => {}
        }
        let here = shared.loaded.unwrap_or_else(|error| {
            summary.unfetched.insert(name.to_owned(), error);
            None
        });
        // At once, and before its pin goes: a result must never be without a name.
        let is_new = self.reports.is_built(name);
        let result = here.as_ref().unwrap_or(&built);
        if !self.is_proof(name) {
            local_names::give(self.executor, &self.tagging, name, result, is_new, &mut summary);
        }
        if !self.executor.ledger.knows(&built.key) {
            self.executor.request_rerun(name, Discrepancy::Unrecorded);
        }
        summary.results.insert(name.to_owned(), built);
        let ending = self.reports.take_ending(name);
        summary.endings.insert(name.to_owned(), ending.clone());
        (ending, schedule.done(name))
    }

    fn failed(&self, name: &str, error: BuildError) -> (Ending, usize) {
        let mut schedule = self.schedule.lock();
        match error {
            // No failure yet: only what is built on it has to wait for another round.
            BuildError::BaseMissing(_) => schedule.put_off(name),
            _ => schedule.failed(name),
        }
        let ending = Ending::Failed(error);
        self.summary.lock().endings.insert(name.to_owned(), ending.clone());
        (ending, 0)
    }
}

/// The fate of a result beyond its engine.
struct Shared {
    publication: Option<Result<Publication, PublishError>>,
    loaded: Result<Option<Built>, PublishError>,
}
