//! The rules by which a known sender's message is read: which branches count, and what forks may.

use super::received::{Proposal, Received};

/// The rules of a repository, as far as its hooks go.
pub struct Terms<'a> {
    /// Whether pushes of a branch count; the second name is the branch that the sender calls the repository's own.
    pub lists: &'a dyn Fn(&str, Option<&str>) -> bool,
    /// Whether requests of forks are looked at: planned, and nothing of theirs run.
    pub checks_forks: bool,
    /// Whether a SHA-1 signature counts, as old hooks have it.
    pub allows_sha1: bool,
}

impl Terms<'_> {
    /// A proposal by somebody else.
    pub(super) fn proposal(&self, proposal: Proposal, default_branch: Option<&str>) -> Received {
        match (self.checks_forks, (self.lists)(&proposal.onto, default_branch)) {
            (true, true) => Received::Proposal(proposal),
            (true, false) => Received::Ignored("the branch that it is for is not listed".into()),
            (false, _) => Received::Ignored("requests of forks run nothing here".into()),
        }
    }
}
