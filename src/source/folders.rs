//! Folders as a selection asks them, be they on a disk, in git or in memory.
//!
//! A listing names what a folder holds; more is said of a file only when it is
//! used. Knows neither patterns nor ignore files.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::error::ReadError;
use crate::model::file::FileKind;
use crate::model::hash::ContentHash;

/// A folder as it was listed: names sorted by their bytes, and what is said of the folder itself.
pub trait FolderListing: Send + Sync {
    /// How many names it holds.
    fn count(&self) -> usize;
    /// One of them.
    fn name(&self, index: usize) -> (&[u8], FileKind);
    /// Permission bits and modification time of the folder itself.
    fn mode_and_mtime(&self) -> (u32, i64);
}

impl<F: FolderListing + ?Sized> FolderListing for Arc<F> {
    fn count(&self) -> usize {
        (**self).count()
    }
    fn name(&self, index: usize) -> (&[u8], FileKind) {
        (**self).name(index)
    }
    fn mode_and_mtime(&self) -> (u32, i64) {
        (**self).mode_and_mtime()
    }
}

/// Folders that can be listed.
pub trait Folders: Sync {
    /// A listed folder, cheap to clone.
    type Folder: FolderListing + Clone;

    /// Lists the context folder itself, through links if need be.
    fn context(&self, path: &str) -> Result<Self::Folder, ListError>;
    /// Lists the folder at a path below the repository's root, which a listing named.
    fn folder(&self, path: &str) -> Result<Self::Folder, ListError>;
    /// Looks at some files and links of a folder.
    fn facts(&self, folder: &Self::Folder, indexes: &[u32]) -> Result<Vec<Facts>, ListError>;
}

/// A listed folder that can say all of itself: one of a tree that stands in another's context.
pub trait ListedFolder: FolderListing {
    /// Looks at some of its files and links.
    fn facts(&self, indexes: &[u32]) -> Result<Vec<Facts>, ListError>;
}

/// Facts of a file or link that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Permission bits, and those of the type of a device, a socket or a pipe; zero for a link.
    pub mode: u32,
    /// Bytes of content; of a device its number; zero for a link.
    pub size_bytes: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Of the content, or of the link's target.
    pub hash: ContentHash,
    /// Where a link points; empty for a file.
    pub target: Box<str>,
}

impl Facts {
    /// Those of a device, a socket or a pipe, by its whole mode and the number of a device.
    pub fn of_special(mode: u32, number: u64, mtime_ns: i64) -> Self {
        // A pipe or a socket may show what waits in it.
        let is_device = matches!(mode & 0o170_000, 0o020_000 | 0o060_000);
        let size_bytes = if is_device { number } else { 0 };
        Self {
            mode,
            size_bytes,
            mtime_ns,
            hash: ContentHash::of(&size_bytes.to_le_bytes()),
            target: "".into(),
        }
    }
}

/// Why a listing came to no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// A file that is used cannot be read.
    Read(ReadError),
    /// A name that a listing had was gone or another thing a moment later: look again.
    Moved(String),
}

impl ListError {
    /// A [`ReadError`] in short.
    pub fn read(path: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::Read(ReadError { path: path.into(), why: why.to_string() })
    }
}

/// The order of a walk that visits names in the order of their bytes.
pub fn by_components(a: &str, b: &str) -> Ordering {
    // `/` ends a name, so it sorts before every other byte.
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

/// The place of a name among a folder's sorted names.
pub(super) fn find(folder: &impl FolderListing, name: &[u8]) -> Option<usize> {
    let (mut low, mut high) = (0, folder.count());
    while low < high {
        let middle = usize::midpoint(low, high);
        match folder.name(middle).0.cmp(name) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Some(middle),
        }
    }
    None
}
