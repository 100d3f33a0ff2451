//! The executor: engines, ledger, files and remote cache, and the settings of one run.
//!
//! An image's id is a digest of the image, so whichever engine has the id has the image: callers name
//! ids, and it is found here which engine is meant. Decides nothing about freshness, and no query may
//! decide on what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::doubt::Doubt;
use super::remote_cache::RemoteCache;
use crate::engine::{
    AddedRepository, BuildEvent, Caches, Cancel, ContextFiles, Engine, EngineError, EnginePool, ImageId,
    Node, SecretValue, SshSource,
};
use crate::model::hash::ContentHash;
use crate::model::reason::Reason;
use crate::query::effect::BuildJob;
use crate::source::tree::{Selection, SourceTree};
use crate::state::evidence::EvidenceStore;
use crate::state::ledger::{Ledger, Record};
use crate::syntax::reference::normalized;

/// Everything that the effect needs, and nothing that a query may decide on.
pub struct Executor {
    /// Build, tag, tell what they have.
    pool: RwLock<Arc<EnginePool>>,
    /// The record of builds.
    pub ledger: Arc<Ledger>,
    /// The inputs of builds.
    pub evidence: EvidenceStore,
    /// The repository's files.
    pub tree: Arc<dyn SourceTree>,
    /// The registries, as far as they have the repository's images.
    pub remote_cache: RemoteCache,
    /// Set to stop.
    pub cancel: Cancel,
    run: RwLock<Run>,
    /// Names that results bear for a moment, while they travel.
    temporary_names: Mutex<BTreeSet<String>>,
    /// Images to be asked for again within this run, and why.
    reruns: Mutex<BTreeSet<Rerun>>,
    /// The engine that has each result, by name. Others may have fetched it to build on it.
    engine_by_image: Mutex<BTreeMap<ImageId, String>>,
    /// One base travels at a time, so that it travels once.
    transfers: Mutex<BTreeMap<ContentHash, Arc<Mutex<()>>>>,
}

/// The settings of one run, which are no inputs.
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
    /// Agents for ssh, by image and id, or why there is none.
    pub ssh: BTreeMap<String, BTreeMap<String, Result<SshSource, String>>>,
    /// Marks the names that this repository gives for a moment. Its lock keeps a second run away.
    pub nonce: String,
    /// Stands for this repository on this machine and no other.
    pub machine: String,
    /// Names this repository and user to the engine's cache of sent files.
    pub share: String,
    /// Stages of which the engine's cache is not used, by image.
    pub no_cache_stages: BTreeMap<String, Vec<String>>,
    /// Rights of steps beyond the usual ones, by image.
    pub entitlements: BTreeMap<String, BTreeSet<String>>,
    /// Images that only have to have been built once: their results are kept nowhere.
    pub proofs: BTreeSet<String>,
    /// Images to publish as soon as they are built.
    pub publish: BTreeSet<String>,
    /// Images whose keys other machines may not compute, and why.
    pub provisional: BTreeMap<String, BTreeSet<Doubt>>,
    /// Annotations of their manifests, by image.
    pub annotations: BTreeMap<String, BTreeMap<String, String>>,
    /// Labels that an engine must have, by image.
    pub engine_labels: BTreeMap<String, BTreeSet<String>>,
    /// Layer caches, by image.
    pub caches: BTreeMap<String, Caches>,
    /// Where builds find repositories that `ADD` names.
    pub repositories: Option<Repositories>,
    /// Told what happens.
    pub report: Option<Report>,
}

/// Finds the files of repositories that `ADD` names. The error is a sentence.
pub type Repositories =
    Arc<dyn Fn(&AddedRepository<'_>) -> Result<Arc<dyn ContextFiles>, String> + Send + Sync>;

/// A query that is to run again though no input changed: the world was not as it was thought to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rerun {
    /// The image.
    pub image: String,
    /// The finding.
    pub why: Discrepancy,
}

/// How the world was not as it was thought to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Discrepancy {
    /// Its result is nowhere any more.
    ResultMissing,
    /// The result of this base of its is nowhere any more.
    BaseMissing(String),
    /// Its result is remembered and not in the ledger.
    Unrecorded,
    /// Its registry has another machine's result of the same key.
    Superseded,
}

/// Is told what happens to which image.
pub type Report = Arc<dyn Fn(&str, JobEvent) + Send + Sync>;

