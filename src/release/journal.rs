//! A release that is under way, kept in the state until it is done, so that the next run completes what a
//! killed one began.
//!
//! It is completed rather than taken back: all of it is in the registry already, and a tag that there
//! was not before cannot be taken away everywhere. Before its claim is in the log no tag moves; so a journal
//! without a claim is one of a release that moved nothing.

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};

use crate::engine::Cancel;
use crate::registry::{Registry, RegistryError};
use crate::release::log::{Claim, ReleaseLog};
use crate::release::moves::{self, Moved};
use crate::state::folder::StateFolder;
use crate::syntax::reference;

/// The file, in the state's folder.
const FILE: &str = "release.json";

/// A release that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// Where the log is.
    pub log: String,
    /// The name of its claim there.
    pub claim: String,
}

impl Journal {
    /// Writes it down, before anything is told to the log.
    pub(super) fn begin(&self, state: &StateFolder) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        state.replace(FILE, &bytes)
    }

    /// Takes it away, when there is nothing left to be done.
    pub(super) fn end(state: &StateFolder) -> io::Result<()> {
        match state.read(FILE) {
            Some(_) => state.remove(FILE),
            None => Ok(()),
        }
    }

    /// The one that a killed run left. A file that cannot be read is none: a torn one was never begun.
    pub(super) fn left(state: &StateFolder) -> Option<Self> {
        serde_json::from_slice(&state.read(FILE)?).ok()
    }
}

/// A release that somebody left half done, and that is complete now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Its id.
    pub release: String,
    /// Tags that somebody has moved since: they were left alone.
    pub left_alone: Vec<String>,
}

/// Completes what a killed run of this checkout began, in the repositories of its images; `None` when nothing was
/// left, or nothing had moved.
///
/// # Errors
/// When a registry does not take it: the journal is kept for the next run.
pub fn complete(
    registry: &dyn Registry,
    state: &StateFolder,
    repositories: &BTreeSet<String>,
    cancel: &Cancel,
) -> Result<Option<Completed>, RegistryError> {
    let Some(journal) = Journal::left(state) else { return Ok(None) };
    let Ok(at) = reference::parse(&journal.log) else { return Ok(None) };
    let log = ReleaseLog::new(registry, at);
    let completed = match log.claim(&journal.claim)?.filter(|claim| !claim.withdrawn) {
        // Another machine has completed it, or has gone on from there.
        // The Imagefile is another one now, or the log's word is not ours. It stands, and the next release tells of it.
        Some(claim) if !claim.is_within(repositories) => None,
        Some(claim) if log.ids()?.last().is_some_and(|newest| *newest >= claim.release.id) => None,
        Some(claim) => Some(completed(&log, &journal.claim, &claim, cancel)?),
        None => None,
    };
    // One that stays is completed again, which changes nothing.
    let _ = Journal::end(state);
    Ok(completed)
}

/// Completes the release of a claim: makes the moves that it lacks, and writes it down.
///
/// # Errors
/// When a registry does not take it.
pub(super) fn completed(
    log: &ReleaseLog<'_>,
    name: &str,
    claim: &Claim,
    cancel: &Cancel,
) -> Result<Completed, RegistryError> {
    let (mut todo, mut left_alone) = (Vec::new(), Vec::new());
    for step in &claim.moves {
        let Ok(tag) = reference::parse(&step.tag) else { continue };
        let now = log.registry.head(&tag)?.map(|found| found.digest);
        if now == step.before {
            todo.push(step.clone());
        } else if now.as_deref() != Some(step.after.as_str()) {
            left_alone.push(step.tag.clone());
        }
    }
    // Another machine may complete it as well, and go on from there.
    let is_ours = || !matches!(log.read(&claim.release.id), Ok(Some(_)));
    match moves::make(log.registry, &todo, cancel, &is_ours) {
        Moved::All | Moved::Overruled => {}
        Moved::None { why } | Moved::Some { why, .. } => return Err(why),
    }
    log.append(&claim.release)?;
    // The record says that it is done; a claim that stays says nothing any more.
    let _ = log.drop_claim(name);
    Ok(Completed { release: claim.release.id.clone(), left_alone })
}
