//! Submodules whose commit is not here, as a selection meets them.
//!
//! A comparison of commits takes the commit's id for all that is in such a folder: when it moves, whatever
//! copies of the folder changes. To a build it is an error, told by [`GitTree::strict`](super::GitTree::strict).

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::Oid;
use parking_lot::Mutex;

use super::store::Listing;
use crate::model::file::{FileKind, UsedFile, UsedFiles};
use crate::model::hash::ContentHash;
use crate::source::folders::by_components;

/// The submodules that one answer met without having them, by their paths below the repository's root.
#[derive(Default)]
pub(super) struct Absent(Mutex<BTreeMap<String, Oid>>);

impl Absent {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Takes note of a folder that was listed.
    pub fn note(&self, path: &str, listing: Arc<Listing>) -> Arc<Listing> {
        if listing.is_absent {
            self.0.lock().insert(path.to_owned(), listing.id);
        }
        listing
    }

    /// Has the ids of their commits stand in the list of a context.
    pub fn stand_in(&self, root: &str, files: &mut UsedFiles) {
        for (path, id) in &*self.0.lock() {
            let inside = path.strip_prefix(root).map_or(path.as_str(), |rest| rest.trim_start_matches('/'));
            let stand_in = UsedFile {
                path: inside.to_owned(),
                kind: FileKind::File,
                mode: 0,
                size_bytes: 0,
                mtime_ns: 0,
                hash: ContentHash::of(id.as_bytes()),
                target: String::new(),
                counts: true,
            };
            match files.files.binary_search_by(|file| by_components(&file.path, inside)) {
                Ok(at) => files.files[at] = stand_in,
                Err(at) => files.files.insert(at, stand_in),
            }
        }
    }
}
