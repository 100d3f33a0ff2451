//! Verbs that answer a question. None builds, and none changes what a build finds.

pub mod affected;
pub mod diff;
pub mod graph;
pub mod inputs;
pub mod lint;
pub mod list;
pub mod log;
pub mod replay;
pub mod tags;
pub mod what_if;
pub mod who_uses;
pub mod why;
pub mod why_not;
