//! Execution: the one effect of a query. Results are found, built, fetched and published here.
//!
//! Knows engines, registries, ledger, evidence and files. Decides nothing about freshness: the key
//! that it is handed has decided. Never sets an input, never prints.

mod base_substitutions;
mod build_or_reuse;
pub mod doubt;
pub mod executor;
mod layouts;
mod placement;
pub mod provisional;
pub mod push;
pub mod remote_cache;
pub mod transfer;

pub use executor::Executor;
