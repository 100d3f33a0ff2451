//! `RUN --mount` with its variables replaced: what it mounts, and what that reads.
//!
//! Follows `parseMount` with an expander, and `dispatchRunMounts`.

use std::collections::BTreeMap;

use super::globals::cannot_expand;
use crate::syntax::dockerfile::{MOUNT_TYPES, Mount, Word};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::expand::{Lexer, Variables, is_unknown};
use crate::syntax::suggest::did_you_mean;
use crate::syntax::text::quoted;

/// A mount that is ready.
pub struct Ready {
    /// `bind`, `cache`, `tmpfs`, `secret` or `ssh`.
    pub kind: String,
    /// A stage, an image or a context.
    pub from: Option<Word>,
    pub source: String,
    pub source_span: Span,
    /// Every other field, `type` included.
    pub fields: BTreeMap<String, String>,
}

impl Ready {
    /// Does it read the main context?
    pub fn reads_context(&self) -> bool {
        // A type that is not known yet may be a bind mount.
        self.from.is_none() && (self.kind == "bind" || is_unknown(&self.kind))
    }
}

pub fn ready(mount: &Mount, lexer: &Lexer, variables: &dyn Variables) -> Result<Ready, SyntaxError> {
    let mut fields = BTreeMap::new();
    let (mut source, mut source_span, mut kind) = (String::new(), mount.whole.span, "bind".to_owned());
    let mut read_only = None;
    for field in &mount.fields {
        let value = match &field.value {
            None => None,
            Some(value) => Some(
                lexer
                    .expand(value, variables)
                    .map_err(|error| cannot_expand(field.at.span, value, &error))?
                    .text,
            ),
        };
        let text = value.clone().unwrap_or_default();
        match field.key.as_str() {
            "type" => {
                kind = text.to_lowercase();
                if !MOUNT_TYPES.contains(&kind.as_str()) && !is_unknown(&kind) {
                    let error =
                        SyntaxError::new(field.at.span, format!("cannot mount the type {}", quoted(&text)));
                    let all = format!("it is one of {}", MOUNT_TYPES.join(", "));
                    return Err(error.hint(did_you_mean(&kind, MOUNT_TYPES).unwrap_or(all)));
                }
            }
            "source" => {
                source = text;
                source_span = field.at.span;
            }
            "readonly" | "readwrite" => {
                let given = match text.as_str() {
                    "" if value.is_none() => true,
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                    other if is_unknown(other) => true,
                    other => {
                        let message = format!("`{}` is true or false, not {}", field.key, quoted(other));
                        return Err(SyntaxError::new(field.at.span, message));
                    }
                };
                read_only = Some(if field.key == "readonly" { given } else { !given });
            }
            key => {
                fields.insert(key.to_owned(), text);
            }
        }
    }
    let read_only = read_only.unwrap_or(!matches!(kind.as_str(), "cache" | "tmpfs"));
    fields.insert("readonly".into(), read_only.to_string());
    if kind == "bind" || kind == "cache" || kind == "tmpfs" {
        // Without a source the whole is mounted; `src`, `./src` and `/src` are one.
        let cleaned = if is_unknown(&source) { source.clone() } else { super::sources::normalize(&source) };
        fields.insert("source".into(), cleaned);
    } else {
        fields.insert("source".into(), source.clone());
    }
    fields.insert("type".into(), kind.clone());
    Ok(Ready { kind, from: mount.from.clone(), source, source_span, fields })
}
