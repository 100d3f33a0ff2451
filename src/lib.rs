//! imk: make for container images.

pub mod cli;
pub mod content;
pub mod credentials;
pub mod drive;
pub mod engine;
pub mod exec;
pub mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hash;
pub mod name;
pub mod part;
pub mod query;
pub mod reason;
pub mod registry;

pub mod source;
pub mod state;
pub mod syntax;
