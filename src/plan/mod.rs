//! Plan of a build, and why: verdicts, the tags that results lack, warnings.
//!
//! Changes nothing, neither on an engine nor of the state. Never prints.

pub mod caches;
pub mod names;
pub mod outputs;
pub mod overview;
pub mod ready;
pub mod requirements;
pub mod tags;
mod unsaid;
pub mod verdicts;
pub mod warnings;
