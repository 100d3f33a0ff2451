//! The work tree as git would commit it, and what it has different from a commit.
//!
//! Everything that git does not ignore is added to an index that is never
//! written, and its objects stay in memory: a work tree and a commit can then
//! be compared as two commits are, umask and untracked rubbish aside. Nothing
//! is written to `.git`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use git2::{DiffOptions, IndexAddOption, Oid, Repository};

use super::history::Commit;
use super::{GitStore, GitTree, unreadable};
use crate::source::tree::ReadError;

/// Objects made here are looked for before those on the disk; any number above theirs will do.
const IN_MEMORY: i32 = 999;

impl GitStore {
    /// The work tree as the next commit would have it if everything was added.
    ///
    /// # Errors
    /// When there is no work tree, or a file in it cannot be read.
    pub fn work_tree(self: &Arc<Self>) -> Result<GitTree, ReadError> {
        let id = self.add_everything().map_err(|error| unreadable("the work tree", &error))?;
        self.tree_at(id)
    }

    fn add_everything(&self) -> Result<Oid, git2::Error> {
        let repository = self.repository.lock();
        repository.odb()?.add_new_mempack_backend(IN_MEMORY)?;
        let mut index = repository.index()?;
        index.read(true)?;
        // imk's own state ignores itself, unless somebody deleted the file that says so.
        let mut own =
            |path: &Path, _: &[u8]| i32::from(path.components().any(|part| part.as_os_str() == ".imk"));
        index.add_all(["*"], IndexAddOption::DEFAULT, Some(&mut own))?;
        index.update_all(["*"], None)?;
        let id = index.write_tree()?;
        // The index in memory is shared by all who ask this repository: it goes back to what is on the disk.
        index.read(true)?;
        Ok(id)
    }

    /// The commit to compare with: `REV`, or for `REV...` where `HEAD` left it.
    ///
    /// # Errors
    /// When it names none, or when the two have nothing in common.
    pub fn since(&self, rev: &str) -> Result<Commit, ReadError> {
        let Some(rev) = rev.strip_suffix("...") else { return self.commit(rev) };
        let (other, head) = (self.commit(rev)?, self.commit("HEAD")?);
        let base = {
            let repository = self.repository.lock();
            let ids = [&other, &head].map(|commit| Oid::from_str(&commit.id));
            let [other, head] = ids;
            other.and_then(|other| repository.merge_base(other, head?))
        };
        let base = base.map_err(|error| unreadable(&format!("{rev}...HEAD"), &error))?;
        self.commit(&base.to_string())
    }

    /// Paths below the repository's root that the work tree has different from a
    /// commit: changed, added, removed; what git ignores is left out.
    ///
    /// # Errors
    /// When git cannot read one of the two.
    pub fn changed_since(&self, commit: &Commit) -> Result<BTreeSet<String>, ReadError> {
        let found = || -> Result<BTreeSet<String>, git2::Error> {
            let repository: &Repository = &self.repository.lock();
            let tree = repository.find_commit(Oid::from_str(&commit.id)?)?.tree()?;
            let mut options = DiffOptions::new();
            options.include_untracked(true).recurse_untracked_dirs(true).ignore_submodules(true);
            if !self.below.is_empty() {
                options.pathspec(&self.below).disable_pathspec_match(true);
            }
            let diff = repository.diff_tree_to_workdir_with_index(Some(&tree), Some(&mut options))?;
            let below = if self.below.is_empty() { String::new() } else { format!("{}/", self.below) };
            let paths = diff.deltas().flat_map(|delta| {
                let sides = [delta.old_file().path_bytes(), delta.new_file().path_bytes()];
                sides
                    .into_iter()
                    .flatten()
                    .map(|path| String::from_utf8_lossy(path).into_owned())
                    .collect::<Vec<_>>()
            });
            Ok(paths.filter_map(|path| path.strip_prefix(&below).map(str::to_owned)).collect())
        };
        found().map_err(|error| unreadable(&commit.id, &error))
    }
}
