//! The files of a commit, read from git's own objects: nothing is checked out.
//!
//! A [`GitStore`] is one repository and remembers what never changes: listings by
//! tree id, content hashes by blob id, answers by the trees they were read
//! from. A [`GitTree`] is one commit of it. So three hundred commits read each
//! blob once, and what a commit left alone is not walked again. Knows no disk:
//! a link that leads out of the repository leads nowhere.
//!
//! Git keeps less than a disk does. A file is 0644 or 0755 and a folder 0755, as
//! a checkout under the umask 022 makes them; under another umask the same
//! commit has other modes on the disk, and so other keys. Submodules are empty
//! folders; files that git does not track, filters (`eol`, LFS) and `.git`
//! itself do not exist here.

pub mod changes;
pub mod credentials;
pub mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod head;
pub mod heads;
pub mod history;
pub mod hooks;
mod keep;
mod memory;
pub mod old;
pub mod origin;
mod pieces;
mod program;
pub mod pushed;
pub mod remote;
mod store;
mod worktree;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use git2::Oid;
use rayon::prelude::*;

use super::answer;
use super::disk;
use super::locate::{IMAGEFILE, Located};
use super::select::{self, Facts, Folders, Trouble, join};
use super::tree::{ReadError, Selected, Selection, SourceTree};
use crate::model::file::{FileKind, UsedFiles};
use crate::model::hash::{ContentHash, FieldHasher};
use crate::syntax::glob;

pub use store::GitStore;
use store::{Entry, Listing};

/// More links than this on one way are a loop, as Linux counts.
const MOST_LINKS: usize = 40;

/// What stands at the end of a way.
enum Node {
    Folder(Arc<Listing>),
    Leaf(Entry),
}

/// The repository's files as of one commit.
#[derive(Clone)]
pub struct GitTree {
    store: Arc<GitStore>,
    top: Arc<Listing>,
}

/// Git's id says all of a tree, wherever it was read.
impl PartialEq for GitTree {
    fn eq(&self, other: &Self) -> bool {
        self.top.id == other.top.id
    }
}

impl Eq for GitTree {}

impl Hash for GitTree {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.top.id.hash(state);
    }
}

impl fmt::Debug for GitTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitTree({})", self.top.id)
    }
}

impl GitTree {
    /// Git's id of the tree.
    pub fn id(&self) -> &[u8] {
        self.top.id.as_bytes()
    }

    /// The tree of a folder below; `None` when no folder is there.
    ///
    /// # Errors
    /// When git cannot read one of its trees.
    pub fn below(&self, path: &str) -> Result<Option<Self>, ReadError> {
        Ok(match self.walk(path)? {
            Some(Node::Folder(top)) => Some(Self { store: Arc::clone(&self.store), top }),
            _ => None,
        })
    }

    /// Paths of all recipes of the commit, sorted: what discovery finds in a fresh checkout.
    ///
    /// # Errors
    /// When git cannot read one of its trees.
    pub fn recipes(&self) -> Result<Vec<String>, ReadError> {
        let found = self.store.recipes_of(&self.top).map_err(|error| unreadable("", &error))?;
        let mut recipes = Vec::new();
        for path in found.iter() {
            if matches!(self.walk(path)?, Some(Node::Leaf(_))) {
                recipes.push(path.clone());
            }
        }
        recipes.sort();
        Ok(recipes)
    }

    /// Whether this commit has an Imagefile. One that the work tree has and the
    /// commit has not means discovery; so does a folder that somebody `named`.
    ///
    /// # Errors
    /// When git cannot read one of its trees.
    pub fn located(&self, now: &Located, named: bool) -> Result<Located, ReadError> {
        let imagefile = match &now.imagefile {
            None if named => None,
            None => Some(IMAGEFILE.to_owned()),
            some => some.clone(),
        };
        let there = match &imagefile {
            Some(file) => matches!(self.walk(file)?, Some(Node::Leaf(_))),
            None => false,
        };
        Ok(Located { root: now.root.clone(), imagefile: imagefile.filter(|_| there) })
    }

    /// Tells two states of what a selection reads apart, as cheaply as can be:
    /// by git's own ids where nothing is left out. Not the hash of an answer.
    ///
    /// # Errors
    /// When something it reads cannot be read.
    pub fn fingerprint(&self, selection: &Selection) -> Result<ContentHash, ReadError> {
        let plain = selection.ignore.is_none()
            && selection.overlays.is_empty()
            && selection.reads.sources.iter().all(|source| {
                source.exclude.is_empty() && !source.parents && !glob::has_wildcards(&source.pattern)
            });
        match self.ways(selection)? {
            Some(ways) if plain => Ok(ways),
            _ => self.answer(selection).map(|selected| selected.hash),
        }
    }

