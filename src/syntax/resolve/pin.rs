//! The Dockerfile with its bases replaced by exact images.
//!
//! Only the words that name a base change. Every line keeps its number, so that
//! what an engine says of a line is true of the user's file. Asks nobody what is exact.

use std::collections::BTreeMap;

use super::{BaseUse, Recipe};
use crate::syntax::error::Span;

impl Recipe {
    /// Replaces the words of every base for which there is an exact name, and what named contexts replace.
    pub fn pinned(&self, text: &str, exact: impl Fn(&BaseUse) -> Option<String>) -> String {
        let mut changes: BTreeMap<Span, Option<String>> = self.rewrites.iter().cloned().collect();
        for base in self.bases.iter().filter(|base| !base.context) {
            if let Some(exact) = exact(base) {
                changes.extend(base.spans.iter().map(|span| (*span, Some(exact.clone()))));
            }
        }
        let (mut result, mut at) = (String::with_capacity(text.len()), 0);
        for (span, exact) in changes {
            let (Some(before), Some(word)) = (text.get(at..span.start), text.get(span.start..span.end))
            else {
                continue;
            };
            result.push_str(before);
            for _ in word.matches('\n') {
                // A word that is joined from two lines leaves its line breaks in front of it.
                if exact.is_some() {
                    result.push(self.escape);
                }
                result.push('\n');
            }
            result.push_str(exact.as_deref().unwrap_or_default());
            at = span.end;
        }
        result.push_str(text.get(at..).unwrap_or_default());
        result
    }
}
