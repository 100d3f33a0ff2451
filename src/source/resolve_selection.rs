//! Resolves a selection to its files: through its overlays where it has some, else straight from the folders.
//!
//! Knows that there are two ways and nothing of either.

use super::overlay::Layered;
use super::select::{self, Folders, ListError};
use super::tree::{Selected, Selection};
use crate::model::file::{UsedFile, UsedFiles};

/// The hash and counts of the files that a selection stands for.
pub fn resolve<D: Folders>(folders: &D, selection: &Selection) -> Result<Selected, ListError> {
    match selection.overlays.is_empty() {
        true => summed(folders, selection),
        false => summed(&Layered::new(folders, selection), selection),
    }
}

/// The files themselves.
pub fn list<D: Folders>(folders: &D, selection: &Selection) -> Result<UsedFiles, ListError> {
    match selection.overlays.is_empty() {
        true => listed(folders, selection),
        false => listed(&Layered::new(folders, selection), selection),
    }
}

fn listed<D: Folders>(folders: &D, selection: &Selection) -> Result<UsedFiles, ListError> {
    select::hash_listed(folders, select::list_used(folders, selection)?)
}

fn summed<D: Folders>(folders: &D, selection: &Selection) -> Result<Selected, ListError> {
    let mut picked = select::list_used(folders, selection)?;
    let [missing, empty] = [&mut picked.missing, &mut picked.empty].map(std::mem::take);
    let files = select::hash_listed(folders, picked)?;
    let bytes = files.files.iter().map(UsedFile::bytes).sum();
    Ok(Selected { hash: files.hash(), missing, empty, count: files.files.len() as u64, bytes })
}
