//! Types of compose's keys: a number where a text is wanted is refused, as compose refuses it.
//!
//! Knows the keys that an import reads, and none of their meanings.

use crate::syntax::error::SyntaxError;
use crate::syntax::import::scalar::{self, Scalar};
use crate::syntax::yaml::{Key, Shared, Value};

const TEXTS: &[&str] = &["context", "dockerfile", "dockerfile_inline", "isolation", "network", "target"];
const LISTS: &[&str] = &["cache_from", "cache_to", "platforms", "tags"];
const MAPS: &[&str] = &["additional_contexts", "args", "labels"];

/// A mistake in a key of a service.
pub(super) fn service(key: &Key, value: &Shared) -> Option<SyntaxError> {
    match key.text.as_str() {
        "build" if matches!(value.value, Value::Map(_)) => None,
        "build" | "image" | "platform" => text(key, value),
        "profiles" => list(key, value),
        _ => None,
    }
}

/// A mistake in a key of `build`.
pub(super) fn build(key: &Key, value: &Shared) -> Option<SyntaxError> {
    match key.text.as_str() {
        name if TEXTS.contains(&name) => text(key, value),
        name if LISTS.contains(&name) => list(key, value),
        name if MAPS.contains(&name) => map(key, value),
        _ => None,
    }
}

fn refused(key: &Key, wanted: &str) -> Option<SyntaxError> {
    let message = format!("`{}` must be {wanted}", key.text);
    Some(
        SyntaxError::new(key.span, message).hint("compose refuses it too: leave the key out, or give it one"),
    )
}

fn is_text(value: &Shared) -> bool {
    matches!(scalar::of(value), Some(Scalar::Text(_)))
}

fn text(key: &Key, value: &Shared) -> Option<SyntaxError> {
    if is_text(value) { None } else { refused(key, "a text; a number is one in quotes") }
}

fn list(key: &Key, value: &Shared) -> Option<SyntaxError> {
    match &value.value {
        Value::List(items) if items.iter().all(is_text) => None,
        _ => refused(key, "a list of texts"),
    }
}

/// A map of scalars, or a list of `KEY=value`.
fn map(key: &Key, value: &Shared) -> Option<SyntaxError> {
    let fits = |value: &Shared| match scalar::of(value) {
        Some(scalar) => scalar != Scalar::Time,
        None => value.tag.is_some(),
    };
    match &value.value {
        Value::Map(entries) if entries.iter().all(|(_, value)| fits(value)) => None,
        Value::List(items) if items.iter().all(is_text) => None,
        _ => refused(key, "a map of texts, or a list of `KEY=value`"),
    }
}
