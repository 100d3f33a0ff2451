//! An opened repository, and the inputs of the queries: which files, engines and bases there are.
//!
//! The only room that sets salsa inputs. Never decides what is stale, never builds, never prints.

pub mod add_sources;
pub(crate) mod added_repositories;
pub mod context_meanings;
pub mod declared;
pub mod discovered_names;
pub mod git_sources;
pub mod inputs;
pub mod inventory;
pub mod learned_names;
pub mod named_contexts;
pub mod open;
pub mod overlays;
pub mod platforms;
pub mod project;
pub mod provisional;
pub mod removed_images;
pub mod select;
pub mod sync;
pub mod update;
pub mod upstream;
pub mod watched;