    /// What stands at a path once links are followed.
    fn walk(&self, path: &str) -> Result<Option<Node>, ReadError> {
        let error = |error| unreadable(path, &error);
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut way = vec![Arc::clone(&self.top)];
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part.is_empty() || part == "." {
                continue;
            }
            if part == ".." {
                way.pop();
                if way.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            let Some(entry) = way.last().and_then(|here| here.find(part.as_bytes())) else { return Ok(None) };
            match entry.kind {
                FileKind::Folder => {
                    let next = self.store.folder_of(entry).map_err(error)?;
                    way.push(next);
                }
                FileKind::Link => {
                    links += 1;
                    let target = self.store.blob(entry.id).map_err(error)?;
                    let target = String::from_utf8_lossy(&target).into_owned();
                    if links > MOST_LINKS || target.starts_with('/') {
                        return Ok(None);
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                FileKind::File | FileKind::Special => {
                    return Ok(rest.is_empty().then(|| Node::Leaf(entry.clone())));
                }
            }
        }
        Ok(way.pop().map(Node::Folder))
    }

    /// What a selection starts from: the question, and git's ids at the places where its
    /// sources begin. `None` when a link is on the way, for that may lead anywhere.
    fn ways(&self, selection: &Selection) -> Result<Option<ContentHash>, ReadError> {
        let mut hasher = FieldHasher::new("imk git ways v1");
        hasher.field(disk::key(selection).0);
        for source in &selection.reads.sources {
            let start = match source.wildcard || source.parents {
                true => glob::static_prefix(&source.pattern),
                false => &source.pattern,
            };
            match self.straight(&join(&selection.root, start))? {
                Way::Link => return Ok(None),
                Way::Nothing => hasher.field("nothing"),
                Way::At(id, mode) => hasher.field(id.as_bytes()).number(mode.into()),
            };
        }
        Ok(Some(hasher.finish()))
    }

    fn straight(&self, path: &str) -> Result<Way, ReadError> {
        let mut here = Arc::clone(&self.top);
        let mut parts = path.split('/').filter(|part| !matches!(*part, "" | ".")).peekable();
        while let Some(part) = parts.next() {
            let Some(entry) = here.find(part.as_bytes()) else { return Ok(Way::Nothing) };
            match entry.kind {
                FileKind::Link => return Ok(Way::Link),
                FileKind::File | FileKind::Special if parts.peek().is_some() => return Ok(Way::Nothing),
                FileKind::File | FileKind::Special => return Ok(Way::At(entry.id, entry.mode)),
                FileKind::Folder => {
                    here = self.store.folder_of(entry).map_err(|error| unreadable(path, &error))?;
                }
            }
        }
        Ok(Way::At(here.id, 0o755))
    }

    fn answer(&self, selection: &Selection) -> Result<Selected, ReadError> {
        let everything = || {
            let mut hasher = FieldHasher::new("imk git top v1");
            hasher.field(disk::key(selection).0).field(self.top.id.as_bytes()).finish()
        };
        // An overlay shows any part of the commit at any place.
        let ways = if selection.overlays.is_empty() { self.ways(selection)? } else { None };
        let keys: Vec<ContentHash> = [ways, Some(everything())].into_iter().flatten().collect();
        {
            let answers = lock(&self.store.answers);
            if let Some(known) = keys.iter().find_map(|key| answers.get(key)) {
                return known.clone();
            }
        }
        let remembered = |key| Some((key, self.store.memory.as_ref()?.answer(&key)?));
        if let Some((key, known)) = keys.into_iter().find_map(remembered) {
            lock(&self.store.answers).insert(key, Ok(known.clone()));
            return Ok(known);
        }
        if !selection.overlays.is_empty() {
            let reading = Reading { tree: self, followed: AtomicBool::new(false) };
            let answer = answer::answer(&reading, selection).map_err(error);
            lock(&self.store.answers).insert(everything(), answer.clone());
            return answer;
        }
        if let [only] = selection.reads.sources.as_slice()
            && only.pattern.is_empty()
            && !only.parents
        {
            let answer = pieces::whole(self, selection);
            lock(&self.store.answers).insert(ways.unwrap_or_else(everything), answer.clone());
            return answer;
        }
        let reading = Reading { tree: self, followed: AtomicBool::new(false) };
        let picked = select::pick(&reading, selection).map_err(error);
        // A wildcard can meet a link that the ways do not show.
        let key = ways.filter(|_| !reading.followed.load(Ordering::Relaxed)).unwrap_or_else(everything);
        let answer = picked.and_then(|mut picked| {
            let missing = std::mem::take(&mut picked.missing);
            let files = select::look(&reading, &selection.root, picked).map_err(error)?;
            let bytes = files.files.iter().map(|file| file.size).sum();
            Ok(Selected { hash: files.hash(), missing, count: files.files.len() as u64, bytes })
        });
        lock(&self.store.answers).insert(key, answer.clone());
        answer
    }

    fn facts(&self, folder: &Listing, indexes: &[u32]) -> Result<Vec<Facts>, Trouble> {
        let fact = |index: &u32| {
            let entry = &folder.entries[*index as usize];
            let name = || String::from_utf8_lossy(&entry.name).into_owned();
            let error = |error: git2::Error| Trouble::Read(unreadable(&name(), &error));
            if entry.kind == FileKind::Link {
                let target = self.store.blob(entry.id).map_err(error)?;
                let hash = ContentHash::of(&target);
                let target = String::from_utf8_lossy(&target).into();
                return Ok(Facts { mode: 0, size: 0, mtime: 0, hash, target });
            }
            let (hash, size) = self.store.blob_hash(entry.id).map_err(error)?;
            Ok(Facts { mode: entry.mode, size, mtime: 0, hash, target: "".into() })
        };
        indexes.iter().map(fact).collect()
    }

    fn folder(&self, path: &str) -> Result<Arc<Listing>, Trouble> {
        match self.walk(path).map_err(Trouble::Read)? {
            Some(Node::Folder(listing)) => Ok(listing),
            Some(Node::Leaf(_)) => Err(Trouble::read(path, "it is not a folder")),
            None => Err(Trouble::read(path, "there is no such folder")),
        }
    }
}

/// What a way without links comes to.
enum Way {
    Nothing,
    Link,
    At(Oid, u32),
}

impl SourceTree for GitTree {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let entry = match self.walk(path)? {
            None => return Ok(None),
            Some(Node::Folder(_)) => {
                return Err(ReadError { path: path.to_owned(), why: "it is not a file".into() });
            }
            Some(Node::Leaf(entry)) => entry,
        };
        if let Some(known) = lock(&self.store.texts).get(&entry.id) {
            return Ok(Some(known.to_vec()));
        }
        let bytes = self.store.blob(entry.id).map_err(|error| unreadable(path, &error))?;
        lock(&self.store.texts).insert(entry.id, bytes.as_slice().into());
        Ok(Some(bytes))
    }

    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        Ok(matches!(self.walk(path)?, Some(Node::Folder(_))))
    }

