//! Commits of other repositories that were used once, and their removal.
//!
//! A commit is kept by a ref of its own, so dropping it is dropping the ref and letting git sweep.
//! Knows no images; which commits are used is for the caller to say.

use std::collections::BTreeSet;
use std::process::Stdio;

use super::keep::{self, Place};
use super::remote::Remotes;
use crate::state::folder::StateFolder;
use crate::syntax::git_source::is_commit;

/// Where commits are kept by their ids.
const REFS: &str = "refs/imk/";

impl Remotes {
    /// The refs of a folder that keep other commits than these.
    pub fn unused(&self, folder: &str, used: &BTreeSet<String>) -> Vec<String> {
        refs(&self.kept(folder)).into_iter().filter(|name| !used.contains(&name[REFS.len()..])).collect()
    }

    /// Drops the commits of a folder but these. What cannot be dropped takes room and is tried again.
    pub fn drop_unused(&self, folder: &str, used: &BTreeSet<String>) {
        let kept = self.kept(folder);
        // Git is about to remove things there.
        if !kept.is_there() || keep::whole(&kept).is_err() {
            return;
        }
        let Some(repository) = keep::open(&kept) else { return };
        for name in self.unused(folder, used) {
            if let Ok(mut found) = repository.find_reference(&name) {
                let _ = found.delete();
            }
        }
        // libgit2 removes no objects; the program that fetched them does.
        let mut git = keep::git(Place::Kept(&kept), self.environment());
        git.args(["gc", "--quiet", "--prune=now"]);
        let _ = git.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Refs that name a commit by its id; a server that gives none such is kept whole.
fn refs(folder: &StateFolder) -> Vec<String> {
    let names = || -> Result<Vec<String>, git2::Error> {
        let Some(repository) = keep::open(folder) else { return Ok(Vec::new()) };
        let found = repository.references_glob(&format!("{REFS}*"))?;
        let names = found.flatten().filter_map(|found| found.name().ok().map(str::to_owned));
        Ok(names.filter(|name| is_commit(&name[REFS.len()..])).collect())
    };
    names().unwrap_or_default()
}
