//! A whole context, name by name.
//!
//! What `COPY .` takes below one name of the context folder depends on nothing
//! beside that name. So a commit that touched one folder of a hundred walks that
//! one, and the list is put together from what was known of the others. Only the latest
//! piece of each name is kept: history goes back and forth little.

use std::sync::Arc;

use rayon::prelude::*;

use super::absent::Absent;
use super::store::{Entry, Listing, Piece};
use super::{GitTree, disk, error};
use crate::model::file::{UsedFile, UsedFiles};
use crate::model::hash::ContentHash;
use crate::source::select::{self, Facts, Folders, ListError};
use crate::source::tree::{ReadError, Selected, Selection};

/// The answer to a selection whose one source is the whole context.
///
/// # Errors
/// When something in it cannot be read.
pub fn whole(tree: &GitTree, selection: &Selection) -> Result<Selected, ReadError> {
    let listing = tree.folder(&selection.root).map_err(error)?;
    let key = disk::key(selection);
    let pieces: Vec<Arc<UsedFiles>> = listing
        .entries
        .par_iter()
        .map(|entry| piece(tree, selection, key, entry))
        .collect::<Result<_, _>>()?;
    let files = || pieces.iter().flat_map(|piece| &piece.files);
    Ok(Selected {
        hash: UsedFiles::hash_of(files()),
        missing: Vec::new(),
        empty: Vec::new(),
        count: files().count() as u64,
        bytes: files().map(UsedFile::bytes).sum(),
    })
}

fn piece(
    tree: &GitTree,
    selection: &Selection,
    key: ContentHash,
    entry: &Entry,
) -> Result<Arc<UsedFiles>, ReadError> {
    let place = (key, entry.name.clone());
    if let Some(known) = tree.store.pieces.lock().get(&place)
        && known.entry == *entry
    {
        return known.files.clone();
    }
    let (id, entries) = (entry.id, vec![entry.clone()]);
    let only = Only {
        tree,
        listing: Arc::new(Listing { id, entries, is_absent: false }),
        absent: Absent::default(),
    };
    let picked = select::list_used(&only, selection);
    let files = picked.and_then(|picked| select::hash_listed(&only, picked));
    let files = files.map_err(error).map(|mut files| {
        only.absent.stand_in(&selection.root, &mut files);
        Arc::new(files)
    });
    tree.store.pieces.lock().insert(place, Piece { entry: entry.clone(), files: files.clone() });
    files
}

/// A context in which nothing but one name is.
struct Only<'a> {
    tree: &'a GitTree,
    listing: Arc<Listing>,
    absent: Absent,
}

impl Folders for Only<'_> {
    type Folder = Arc<Listing>;

    fn context(&self, _: &str) -> Result<Arc<Listing>, ListError> {
        Ok(Arc::clone(&self.listing))
    }
    fn folder(&self, path: &str) -> Result<Arc<Listing>, ListError> {
        Ok(self.absent.note(path, self.tree.folder(path)?))
    }
    fn facts(&self, folder: &Arc<Listing>, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        self.tree.facts(folder, indexes)
    }
}
