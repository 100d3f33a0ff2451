//! One repository, opened: its project, its state and its database.
//!
//! Knows where state lives and how it is loaded and saved. What the inputs are
//! is `sync.rs`; what is built is `run.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::{Cancel, Engine, NoEngine};
use crate::exec::executor::Executor;
use crate::exec::remote_cache::RemoteCache;
use crate::model::hash::{ContentHash, FieldHasher};
use crate::query::ImkDb;
use crate::query::effect::Effect;
use crate::query::inputs::{Image, Workspace};
use crate::query::snapshot::{self, Memory};
use crate::registry::Registry;
use crate::session::git_sources::GitSources;
use crate::session::project::{self, Overrides, Project, ProjectError};
use crate::session::upstream::{LookupOptions, Upstream};
use crate::source::locate::Located;
use crate::source::outside;
use crate::source::tree::{ReadError, SourceTree};
use crate::state::evidence::EvidenceStore;
use crate::state::folder::StateFolder;
use crate::state::ledger::Ledger;
use crate::state::lock::Lock;
pub use crate::state::place::STATE;

/// How many builds of an image can be explained.
const EXPLAINED: usize = 5;

/// The arguments of an opened session.
pub struct Opening {
    /// The repository.
    pub located: Located,
    /// Additions of the caller to its Imagefile.
    pub overrides: Overrides,
    /// The engine; nothing is asked of it yet.
    pub engine: Arc<dyn Engine>,
    /// The registries; nothing is asked of them yet.
    pub registry: Arc<dyn Registry>,
    /// How they are asked.
    pub lookups: LookupOptions,
    /// The repository's files.
    pub tree: Arc<dyn SourceTree>,
    /// Set to stop.
    pub cancel: Cancel,
    /// The process's environment: what secrets may come from.
    pub environment: BTreeMap<OsString, OsString>,
    /// The folder of its state.
    pub state: StateFolder,
    /// Take turns with other builders. Verbs that only look do not wait.
    pub exclusive: bool,
}

/// The legacy of one session to the next of the same process, so that nothing is loaded again.
pub struct Kept {
    db: ImkDb,
    memory: Memory,
    changed: bool,
    editing: bool,
}

/// Why a session could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The Imagefile or the Dockerfiles.
    Project(ProjectError),
    /// imk's own state, in which folder. The error says what was attempted on what.
    State { path: PathBuf, why: std::io::Error },
}

/// An opened repository.
pub struct Session {
    /// Its images.
    pub project: Project,
    /// Engine, ledger and files.
    pub executor: Arc<Executor>,
    /// The bases outside the repository.
    pub upstream: Arc<Upstream>,
    pub(crate) db: ImkDb,
    pub(crate) memory: Memory,
    /// Whether an input was set since the snapshot was loaded.
    pub(crate) changed: bool,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    /// Additions of the caller to the Imagefile.
    pub(crate) overrides: Overrides,
    /// The stage to build of the targets, whatever they declare.
    pub(crate) target: Option<String>,
    /// Other repositories, as far as images use them.
    pub(crate) git_sources: GitSources,
    /// The images that words can mean at all, when that is narrowed: those that changed since some commit.
    pub only: Option<BTreeSet<String>>,
    /// The folder below the root where words that are paths begin.
    pub here: String,
    /// True if somebody edits meanwhile: files that editors leave for a moment do not exist then.
    pub(crate) editing: bool,
    state: StateFolder,
    lock: Option<Lock>,
}

/// The variable that says that an Imagefile's author is a stranger.
const STRANGER: &str = "IMK_STRANGER";

impl Session {
    /// Whether the author of the checkout is a stranger to whoever runs imk, as `IMK_STRANGER` says. Nothing of his reaches
    /// beyond the checkout then, also where building and testing trust him otherwise: secrets, keys and scripts.
    pub fn is_of_stranger(&self) -> bool {
        let said = self.environment.get(OsStr::new(STRANGER)).and_then(|value| value.to_str());
        !matches!(said, None | Some("" | "0" | "false" | "no" | "off"))
    }

