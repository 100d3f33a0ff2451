//! Head of a repository: the commit that is checked out, and the files that are not as it has them.
//!
//! Facts as git tells them; what CI knows beside is for others.

use std::collections::BTreeSet;

use git2::{DescribeFormatOptions, DescribeOptions, ErrorCode, Status, StatusOptions};

use super::modules::{self, GITLINK};
use super::object_id;
use super::worktree::leave_out_unreadable;
use super::{GitStore, unreadable};
use crate::source::tree::ReadError;

/// A commit, and the branch that stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The commit's id; `None` before the first commit.
    pub id: Option<String>,
    /// Seconds since 1970 when it was committed.
    pub time: i64,
    /// The branch; `None` when the head is detached.
    pub branch: Option<String>,
}

impl GitStore {
    /// Where `HEAD` stands.
    ///
    /// # Errors
    /// When git cannot read it.
    pub fn head(&self) -> Result<Head, ReadError> {
        let repository = self.repository.lock();
        let at = |error: git2::Error| unreadable("HEAD", &error);
        let reference = repository.find_reference("HEAD").map_err(at)?;
        let target = reference.symbolic_target_bytes().map(String::from_utf8_lossy);
        let branch = target.and_then(|target| target.strip_prefix("refs/heads/").map(str::to_owned));
        match reference.peel_to_commit() {
            Ok(commit) => {
                Ok(Head { id: Some(commit.id().to_string()), time: commit.time().seconds(), branch })
            }
            // A branch that nothing was committed to.
            Err(error) if error.code() == ErrorCode::NotFound => Ok(Head { branch, ..Head::default() }),
            Err(error) => Err(at(error)),
        }
    }

    /// As `git describe --tags --always COMMIT`.
    ///
    /// # Errors
    /// When git cannot walk back from there.
    pub fn describe(&self, commit: &str) -> Result<String, ReadError> {
        let repository = self.repository.lock();
        let mut how = DescribeOptions::new();
        how.describe_tags().show_commit_oid_as_fallback(true);
        let commit = repository.revparse_single(commit);
        let text =
            commit.and_then(|commit| commit.describe(&how)?.format(Some(&DescribeFormatOptions::new())));
        text.map_err(|error| unreadable("HEAD", &error))
    }

    /// The git tags that stand for a commit, sorted.
    ///
    /// # Errors
    /// When git cannot list its tags.
    pub fn tags_at(&self, commit: &str) -> Result<Vec<String>, ReadError> {
        let repository = self.repository.lock();
        let at = |error: git2::Error| unreadable("refs/tags", &error);
        let commit = object_id::parse(commit).map_err(at)?;
        let mut tags = Vec::new();
        for reference in repository.references_glob("refs/tags/*").map_err(at)? {
            let reference = reference.map_err(at)?;
            // A tag of a tree or a blob is no version of anything.
            if reference.peel_to_commit().is_ok_and(|tagged| tagged.id() == commit)
                && let Some(name) = String::from_utf8_lossy(reference.name_bytes()).strip_prefix("refs/tags/")
            {
                tags.push(name.to_owned());
            }
        }
        tags.sort();
        Ok(tags)
    }

    /// Files and folders below the root that are not as `HEAD` has them: changed, staged, removed,
    /// and what git does not track, ignored or not; submodules that are not as their commit has them, or not there. A folder, told without a slash, stands for all in it.
    ///
    /// # Errors
    /// When git cannot compare.
    pub fn differing(&self) -> Result<BTreeSet<String>, ReadError> {
        let mut differing: BTreeSet<String> = self.empty_submodules()?.into_iter().collect();
        let repository = self.repository.lock();
        let mut how = StatusOptions::new();
        how.include_untracked(true).include_ignored(true);
        let found = repository.statuses(Some(&mut how)).or_else(|error| {
            // Git gives all up for one file that it cannot read: that one is not as it was, as far as anybody knows.
            let (mut index, top) = (repository.index()?, repository.workdir().ok_or(error)?.to_owned());
            leave_out_unreadable(&mut index, &top)?;
            let found = repository.statuses(Some(&mut how));
            index.read(true)?;
            found
        });
        let found = found.map_err(|error| unreadable("", &error))?;
        for entry in found.iter().filter(|entry| entry.status() != Status::CURRENT) {
            let path = String::from_utf8_lossy(entry.path_bytes());
            let path = path.trim_end_matches('/');
            let inside = match self.below.as_str() {
                "" => Some(path),
                below => path.strip_prefix(below).and_then(|rest| rest.strip_prefix('/')),
            };
            match inside {
                Some(inside) => differing.insert(inside.to_owned()),
                // The root itself, or a folder around it, is not git's.
                None if self.below == path || self.below.starts_with(&format!("{path}/")) => {
                    differing.insert(String::new())
                }
                None => continue,
            };
        }
        Ok(differing)
    }

    /// Submodules whose files are not checked out in the work tree: their paths below the repository's root.
    ///
    /// # Errors
    /// When git cannot read its index.
    pub fn empty_submodules(&self) -> Result<Vec<String>, ReadError> {
        let repository = self.repository.lock();
        let Some(top) = repository.workdir() else { return Ok(Vec::new()) };
        let index = repository.index().map_err(|error| unreadable("the index", &error))?;
        let empty =
            index.iter().filter(|entry| entry.mode == GITLINK && modules::at(top, &entry.path).is_none());
        let paths = empty.map(|entry| String::from_utf8_lossy(&entry.path).into_owned());
        let inside = |path: String| match self.below.as_str() {
            "" => Some(path),
            below => Some(path.strip_prefix(below)?.strip_prefix('/')?.to_owned()),
        };
        Ok(paths.filter_map(inside).collect())
    }
}
