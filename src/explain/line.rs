//! Lines of Dockerfiles, for messages that name one. Knows texts and places, no files.

use serde::Serialize;

use crate::syntax::error::Span;
use crate::syntax::resolve::Recipe;

/// The first line of an instruction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct InstructionLine {
    /// The Dockerfile, below the repository's root.
    pub path: String,
    /// Its number, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
}

/// The line of the Dockerfile at `path` that a byte stands in.
pub fn at(path: &str, text: &str, byte: usize) -> InstructionLine {
    let (line, text) = line(text, byte);
    InstructionLine { path: path.to_owned(), line, text }
}

/// The first line of the instruction that a word stands in.
pub fn around(recipe: &Recipe, path: &str, text: &str, word: Span) -> InstructionLine {
    let all = recipe.stages.iter().flat_map(|stage| &stage.instructions);
    let mut around = all.filter(|one| one.span.start <= word.start && word.end <= one.span.end);
    at(path, text, around.next().map_or(word.start, |instruction| instruction.span.start))
}

/// Number, from 1, and text of the line that a byte stands in.
pub fn line(text: &str, byte: usize) -> (usize, String) {
    let bytes = &text.as_bytes()[..byte.min(text.len())];
    let start = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let number = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    (number, text[start..].lines().next().unwrap_or_default().trim().to_owned())
}
