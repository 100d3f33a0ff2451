//! A BuildKit of its own as an engine: it builds there, and the registry keeps what comes of it.
//!
//! Never keeps an image itself, and never decides whether one is built.

pub mod engine;
mod save;

pub use engine::BuildkitdEngine;
