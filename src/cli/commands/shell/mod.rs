//! Verbs that print what a shell or a system reads of imk itself.

pub mod completions;
pub mod man;