/// An event of a job while it runs. Its end is reported by whoever asked for it.
#[derive(Clone, Debug)]
pub enum JobEvent {
    /// The engine is asked to build it, for these reasons.
    Started(Vec<Reason>),
    /// Of several engines, this one builds it.
    On(String),
    /// The engine's machine does not run this platform by itself: commands are emulated there.
    Emulated {
        /// The platform of the commands.
        platform: String,
        /// The engine's own.
        on: String,
    },
    /// The engine that built it is there no more; it is tried on another.
    EngineUnreachable { engine: String, why: String },
    /// The engine reports.
    Build(BuildEvent),
    /// An older result serves again.
    Reused(Vec<Reason>),
    /// It was built, and the result has the same content as the one before.
    SameResult,
    /// A registry has its result: another machine built it.
    AlreadyPublished,
    /// Its result is sent to a registry.
    Publishing,
    /// Another machine published a result of the same key first; that one is taken.
    Yielded,
}

impl Executor {
    /// An executor for one process.
    pub fn new(
        engine: Arc<dyn Engine>,
        ledger: Arc<Ledger>,
        evidence: EvidenceStore,
        tree: Arc<dyn SourceTree>,
        remote_cache: RemoteCache,
        cancel: Cancel,
    ) -> Self {
        Self {
            pool: RwLock::new(Arc::new(EnginePool::one(engine))),
            ledger,
            evidence,
            tree,
            remote_cache,
            cancel,
            run: RwLock::default(),
            temporary_names: Mutex::default(),
            reruns: Mutex::default(),
            engine_by_image: Mutex::default(),
            transfers: Mutex::default(),
        }
    }

    /// The images whose queries are to run again though no input changed. Empty afterwards.
    pub fn take_reruns(&self) -> BTreeSet<Rerun> {
        std::mem::take(&mut self.reruns.lock())
    }

    /// Has the query of an image run again.
    pub fn request_rerun(&self, image: &str, why: Discrepancy) {
        self.reruns.lock().insert(Rerun { image: image.to_owned(), why });
    }

    /// A name that is to be taken away when the run ends.
    pub(super) fn give_temporary_name(&self, name: &str) {
        self.temporary_names.lock().insert(name.to_owned());
    }

    /// Begins a run.
    pub fn begin(&self, run: Run) {
        *self.run.write() = run;
    }

