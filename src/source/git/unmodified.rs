//! The files of a work tree that git calls unmodified, and those that it ignores.
//!
//! Git lets a file on the disk differ from the blob that it was checked out from: by modes other than `x`, by line
//! ends, keywords, encodings, by a pointer of LFS. What git says is unmodified is that blob's file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{Oid, Repository};

use super::modules::{self, GITLINK};
use super::worktree::{changes, leave_out_unreadable};
use super::{GitStore, unreadable};
use crate::source::tree::ReadError;

/// A file in the index: its blob and git's mode.
pub(super) type Indexed = (Oid, u32);

/// The standing of the files of a work tree, by their paths below the top.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Files that are as the index has them, in submodules too.
    pub unmodified: HashMap<Vec<u8>, Indexed>,
    /// Files that the index has, as they may be.
    pub tracked: std::collections::BTreeSet<Vec<u8>>,
}

impl GitStore {
    /// The standing of all files of the work tree; of none where there is no work tree.
    ///
    /// # Errors
    /// When git cannot compare.
    pub(super) fn standing(&self) -> Result<Standing, ReadError> {
        let repository = self.repository.lock();
        let mut standing = Standing::default();
        look(&repository, b"", &mut standing).map_err(|error| unreadable("the work tree", &error))?;
        Ok(standing)
    }

    /// Whether git ignores what stands at a path below the repository's root, tracked or not.
    pub fn ignores(&self, path: &str) -> bool {
        let path = crate::model::name::join(&self.below, path);
        let repository = self.repository.lock();
        let top = repository.workdir().map(Path::to_owned);
        // The rules of a submodule are its own.
        let module = top.and_then(|top| {
            let ends = path.match_indices('/').map(|(at, _)| at);
            ends.rev().find_map(|at| Some((modules::at(&top, &path.as_bytes()[..at])?, &path[at + 1..])))
        });
        match module {
            Some((module, rest)) => module.status_should_ignore(Path::new(rest)).unwrap_or(false),
            None => repository.status_should_ignore(Path::new(&path)).unwrap_or(false),
        }
    }
}

fn look(repository: &Repository, shown: &[u8], standing: &mut Standing) -> Result<(), git2::Error> {
    let Some(top) = repository.workdir().map(Path::to_owned) else { return Ok(()) };
    let mut index = repository.index()?;
    index.read(true)?;
    let entries: Vec<(Vec<u8>, Indexed)> =
        index.iter().map(|entry| (entry.path, (entry.id, entry.mode))).collect();
    let changed = changes(repository, &index).or_else(|_| {
        leave_out_unreadable(&mut index, &top)?;
        changes(repository, &index)
    });
    // The index in memory is shared by all who ask this repository: it goes back to what is on the disk.
    index.read(true)?;
    let changed: std::collections::BTreeSet<Vec<u8>> =
        changed?.into_iter().map(|(path, _)| path.as_os_str().as_bytes().to_vec()).collect();
    for (path, indexed) in entries {
        let whole = [shown, &path].concat();
        if indexed.1 == GITLINK {
            if let Some(module) = modules::at(&top, &path) {
                look(&module, &[&whole, b"/".as_slice()].concat(), standing)?;
            }
            continue;
        }
        standing.tracked.insert(whole.clone());
        if !changed.contains(&path) && top.join(OsStr::from_bytes(&path)).symlink_metadata().is_ok() {
            standing.unmodified.insert(whole, indexed);
        }
    }
    Ok(())
}
