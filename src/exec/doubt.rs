//! Doubts: parts of a key that nobody confirmed. Data and its words; `provisional` says what comes of it.

use std::collections::BTreeSet;

/// A part of a key that nobody confirmed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt {
    /// The base, file or repository, as a person wrote it and without secrets.
    pub about: String,
    /// Why it was not confirmed.
    pub why: String,
}

/// Doubts in one line.
pub(super) fn in_one_line(doubts: &BTreeSet<Doubt>) -> String {
    let lines: Vec<String> =
        doubts.iter().map(|doubt| format!("`{}` is not confirmed: {}", doubt.about, doubt.why)).collect();
    lines.join("; ")
}
