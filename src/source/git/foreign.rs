//! A tree of another repository as a part of a context.
//!
//! What a checkout would fill in and a tree does not hold is fetched or refused by name,
//! so that no image is made of a placeholder: submodules, and pointers of git LFS.

use std::sync::Arc;

use super::store::Listing;
use super::tree::GitTree;
use crate::model::file::FileKind;
use crate::model::name::join;
use crate::source::folders::{Facts, FolderListing, ListError, ListedFolder};
use crate::source::tree::OverlayTree;

/// The first line of every pointer file, by the specification of git LFS.
pub(super) const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// No pointer is longer, by the same specification.
pub(super) const LONGEST_POINTER: u64 = 1024;

/// A folder of a tree, and where it is shown.
struct ForeignFolder {
    tree: GitTree,
    listing: Arc<Listing>,
    /// Its path, for messages.
    shown: String,
}

impl OverlayTree for GitTree {
    fn id(&self) -> &[u8] {
        Self::id(self)
    }

    fn listed(&self, path: &str, shown: &str) -> Result<Arc<dyn ListedFolder>, ListError> {
        let listing = self.folder(path).map_err(|error| match error {
            ListError::Read(error) => ListError::read(shown, error.why),
            moved @ ListError::Moved(_) => moved,
        })?;
        // Git makes no such names, but whoever serves a repository may.
        let strange = |name: &[u8]| matches!(name, b"" | b"." | b"..") || name.contains(&b'/');
        match listing.entries.iter().any(|entry| strange(&entry.name)) {
            true => Err(ListError::read(shown, "its tree holds a name that no file can have")),
            false => Ok(Arc::new(ForeignFolder { tree: self.clone(), listing, shown: shown.to_owned() })),
        }
    }
}

impl FolderListing for ForeignFolder {
    fn count(&self) -> usize {
        self.listing.count()
    }
    fn name(&self, index: usize) -> (&[u8], FileKind) {
        self.listing.name(index)
    }
    fn mode_and_mtime(&self) -> (u32, i64) {
        self.listing.mode_and_mtime()
    }
}

impl ListedFolder for ForeignFolder {
    fn facts(&self, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        let facts = self.tree.facts(&self.listing, indexes)?;
        for (index, facts) in indexes.iter().zip(&facts) {
            let entry = &self.listing.entries[*index as usize];
            if entry.kind == FileKind::File && facts.size_bytes <= LONGEST_POINTER {
                let shown = || join(&self.shown, &String::from_utf8_lossy(&entry.name));
                let content =
                    self.tree.store.blob(entry.id).map_err(|error| {
                        ListError::read(shown(), format!("git says: {}", error.message()))
                    })?;
                if content.starts_with(POINTER) {
                    let why = "git LFS keeps its content elsewhere, and imk does not fetch from there: \
                        the image would hold the pointer";
                    return Err(ListError::read(shown(), why));
                }
            }
        }
        Ok(facts)
    }
}
