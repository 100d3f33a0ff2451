//! Incremental computation: of each image its recipe, key and result, as salsa queries. salsa lives here alone.
//!
//! Never opens a file, never sets an input (`session` does), never prints.
//! Queries are pure but for `image`, whose one effect goes through
//! [`effect::Effect`] and is in the ledger before it returns.

pub mod action_key;
mod circles;
pub mod db;
pub mod edge;
pub mod effect;
pub mod graph;
pub mod image;
pub mod inputs;
pub mod names;
pub mod problem;
pub mod recipe;
pub mod snapshot;

pub use db::{Db, ImkDb};

#[cfg(test)]
mod tests;
