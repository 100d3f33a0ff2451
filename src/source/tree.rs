//! The seam between imk and the files of a repository.
//!
//! One real side reads a disk through a stat cache, one reads a git tree, one
//! is a map in memory for tests. Callers never learn which.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::overlay::{Overlay, Place};
use crate::model::file::UsedFiles;
use crate::model::hash::ContentHash;
use crate::model::name::join;
use crate::syntax::reads::Reads;

/// A question to a tree: which files of the context at `root` do these reads touch?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The context folder below the repository's root, `""` for the root itself.
    pub root: String,
    /// Text of the ignore file that governs the context, if there is one.
    pub ignore: Option<String>,
    /// What the instructions read.
    pub reads: Reads,
    /// What is put over the context.
    pub overlays: Vec<Overlay>,
}

/// The answer to a [`Selection`]: what its files are, as one hash. The list
/// itself is made on demand, for a build or an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selected {
    /// [`UsedFiles::hash`] of the list.
    pub hash: ContentHash,
    /// Indexes into `reads.sources` of required sources that match nothing.
    pub missing: Vec<usize>,
    /// Number of files, folders and links.
    pub count: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
}

/// Why something in the repository could not be read. An absent file is not
/// one of these where absence is an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadError {
    /// What was read, below the repository's root.
    pub path: String,
    /// Why it failed, in the system's words or ours.
    pub why: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read `{}`: {}", self.path, self.why)
    }
}

impl std::error::Error for ReadError {}

/// The files of one repository at one moment.
pub trait SourceTree: Send + Sync {
    /// The content of a file; `None` when there is none at that path.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError>;

    /// Whether a folder stands at that path (`""` is the root).
    fn is_folder(&self, path: &str) -> Result<bool, ReadError>;

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
        match Overlay::over(&selection.overlays, path) {
            None => self.open(&join(&selection.root, path)),
            Some((Overlay { from: Place::Path(from), .. }, rest)) => self.open(&join(from, rest)),
            Some((Overlay { from: Place::Git(tree), .. }, rest)) => tree.open(rest),
        }
    }

    /// Keeps what was learned for the next process. Only time is lost without it.
    fn save(&self) -> std::io::Result<()> {
        Ok(())
    }
}
