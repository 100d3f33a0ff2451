//! One commit's files as git keeps them: folders, and what stands at the end of a path.
//!
//! Follows links inside the tree and no further. Knows no selection.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use git2::Oid;

use super::fetcher::Fetcher;
use super::store::{Entry, GitStore, Listing};
use crate::model::file::FileKind;
use crate::model::hash::ContentHash;
use crate::model::name::join;
use crate::source::folders::{Facts, ListError};
use crate::source::tree::ReadError;

/// More links than this on one way are a loop, as Linux counts.
const MOST_LINKS: usize = 40;

/// The end of a way.
pub(super) enum Node {
    Folder(Arc<Listing>),
    Leaf(Entry),
}

/// The repository's files as of one commit.
#[derive(Clone)]
pub struct GitTree {
    pub(super) store: Arc<GitStore>,
    pub(super) top: Arc<Listing>,
    /// The tree of the whole commit, and the path of `top` in it.
    pub(super) root: Oid,
    pub(super) at: String,
    /// A submodule whose commit is not here is fetched, or an error to whoever reads in it.
    pub(super) is_strict: bool,
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

pub(super) fn error(trouble: ListError) -> ReadError {
    match trouble {
        ListError::Read(error) => error,
        ListError::Moved(path) => ReadError { path, why: "there is no such file or folder".into() },
    }
}

pub(super) fn unreadable(path: &str, error: &git2::Error) -> ReadError {
    ReadError { path: path.to_owned(), why: format!("git says: {}", error.message()) }
}

impl GitTree {
    /// Git's id of the tree.
    pub fn id(&self) -> &[u8] {
        self.top.id.as_bytes()
    }

    /// The same, to build from: a submodule whose commit is not here is fetched, or an error to whoever reads in it.
    pub fn strict(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// From now on, submodules that are not here are fetched when somebody builds from a commit of this repository.
    pub fn fetch_modules(&self, fetcher: Fetcher, offline: bool) {
        self.store.fetch_own_modules(fetcher, offline);
    }

    /// The tree of a folder below; `None` when no folder is there.
    ///
    /// # Errors
    /// When git cannot read one of its trees.
    pub fn below(&self, path: &str) -> Result<Option<Self>, ReadError> {
        Ok(match self.walk(path)? {
            Some(Node::Folder(top)) => Some(Self { top, at: join(&self.at, path), ..self.clone() }),
            _ => None,
        })
    }

    /// A folder that is a submodule without its files, with its files where somebody builds from it.
    ///
    /// # Errors
    /// When they are not here, and cannot be fetched.
    fn filled(&self, names: &[String], listing: &Arc<Listing>) -> Result<Arc<Listing>, ReadError> {
        if !(listing.is_absent && self.is_strict) {
            return Ok(Arc::clone(listing));
        }
        let path = names.join("/");
        match self.store.module(self.root, &join(&self.at, &path), listing.id) {
            Ok(tree) => self.store.listing(tree).map_err(|error| unreadable(&path, &error)),
            Err(why) => {
                let commit = &listing.id.to_string()[..12];
                let why = format!("it is a submodule, whose commit {commit} is not here: {why}");
                Err(ReadError { path, why })
            }
        }
    }

    /// The node at a path once links are followed.
    pub(super) fn walk(&self, path: &str) -> Result<Option<Node>, ReadError> {
        Ok(self.walk_named(path)?.map(|(node, _)| node))
    }

    /// As [`Self::walk`], with the names of the folders on the way there.
    fn walk_named(&self, path: &str) -> Result<Option<(Node, Vec<String>)>, ReadError> {
        let error = |error| unreadable(path, &error);
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut way = vec![Arc::clone(&self.top)];
        let mut names: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part.is_empty() || part == "." {
                continue;
            }
            if part == ".." {
                way.pop();
                names.pop();
                if way.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            let Some(last) = way.last_mut() else { return Ok(None) };
            *last = self.filled(&names, last)?;
            let here = &*last;
            let Some(entry) = here.find(part.as_bytes()) else { return Ok(None) };
            match entry.kind {
                FileKind::Folder => {
                    let next = self.store.folder_of(entry).map_err(error)?;
                    way.push(next);
                    names.push(part);
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
                    return Ok(rest.is_empty().then(|| (Node::Leaf(entry.clone()), names)));
                }
            }
        }
        Ok(way.pop().map(|listing| (Node::Folder(listing), names)))
    }

    pub(super) fn facts(&self, folder: &Listing, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        let fact = |index: &u32| {
            let entry = &folder.entries[*index as usize];
            let name = || String::from_utf8_lossy(&entry.name).into_owned();
            let error = |error: git2::Error| ListError::Read(unreadable(&name(), &error));
            if entry.kind == FileKind::Link {
                let target = self.store.blob(entry.id).map_err(error)?;
                let hash = ContentHash::of(&target);
                let target = String::from_utf8_lossy(&target).into();
                return Ok(Facts { mode: 0, size_bytes: 0, mtime_ns: 0, hash, target });
            }
            if let Some(error) = self.store.unreadable.lock().get(&entry.id) {
                return Err(ListError::Read(error.clone()));
            }
            let (hash, size_bytes) = self.store.blob_hash(entry.id).map_err(error)?;
            Ok(Facts { mode: entry.mode, size_bytes, mtime_ns: 0, hash, target: "".into() })
        };
        indexes.iter().map(fact).collect()
    }

    pub(super) fn folder(&self, path: &str) -> Result<Arc<Listing>, ListError> {
        match self.walk_named(path).map_err(ListError::Read)? {
            Some((Node::Folder(listing), names)) => self.filled(&names, &listing).map_err(ListError::Read),
            Some((Node::Leaf(_), _)) => Err(ListError::read(path, "it is not a folder")),
            None => Err(ListError::read(path, "there is no such folder")),
        }
    }
}