    /// Keeps what was learned of git's objects, where [`GitStore::remembering`] opened them.
    fn save(&self) -> std::io::Result<()> {
        self.store.save()
    }

    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        let keys: Vec<ContentHash> = selections.iter().map(disk::key).collect();
        let asked: BTreeMap<ContentHash, &Selection> = keys.iter().copied().zip(selections).collect();
        let answers: BTreeMap<_, _> =
            asked.into_par_iter().map(|(key, selection)| (key, self.answer(selection))).collect();
        keys.iter().map(|key| answers[key].clone()).collect()
    }

    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        let reading = Reading { tree: self, followed: AtomicBool::new(false) };
        answer::list(&reading, selection).map_err(error)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        // What is sent is wanted once: it is not remembered as texts are.
        match self.walk(path)? {
            Some(Node::Leaf(entry)) => {
                let bytes = self.store.blob(entry.id).map_err(|error| unreadable(path, &error))?;
                Ok(Box::new(Cursor::new(bytes)))
            }
            _ => Err(ReadError { path: path.to_owned(), why: "there is no such file".into() }),
        }
    }
}

/// One answer being worked out.
struct Reading<'a> {
    tree: &'a GitTree,
    /// Whether a link was followed: picking asks for facts for nothing else.
    followed: AtomicBool,
}

impl Folders for Reading<'_> {
    type Folder = Arc<Listing>;

    fn context(&self, path: &str) -> Result<Arc<Listing>, Trouble> {
        self.tree.folder(path)
    }
    fn folder(&self, path: &str) -> Result<Arc<Listing>, Trouble> {
        self.tree.folder(path)
    }
    fn len(folder: &Arc<Listing>) -> usize {
        folder.entries.len()
    }
    fn name(folder: &Arc<Listing>, index: usize) -> (&[u8], FileKind) {
        (&folder.entries[index].name, folder.entries[index].kind)
    }
    fn mode_and_mtime(_: &Arc<Listing>) -> (u32, i64) {
        (0o755, 0)
    }
    fn facts(&self, folder: &Arc<Listing>, indexes: &[u32]) -> Result<Vec<Facts>, Trouble> {
        self.followed.store(true, Ordering::Relaxed);
        self.tree.facts(folder, indexes)
    }
}

fn error(trouble: Trouble) -> ReadError {
    match trouble {
        Trouble::Read(error) => error,
        Trouble::Moved(path) => ReadError { path, why: "there is no such file or folder".into() },
    }
}

fn unreadable(path: &str, error: &git2::Error) -> ReadError {
    ReadError { path: path.to_owned(), why: format!("git says: {}", error.message()) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
