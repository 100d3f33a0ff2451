//! What the benches share: generated repositories, the bare walk, and interleaved timing.

// Every bench uses a part of it.
#![allow(dead_code)]

pub mod library;
pub mod repository;
pub mod round;
pub mod walk;
