//! Reads of a recipe: the sources that its instructions copy or mount, before any file is looked at.
//!
//! Knows the words of `COPY`, `ADD` and `RUN --mount`; knows no files. The
//! room `source` turns a `Selection` into used files.

use serde::{Deserialize, Serialize};

use super::error::Span;

/// Which files of one context an image can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Reads {
    /// Every source, in the order of the instructions.
    pub sources: Vec<ReadSource>,
}

/// One source word of one instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReadSource {
    /// Cleaned as BuildKit cleans it: relative to the context's root, no `.`
    /// or `..` left, empty for the whole context.
    pub pattern: String,
    /// There are `*`, `?` or `[…]` that count (`COPY` and `ADD`); a bind mount's source is literal.
    pub wildcard: bool,
    /// `--exclude` patterns (`patterns.rs`): relative to the path that the source matches, and with
    /// `--parents` relative to the context's root.
    pub exclude: Vec<String>,
    /// `--parents`: where the `./` pivot stands does not matter for what is read.
    pub parents: bool,
    /// Nothing matching is an error. A bind mount of a missing path and a `COPY` both fail in
    /// BuildKit; a wildcard that finds nothing does not, nor does the whole context.
    pub required: bool,
    /// The place of the word in the Dockerfile.
    pub span: Span,
}

impl Reads {
    /// Everything in the context: what a frontend that imk does not know may read.
    pub fn whole() -> Self {
        Self {
            sources: vec![ReadSource {
                pattern: String::new(),
                wildcard: false,
                exclude: Vec::new(),
                parents: false,
                required: false,
                span: Span::default(),
            }],
        }
    }
}
