//! Brings a session up to date for a plan, and refuses what no plan can be made of.

use std::collections::BTreeMap;

use crate::model::hash::ContentHash;
use crate::plan::tags::tagging::facts_of;
use crate::query::problem::Problem;
use crate::session::open::Session;
use crate::session::sync::{self, SyncError, Synced};
use crate::syntax::reference::normalized;

/// Brings the inputs up to date for `words`, all images when there are none.
///
/// # Errors
/// See [`SyncError`]; images that would take each other's tags are one.
pub fn sync(session: &mut Session, words: &[String]) -> Result<Synced, SyncError> {
    let synced = sync::sync(session, words)?;
    let shared = shared_tags(session);
    if shared.is_empty() { Ok(synced) } else { Err(SyncError::SharedTags(shared)) }
}

/// References that two images would both be given: the later build would take them from the other.
/// Only images can share one whose names come to the same repository, as `x` and `library/x`.
fn shared_tags(session: &Session) -> Vec<Problem> {
    let mut repositories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, image) in &session.project.images {
        repositories.entry(normalized(&image.repository)).or_default().push(name.clone());
    }
    let mut problems = Vec::new();
    for names in repositories.into_values().filter(|names| names.len() > 1) {
        let tagging = facts_of(session, &names);
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for name in &names {
            // Each has a key of its own.
            for tag in tagging.of(name, Some(&ContentHash::of(name.as_bytes()))).given {
                let other = owners.insert(normalized(&tag.reference), name);
                if let Some(other) = other.filter(|other| other != name) {
                    problems.push(Problem {
                        path: session.project.imagefile.clone().unwrap_or_default(),
                        span: session.project.images.get(name).and_then(|image| image.place),
                        message: format!(
                            "the images `{other}` and `{name}` would both be tagged `{}`",
                            tag.reference
                        ),
                        hint: Some("give one of them another tag".into()),
                    });
                }
            }
        }
    }
    problems
}
