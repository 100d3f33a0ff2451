//! Which commit made a file what it is, or what it was at some build.
//!
//! Follows one path back as `git log PATH` does: a commit whose parent has the same
//! is none of those that changed it. What is looked for in the file is the
//! caller's to say. Knows no images.

use git2::{Commit as GitCommit, ObjectType, Oid, Repository, Status};

use super::GitStore;
use super::history::Commit;
use super::modules;
use super::object_id;
use crate::model::name;

/// Where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// At the work tree.
    Disk,
    /// At `HEAD`: what is sought was there once.
    Head,
    /// At a commit.
    At(&'a str),
}

/// Where a state of a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This commit made it.
    Commit(Commit),
    /// No commit holds it: it is a change of the work tree.
    Uncommitted,
    /// Another repository has it, by its address as docker writes it; the commit where that is known.
    Elsewhere { from: String, commit: Option<String> },
}

/// A file at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its content, or a link's target.
    pub bytes: Vec<u8>,
    /// Whether it may be run.
    pub executable: bool,
}

/// A file in a commit: its blob, and whether it may be run.
type Entry = Option<(Oid, bool)>;

impl GitStore {
    /// The newest change of the file at `path` that `is_it` takes for the one that is
    /// sought; it is handed the file before and after, `None` where there is none. Git
    /// has nothing to say of files that it ignores.
    pub fn origin(
        &self,
        path: &str,
        start: Start<'_>,
        is_it: &dyn Fn(Option<&Version>, Option<&Version>) -> bool,
    ) -> Option<Origin> {
        let repository = self.repository.lock();
        let path = name::join(&self.below, path);
        let mut commit = match start {
            Start::Disk | Start::Head => repository.head().and_then(|head| head.peel_to_commit()).ok()?,
            Start::At(id) => repository.find_commit(object_id::parse(id).ok()?).ok()?,
        };
        let is_in_module = is_in_module(&repository, &path);
        if is_in_module {
            modules::share_objects(&repository);
        }
        let mut after = version(&repository, entry(&repository, &commit, &path));
        if start == Start::Disk && is_in_module {
            // Git says of the submodule alone that it is not as it was.
            let now = on_disk(&repository, &path);
            if now != after && is_it(after.as_ref(), now.as_ref()) {
                return Some(Origin::Uncommitted);
            }
        } else if start == Start::Disk {
            let status = repository.status_file(std::path::Path::new(&path)).unwrap_or(Status::CURRENT);
            if status.contains(Status::IGNORED) {
                return None;
            }
            // A file that git calls the same may differ by a filter (`eol`, LFS).
            if status != Status::CURRENT && is_it(after.as_ref(), on_disk(&repository, &path).as_ref()) {
                return Some(Origin::Uncommitted);
            }
        }
        loop {
            let here = entry(&repository, &commit, &path);
            if let Some(same) = commit.parents().find(|parent| entry(&repository, parent, &path) == here) {
                commit = same;
                continue;
            }
            let parent = commit.parent(0).ok();
            let before =
                parent.as_ref().and_then(|parent| version(&repository, entry(&repository, parent, &path)));
            if (before.is_some() || after.is_some()) && is_it(before.as_ref(), after.as_ref()) {
                return Some(Origin::Commit(Commit::of(&commit)));
            }
            (commit, after) = (parent?, before);
        }
    }
}

/// The file at a path of a commit, in a submodule too if its commit is here.
fn entry(repository: &Repository, commit: &GitCommit<'_>, path: &str) -> Entry {
    let mut tree = commit.tree().ok()?;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let (id, kind, mode) = {
            let entry = tree.get_name(part)?;
            (entry.id(), entry.kind(), entry.filemode())
        };
        if parts.peek().is_none() {
            return Some((id, mode & 0o100 != 0));
        }
        tree = match kind {
            Some(ObjectType::Commit) => repository.find_commit(id).ok()?.tree().ok()?,
            _ => repository.find_tree(id).ok()?,
        };
    }
    None
}

/// Whether a path lies in a submodule.
fn is_in_module(repository: &Repository, path: &str) -> bool {
    let Some(top) = repository.workdir() else { return false };
    let mut above = path.match_indices('/').map(|(at, _)| &path.as_bytes()[..at]);
    above.any(|path| modules::at(top, path).is_some())
}

fn version(repository: &Repository, entry: Entry) -> Option<Version> {
    let (id, executable) = entry?;
    Some(Version { bytes: repository.find_blob(id).ok()?.content().to_vec(), executable })
}

fn on_disk(repository: &Repository, path: &str) -> Option<Version> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let path = repository.workdir()?.join(path);
    let metadata = fs_err::symlink_metadata(&path).ok()?;
    let executable = metadata.is_file() && metadata.permissions().mode() & 0o100 != 0;
    let bytes = match metadata.is_symlink() {
        true => fs_err::read_link(&path).ok()?.as_os_str().as_bytes().to_vec(),
        false => fs_err::read(&path).ok()?,
    };
    Some(Version { bytes, executable })
}
