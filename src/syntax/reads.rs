//! Reads of a recipe: the sources that its instructions copy or mount, before any file is looked at.
//!
//! Knows the words of `COPY`, `ADD` and `RUN --mount`; knows no files. The
//! room `source` turns a `Selection` into used files.

use serde::{Deserialize, Serialize};

use super::error::Span;
use super::{glob, patterns};
use crate::model::name;

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
    /// `--exclude` patterns (`patterns.rs`), relative to the path that the source matches.
    pub exclude: Vec<String>,
    /// `--parents`: of what the source matches, only what this pattern (`patterns.rs`) matches, relative to it. The
    /// source is what stands before the `/./`, or the whole context.
    pub include: Option<String>,
    /// Nothing matching is an error. A bind mount of a missing path and a `COPY` both fail in
    /// BuildKit; a wildcard that finds nothing does not, nor does the whole context.
    pub required: bool,
    /// The place of the word in the Dockerfile.
    pub span: Span,
}

impl ReadSource {
    /// The path that all it reads is at or below, as far as the words alone tell: before the first wildcard.
    pub fn start(&self) -> String {
        let start = if self.wildcard { glob::static_prefix(&self.pattern) } else { &self.pattern };
        match &self.include {
            // Behind a wildcard nothing more is known.
            Some(include) if start.len() == self.pattern.len() => {
                name::join(start, patterns::static_prefix(include))
            }
            _ => start.to_owned(),
        }
    }

    /// Whether it takes the whole context and leaves nothing out.
    pub fn is_whole(&self) -> bool {
        self.pattern.is_empty() && self.include.is_none() && self.exclude.is_empty()
    }

    /// The source as it was meant: with the `/./` where there is a pivot.
    pub fn shown(&self) -> String {
        match &self.include {
            None if self.pattern.is_empty() => ".".to_owned(),
            None => self.pattern.clone(),
            Some(include) if self.pattern.is_empty() => include.clone(),
            Some(include) => format!("{}/./{include}", self.pattern),
        }
    }
}

impl Reads {
    /// Everything in the context: what a frontend that imk does not know may read.
    pub fn whole() -> Self {
        Self {
            sources: vec![ReadSource {
                pattern: String::new(),
                wildcard: false,
                exclude: Vec::new(),
                include: None,
                required: false,
                span: Span::default(),
            }],
        }
    }
}
