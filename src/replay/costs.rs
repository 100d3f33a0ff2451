//! A replay as data: each commit with what it would cost under each rule, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::reason::Reason;
use crate::source::git::history::Commit;

/// The costs of history.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The commit whose results are taken as there; `None` when history begins in the range.
    pub start: Option<Commit>,
    /// The costs of each commit.
    pub steps: Vec<Step>,
    /// Words that meant an image in no commit.
    pub unknown: BTreeSet<String>,
}

/// One commit.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Which.
    pub commit: Commit,
    /// Images that can be built, each of which *rebuild all* builds.
    pub images: Vec<String>,
    /// Why nothing can be said of it, if so.
    pub skipped: Option<String>,
    /// Images with mistakes, each with the first of them.
    pub mistakes: BTreeMap<String, String>,
    /// Images that copy what git ignores, so that no commit holds it, each with the first such path.
    pub ignored: BTreeMap<String, String>,
    /// The images that imk would build.
    pub built: Vec<Job>,
    /// The images that would be built when the whole context counts.
    pub context: Vec<String>,
    /// The images that would be built when the last commit that touched an image counts.
    pub shipwright: Vec<String>,
}

/// One build of imk.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// The image.
    pub name: String,
    /// Why, as a difference to the commit's parent.
    pub reasons: Vec<Reason>,
    /// Lines of Dockerfiles behind it, its bases' included.
    pub lines: BTreeSet<Line>,
}

/// A line of a Dockerfile, as it reads; its number changes from commit to commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line {
    /// The Dockerfile, below the repository's root.
    pub path: String,
    /// The instruction's first line.
    pub text: String,
}
