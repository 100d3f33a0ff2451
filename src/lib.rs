//! imk: make for container images.

pub mod cli;
pub mod credentials;
pub mod drive;
pub mod engine;
pub mod evidence;
pub mod file;
pub mod hash;
pub mod ledger;
pub mod name;
pub mod part;
pub mod query;
pub mod reason;
pub mod registry;
pub mod source;
pub mod syntax;
