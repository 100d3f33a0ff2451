//! `HEALTHCHECK`: its options and its command.
//!
//! Follows `parseHealthcheck` and Go's `time.ParseDuration`.

use std::collections::BTreeMap;

use super::Healthcheck;
use super::flags::Takes;
use super::parts::{Errors, Parts};
use crate::syntax::error::SyntaxError;
use crate::syntax::text::quoted;

pub fn parse(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Healthcheck> {
    let keys = ["interval", "timeout", "start-period", "start-interval", "retries"];
    let length = parts.rest.text.find(char::is_whitespace).unwrap_or(parts.rest.text.len());
    let kind = parts.rest.text[..length].to_ascii_uppercase();
    let kind_span = parts.line.span(parts.rest.at, parts.rest.at + length);
    parts.rest = parts.rest.behind(length).trim();
    let flags = parts.flags(&keys.map(|key| (key, Takes::Text)), errors);
    match kind.as_str() {
        "NONE" if parts.rest.text.is_empty() => return Some(Healthcheck::None),
        "NONE" => {
            errors.push(SyntaxError::new(kind_span, "HEALTHCHECK NONE takes nothing else"));
            return None;
        }
        "CMD" => {}
        "" => {
            parts.missing("CMD and a command, or NONE", errors);
            return None;
        }
        unknown => {
            let message = format!("HEALTHCHECK does not know {}", quoted(unknown));
            errors.push(
                SyntaxError::new(kind_span, message)
                    .hint("write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`"),
            );
            return None;
        }
    }
    let command = parts.command(errors)?;
    if command.args.is_empty() {
        parts.missing("a command behind CMD", errors);
        return None;
    }
    let mut options = BTreeMap::new();
    for key in keys {
        let Some(value) = flags.value(key).filter(|value| !value.text.is_empty()) else { continue };
        let number = match key {
            "retries" => value.text.parse::<i32>().ok().filter(|number| *number >= 0).map(i64::from),
            _ => duration(&value.text).filter(|nanoseconds| *nanoseconds == 0 || *nanoseconds >= 1_000_000),
        };
        match number {
            Some(0) => {}
            Some(number) => {
                options.insert(key.to_owned(), number);
            }
            None => {
                let message = format!("`--{key}` cannot be {}", quoted(&value.text));
                let wanted =
                    if key == "retries" { "a number, as in 3" } else { "a time, as in 30s or 1m30s" };
                errors.push(
                    SyntaxError::new(value.word(parts.line).span, message).hint(format!("it is {wanted}")),
                );
            }
        }
    }
    Some(Healthcheck::Command { command, options })
}

/// Go's `time.ParseDuration`: `1h30m`, `1.5s`, `0`; in nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match &rest[..letters] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    (total < 9.2e18).then_some((sign * total) as i64)
}
