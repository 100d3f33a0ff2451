//! A git repository, and what is remembered of its objects.
//!
//! Git's ids never change their meaning, so nothing here is ever forgotten or
//! asked twice. Knows no commits: which tree is meant is for the caller to say.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use git2::{ObjectType, Oid, Repository};
use parking_lot::Mutex;

use super::memory::Memory;
use super::module_source::ModuleSource;
use super::modules;
use super::opening::{self, Opened};
use crate::model::file::{FileKind, UsedFiles};
use crate::model::hash::ContentHash;
use crate::source::folders::FolderListing;
use crate::source::recipe_name::is_recipe;
use crate::source::tree::{ReadError, Selected};
use crate::state::folder::StateFolder;
use crate::state::place::STATE;

/// A git repository, and what was learned of its objects.
pub struct GitStore {
    pub(super) repository: Mutex<Repository>,
    /// Goes when nobody reads the repository any more.
    _stand_in: Option<tempfile::TempDir>,
    /// An index in full, where the repository's own is of a format that only git reads.
    _index: Option<tempfile::NamedTempFile>,
    /// The repository's root below the top of git's work tree.
    pub(super) below: String,
    pub(super) listings: Mutex<HashMap<Oid, Arc<Listing>>>,
    pub(super) blobs: Mutex<HashMap<Oid, (ContentHash, u64)>>,
    pub(super) texts: Mutex<HashMap<Oid, Arc<[u8]>>>,
    pub(super) answers: Mutex<HashMap<ContentHash, Result<Selected, ReadError>>>,
    /// The latest piece of a whole context, by question and name: see `pieces.rs`.
    pub(super) pieces: Mutex<HashMap<(ContentHash, Vec<u8>), Piece>>,
    pub(super) recipes: Mutex<HashMap<Oid, Arc<[String]>>>,
    /// The recipes of the trees that were asked about as a whole.
    asked_recipes: Mutex<HashMap<Oid, Arc<[String]>>>,
    /// The knowledge of earlier processes, for those who keep it.
    pub(super) memory: Option<Memory>,
    /// Set once a submodule was met: the objects of all that are here were lent to the repository.
    modules: OnceLock<()>,
    /// Fetches those that are not here, where that is wanted.
    pub(super) module_source: OnceLock<ModuleSource>,
    /// The trees of those that were to be fetched, by their commits, or why there is none.
    pub(super) fetched: Mutex<HashMap<Oid, Result<Oid, String>>>,
    /// A submodule was met whose commit is not here: what is said of a tree holds for this process alone.
    has_holes: AtomicBool,
    /// Files of the work tree that cannot be read, by the ids of what stands for them: path and reason.
    pub(super) unreadable: Mutex<HashMap<Oid, ReadError>>,
}

/// One of git's trees, its names in the order of their bytes.
#[derive(Debug)]
pub struct Listing {
    pub(super) id: Oid,
    pub(super) entries: Vec<Entry>,
    /// It is a submodule whose commit is not here, so nobody knows what is in it. Its id is that commit's.
    pub(super) is_absent: bool,
}

/// A name in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: FileKind,
    /// Permission bits as a checkout makes them.
    pub(super) mode: u32,
    pub(super) id: Oid,
    /// A submodule whose commit is not here; its id is that commit's. One that is here is a folder like others.
    pub(super) is_absent: bool,
}

/// The files below a name of a context, as of this entry.
pub(super) struct Piece {
    pub(super) entry: Entry,
    pub(super) files: Result<Arc<UsedFiles>, ReadError>,
}

