//! What queries hold beside their inputs: the engine, the ledger, the files, and what holds for one run.
//!
//! Remembers what the engine answered, so that it is asked once. Decides
//! nothing about freshness, and no query may decide on what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::shelf::Shelves;
use crate::engine::{BuildEvent, Cancel, Engine, EngineError, ImageId, Inventory, SecretValue};
use crate::evidence::EvidenceStore;
use crate::ledger::Ledger;
use crate::reason::Reason;
use crate::source::tree::{Selection, SourceTree};
use crate::syntax::reference::normalized;

/// Everything an effect needs, and nothing a query may decide on.
pub struct Hands {
    /// Builds, tags, tells what it has.
    pub engine: Arc<dyn Engine>,
    /// What was built.
    pub ledger: Arc<Ledger>,
    /// What went into it.
    pub evidence: EvidenceStore,
    /// The repository's files.
    pub tree: Arc<dyn SourceTree>,
    /// What registries have of the repository's images.
    pub shelves: Shelves,
    /// Set to stop.
    pub cancel: Cancel,
    run: RwLock<Run>,
    /// Names that results bear for a moment, while they travel.
    passing: Mutex<BTreeSet<String>>,
    /// Images whose published result turned out to be gone, or to be another machine's: to be asked for again.
    again: Mutex<BTreeSet<String>>,
    /// What the engine answered for an id: its tags, or that it has no such image.
    present: Mutex<BTreeMap<ImageId, Option<BTreeSet<String>>>>,
}

/// What holds for one run and is no input.
#[derive(Default)]
pub struct Run {
    /// Where the files of each image are.
    pub selections: BTreeMap<String, Selection>,
    /// Images to build whatever the ledger says.
    pub forced: BTreeSet<String>,
    /// Have the engine forget its cache too.
    pub no_cache: bool,
    /// Values of secrets, by image and id, or why there is none.
    pub secrets: BTreeMap<String, BTreeMap<String, Result<SecretValue, String>>>,
    /// Marks the names that this repository gives for a moment. Its lock keeps a second run away.
    pub nonce: String,
    /// Names this repository and user to the engine's cache of sent files.
    pub share: String,
    /// Images to publish as soon as they are built.
    pub publish: BTreeSet<String>,
    /// What their manifests say beside what they are.
    pub annotations: BTreeMap<String, BTreeMap<String, String>>,
    /// Told what happens.
    pub report: Option<Report>,
}

/// Is told what happens to which image.
pub type Report = Arc<dyn Fn(&str, JobEvent) + Send + Sync>;

/// What is told of a job while it runs. That it ended is told by who asked for it.
#[derive(Clone, Debug)]
pub enum JobEvent {
    /// The engine is asked to build it, for these reasons.
    Started(Vec<Reason>),
    /// The engine reports.
    Build(BuildEvent),
    /// An older result serves again.
    Reused(Vec<Reason>),
    /// It was built, and the result has the same content as the one before.
    SameResult,
    /// A registry has its result: another machine built it.
    Found,
    /// Its result is sent to a registry.
    Publishing,
    /// Another machine published a result of the same key first; that one is taken.
    Yielded,
}

impl Hands {
    /// Hands for one process.
    pub fn new(
        engine: Arc<dyn Engine>,
        ledger: Arc<Ledger>,
        evidence: EvidenceStore,
        tree: Arc<dyn SourceTree>,
        shelves: Shelves,
        cancel: Cancel,
    ) -> Self {
        Self {
            engine,
            ledger,
            evidence,
            tree,
            shelves,
            cancel,
            run: RwLock::default(),
            passing: Mutex::default(),
            again: Mutex::default(),
            present: Mutex::default(),
        }
    }

    /// The images whose queries are to run again though no input changed. Empty afterwards.
    pub fn take_again(&self) -> BTreeSet<String> {
        std::mem::take(&mut lock(&self.again))
    }

    /// Has the query of an image run again.
    pub fn ask_again(&self, image: &str) {
        lock(&self.again).insert(image.to_owned());
    }

