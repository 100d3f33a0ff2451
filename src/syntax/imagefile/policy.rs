//! `upstream` of an image: how bases outside the repository are followed.
//!
//! Knows how a policy is written, and asks nobody.

use std::time::Duration;

use ron2::ast::{Expr, StructBody};

use super::Policy;
use super::decode::Reader;
use crate::syntax::error::SyntaxError;

impl Reader {
    pub(super) fn policy(&mut self, value: &Expr<'_>) -> Option<Policy> {
        if let Expr::Struct(named) = value {
            match (named.name.name.as_ref(), &named.body) {
                ("Locked", None) => return Some(Policy::Locked),
                ("Float", None) => return Some(Policy::Float),
                ("Every", Some(StructBody::Tuple(body))) if body.elements.len() == 1 => {
                    let period = self.text(&body.elements[0].expr)?;
                    let duration = duration(&period.text);
                    if duration.is_none() {
                        let message = format!("`{}` is not a period of time", period.text);
                        let error = SyntaxError::new(period.span, message);
                        self.errors.push(error.hint("write it as \"7d\", \"12h\" or \"1d 12h\""));
                    }
                    return duration.map(Policy::Every);
                }
                _ => {}
            }
        }
        self.expected("Locked, Float or Every(\"7d\")", value);
        None
    }
}

/// A period of at least a second. A day has 24 hours here.
fn duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    let seconds = u64::try_from(duration.as_secs()).ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}