impl GitStore {
    /// Opens the git repository around `root`. A bare one will do.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(root: &Path) -> Result<Arc<Self>, ReadError> {
        Self::at(root, opening::open(root, None), None)
    }

    /// As [`Self::open`]; `None` when there is no repository, which is no error.
    ///
    /// # Errors
    /// When there is one that cannot be opened.
    pub fn find(root: &Path) -> Result<Option<Arc<Self>>, ReadError> {
        let is_there = || root.ancestors().any(|folder| folder.join(".git").exists());
        match Self::open(root) {
            Ok(store) => Ok(Some(store)),
            Err(error) => {
                if is_there() {
                    Err(error)
                } else {
                    Ok(None)
                }
            }
        }
    }

    /// Opens a bare repository, and no other around it.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn bare(path: &Path) -> Result<Arc<Self>, ReadError> {
        Self::at(path, Repository::open_bare(path).map(Opened::from), None)
    }

    /// Opens it with what earlier processes kept in `state`. `git_dir` is git's own folder where
    /// that is known, as hooks are told it; else the repository around `root` is meant.
    ///
    /// # Errors
    /// When there is none.
    pub fn remembering(
        root: &Path,
        state: StateFolder,
        git_dir: Option<&Path>,
    ) -> Result<Arc<Self>, ReadError> {
        Self::at(root, opening::open(root, git_dir), Some(Memory::read(state)))
    }

    fn at(
        root: &Path,
        opened: Result<Opened, git2::Error>,
        memory: Option<Memory>,
    ) -> Result<Arc<Self>, ReadError> {
        let told = |error: git2::Error| ReadError {
            path: root.display().to_string(),
            why: format!("git says: {}", error.message()),
        };
        let Opened { repository, stand_in, .. } = opened.map_err(told)?;
        // Who needs none is not stopped by one that nobody reads.
        let index = opening::full_index(&repository).ok().flatten();
        let below = repository.workdir().and_then(|top| {
            let (top, root) = (top.canonicalize().ok()?, root.canonicalize().ok()?);
            root.strip_prefix(top).ok()?.to_str().map(str::to_owned)
        });
        Ok(Arc::new(Self {
            repository: Mutex::new(repository),
            _stand_in: stand_in,
            _index: index,
            below: below.unwrap_or_default(),
            listings: Mutex::default(),
            blobs: Mutex::default(),
            texts: Mutex::default(),
            answers: Mutex::default(),
            pieces: Mutex::default(),
            recipes: Mutex::default(),
            asked_recipes: Mutex::default(),
            memory,
            modules: OnceLock::new(),
            module_source: OnceLock::new(),
            fetched: Mutex::default(),
            has_holes: AtomicBool::new(false),
            unreadable: Mutex::default(),
        }))
    }

    /// Whether git is told to look at no modes here.
    pub fn ignores_modes(&self) -> bool {
        let config = self.repository.lock().config();
        config.and_then(|config| config.get_bool("core.filemode")).is_ok_and(|looks| !looks)
    }

    /// Whether a checkout here makes symbolic links.
    pub(super) fn has_links(&self) -> bool {
        let config = self.repository.lock().config();
        config.and_then(|config| config.get_bool("core.symlinks")).unwrap_or(true)
    }

    /// A setting of git's configuration, wherever it is made.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.repository.lock().config().ok()?.get_string(name).ok()
    }

    /// Keeps what was learned for the next process, where that is wanted.
    ///
    /// # Errors
    /// When it cannot be written; nothing but time is lost.
    pub fn save(&self) -> std::io::Result<()> {
        let Some(memory) = self.memory.as_ref().filter(|_| !self.has_holes.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        let (answers, recipes, blobs) = (self.answers.lock(), self.asked_recipes.lock(), self.blobs.lock());
        let answers = answers.iter().filter_map(|(key, answer)| Some((*key, answer.as_ref().ok()?)));
        memory.save(answers, recipes.iter().map(|(id, paths)| (*id, &**paths)), &blobs)
    }

    /// Where the repository came from, without anybody's name or password; `None` when it was made here.
    pub fn upstream_url(&self) -> Option<String> {
        let repository = self.repository.lock();
        let remote = repository.find_remote("origin").ok()?;
        let url = remote.url().ok()?;
        match url.split_once("://") {
            Some((scheme, rest)) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = host.rsplit('@').next().unwrap_or(host);
                Some(format!("{scheme}://{host}/{path}"))
            }
            None => Some(url.to_owned()),
        }
    }

    pub(super) fn listing(&self, id: Oid) -> Result<Arc<Listing>, git2::Error> {
        if let Some(known) = self.listings.lock().get(&id) {
            return Ok(Arc::clone(known));
        }
        let mut entries: Vec<Entry> = {
            let repository = self.repository.lock();
            let tree = repository.find_tree(id)?;
            if let Some(entry) = tree.iter().find(|entry| !can_be_checked_out(entry.name_bytes())) {
                let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
                return Err(git2::Error::from_str(&format!(
                    "the tree {id} has an entry {name:?}, which no checkout can have; `git fsck` tells more"
                )));
            }
            tree.iter()
                // imk's own state counts nowhere, were it ever so committed.
                .filter(|entry| entry.name_bytes() != STATE.as_bytes())
                .map(|entry| {
                    let is_module = entry.kind() == Some(ObjectType::Commit);
                    let here = is_module.then(|| self.module_tree(&repository, entry.id()));
                    let (kind, mode) = match entry.filemode() & 0o170_000 {
                        0o040_000 | 0o160_000 => (FileKind::Folder, 0o755),
                        0o120_000 => (FileKind::Link, 0),
                        _ if entry.filemode() & 0o100 != 0 => (FileKind::File, 0o755),
                        _ => (FileKind::File, 0o644),
                    };
                    let id = here.flatten().unwrap_or(entry.id());
                    let is_absent = here == Some(None);
                    Entry { name: entry.name_bytes().to_owned(), kind, mode, id, is_absent }
                })
                .collect()
        };
        // Git sorts a folder as if its name ended with `/`.
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let listing = Arc::new(Listing { id, entries, is_absent: false });
        self.listings.lock().insert(id, Arc::clone(&listing));
        Ok(listing)
    }

    /// The tree of a submodule's commit, if that is here.
    fn module_tree(&self, repository: &Repository, commit: Oid) -> Option<Oid> {
        let tree = || repository.find_commit(commit).ok().map(|commit| commit.tree_id());
        let found = tree().or_else(|| {
            self.modules.get_or_init(|| modules::share_objects(repository));
            tree()
        });
        if found.is_none() {
            self.has_holes.store(true, Ordering::Relaxed);
        }
        found
    }

    pub(super) fn folder_of(&self, entry: &Entry) -> Result<Arc<Listing>, git2::Error> {
        match entry.is_absent {
            true => Ok(Arc::new(Listing { id: entry.id, entries: Vec::new(), is_absent: true })),
            false => self.listing(entry.id),
        }
    }

    pub(super) fn blob(&self, id: Oid) -> Result<Vec<u8>, git2::Error> {
        let repository = self.repository.lock();
        Ok(repository.odb()?.read(id)?.data().to_owned())
    }

    /// Content hash and size of a blob.
    pub(super) fn blob_hash(&self, id: Oid) -> Result<(ContentHash, u64), git2::Error> {
        if let Some(known) = self.blobs.lock().get(&id) {
            return Ok(*known);
        }
        let found = match self.memory.as_ref().and_then(|memory| memory.blob(id)) {
            Some(known) => known,
            None => {
                let bytes = self.blob(id)?;
                (ContentHash::of(&bytes), bytes.len() as u64)
            }
        };
        self.blobs.lock().insert(id, found);
        Ok(found)
    }

    /// As [`Self::recipes`], remembered from one process to the next.
    pub(super) fn recipes_of(&self, listing: &Listing) -> Result<Arc<[String]>, git2::Error> {
        let known = self.memory.as_ref().and_then(|memory| memory.recipes(listing.id));
        let found = known.map_or_else(|| self.recipes(listing), |known| Ok(known.into()))?;
        self.asked_recipes.lock().insert(listing.id, Arc::clone(&found));
        Ok(found)
    }

    /// Names below a tree that a recipe can have.
    pub(super) fn recipes(&self, listing: &Listing) -> Result<Arc<[String]>, git2::Error> {
        if let Some(known) = self.recipes.lock().get(&listing.id) {
            return Ok(Arc::clone(known));
        }
        let mut found = Vec::new();
        for entry in &listing.entries {
            let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
            if entry.kind != FileKind::Folder && is_recipe(name) {
                found.push(name.to_owned());
            } else if entry.kind == FileKind::Folder && !entry.is_absent {
                let inner = self.recipes(&*self.listing(entry.id)?)?;
                found.extend(inner.iter().map(|path| format!("{name}/{path}")));
            }
        }
        let found: Arc<[String]> = found.into();
        self.recipes.lock().insert(listing.id, Arc::clone(&found));
        Ok(found)
    }
}

/// Whether git would make a file of that name. Objects are anybody's: a name that leads out of its folder would
/// lead out of the context.
fn can_be_checked_out(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.eq_ignore_ascii_case(b".git") && !name.contains(&b'/')
}

/// Git keeps neither permissions nor times of folders.
impl FolderListing for Listing {
    fn count(&self) -> usize {
        self.entries.len()
    }
    fn name(&self, index: usize) -> (&[u8], FileKind) {
        (&self.entries[index].name, self.entries[index].kind)
    }
    fn mode_and_mtime(&self) -> (u32, i64) {
        (0o755, 0)
    }
}

impl Listing {
    pub(super) fn find(&self, name: &[u8]) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.name.as_slice().cmp(name)).ok()?;
        self.entries.get(at)
    }
}
