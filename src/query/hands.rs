//! The effect of `image`: ask the ledger, else have the engine build, then write it down.
//!
//! Knows engine, ledger, evidence and files. Decides nothing about freshness:
//! the key it is handed has decided.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::graph::Edge;
use super::image::{BuildError, Built};
use super::inputs::{Context, Options, Text};
use crate::engine::{
    BuildEvent, BuildRequest, Cancel, ContextFiles, Engine, EngineError, ImageId, Inventory, SecretValue,
};
use crate::evidence::{Evidence, EvidenceStore};
use crate::file::{UsedFile, UsedFiles};
use crate::hash::{ContentHash, FieldHasher};
use crate::ledger::{Ledger, Record};
use crate::name;
use crate::part::Part;
use crate::reason::Reason;
use crate::source::tree::{Selection, SourceTree};
use crate::syntax::resolve::Recipe;

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
    /// Set to stop.
    pub cancel: Cancel,
    run: RwLock<Run>,
    pins: Mutex<BTreeMap<ImageId, String>>,
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
    /// Makes what this process leaves on the engine for a moment its own.
    pub nonce: String,
    /// Names this repository and user to the engine's cache of sent files.
    pub share: String,
    /// Told what happens.
    pub report: Option<Arc<dyn Fn(&str, JobEvent) + Send + Sync>>,
}

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
}

/// What `image` hands over.
pub(super) struct Job<'a> {
    pub name: &'a str,
    pub options: &'a Options,
    pub dockerfile: &'a Text,
    pub context: &'a Context,
    pub engine: &'a str,
    pub key: ContentHash,
    pub recipe: &'a Recipe,
    pub parts: Vec<Part>,
    /// The content of each base, by image name.
    pub on: &'a [Part],
    pub edges: &'a [Edge],
}

/// How it came out.
pub(super) enum Produced {
    Result(Result<Built, BuildError>),
    Interrupted,
}

impl Hands {
    /// Hands for one process.
    pub fn new(
        engine: Arc<dyn Engine>,
        ledger: Arc<Ledger>,
        evidence: EvidenceStore,
        tree: Arc<dyn SourceTree>,
        cancel: Cancel,
    ) -> Self {
        Self {
            engine,
            ledger,
            evidence,
            tree,
            cancel,
            run: RwLock::default(),
            pins: Mutex::default(),
            present: Mutex::default(),
        }
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

    /// Takes away the names that bases were given while their users were built.
    pub fn release_pins(&self) {
        for (_, reference) in std::mem::take(&mut *lock(&self.pins)) {
            // A name that stays behind is taken away by the next run.
            let _ = self.engine.untag(&reference);
        }
    }

    /// The names that [`Self::release_pins`] would take away: what a killed process leaves.
    pub fn pin_name(nonce: &str, id: &ImageId) -> String {
        let hex = id.0.rsplit(':').next().unwrap_or_default();
        format!("{PIN}:{}-{nonce}", &hex[..hex.len().min(32)])
    }

    pub(super) fn produce(&self, job: Job<'_>) -> Produced {
        match self.try_produce(&job) {
            Ok(built) => Produced::Result(Ok(built)),
            Err(BuildError::Engine(EngineError::Interrupted)) => Produced::Interrupted,
            Err(_) if self.cancel.is_cancelled() => Produced::Interrupted,
            Err(error) => Produced::Result(Err(error)),
        }
    }

    fn try_produce(&self, job: &Job<'_>) -> Result<Built, BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Engine(EngineError::Interrupted));
        }
        let forced = self.run().forced.contains(job.name);
        let before = self.ledger.latest(job.name, job.engine);
        let known = self.ledger.lookup(&job.key, job.engine);
        if !forced
            && let Some(record) = &known
            && self.has(&ImageId(record.id.clone())).map_err(BuildError::Engine)?
        {
            return self.reuse(job, record, before.as_ref());
        }
        let files = Arc::new(self.files(job)?);
        let evidence = Evidence::new(job.parts.clone(), &files.list);
        let reasons = match &known {
            _ if forced => vec![Reason::forced()],
            Some(record) => vec![Reason::gone(&record.id)],
            None => self.reasons(before.as_ref(), &evidence),
        };
        self.report(job.name, JobEvent::Started(reasons.clone()));
        let request = self.request(job, files)?;
        let started = Instant::now();
        let report = |event| self.report(job.name, JobEvent::Build(event));
        let id = self.engine.build(&request, &report, &self.cancel).map_err(BuildError::Engine)?;
        let content = self.content(&id).map_err(BuildError::Engine)?;
        if before.is_some_and(|before| before.content == content) {
            self.report(job.name, JobEvent::SameResult);
        }
        // Evidence only explains: a disk too full for it must not lose the build.
        let _ = self.evidence.save(&job.key, &evidence);
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.write_down(job, &id, content, took_ms, reasons)?;
        lock(&self.present).insert(id.clone(), Some(BTreeSet::new()));
        Ok(Built { key: job.key, id, content })
    }

    /// An older build answers this key: after a revert, or when the snapshot was lost.
    fn reuse(
        &self,
        job: &Job<'_>,
        record: &Record,
        before: Option<&Record>,
    ) -> Result<Built, BuildError> {
        let id = ImageId(record.id.clone());
        if before.is_some_and(|before| before.key != job.key) {
            let evidence = self.evidence.load(&job.key).unwrap_or_default();
            self.report(job.name, JobEvent::Reused(self.reasons(before, &evidence)));
            self.write_down(job, &id, record.content, 0, Vec::new())?;
        }
        Ok(Built { key: job.key, id, content: record.content })
    }