    /// A name that is to be taken away when the run ends.
    pub(super) fn passes(&self, name: &str) {
        lock(&self.passing).insert(name.to_owned());
    }

    /// Begins a run.
    pub fn begin(&self, run: Run) {
        *self.run.write().unwrap_or_else(PoisonError::into_inner) = run;
    }

    /// The run that is on.
    pub fn run(&self) -> RwLockReadGuard<'_, Run> {
        self.run.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what the engine was found to have or lack, so that it is not asked again.
    pub fn know(&self, asked: &BTreeSet<ImageId>, has: &Inventory) {
        let mut present = lock(&self.present);
        for id in asked {
            present.insert(id.clone(), has.get(id).cloned());
        }
    }

    /// Whether an image was asked for already.
    pub fn knows(&self, id: &ImageId) -> bool {
        lock(&self.present).contains_key(id)
    }

    /// Whether the engine has an image.
    ///
    /// # Errors
    /// When the engine does not answer: that is not an absence.
    pub fn has(&self, id: &ImageId) -> Result<bool, EngineError> {
        self.tags(id).map(|tags| tags.is_some())
    }

    /// The tags an image bears on the engine; `None` when the engine does not have it.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn tags(&self, id: &ImageId) -> Result<Option<BTreeSet<String>>, EngineError> {
        if let Some(known) = lock(&self.present).get(id) {
            return Ok(known.clone());
        }
        let asked = BTreeSet::from([id.clone()]);
        let has = self.engine.inventory(&asked)?;
        self.know(&asked, &has);
        Ok(has.get(id).cloned())
    }

    /// Those of `wanted` that an image does not bear, however an engine spells
    /// them; all of them when it is not there.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn lacks(&self, id: &ImageId, wanted: &[String]) -> Result<Vec<String>, EngineError> {
        let bears = self.tags(id)?.unwrap_or_default();
        let bears: BTreeSet<String> = bears.iter().map(|tag| normalized(tag)).collect();
        Ok(wanted.iter().filter(|tag| !bears.contains(&normalized(tag))).cloned().collect())
    }

    /// Names an image.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn tag(&self, id: &ImageId, reference: &str) -> Result<(), EngineError> {
        self.engine.tag(id, reference)?;
        let mut present = lock(&self.present);
        for (other, tags) in present.iter_mut() {
            if let Some(tags) = tags {
                tags.retain(|tag| normalized(tag) != normalized(reference));
                if other == id {
                    tags.insert(reference.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Takes away the names that bases were given while their users were
    /// built, in this run or in one that was killed. The last name of an image
    /// stays: an engine removes an image together with it.
    pub fn release_pins(&self) {
        let nonce = format!("-{}", self.run().nonce);
        let passing = std::mem::take(&mut *lock(&self.passing));
        let pinned = |tag: &&String| tag.starts_with(PIN) && tag.ends_with(&nonce) || passing.contains(*tag);
        let mut present = lock(&self.present);
        for tags in present.values_mut().flatten() {
            let pins: Vec<String> = tags.iter().filter(pinned).cloned().collect();
            if tags.len() > pins.len() {
                for pin in pins {
                    // A name that stays behind is taken away by the next run.
                    let _ = self.engine.untag(&pin);
                    tags.remove(&pin);
                }
            }
        }
    }

    /// The engine has an image that was built just now.
    pub(super) fn learned(&self, id: &ImageId) {
        lock(&self.present).insert(id.clone(), Some(BTreeSet::new()));
    }

    /// Tells what happens to a job.
    pub(super) fn report(&self, image: &str, event: JobEvent) {
        let report = self.run().report.clone();
        if let Some(report) = report {
            report(image, event);
        }
    }

    /// The name under which a base is pinned.
    pub(super) fn pin_name(nonce: &str, id: &ImageId) -> String {
        let hex = id.0.rsplit(':').next().unwrap_or_default();
        format!("{PIN}:{}-{nonce}", &hex[..hex.len().min(32)])
    }
}

/// The repository under which bases are pinned. `.invalid` can never be a
/// registry (RFC 2606), so a pin that is gone is an error and not a pull.
pub const PIN: &str = "imk.invalid/base";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
