//! How bake lays one target over another: blocks of one name, and what a target inherits.
//!
//! Attribute by attribute, as `Target.Merge` of buildx has it. Knows no names of targets.

use super::target::Keys;
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::import::evaluate::Carried;

/// How an attribute's value is written, and what becomes of an earlier one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text; the later one stands.
    Text,
    /// A list of texts; the later one stands.
    List,
    /// A list, of texts or maps; what is new is added.
    Added,
    /// A list, of texts or maps; the later one stands.
    Replaced,
    /// A map of texts, laid over key by key.
    Map,
}

const KINDS: &[(&str, Kind)] = &[
    ("annotations", Kind::Added),
    ("args", Kind::Map),
    ("attest", Kind::Added),
    ("cache-from", Kind::Added),
    ("cache-to", Kind::Replaced),
    ("call", Kind::Text),
    ("context", Kind::Text),
    ("contexts", Kind::Map),
    ("description", Kind::Text),
    ("dockerfile", Kind::Text),
    ("dockerfile-inline", Kind::Text),
    ("entitlements", Kind::Added),
    ("extra-hosts", Kind::Map),
    ("inherits", Kind::List),
    ("labels", Kind::Map),
    ("name", Kind::Text),
    ("network", Kind::Text),
    ("no-cache", Kind::Text),
    ("no-cache-filter", Kind::List),
    ("output", Kind::Replaced),
    ("platforms", Kind::List),
    ("pull", Kind::Text),
    ("secret", Kind::Added),
    ("shm-size", Kind::Text),
    ("ssh", Kind::Added),
    ("tags", Kind::List),
    ("target", Kind::Text),
    ("ulimits", Kind::List),
];

fn kind(name: &str) -> Option<Kind> {
    KINDS.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind)
}

/// Checks that bake would take such a value for an attribute; one it does not know can have any.
///
/// # Errors
/// The type that it must have.
pub(super) fn check(name: &str, value: &Carried, span: Span) -> Result<(), Vec<SyntaxError>> {
    let is_text = |value: &Carried| matches!(value, Carried::Text(_));
    let wanted = match (kind(name), value) {
        (None, _) | (_, Carried::Null) => return Ok(()),
        (Some(Kind::Text), value) => (!is_text(value)).then_some("a text"),
        (Some(Kind::List), Carried::List(items)) => (!items.iter().all(is_text)).then_some("a list of texts"),
        (Some(Kind::List), _) => Some("a list of texts"),
        (Some(Kind::Added | Kind::Replaced), value) => {
            (!matches!(value, Carried::List(_))).then_some("a list")
        }
        (Some(Kind::Map), Carried::Map(entries)) => {
            let fits = |value: &Carried| is_text(value) || *value == Carried::Null;
            (!entries.iter().all(|(_, value)| fits(value))).then_some("a map of texts")
        }
        (Some(Kind::Map), _) => Some("a map of texts"),
    };
    match wanted {
        None => Ok(()),
        Some(wanted) => {
            let message = format!("`{name}` must be {wanted}");
            Err(vec![SyntaxError::new(span, message).hint("bake refuses this file too")])
        }
    }
}

/// Lays `over` over `under`. Null says nothing, alone and in a map: what was there stays.
pub(super) fn lay(under: &mut Keys, over: &Keys) {
    for (name, (value, span)) in over {
        let kind = kind(name);
        match (under.get_mut(name), value) {
            (_, Carried::Null) => {}
            (Some((Carried::Map(old), place)), Carried::Map(new)) if kind == Some(Kind::Map) => {
                for (key, value) in new.iter().filter(|(_, value)| *value != Carried::Null) {
                    old.retain(|(other, _)| other != key);
                    old.push((key.clone(), value.clone()));
                }
                *place = *span;
            }
            (Some((Carried::List(old), place)), Carried::List(new)) if kind == Some(Kind::Added) => {
                for item in new {
                    if !old.contains(item) {
                        old.push(item.clone());
                    }
                }
                *place = *span;
            }
            _ => {
                under.insert(name.clone(), (value.clone(), *span));
            }
        }
    }
}
