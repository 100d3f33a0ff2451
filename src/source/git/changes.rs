//! Changes between two commits, of the files that a selection reads.
//!
//! Walks only what differs: a folder with one id on both sides is as good as
//! absent. Both sides of a difference come back as two short lists, so that
//! they can be compared as whole lists are.

use std::sync::Arc;

use super::absent::Absent;
use super::{Entry, GitTree, Listing, error};
use crate::model::file::UsedFiles;
use crate::source::resolve_selection;
use crate::source::select::{Facts, Folders, ListError};
use crate::source::tree::{ReadError, Selection};

/// The used files of `this` that `other` does not have in the same state. A
/// source that is reached through a link which is the same in both shows nothing.
///
/// # Errors
/// When something that differs cannot be read.
pub fn only_in(this: &GitTree, other: &GitTree, selection: &Selection) -> Result<UsedFiles, ReadError> {
    if this.top.id == other.top.id {
        return Ok(UsedFiles::default());
    }
    let side = Side { this, other, absent: Absent::default() };
    let mut files = resolve_selection::list(&side, selection).map_err(error)?;
    side.absent.stand_in(&selection.root, &mut files);
    Ok(files)
}

/// One of two commits, as far as it differs from the other.
struct Side<'a> {
    this: &'a GitTree,
    other: &'a GitTree,
    absent: Absent,
}

impl Side<'_> {
    fn differing(&self, path: &str) -> Result<Arc<Listing>, ListError> {
        let listing = self.this.folder(path)?;
        let Ok(other) = self.other.folder(path) else { return Ok(self.absent.note(path, listing)) };
        if listing.id == other.id {
            return Ok(Arc::new(Listing { id: listing.id, entries: Vec::new(), is_absent: false }));
        }
        if listing.is_absent {
            return Ok(self.absent.note(path, listing));
        }
        let differs = |entry: &&Entry| other.find(&entry.name) != Some(*entry);
        let entries = listing.entries.iter().filter(differs).cloned().collect();
        Ok(Arc::new(Listing { id: listing.id, entries, is_absent: false }))
    }
}

impl Folders for Side<'_> {
    type Folder = Arc<Listing>;

    fn context(&self, path: &str) -> Result<Arc<Listing>, ListError> {
        self.differing(path)
    }
    fn folder(&self, path: &str) -> Result<Arc<Listing>, ListError> {
        self.differing(path)
    }
    fn facts(&self, folder: &Arc<Listing>, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        self.this.facts(folder, indexes)
    }
}