    /// The run that is on.
    pub fn run(&self) -> RwLockReadGuard<'_, Run> {
        self.run.read()
    }

    /// Works with these engines from now on. To be called before anything is asked.
    pub fn enlist(&self, pool: EnginePool) {
        *self.pool.write() = Arc::new(pool);
    }

    /// The engines.
    pub fn pool(&self) -> Arc<EnginePool> {
        Arc::clone(&self.pool.read())
    }

    /// The engine whose identity is the repository's.
    pub fn default_engine(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.pool().default_node().engine)
    }

    /// The newest build of an image: of the default engine where it is alone and has one, else of any.
    pub fn last_build(&self, image: &str, default: &str) -> Option<Record> {
        let own = self.pool().is_one().then(|| self.ledger.latest(image, default)).flatten();
        own.or_else(|| self.ledger.newest_of(image))
    }

    /// The recorded results of a key, those of the default engine in front: whichever engine has one has the
    /// result, also one that was told of under another engine's name.
    pub fn results_of(&self, key: &ContentHash, default: &str) -> Vec<Record> {
        let mut results = self.ledger.results(key);
        results.sort_by_key(|record| record.engine != default);
        results
    }

    /// Whether a result was on one of the engines in use, so that it is gone when none has it.
    pub fn was_here(&self, record: &Record, default: &str) -> bool {
        !self.pool().is_one() || record.engine == default
    }

    /// The id under which the ledger knows an engine. The default engine's is in the key's own words.
    pub(super) fn engine_id(&self, job: &BuildJob<'_>, node: &Node) -> Result<String, EngineError> {
        if node.name == self.pool().default_node().name {
            return Ok(job.engine.to_owned());
        }
        node.engine.identity().map(|identity| identity.id)
    }

    /// Notes which engine has a result.
    pub fn note_engine(&self, id: &ImageId, engine: &str) {
        self.engine_by_image.lock().insert(id.clone(), engine.to_owned());
    }

    /// The name of the engine that has a result, as far as was noted.
    pub fn engine_of(&self, id: &ImageId) -> Option<String> {
        self.engine_by_image.lock().get(id).cloned()
    }

    /// An engine that has an image: the one that was noted, else one that is known to, else one that says so.
    ///
    /// # Errors
    /// When none has it and one does not answer: that is not an absence.
    pub fn holder(&self, id: &ImageId) -> Result<Option<Arc<Node>>, EngineError> {
        let pool = self.pool();
        if pool.is_one() {
            return Ok(pool.default_node().has(id)?.then(|| Arc::clone(pool.default_node())));
        }
        let noted = self.engine_of(id).and_then(|name| pool.named(&name).cloned());
        let sure = pool.alive().filter(|node| node.surely_has(id)).cloned();
        let asked = noted.into_iter().chain(sure).chain(pool.nodes().iter().cloned());
        let mut unanswered = None;
        for node in asked {
            let answer = match node.unreachable() {
                Some(why) => Err(why.clone()),
                None => node.has(id),
            };
            match answer {
                Ok(true) => {
                    self.note_engine(id, &node.name);
                    return Ok(Some(node));
                }
                Ok(false) => {}
                Err(error) => {
                    if matches!(error, EngineError::Unreachable { .. }) {
                        pool.mark_unreachable(&node, error.clone());
                    }
                    unanswered.get_or_insert(error);
                }
            }
        }
        unanswered.map_or(Ok(None), Err)
    }

    /// As [`Executor::holder`]; of an image that nobody has, the default engine says that it is not there.
    pub fn holder_or_default(&self, id: &ImageId) -> Result<Arc<Node>, EngineError> {
        let pool = self.pool();
        if pool.is_one() {
            return Ok(Arc::clone(pool.default_node()));
        }
        Ok(self.holder(id)?.unwrap_or_else(|| Arc::clone(pool.default_node())))
    }

    /// Whether an engine has an image.
    ///
    /// # Errors
    /// When an engine does not answer: that is not an absence.
    pub fn has(&self, id: &ImageId) -> Result<bool, EngineError> {
        self.holder(id).map(|holder| holder.is_some())
    }

    /// The tags an image bears on the engine that has it; `None` when none does.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn tags(&self, id: &ImageId) -> Result<Option<BTreeSet<String>>, EngineError> {
        match self.holder(id)? {
            Some(node) => node.tags(id),
            None => Ok(None),
        }
    }

    /// The tags of `wanted` that an image does not bear, however an engine spells
    /// them; all of them when it is not there.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn lacks(&self, id: &ImageId, wanted: &[String]) -> Result<Vec<String>, EngineError> {
        let bears = self.tags(id)?.unwrap_or_default();
        let bears: BTreeSet<String> = bears.iter().map(|tag| normalized(tag)).collect();
        Ok(wanted.iter().filter(|tag| !bears.contains(&normalized(tag))).cloned().collect())
    }

    /// Names an image on the engine that has it.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn tag(&self, id: &ImageId, reference: &str) -> Result<(), EngineError> {
        self.holder_or_default(id)?.tag(id, reference)
    }

    /// Every tag of these repositories on any engine, and the image it names.
    ///
    /// # Errors
    /// When the default engine does not answer. Another engine that does not is used no more.
    pub fn references(
        &self,
        repositories: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, ImageId>, EngineError> {
        let pool = self.pool();
        let mut named = BTreeMap::new();
        for node in pool.alive() {
            match node.engine.references(repositories) {
                Ok(found) => found.into_iter().for_each(|(tag, id)| {
                    named.entry(tag).or_insert(id);
                }),
                Err(error) if node.name == pool.default_node().name => return Err(error),
                Err(error) => drop(pool.mark_unreachable(node, error)),
            }
        }
        Ok(named)
    }

    /// Takes away the names that bases were given while their users were
    /// built, in this run or in one that was killed.
    pub fn release_pins(&self) {
        let nonce = format!("-{}", self.run().nonce);
        let temporary = std::mem::take(&mut *self.temporary_names.lock());
        let pool = self.pool();
        for node in pool.nodes() {
            node.release(|tag| tag.starts_with(PIN) && tag.ends_with(&nonce) || temporary.contains(tag));
        }
    }

    /// Held while a base travels.
    pub(super) fn transfer(&self, content: &ContentHash) -> Arc<Mutex<()>> {
        Arc::clone(self.transfers.lock().entry(*content).or_default())
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