    /// Opens a repository. `discover` finds Dockerfiles where there is no
    /// Imagefile; `waiting` is told who holds the lock.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        opening: Opening,
        discover: impl FnOnce() -> Result<Vec<String>, ReadError>,
        waiting: impl FnOnce(&str),
    ) -> Result<Self, OpenError> {
        Self::open_with(opening, discover, waiting, &mut None)
    }

    /// Opens it with what an earlier session [left](Self::leave). That stays where it is on an error.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(
        opening: Opening,
        discover: impl FnOnce() -> Result<Vec<String>, ReadError>,
        waiting: impl FnOnce(&str),
        kept: &mut Option<Kept>,
    ) -> Result<Self, OpenError> {
        let Opening {
            located,
            overrides,
            engine,
            registry,
            lookups,
            tree,
            cancel,
            environment,
            state,
            exclusive,
        } = opening;
        let project = project::read(&located, &*tree, discover, &overrides).map_err(OpenError::Project)?;
        let trouble = |why| OpenError::State { path: state.path().unwrap_or_default(), why };
        let lock = if exclusive {
            Some(Lock::take(&state, || cancel.is_cancelled(), waiting).map_err(trouble)?)
        } else {
            None
        };
        let git_sources = GitSources::new(&located.root, &state, &environment, lookups.offline, tree);
        // Without the lock somebody else may be writing to the file, and it stays as it is.
        let ledger = if exclusive { Ledger::open(&state) } else { Ledger::open_read_only(&state) };
        let ledger = Arc::new(ledger.map_err(trouble)?);
        let evidence = EvidenceStore::new(state.sub("evidence"));
        let repositories = project::repositories(&project);
        let remote_cache =
            RemoteCache::new(Arc::clone(&registry), repositories, &project.content_tag, lookups.offline);
        let executor =
            Arc::new(Executor::new(engine, ledger, evidence, git_sources.tree(), remote_cache, cancel));
        let kept = kept.take().unwrap_or_else(|| {
            let effect: Arc<dyn Effect> = executor.clone();
            let (db, memory) = snapshot::load(&state, &effect);
            Kept { db, memory, changed: false, editing: false }
        });
        let Kept { db, memory, changed, editing } = kept;
        let db = db.with_effect(Arc::clone(&executor) as Arc<dyn Effect>);
        let target = overrides.target.clone();
        let (lock_file, locked) = (project.lock.clone(), lookups.locked);
        let upstream = Upstream::new(registry, lock_file.clone(), lookups, state.clone());
        let upstream = upstream.beside(Arc::clone(&executor.ledger)).among(Arc::clone(&executor.tree));
        let upstream = Arc::new(upstream);
        let mut session = Self {
            project,
            executor,
            upstream,
            db,
            memory,
            changed,
            environment,
            overrides,
            target,
            git_sources,
            only: None,
            here: String::new(),
            editing,
            state,
            lock,
        };
        session.git_sources.pin_locked(&session.project, &lock_file, locked);
        Ok(session)
    }

    /// A session without state: nothing was built, nothing is kept, no engine is
    /// asked. For looks at what might be.
    pub(crate) fn detached(located: &Located, tree: Arc<dyn SourceTree>) -> Self {
        let state = StateFolder::nowhere("this is only looked at");
        let git_sources = GitSources::new(&located.root, &state, &BTreeMap::new(), true, tree);
        let evidence = EvidenceStore::new(state.clone());
        let ledger = Arc::new(Ledger::empty());
        let upstream = Upstream::offline().among(git_sources.tree());
        let remote_cache = RemoteCache::new(Arc::clone(upstream.registry()), BTreeMap::new(), "", true);
        let (engine, cancel) = (Arc::new(NoEngine), Cancel::default());
        let executor =
            Arc::new(Executor::new(engine, ledger, evidence, git_sources.tree(), remote_cache, cancel));
        Self {
            environment: BTreeMap::new(),
            overrides: Overrides::default(),
            target: None,
            only: None,
            here: String::new(),
            project: Project { root: located.root.clone(), ..Project::default() },
            db: ImkDb::new(Arc::clone(&executor) as Arc<dyn Effect>),
            executor,
            upstream: Arc::new(upstream),
            memory: Memory::default(),
            changed: false,
            git_sources,
            editing: false,
            state,
            lock: None,
        }
    }

    /// Ends the session, and its lock, and leaves its database to the next one.
    pub fn leave(self) -> Kept {
        Kept { db: self.db, memory: self.memory, changed: self.changed, editing: self.editing }
    }

    /// From now on, and for those that follow, what editors leave for a moment does not exist.
    pub fn look_past_editors(&mut self) {
        self.editing = true;
    }

    /// The folder of this repository's state.
    pub fn state(&self) -> &StateFolder {
        &self.state
    }

    /// Goes on as if nothing had been remembered: with an empty database.
    pub fn start_over(&mut self) {
        self.db = ImkDb::new(Arc::clone(&self.executor) as Arc<dyn Effect>);
        self.memory = Memory::default();
    }

    /// Whether other builders wait for this session.
    pub fn is_exclusive(&self) -> bool {
        self.lock.is_some()
    }

    pub(crate) fn image(&self, name: &str) -> Option<Image> {
        self.workspace().images(&self.db).get(name).copied()
    }

    /// The engine whose results count, by its id.
    pub fn engine(&self) -> String {
        self.workspace().engine(&self.db).to_owned()
    }

    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::get(&self.db)
    }

    /// The input that stands for an image, to ask queries of.
    pub fn input(&self, name: &str) -> Option<Image> {
        self.image(name)
    }

    /// The database, to ask pure questions of.
    pub fn db(&self) -> &ImkDb {
        &self.db
    }

    /// Stands for this repository of this user to the engine's cache of sent files.
    pub(crate) fn share(&self) -> String {
        let user = rustix::process::getuid().as_raw();
        let root = self.project.root.to_string_lossy().into_owned();
        let hash: ContentHash =
            FieldHasher::new("imk repository v1").number(u64::from(user)).field(root).finish();
        hash.to_string()
    }

    /// Marks the names that this repository gives for a moment. Containers that use one engine may
    /// each have a folder of the same name, so that of the machine counts.
    pub(crate) fn nonce(&self) -> String {
        let host = rustix::system::uname();
        let hash =
            FieldHasher::new("imk nonce v1").field(self.share()).field(host.nodename().to_bytes()).finish();
        format!("-{}", hash.short(12))
    }

    /// Stands for this repository on this machine and no other: another machine may have a folder of the
    /// same name, and a user of the same number.
    pub(crate) fn machine(&self) -> String {
        let uname = rustix::system::uname();
        let boot = outside::read(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default();
        let state = self.state.path().unwrap_or_default().into_os_string();
        let mut machine = FieldHasher::new("imk machine v1");
        machine
            .field(self.share())
            .field(state.as_encoded_bytes())
            .field(boot)
            .field(uname.nodename().to_bytes());
        machine.finish().to_string()
    }

    /// Writes what the next process can use. A no-op writes nothing.
    ///
    /// # Errors
    /// When something cannot be written; nothing but time is lost.
    pub fn save(&mut self) -> std::io::Result<()> {
        self.state.make()?;
        self.executor.tree.save()?;
        self.upstream.save()?;
        let identity = self.executor.default_engine().cached_identity();
        if identity.is_some() && identity != self.memory.default_identity {
            self.memory.default_identity = identity;
            self.changed = true;
        }
        if self.changed || self.db.computed_anything() {
            snapshot::save(&self.state, &mut self.db, &self.memory)?;
            self.changed = false;
            let recent = self.executor.ledger.recent(EXPLAINED);
            let room = 2 * EXPLAINED * self.project.images.len();
            self.executor.evidence.prune(room, |key| recent.contains(key));
        }
        Ok(())
    }

    /// The texts that problems point into, by path.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = self.executor.tree.read(path).ok()??;
        String::from_utf8(bytes).ok()
    }
}
