//! Upstream: the bases outside the repository, under the policy of each user.
//!
//! | policy | the digest of the platform's manifest is |
//! |---|---|
//! | none | what Imagefile.lock says; for a name it does not have as `Float` |
//! | `Locked` | what Imagefile.lock says, else a mistake |
//! | `Float` | what the registry says, asked again after [`TTL`] or with `--pull` |
//! | `Every("7d")` | what the registry said first in the current period |
//!
//! With `--locked` every name is `Locked`; with `--offline` no registry is asked. An
//! image that only the engine has, because somebody built it there, is that image. A
//! registry that does not answer is no absence: what was known last serves, and is told. A key that
//! rests on such an answer is provisional: it is built with, and never published (`doubts`).
//! What imk itself tagged or published under a base's name is not that base (`own_name`). An image of an OCI layout
//! is the one that lies there, under every policy (`layouts`).

mod doubts;
mod layouts;
mod memory;
mod own_name;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::engine::{Engine, ImageInfo};
use crate::model::time::UnixSeconds;
use crate::parallel::several_at_once;
use crate::query::inputs::{Brings, Exact, Outside, OutsideBase};
use crate::registry::document::Document;
use crate::registry::{OciRegistry, Options, Registry, RegistryError, by_digest, place_of};
use crate::source::tree::SourceTree;
use crate::state::folder::StateFolder;
use crate::state::ledger::Ledger;
use crate::syntax::imagefile::Policy;
use crate::syntax::layout_source;
use crate::syntax::lockfile::Lockfile;
use crate::syntax::reference::{self, Reference};
use doubts::Doubts;
use memory::Memory;

/// A registry's answer to a floating name holds so long, so that a second run stays offline.
pub const TTL: Duration = Duration::from_secs(3600);

/// A registry that did not answer is left in peace so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Questions to one registry that are under way at once.
const OF_A_HOST: usize = 8;
/// Questions that are under way at once, to whomever.
const MANY: usize = 64;

/// Why nothing is sure of what had to be asked for with `--offline`.
const NOT_ASKED: &str = "nobody was to be asked (`--offline`)";

/// The options of lookups.
#[derive(Clone, Debug, Default)]
pub struct LookupOptions {
    /// Ask no registry.
    pub offline: bool,
    /// Take everything from Imagefile.lock.
    pub locked: bool,
    /// Ask again though an answer still holds.
    pub anew: bool,
    /// The moment at which answers must hold.
    pub now: UnixSeconds,
}

/// A remark on an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The base.
    pub reference: String,
    /// Why its registry's answer is not to be had.
    pub why: String,
    /// The substitute.
    pub instead: Instead,
}

/// The substitute where a registry did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instead {
    /// Its answer of before.
    LastKnown,
    /// The image that the engine has under that name.
    Engine,
    /// Nothing: the base counts by its name.
    Name,
    /// Nothing: a file counts by its address.
    Address,
    /// Nothing: what its configuration brings is not known.
    NoConfiguration,
    /// Nothing: its server says that there is no such file.
    Absent,
}

/// Knows the bases outside one repository.
pub struct Upstream {
    registry: Arc<dyn Registry>,
    lock: RwLock<Lockfile>,
    lookups: LookupOptions,
    state: StateFolder,
    memory: Mutex<Memory>,
    notes: Mutex<BTreeSet<Note>>,
    /// The record of imk's own builds, to tell its own tags from those of others.
    ledger: Option<Arc<Ledger>>,
    doubts: Doubts,
    /// The repository's files, where OCI layouts are looked for.
    tree: Option<Arc<dyn SourceTree>>,
}

impl Upstream {
    /// Remembers in `state`, which may not exist yet.
    pub fn new(
        registry: Arc<dyn Registry>,
        lock: Lockfile,
        lookups: LookupOptions,
        state: StateFolder,
    ) -> Self {
        let memory = Mutex::new(Memory::read(&state));
        let (lock, notes, doubts) = (RwLock::new(lock), Mutex::default(), Doubts::default());
        Self { registry, lock, lookups, state, memory, notes, ledger: None, doubts, tree: None }
    }

