//! A reference that moved, in words that all forges share.

use super::field;
use super::received::{Push, Received};
use super::terms::Terms;

/// A reference as a payload tells of it.
pub(super) struct Moved<'p> {
    /// `refs/heads/main`
    pub reference: &'p str,
    /// The commit's id; none, or one of zeros, when the reference is gone.
    pub commit: Option<&'p str>,
    /// The message of that commit.
    pub message: &'p str,
    /// The branch that the repository calls its own.
    pub default_branch: Option<&'p str>,
}

/// The push that it is, or why it is none that counts.
pub(super) fn push(moved: &Moved<'_>, terms: &Terms<'_>) -> Result<Push, String> {
    let reference = moved.reference;
    if reference.starts_with("refs/tags/") {
        return Err("a tag moved, and only branches count".into());
    }
    let named = reference.strip_prefix("refs/heads/").ok_or("the reference is no branch")?;
    let branch = field::branch(named).ok_or("the branch has a name that git does not allow")?;
    if !(terms.lists)(&branch, moved.default_branch.filter(|name| field::branch(name).is_some())) {
        return Err(format!("the branch `{branch}` is not listed"));
    }
    let Some(commit) = moved.commit.filter(|id| !field::is_nothing(id)) else {
        return Err(format!("the branch `{branch}` was deleted"));
    };
    let commit = field::commit(commit).ok_or("the commit's id is none")?;
    Ok(Push { branch, commit, message: field::line(moved.message) })
}

/// One push, or the reason for none.
pub(super) fn one(pushed: Result<Push, String>) -> Received {
    match pushed {
        Ok(push) => Received::Pushes(vec![push]),
        Err(why) => Received::Ignored(why),
    }
}
