//! A mistake in a text somebody wrote, with its place.
//!
//! Plain comparable values, since queries return them and salsa keeps them.
//! Knows nothing of screens: `cli/failure/draw.rs` draws the excerpt.

use serde::{Deserialize, Serialize};

/// A place in a text: byte offsets, half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// From `start` to just before `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The first character of a text, for what concerns all of it; nothing where the text is empty.
    pub fn first_of(text: &str) -> Self {
        Self::new(0, text.chars().next().map_or(0, char::len_utf8))
    }

    /// The line and column of the first byte, both from 1; the column counts characters.
    pub fn line_and_column(&self, text: &str) -> (usize, usize) {
        let start = self.start.min(text.len());
        let before = String::from_utf8_lossy(&text.as_bytes()[..start]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// One mistake: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyntaxError {
    /// The place in the text that was read.
    pub span: Span,
    /// The mistake, as a short sentence without a full stop.
    pub message: String,
    /// The remedy, when there is something useful to say.
    pub hint: Option<String>,
}

impl SyntaxError {
    /// A mistake without a hint.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let text = "FROM a\nRUN é x\n";
        assert_eq!(Span::new(0, 4).line_and_column(text), (1, 1));
        let x = text.find('x').unwrap();
        assert_eq!(Span::new(x, x + 1).line_and_column(text), (2, 7));
    }
}
