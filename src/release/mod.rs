//! Releases: the published results that are in force, which tags stand for them, and the way back.
//!
//! A release moves the tags of a whole set of images at once or not at all, and leaves a record in
//! the registry, so that every machine can ask what was released and return to it. What is
//! published is for `build/`; nothing is built here.

pub mod announce;
pub mod attest;
pub mod error;
pub mod gates;
mod journal;
pub mod log;
pub mod moves;
pub mod plan_file;
pub mod publish;
pub mod record;
pub mod rollback;
pub mod tested;
pub mod turn;

#[cfg(test)]
mod tests;
