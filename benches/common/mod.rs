//! What the benches share: generated repositories, the bare walk, and interleaved timing.

#![allow(clippy::allow_attributes, reason = "each bench uses another part, so an expectation fails in some")]
#![allow(dead_code, reason = "every bench uses a part of it")]

pub mod library;
pub mod ninja;
pub mod repository;
pub mod round;
pub mod walk;
