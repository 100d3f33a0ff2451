//! Replay: history's costs, every commit planned with the queries of a real plan, beside other rules.
//!
//! Never asks an engine or a registry; never prints.

mod causes;
pub mod commits;
pub mod costs;
mod rules;
pub mod sums;
mod tree_cursor;
