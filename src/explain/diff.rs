//! Two builds side by side: what went into the one and not into the other.
//!
//! A build is named as `IMAGE@3`, by the beginning of its key, or by a tag or id of the
//! engine. Two commits are compared by the states of their trees (`tree_state.rs`). Knows the
//! ledger and the evidence; makes no words.

use crate::explain::published_builds;
use crate::model::reason::Reason;
use crate::session::open::Session;
use crate::state::ledger::Record;
use crate::syntax::reference;

/// Why a word names no build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoBuild {
    /// Nothing of that name is known.
    Unknown,
    /// The image has only so many builds that are remembered.
    NotSoMany { image: String, count: usize },
    /// Several keys begin like this.
    Several,
    /// The engine has it, and no build of this repository made it.
    NotOurs,
}

/// The shortest beginning of a key that names a build.
const SHORTEST: usize = 4;

/// The build that a word names.
///
/// # Errors
/// See [`NoBuild`].
pub fn build_named(session: &Session, word: &str) -> Result<Record, NoBuild> {
    let ledger = &session.executor.ledger;
    if let Some((image, number)) = word.rsplit_once('@')
        && let Ok(number) = number.parse::<usize>()
    {
        let builds = ledger.builds(image);
        let found = number.checked_sub(1).and_then(|at| builds.get(at)).cloned();
        let count = builds.len();
        return match count {
            0 => Err(NoBuild::Unknown),
            _ => found.ok_or_else(|| NoBuild::NotSoMany { image: image.to_owned(), count }),
        };
    }
    let is_hex = word.len() >= SHORTEST && word.chars().all(|c| c.is_ascii_hexdigit());
    if is_hex && let Some(found) = ledger.newest(|record| record.key.to_string().starts_with(word)) {
        let other =
            ledger.newest(|record| record.key.to_string().starts_with(word) && record.key != found.key);
        return if other.is_some() { Err(NoBuild::Several) } else { Ok(found) };
    }
    if session.project.images.contains_key(word) {
        return ledger.newest(|record| record.image == word).ok_or(NoBuild::Unknown);
    }
    match session.executor.default_engine().inspect(word) {
        Ok(Some(info)) => match ledger.newest(|record| record.id == info.id.0) {
            Some(record) => Ok(record),
            None => in_a_registry(session, word).ok_or(NoBuild::NotOurs),
        },
        _ => in_a_registry(session, word).ok_or(NoBuild::Unknown),
    }
}

/// A build of another machine, by the name that it has in its registry.
fn in_a_registry(session: &Session, word: &str) -> Option<Record> {
    let name = reference::parse(word).ok().filter(|name| name.registry.contains(['.', ':']))?;
    published_builds::built_elsewhere(session, &name).ok().flatten()
}

/// The differences of the second of two builds; `None` when the evidence of one is no more kept.
pub fn between(session: &Session, before: &Record, after: &Record) -> Option<Vec<Reason>> {
    if before.key == after.key {
        return Some(Vec::new());
    }
    let load = |record: &Record| session.executor.evidence.load(&record.key);
    Some(load(before)?.differences(&load(after)?))
}
