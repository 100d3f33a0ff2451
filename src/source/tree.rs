//! The seam between imk and the files of a repository.
//!
//! One real side reads a disk through a stat cache, one reads a git tree, one
//! is a map in memory for tests. Callers never learn which.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::context_path;
use super::folders::{ListError, ListedFolder};
use crate::model::file::UsedFiles;
use crate::model::hash::ContentHash;
use crate::model::name::join;
use crate::syntax::glob::is_within;
use crate::syntax::reads::Reads;

pub use super::error::ReadError;

/// A question to a tree: which files of the context at `root` do these reads touch?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The context folder below the repository's root, `""` for the root itself.
    pub root: String,
    /// Text of the ignore file that governs the context, if there is one.
    pub ignore: Option<String>,
    /// The reads of the instructions.
    pub reads: Reads,
    /// The overlays of the context.
    pub overlays: Vec<Overlay>,
    /// Further contexts that the image reads, by name (`source/contexts`). A tree is asked for one at a time.
    pub named: BTreeMap<String, Self>,
}

impl Selection {
    /// Where a path of the context is below the repository's root; `None` in another repository's tree.
    pub fn place_of(&self, path: &str) -> Option<String> {
        if let (Some(name), rest) = context_path::place(path) {
            return self.named.get(name)?.place_of(rest);
        }
        match Overlay::over(&self.overlays, path) {
            None => Some(join(&self.root, path)),
            Some((Overlay { from: OverlaySide::Path(from), .. }, rest)) => Some(join(from, rest)),
            Some((Overlay { from: OverlaySide::Tree(_), .. }, _)) => None,
        }
    }
}

/// A side put at a path of a context.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Overlay {
    /// Where, below the context; `""` when the whole context is from elsewhere.
    pub at: String,
    /// Where its files come from.
    pub from: OverlaySide,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OverlaySide {
    /// A folder or file below the repository's root.
    Path(String),
    /// A tree of another repository.
    Tree(SharedTree),
}

impl Overlay {
    /// The overlay that a path of the context lies in, and the rest of the path.
    pub fn over<'a, 'b>(overlays: &'a [Self], path: &'b str) -> Option<(&'a Self, &'b str)> {
        let around = overlays.iter().filter(|overlay| is_within(path, &overlay.at));
        let nearest = around.max_by_key(|overlay| overlay.at.len())?;
        Some((nearest, path[nearest.at.len()..].trim_start_matches('/')))
    }
}

/// A tree that stands in another's context. It is known by its content and not by where it is from.
pub trait OverlayTree: SourceTree {
    /// Tells it from every other tree, wherever it was read.
    fn id(&self) -> &[u8];

    /// Lists a folder of it, which messages call `shown`.
    ///
    /// # Errors
    /// When it cannot be listed, or holds something that no image can be made of.
    fn listed(&self, path: &str, shown: &str) -> Result<Arc<dyn ListedFolder>, ListError>;
}

/// An [`OverlayTree`] that many selections share. Two with one id are the same.
#[derive(Clone)]
pub struct SharedTree(Arc<dyn OverlayTree>);

impl SharedTree {
    /// Shares a tree.
    pub fn new(tree: impl OverlayTree + 'static) -> Self {
        Self(Arc::new(tree))
    }
}

impl Deref for SharedTree {
    type Target = dyn OverlayTree;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for SharedTree {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for SharedTree {}

impl Hash for SharedTree {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for SharedTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedTree").field(&self.id()).finish()
    }
}

/// The answer to a [`Selection`]: what its files are, as one hash. The list
/// itself is made on demand, for a build or an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selected {
    /// [`UsedFiles::hash`] of the list.
    pub hash: ContentHash,
    /// Indexes into `reads.sources` of required sources that match nothing.
    pub missing: Vec<usize>,
    /// Indexes of wildcards that match nothing, and copy nothing in silence.
    pub empty: Vec<usize>,
    /// Number of files, folders and links.
    pub count: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
}

/// A file that is read in parts.
pub trait Seekable: std::io::Read + std::io::Seek + Send {}

impl<T: std::io::Read + std::io::Seek + Send> Seekable for T {}

/// The files of one repository at one moment.
pub trait SourceTree: Send + Sync {
    /// The content of a file; `None` when there is none at that path.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError>;

    /// Whether a file stands at that path that can be read.
    fn is_file(&self, path: &str) -> Result<bool, ReadError> {
        Ok(self.read(path)?.is_some())
    }

    /// Whether a folder stands at that path (`""` is the root).
    fn is_folder(&self, path: &str) -> Result<bool, ReadError>;

    /// Opens a file that may be long and is read in parts; `None` when there is none at that path. A side that has
    /// no files of its own holds it in memory.
    fn seekable(&self, path: &str) -> Result<Option<Box<dyn Seekable>>, ReadError> {
        Ok(self.read(path)?.map(|bytes| Box::new(std::io::Cursor::new(bytes)) as Box<dyn Seekable>))
    }

    /// Answers every selection, in order. Implementations answer them together,
    /// so that a file which several images read is looked at once.
    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>>;

    /// The list behind one answer.
    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError>;

    /// Opens a file of a list for sending it. `path` is below the repository's root.
    fn open(&self, path: &str) -> Result<Box<dyn std::io::Read + Send>, ReadError>;

    /// Opens a file of the list behind a selection; `path` is below its context.
    fn open_used(
        &self,
        selection: &Selection,
        path: &str,
    ) -> Result<Box<dyn std::io::Read + Send>, ReadError> {
        if let (Some(name), rest) = context_path::place(path)
            && let Some(part) = selection.named.get(name)
        {
            return self.open_used(part, rest);
        }
        match Overlay::over(&selection.overlays, path) {
            None => self.open(&join(&selection.root, path)),
            Some((Overlay { from: OverlaySide::Path(from), .. }, rest)) => self.open(&join(from, rest)),
            Some((Overlay { from: OverlaySide::Tree(tree), .. }, rest)) => tree.open(rest),
        }
    }

    /// Files that a selection uses or asks for and no commit can hold, since git ignores them: paths below the
    /// repository's root, sorted. Only a tree that stands for a commit has an answer.
    fn beyond_git(&self, _: &Selection) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    /// Keeps what was learned for the next process. Only time is lost without it.
    fn save(&self) -> std::io::Result<()> {
        Ok(())
    }
}
