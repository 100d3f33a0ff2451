//! A release that is under way, kept in the state until it is done, so that the next run completes what a
//! killed one began.
//!
//! It is completed rather than taken back: all of it is in the registry already, and a tag that there
//! was not before cannot be taken away everywhere.

use std::io;

use serde::{Deserialize, Serialize};

use crate::engine::Cancel;
use crate::registry::{Registry, RegistryError};
use crate::release::log::ReleaseLog;
use crate::release::moves::{self, Moved, TagMove};
use crate::release::record::Release;
use crate::state::folder::StateFolder;
use crate::syntax::reference;

/// The file, in the state's folder.
const FILE: &str = "release.json";

/// A release that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// Where the log is.
    pub log: String,
    /// The record that will be written.
    pub release: Release,
    /// How.
    pub moves: Vec<TagMove>,
}

impl Journal {
    /// Writes it down, before the first move.
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

    /// The one that a killed run left. What cannot be read is none: a torn one was never begun.
    pub(super) fn left(state: &StateFolder) -> Option<Self> {
        serde_json::from_slice(&state.read(FILE)?).ok()
    }
}

/// A release that a killed run left, and that is complete now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Its id.
    pub release: String,
    /// Tags that somebody has moved since: they were left alone.
    pub left_alone: Vec<String>,
}

/// Completes what a killed run began; `None` when nothing was left.
///
/// # Errors
/// When a registry does not take it: the journal is kept for the next run.
pub fn complete(
    registry: &dyn Registry,
    state: &StateFolder,
    cancel: &Cancel,
) -> Result<Option<Completed>, RegistryError> {
    let Some(journal) = Journal::left(state) else { return Ok(None) };
    let (mut todo, mut left_alone) = (Vec::new(), Vec::new());
    for step in &journal.moves {
        let Ok(tag) = reference::parse(&step.tag) else { continue };
        let now = registry.head(&tag)?.map(|found| found.digest);
        if now == step.before {
            todo.push(step.clone());
        } else if now.as_deref() != Some(step.after.as_str()) {
            left_alone.push(step.tag.clone());
        }
    }
    match moves::make(registry, &todo, cancel) {
        Moved::All => {}
        Moved::None { why } | Moved::Some { why, .. } => return Err(why),
    }
    if let Ok(at) = reference::parse(&journal.log) {
        ReleaseLog::new(registry, at).append(&journal.release)?;
    }
    // One that stays is completed again, which changes nothing.
    let _ = Journal::end(state);
    Ok(Some(Completed { release: journal.release.id, left_alone }))
}
