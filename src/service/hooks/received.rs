//! The meaning of a request whose sender is known.

use crate::syntax::reference::Reference;

/// A request that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same for the same message, however often it is sent: by its signed content, not by a header that anybody can change.
    pub id: String,
    /// Its meaning.
    pub received: Received,
}

/// The meaning of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Branches moved: one, or with Bitbucket several at once.
    Pushes(Vec<Push>),
    /// Somebody proposes a change, and it may be looked at.
    Proposal(Proposal),
    /// Images were published.
    Images(Vec<Reference>),
    /// A forge tries whether somebody answers.
    Ping,
    /// Nothing is to be done, and this is why.
    Ignored(String),
}

/// A branch that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Its name, which git allows.
    pub branch: String,
    /// The commit that it is at now: 40 or 64 hexadecimal digits in small letters.
    pub commit: String,
    /// The first line of the commit's message, without control characters.
    pub message: String,
}

/// A pull or merge request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number in the repository.
    pub number: u64,
    /// The reference under which the repository itself has its commit, such as `refs/pull/7/head`.
    pub reference: String,
    /// The commit.
    pub commit: String,
    /// The branch that it is for.
    pub onto: String,
    /// Its title, one line.
    pub title: String,
}
