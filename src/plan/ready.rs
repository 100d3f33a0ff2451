//! Brings a session up to date for a plan, and refuses what no plan can be made of.

use std::collections::BTreeMap;

use crate::model::hash::ContentHash;
use crate::model::name::declared;
use crate::plan::tags::tagging::{Tagging, facts_of};
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
            for (spelled, reference) in may_bear(session, &tagging, name) {
                let other = owners.insert(reference, name);
                if let Some(other) = other.filter(|other| declared(other) != declared(name)) {
                    problems.push(shared(session, other, name, &spelled));
                }
            }
        }
    }
    problems
}

/// The names that an image may bear: by today's facts, and by the tags that are always the same, whether or
/// not the conditions of their rules hold today. As written, and in full.
fn may_bear(session: &Session, tagging: &Tagging, name: &str) -> BTreeMap<String, String> {
    // Each has a key of its own.
    let given = tagging.of(name, Some(&ContentHash::of(name.as_bytes()))).given;
    let given = given.into_iter().map(|tag| tag.reference);
    let fixed = session.project.images.get(name).into_iter().flat_map(|image| {
        image.answers().tags.into_iter().map(|tag| format!("{}:{tag}", image.repository)).collect::<Vec<_>>()
    });
    given.chain(fixed).map(|spelled| (spelled.clone(), normalized(&spelled))).collect()
}

fn shared(session: &Session, other: &str, name: &str, reference: &str) -> Problem {
    let path = session.project.imagefile.clone().unwrap_or_default();
    let place = |name: &str| session.project.images.get(name).and_then(|image| image.span);
    let line = place(other).zip(session.text(&path)).map(|(span, text)| {
        let before = text.get(..span.start).unwrap_or_default();
        format!("`{other}` is declared at {path}:{}; ", before.matches('\n').count() + 1)
    });
    Problem {
        span: place(name),
        message: format!("the images `{other}` and `{name}` would both be tagged `{reference}`"),
        hint: Some(format!("{}give one of them another tag", line.unwrap_or_default())),
        path,
    }
}
