//! Garbage collection: removes what nothing reaches any more, images on engines, and files of the state.
//!
//! Builds nothing, and removes nothing that somebody else named or uses. Never prints.

pub mod caches;
pub mod clean;
pub mod engine_images;
pub mod sweep;

#[cfg(test)]
pub mod tests;
