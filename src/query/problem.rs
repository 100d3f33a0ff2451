//! Problems: mistakes of an image that are found before any build.
//!
//! Knows no image: a file, a place in it, and words.

use serde::{Deserialize, Serialize};

use crate::syntax::error::{Span, SyntaxError};

/// A mistake of an image that is found before any build, with its place where there is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// The file, below the repository's root.
    pub path: String,
    /// The place in it.
    pub span: Option<Span>,
    /// The mistake, in words.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl Problem {
    /// A mistake in the text of a file.
    pub fn in_file(path: &str, error: SyntaxError) -> Self {
        Self { path: path.to_owned(), span: Some(error.span), message: error.message, hint: error.hint }
    }

    /// A mistake of a whole file or folder.
    pub fn of(path: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.to_owned(), span: None, message: message.into(), hint: Some(hint.into()) }
    }
}
