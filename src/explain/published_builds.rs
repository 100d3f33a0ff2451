//! Images that were built elsewhere, explained by the inputs that travel with them.
//!
//! Reads what is attached to a published image and keeps it as evidence, as if it had
//! been built here. Asks a registry only when it is called: for an explanation, never for a verdict.

use crate::build::publish::INPUTS;
use crate::model::reason::{Code, Reason};
use crate::model::time::UnixSeconds;
use crate::plan::tags::tagging;
use crate::plan::verdicts;
use crate::registry::{RegistryError, by_digest};
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::state::evidence::document::Document;
use crate::state::ledger::Record;
use crate::syntax::reference::{self, Reference};

/// The build that a name in a registry stands for; `None` when it is no image of imk's.
///
/// # Errors
/// When the registry does not say.
pub fn built_elsewhere(session: &Session, name: &Reference) -> Result<Option<Record>, RegistryError> {
    let registry = session.executor.remote_cache.registry();
    let Some(found) = registry.head(name)? else { return Ok(None) };
    let at = by_digest(name, &found.digest);
    let documents = registry.attached(&at, INPUTS)?;
    let Some(document) = documents.iter().find_map(|bytes| Document::read(bytes)) else {
        return Ok(None);
    };
    // It only explains; where it cannot be kept it is asked for again.
    let _ = session.executor.evidence.save(&document.key, &document.evidence());
    Ok(Some(Record {
        key: document.key,
        image: document.image,
        engine: String::new(),
        id: found.digest,
        content: document.content,
        at: UnixSeconds::default(),
        took_ms: 0,
        reasons: Vec::new(),
        published: Some(at.to_string()),
        same: false,
    }))
}

/// The differences between an image as it is here and one of its tags in its registry, and
/// which tag that is. For an image that was never built here.
pub fn against_elsewhere(session: &Session, synced: &Synced, image: &str) -> Option<(String, Vec<Reason>)> {
    session.executor.remote_cache.repository(image)?;
    let key = crate::model::hash::ContentHash::default();
    let tags = tagging::tagging(session, synced).of(image, Some(&key)).given;
    let names = tags.iter().filter_map(|tag| reference::parse(&tag.reference).ok());
    for name in names {
        let Ok(Some(record)) = built_elsewhere(session, &name) else { continue };
        let old = session.executor.evidence.load(&record.key)?;
        let mut reasons = old.differences(&verdicts::evidence_now(session, synced, image)?);
        // Its bases may wait for a build: what they will come out as is not known.
        reasons.retain(|reason| reason.code != Code::Base);
        if !reasons.is_empty() {
            return Some((name.familiar(), reasons));
        }
    }
    None
}
