//! Which commit made a file what it is, or what it was at some build.
//!
//! Follows one path back from `HEAD` as `git log PATH` does: a commit whose
//! parent has the same is none of those that changed it. Knows no images.

use git2::{Commit as GitCommit, Oid, Repository, Status};

use super::history::Commit;
use super::{GitStore, lock};
use crate::hash::ContentHash;
use crate::name;

/// What a file is sought as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought<'a> {
    /// With a content whose hash begins with these hexadecimal digits, and executable or not where that is known.
    Content { hash: &'a str, executable: Option<bool> },
    /// Not there.
    Gone,
    /// As it lies on the disk, whatever that is.
    Now,
}

/// Where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// What is sought is what the work tree has.
    Disk,
    /// What is sought was there once, as far as `HEAD` knows.
    Head,
    /// At a commit.
    At(&'a str),
}

/// Where a state of a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This commit made it.
    Commit(Commit),
    /// No commit holds it.
    Uncommitted,
}

/// A file in a commit: its blob, and whether it is executable.
type Entry = Option<(Oid, bool)>;

impl GitStore {
    /// The commit that made the file at `path` what is sought; `None` when git
    /// has nothing to say of it.
    pub fn origin(&self, path: &str, sought: Sought<'_>, start: Start<'_>) -> Option<Origin> {
        let repository = lock(&self.repository);
        let path = name::join(&self.below, path);
        let status = repository.status_file(std::path::Path::new(&path)).ok();
        let on_disk = start == Start::Disk;
        if on_disk && status.is_some_and(|status| status.contains(Status::IGNORED)) {
            return None;
        }
        let clean = status == Some(Status::CURRENT);
        if sought == Sought::Now && on_disk && !clean {
            return status.map(|_| Origin::Uncommitted);
        }
        let mut commit = match start {
            Start::Disk | Start::Head => repository.head().and_then(|head| head.peel_to_commit()).ok()?,
            Start::At(id) => repository.find_commit(Oid::from_str(id).ok()?).ok()?,
        };
        let mut newest = None;
        loop {
            let here = entry(&commit, &path);
            if let Some(same) = commit.parents().find(|parent| entry(parent, &path) == here) {
                commit = same;
                continue;
            }
            let parent = commit.parent(0).ok();
            if here.is_none() && parent.is_none() {
                break;
            }
            if sought.is(&repository, here) {
                return Some(Origin::Commit(Commit::of(&commit)));
            }
            newest.get_or_insert_with(|| Commit::of(&commit));
            match parent {
                Some(parent) => commit = parent,
                None => break,
            }
        }
        match newest {
            // A filter (`eol`, LFS) stands between the blob and the file: git knows them for one.
            Some(newest) if on_disk && clean => Some(Origin::Commit(newest)),
            None if status.is_none() => None,
            _ if matches!(start, Start::At(_)) => None,
            _ => Some(Origin::Uncommitted),
        }
    }
}

impl Sought<'_> {
    fn is(self, repository: &Repository, entry: Entry) -> bool {
        match (self, entry) {
            (Self::Now, _) | (Self::Gone, None) => true,
            (Self::Gone, Some(_)) | (Self::Content { .. }, None) => false,
            (Self::Content { hash, executable }, Some((id, is_executable))) => {
                executable.is_none_or(|wanted| wanted == is_executable)
                    && repository
                        .find_blob(id)
                        .is_ok_and(|blob| ContentHash::of(blob.content()).to_string().starts_with(hash))
            }
        }
    }
}

fn entry(commit: &GitCommit<'_>, path: &str) -> Entry {
    let entry = commit.tree().ok()?.get_path(std::path::Path::new(path)).ok()?;
    Some((entry.id(), entry.filemode() & 0o100 != 0))
}