    fn reasons(&self, before: Option<&Record>, now: &Evidence) -> Vec<Reason> {
        let Some(before) = before else { return vec![Reason::never_built()] };
        let old = self.evidence.load(&before.key);
        old.map(|old| old.differences(now)).unwrap_or_default()
    }

    fn write_down(
        &self,
        job: &Job<'_>,
        id: &ImageId,
        content: ContentHash,
        took_ms: u64,
        reasons: Vec<Reason>,
    ) -> Result<(), BuildError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = Record {
            key: job.key,
            image: job.name.to_owned(),
            engine: job.engine.to_owned(),
            id: id.0.clone(),
            content,
            at: now.as_secs(),
            took_ms,
            reasons,
        };
        self.ledger.record(record).map_err(|error| BuildError::Ledger(error.to_string()))
    }

    /// The files of a job, checked to be the ones in its key.
    fn files(&self, job: &Job<'_>) -> Result<SentFiles, BuildError> {
        let selection = self.run().selections.get(job.name).cloned();
        let tree = Arc::clone(&self.tree);
        let (Context::Is(selected), Some(selection)) = (job.context, selection) else {
            return Ok(SentFiles { tree, root: String::new(), list: UsedFiles::default() });
        };
        let list = tree.used_files(&selection).map_err(|_| BuildError::FilesChanged)?;
        if list.hash() != selected.hash {
            return Err(BuildError::FilesChanged);
        }
        Ok(SentFiles { tree, root: selection.root, list })
    }

    fn request(&self, job: &Job<'_>, files: Arc<SentFiles>) -> Result<BuildRequest, BuildError> {
        let Text::Is(text) = job.dockerfile else {
            return Err(BuildError::Invalid(Vec::new()));
        };
        let mut exact = BTreeMap::new();
        for part in job.on {
            let reference = self.pin(job.engine, part)?;
            for edge in job.edges.iter().filter(|edge| edge.base == part.name) {
                exact.insert(edge.reference.clone(), reference.clone());
            }
        }
        let run = self.run();
        let mut secrets = BTreeMap::new();
        for (id, value) in run.secrets.get(job.name).into_iter().flatten() {
            let value = value.clone().map_err(BuildError::Secret)?;
            secrets.insert(id.clone(), value);
        }
        let declared = |arg: &String| job.recipe.args.contains_key(arg);
        let proxy = |arg: &String| arg.to_ascii_lowercase().ends_with("_proxy");
        let args = job.options.args.iter().filter(|(arg, _)| declared(arg) || proxy(arg));
        let share = FieldHasher::new("imk share v1").field(&run.share).field(job.name).finish();
        Ok(BuildRequest {
            image: job.name.to_owned(),
            dockerfile: job.recipe.pinned(text, &exact),
            target: job.options.target.clone(),
            args: args.map(|(arg, value)| (arg.clone(), value.clone())).collect(),
            labels: job.options.labels.clone(),
            platform: job.options.platform.clone(),
            network: job.options.network.clone(),
            secrets,
            no_cache: run.no_cache,
            share: share.to_string(),
            files,
        })
    }

    /// Gives the exact base a name that nothing else moves, for a Dockerfile
    /// can only name images, and a BuildKit of 20.10 takes no id in `FROM`.
    fn pin(&self, engine: &str, base: &Part) -> Result<String, BuildError> {
        let content: ContentHash =
            base.value.parse().map_err(|_| BuildError::Base(base.name.clone()))?;
        for id in self.ledger.ids_of(&content, engine).into_iter().map(ImageId) {
            if self.has(&id).map_err(BuildError::Engine)? {
                let reference = Self::pin_name(&self.run().nonce, &id);
                let mut pins = lock(&self.pins);
                if !pins.contains_key(&id) {
                    self.engine.tag(&id, &reference).map_err(BuildError::Engine)?;
                    pins.insert(id, reference.clone());
                }
                return Ok(reference);
            }
        }
        Err(BuildError::Base(base.name.clone()))
    }

    fn content(&self, id: &ImageId) -> Result<ContentHash, EngineError> {
        let what = || format!("reading the image `{id}` that was just built");
        let info = self.engine.inspect(&id.0)?.ok_or_else(|| EngineError::Refused {
            what: what(),
            why: "the engine does not know it".into(),
        })?;
        Ok(ContentHash::of(info.content.as_bytes()))
    }

    fn report(&self, image: &str, event: JobEvent) {
        let report = self.run().report.clone();
        if let Some(report) = report {
            report(image, event);
        }
    }
}

/// The repository under which bases are pinned. `.invalid` can never be a
/// registry (RFC 2606), so a pin that is gone is an error and not a pull.
pub const PIN: &str = "imk.invalid/base";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files of one job, opened through the tree they were listed by.
struct SentFiles {
    tree: Arc<dyn SourceTree>,
    root: String,
    list: UsedFiles,
}

impl ContextFiles for SentFiles {
    fn list(&self) -> &UsedFiles {
        &self.list
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn Read + Send>, String> {
        let path = name::join(&self.root, &file.path);
        self.tree.open(&path).map_err(|error| error.to_string())
    }
}
