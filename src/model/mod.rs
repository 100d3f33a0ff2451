//! Ground words that every room uses: names, hashes, files, parts of a key, reasons.
//!
//! Values only. Never opens a file, never knows a room that uses it.

pub mod content;
pub mod error_chain;
pub mod file;
pub mod hash;
pub mod hub;
pub mod layer_cache;
pub mod name;
pub mod output;
pub mod own_bases;
pub mod part;
pub mod reason;
pub mod sandbox;
pub mod time;