    /// Knows imk's own results by this ledger: they are no bases of the images whose names they bear.
    pub fn beside(self, ledger: Arc<Ledger>) -> Self {
        Self { ledger: Some(ledger), ..self }
    }

    /// Finds OCI layouts among these files.
    pub fn among(self, tree: Arc<dyn SourceTree>) -> Self {
        Self { tree: Some(tree), ..self }
    }

    /// Asks nobody and remembers nothing: for looks at what might be.
    pub fn offline() -> Self {
        let lookups = LookupOptions { offline: true, ..LookupOptions::default() };
        let registry = Arc::new(OciRegistry::new(Options::default()));
        Self::new(registry, Lockfile::default(), lookups, StateFolder::nowhere("nobody is asked"))
    }

    /// Whether no registry may be asked.
    pub fn is_offline(&self) -> bool {
        self.lookups.offline
    }

    /// The time of the run in seconds since 1970, one for all that is done in it.
    pub fn now(&self) -> UnixSeconds {
        self.lookups.now
    }

    /// The answers that nobody confirmed.
    pub(super) fn doubts(&self) -> &Doubts {
        &self.doubts
    }

    /// The notes so far, each once.
    pub fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut *self.notes.lock()).into_iter().collect()
    }

    /// The lock file in force.
    pub fn lock(&self) -> Lockfile {
        self.lock.read().clone()
    }

    /// Puts another lock file in force.
    pub fn relock(&self, lock: Lockfile) {
        *self.lock.write() = lock;
    }

    fn locked(&self, base: &OutsideBase) -> Option<String> {
        let lock = self.lock.read();
        lock.base(&base.reference, &base.platform).map(str::to_owned)
    }

    /// How many remembered answers are about none of these bases.
    pub fn unused(&self, used: &BTreeSet<OutsideBase>) -> usize {
        self.memory.lock().unused(&names(used))
    }

    /// Forgets the answers about all but these bases.
    pub fn forget(&self, but: &BTreeSet<OutsideBase>) {
        self.memory.lock().keep(&names(but));
    }

    /// The registries.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    /// Keeps answers for the next process, if there are new ones.
    ///
    /// # Errors
    /// When they cannot be written; the next process asks again.
    pub fn save(&self) -> std::io::Result<()> {
        self.memory.lock().save(&self.state)
    }

    /// The bases that Imagefile.lock must have under their policy and does not.
    pub fn unlocked<'a>(&self, bases: impl Iterator<Item = &'a OutsideBase>) -> Vec<&'a OutsideBase> {
        let must = |base: &&OutsideBase| self.lookups.locked || base.policy == Policy::Locked;
        let named =
            |base: &&OutsideBase| reference::parse(&base.reference).is_ok_and(|name| name.digest.is_none());
        bases.filter(must).filter(named).filter(|base| self.locked(base).is_none()).collect()
    }

    /// Looks at some bases, several at once.
    pub fn resolve(
        &self,
        engine: &dyn Engine,
        wanted: &BTreeSet<OutsideBase>,
    ) -> BTreeMap<OutsideBase, Outside> {
        let wanted: Vec<&OutsideBase> = wanted.iter().collect();
        let host = |base: &OutsideBase| reference::parse(&base.reference).ok().map(|name| name.registry);
        let hosts: BTreeSet<_> = wanted.iter().map(|base| host(base)).collect();
        // A registry that says nothing keeps nobody from asking the others.
        let many = (hosts.len() * OF_A_HOST).min(MANY);
        let found = several_at_once(many, &wanted, |base| self.one(engine, base));
        wanted.into_iter().cloned().zip(found).collect()
    }

    fn one(&self, engine: &dyn Engine, base: &OutsideBase) -> Outside {
        self.doubts.forget(base);
        if layout_source::is(&base.reference) {
            return self.layout(base);
        }
        let Ok(name) = reference::parse(&base.reference) else {
            // Not a name that a registry could know; the engine may all the same.
            return here(engine.inspect(&base.reference).ok().flatten());
        };
        let locked = self.locked(base);
        let follows_lock = self.lookups.locked || matches!(base.policy, Policy::LockedIfAny | Policy::Locked);
        let digest = match (&name.digest, locked) {
            (Some(digest), _) => Some(digest.clone()),
            (None, Some(digest)) if follows_lock => Some(digest),
            _ if self.lookups.locked || base.policy == Policy::Locked => return Outside::default(),
            _ => None,
        };
        if let Some(digest) = digest {
            return self.pinned(engine, base, &name, digest);
        }
        let info = engine.inspect(&base.reference).ok().flatten();
        let info = if base.own { self.before_ours(engine, &name, base, info) } else { info };
        if info.as_ref().is_some_and(|info| info.repo_digests.is_empty()) {
            return here(info);
        }
        let answer = self.floating(&name, base);
        let answer = if base.own { answer.map(|found| self.not_ours(&name, base, found)) } else { answer };
        match answer {
            Ok(Some(digest)) => self.pinned(engine, base, &name, digest),
            Ok(None) => {
                if info.is_none() {
                    self.doubts.doubt(base, "neither its registry nor the engine has it");
                }
                here(info)
            }
            Err(why) => {
                self.doubts.doubt(base, why.as_str());
                let last = self.memory.lock().last(&name, &base.platform);
                let instead = match (&last, &info) {
                    (Some(_), _) => Instead::LastKnown,
                    (None, Some(_)) => Instead::Engine,
                    (None, None) => Instead::Name,
                };
                self.note(&name, why, instead);
                last.map_or_else(|| here(info), |digest| self.pinned(engine, base, &name, digest))
            }
        }
    }

    /// The digest that a floating name stands for: the answer that still holds, or a new one. `None` when
    /// the registry does not have it, or when nothing is known and nobody may be asked.
    fn floating(&self, name: &Reference, base: &OutsideBase) -> Result<Option<String>, String> {
        let now = self.lookups.now;
        let holds = |at: UnixSeconds| match base.policy {
            Policy::Every(period) => at.0 / period.as_secs() == now.0 / period.as_secs(),
            _ => now.is_within(TTL, at),
        };
        {
            let memory = self.memory.lock();
            if self.lookups.offline {
                if memory.holding(name, &base.platform, holds).is_none() {
                    self.doubts.doubt(base, NOT_ASKED);
                }
                return Ok(memory.last(name, &base.platform));
            }
            if !self.lookups.anew
                && let Some(digest) = memory.holding(name, &base.platform, holds)
            {
                return Ok(Some(digest));
            }
            if !self.lookups.anew
                && let Some(why) = memory.unavailable(&name.registry, |at| now.is_within(PATIENCE, at))
            {
                return Err(why);
            }
        }
        self.ask(name, &base.platform).map_err(|error| error.of_host())
    }

    /// Asks the registry, whatever is remembered, and remembers the answer.
    ///
    /// # Errors
    /// When the registry does not say: that is not an absence.
    pub fn ask(&self, name: &Reference, platform: &str) -> Result<Option<String>, RegistryError> {
        let answer = self.registry.platform(name, platform);
        let mut memory = self.memory.lock();
        match &answer {
            Ok(Some(found)) => memory.record(name, platform, &found.digest, self.lookups.now),
            Ok(None) => memory.absent(name, platform),
            Err(error @ RegistryError::Unreachable { .. }) => {
                memory.record_unavailable(&name.registry, &error.of_host(), self.lookups.now);
            }
            Err(_) => {}
        }
        answer.map(|found| found.map(|found| found.digest))
    }

    /// The state of a file on the web; what is known of it when its server does not say.
    /// `None` when nothing is, or when there is no such file: the build will say so.
    pub fn file(&self, url: &str) -> Option<String> {
        let (now, place) = (self.lookups.now, place_of(url));
        let holds = |at: UnixSeconds| now.is_within(TTL, at);
        {
            let memory = self.memory.lock();
            let (last, holding) = (memory.file(url, |_| true), memory.file(url, holds));
            if self.lookups.offline && holding.is_none() {
                self.doubts.doubt_address(url, NOT_ASKED);
            }
            if self.lookups.offline || (!self.lookups.anew && holding.is_some()) {
                return last;
            }
        }
        match self.registry.web(url) {
            Ok(state) => {
                self.memory.lock().saw_file(url, state.as_deref(), now);
                if state.is_none() {
                    const WHY: &str = "its server has no such file";
                    self.doubts.doubt_address(url, WHY);
                    let reference = format!("{}/{}", place.registry, place.repository);
                    let note = Note { reference, why: WHY.to_owned(), instead: Instead::Absent };
                    self.notes.lock().insert(note);
                }
                state
            }
            Err(error) => {
                let last = self.memory.lock().file(url, |_| true);
                let instead = if last.is_some() { Instead::LastKnown } else { Instead::Address };
                let reference = format!("{}/{}", place.registry, place.repository);
                self.doubts.doubt_address(url, error.of_file());
                self.notes.lock().insert(Note { reference, why: error.of_file(), instead });
                last
            }
        }
    }

    /// A base by its digest, with what its configuration brings.
    fn pinned(&self, engine: &dyn Engine, base: &OutsideBase, name: &Reference, digest: String) -> Outside {
        let known = self.memory.lock().configuration(&digest);
        let brings = known.or_else(|| {
            let exact = by_digest(name, &digest);
            let brings = match engine.inspect(&exact.to_string()) {
                Ok(Some(info)) => Some(brings(info)),
                _ if self.lookups.offline => {
                    self.doubts.doubt(base, NOT_ASKED);
                    None
                }
                _ => match configuration(&*self.registry, &exact) {
                    Ok(brings) => brings,
                    Err(error) => {
                        self.doubts.doubt(base, error.of_host());
                        self.note(name, error.of_host(), Instead::NoConfiguration);
                        None
                    }
                },
            };
            if let Some(brings) = &brings {
                self.memory.lock().learn(&digest, brings);
            }
            brings
        });
        Outside { exact: Exact::Digest(digest), brings }
    }

    fn note(&self, name: &Reference, why: String, instead: Instead) {
        self.notes.lock().insert(Note { reference: name.familiar(), why, instead });
    }
}

