//! The commits of a repository, in the order in which they were made.
//!
//! Knows revisions and parents; what a commit's files mean is not its business.

use std::sync::Arc;

use git2::{Oid, Sort};
use serde::Serialize;

use super::{GitStore, GitTree, Listing, Node, object_id, unreadable};
use crate::source::tree::ReadError;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// All hexadecimal digits.
    pub id: String,
    /// Seconds since 1970 when it was committed.
    pub time: i64,
    /// The first line of its message.
    pub summary: String,
    /// Ids of its parents.
    #[serde(skip)]
    pub parents: Vec<String>,
}

/// Which commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// The last so many, up to `HEAD`.
    Last(usize),
    /// `A..B`: those that B has and A has not. Without `..`, all that lead to B.
    Between(String),
}

/// A stretch of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The state before the first commit, unless history begins with it.
    pub start: Option<Commit>,
    /// The commits, parents before children.
    pub commits: Vec<Commit>,
}

impl Commit {
    pub(super) fn of(commit: &git2::Commit<'_>) -> Self {
        let summary = commit.summary_bytes().unwrap_or_default();
        Self {
            id: commit.id().to_string(),
            time: commit.time().seconds(),
            summary: String::from_utf8_lossy(summary).into_owned(),
            parents: commit.parent_ids().map(|id| id.to_string()).collect(),
        }
    }
}

impl GitStore {
    /// The commit that a revision names.
    ///
    /// # Errors
    /// When it names none.
    pub fn commit(&self, rev: &str) -> Result<Commit, ReadError> {
        let repository = self.repository.lock();
        let found = repository.revparse_single(rev).and_then(|object| object.peel_to_commit());
        let commit = found.map_err(|error| unreadable(rev, &error))?;
        Ok(Commit::of(&commit))
    }

    /// The commits of a range; with `first_parent`, what merges brought in is left out.
    ///
    /// # Errors
    /// When the range names no commits or git cannot read one.
    pub fn history(&self, range: &Range, first_parent: bool) -> Result<History, ReadError> {
        let (from, to, most) = match range {
            Range::Last(most) => (None, "HEAD", *most),
            Range::Between(text) => match text.split_once("..") {
                Some((_, to)) if to.starts_with('.') => {
                    let why = "`A...B` is no stretch of history; write `A..B`".to_owned();
                    return Err(ReadError { path: text.clone(), why });
                }
                Some((from, to)) => (Some(or_head(from)), or_head(to), usize::MAX),
                None => (None, text.as_str(), usize::MAX),
            },
        };
        let to = self.commit(to)?;
        let from = from.map(|rev| self.commit(rev)).transpose()?;
        let ids = self.walk_back(&to, from.as_ref(), most, first_parent);
        let mut ids = ids.map_err(|error| unreadable(&to.id, &error))?;
        ids.reverse();
        let commits: Vec<Commit> =
            ids.iter().map(|id| self.commit(&id.to_string())).collect::<Result<_, _>>()?;
        let before = commits.first().and_then(|first| first.parents.first());
        // A parent beyond the edge of a shallow clone is as good as none.
        let start = from.or_else(|| before.and_then(|parent| self.commit(parent).ok()));
        Ok(History { start, commits })
    }

    fn walk_back(
        &self,
        to: &Commit,
        from: Option<&Commit>,
        most: usize,
        first_parent: bool,
    ) -> Result<Vec<Oid>, git2::Error> {
        let repository = self.repository.lock();
        let mut walk = repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
        if first_parent {
            walk.simplify_first_parent()?;
        }
        walk.push(object_id::parse(&to.id)?)?;
        if let Some(from) = from {
            walk.hide(object_id::parse(&from.id)?)?;
        }
        walk.take(most).collect()
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// When git cannot read its tree.
    pub fn tree(self: &Arc<Self>, commit: &Commit) -> Result<GitTree, ReadError> {
        let id = {
            let repository = self.repository.lock();
            let found = object_id::parse(&commit.id).and_then(|id| repository.find_commit(id));
            found.map_err(|error| unreadable(&commit.id, &error))?.tree_id()
        };
        self.tree_at(id)
    }

    /// The files of one of git's trees, which is that of the whole repository.
    pub(super) fn tree_at(self: &Arc<Self>, id: Oid) -> Result<GitTree, ReadError> {
        let top = self.listing(id).map_err(|error| unreadable(&id.to_string(), &error))?;
        let (store, at) = (Arc::clone(self), String::new());
        let whole = GitTree { store, top, root: id, at, is_strict: false };
        if self.below.is_empty() {
            return Ok(whole);
        }
        let top = match whole.walk(&self.below)? {
            Some(Node::Folder(listing)) => listing,
            // The folder came later: then there is nothing yet.
            _ => Arc::new(Listing { id: Oid::ZERO_SHA1, entries: Vec::new(), is_absent: false }),
        };
        Ok(GitTree { top, at: self.below.clone(), ..whole })
    }
}

fn or_head(rev: &str) -> &str {
    if rev.is_empty() { "HEAD" } else { rev }
}
