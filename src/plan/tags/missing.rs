//! Why a tag cannot be given. Words for it are made in `cli/`.

/// Why a tag cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// Git does not say, in its own words: there is a repository.
    Git(String),
    /// There is no git repository.
    NoRepository,
    /// Nothing was committed yet.
    NoCommit,
    /// The head is detached, and CI does not tell the branch.
    NoBranch,
    /// No git tag stands at the commit.
    NoTag,
    /// The git tag is no version.
    NoVersion(String),
    /// The git tag is a pre-release, which must not move the tags of a release.
    PreRelease(String),
    /// The git tag is a release.
    NoPreRelease(String),
    /// Nobody tells a build number.
    NoBuildNumber,
    /// The variable is unset, empty or not UTF-8.
    NoVariable(String),
    /// The image waits for a base, so its key is not known before a build.
    NoKey,
}

impl Missing {
    /// Why a fact cannot be had that may well be there: no absence, but an error.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Git(why) => Some(why),
            _ => None,
        }
    }
}