/// The names of the answers about some bases.
fn names(bases: &BTreeSet<OutsideBase>) -> BTreeSet<String> {
    let name =
        |base: &OutsideBase| Some(memory::key(&reference::parse(&base.reference).ok()?, &base.platform));
    bases.iter().filter_map(name).collect()
}

/// The image that an engine has, for what it is there.
fn here(info: Option<ImageInfo>) -> Outside {
    info.map_or_else(Outside::default, |info| Outside {
        exact: Exact::Local(info.manifest.clone().unwrap_or_else(|| info.id.0.clone())),
        brings: Some(brings(info)),
    })
}

fn brings(info: ImageInfo) -> Brings {
    Brings { triggers: info.onbuild, environment: info.environment }
}

/// The configuration of an image, read from its registry, as far as it concerns others. `None` when the image is gone
/// from there, or is of a kind without a configuration.
fn configuration(registry: &dyn Registry, exact: &Reference) -> Result<Option<Brings>, RegistryError> {
    let Some(manifest) = registry.manifest(exact)? else { return Ok(None) };
    let document: Option<Document> = serde_json::from_slice(&manifest.bytes).ok();
    let Some(entry) = document.and_then(|document| document.config) else { return Ok(None) };
    Ok(Some(brought(&registry.blob(exact, &entry.digest)?)))
}

/// The triggers and the environment in a configuration.
fn brought(configuration: &[u8]) -> Brings {
    let image: Value = serde_json::from_slice(configuration).unwrap_or_default();
    let texts = |key: &str| -> Vec<String> {
        let list = image["config"][key].as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let environment = texts("Env").iter().filter_map(|pair| pair.split_once('=')).map(owned).collect();
    Brings { triggers: texts("OnBuild"), environment }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests;
