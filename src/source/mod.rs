//! Files of the repository: on disk, in commits, in memory. The only room that opens them. Knows no engine and no query.

mod compare;
pub mod context_path;
pub mod contexts;
mod copy_rules;
pub mod discover;
pub mod disk;
pub mod error;
mod folders;
pub mod fsmonitor;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod git;
pub mod inside;
mod large;
pub mod locate;
pub mod memory;
pub mod mounted;
pub mod outside;
pub mod overlay;
pub mod recipe_name;
mod renewal;
mod resolve_selection;
mod scan;
pub mod select;
mod stat;
mod stat_cache;
mod stat_memo;
pub mod supposed;
pub mod tree;
mod trusted;
pub mod watching;
