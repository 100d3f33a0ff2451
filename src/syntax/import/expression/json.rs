//! Values as JSON and back, as go-cty writes and reads it.
//!
//! Knows no expressions.

use std::fmt::Write as _;

use super::number::Number;
use super::value::{Kind, Value};

/// A value as JSON on one line; the keys of a map in their order.
pub(super) fn encoded(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Text(text) => quote(text, out),
        Value::Sequence(_, items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            out.push('{');
            for (at, (key, item)) in entries.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                quote(key, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
    }
}

/// Go escapes what HTML would read, too.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                // Writing to a text cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Reads JSON. Its lists are tuples.
///
/// # Errors
/// The reason that it is none.
pub(in crate::syntax::import) fn decoded(text: &str) -> Result<Value, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    value_of(value)
}

fn value_of(value: serde_json::Value) -> Result<Value, String> {
    Ok(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => {
            Value::Number(Number::parse(&number.to_string()).ok_or("a number of it is too large")?)
        }
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => {
            Value::Sequence(Kind::Tuple, items.into_iter().map(value_of).collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(entries) => {
            let pair = |(key, value): (String, serde_json::Value)| Ok::<_, String>((key, value_of(value)?));
            Value::Object(entries.into_iter().map(pair).collect::<Result<_, _>>()?)
        }
    })
}
