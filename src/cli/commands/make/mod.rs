//! Verbs about what is out of date: shown, built, watched, pushed.

pub mod build;
pub mod check;
pub mod hook;
pub mod plan;
pub mod pull;
pub mod push;
pub mod watch;
