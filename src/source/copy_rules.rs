//! Rules of one source of a copy, and what came of it. Knows no files.

use crate::syntax::patterns::Patterns;

/// The outcome of one source.
pub(super) enum CopyOutcome {
    Something,
    /// A wildcard may do that; a name may not.
    Nothing,
    /// The folder before the first wildcard is missing, or what a matched link leads to:
    /// BuildKit copies nothing of `*.none`, and fails on `none/*`.
    Broken,
}

/// The rules by which one source takes from the folder it names: `--exclude`, and the pattern of `--parents`.
#[derive(Default)]
pub(super) struct CopyRules {
    /// Length of the source's path with its slash: both patterns are read below it.
    pub skip: usize,
    pub exclude: Patterns,
    pub include: Option<Patterns>,
    /// Where `include` can match at all, below the source.
    pub prefix: String,
}
