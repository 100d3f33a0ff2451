//! Tests of images: their stage, their steps, their receipts.
//!
//! A test has a network, volumes and containers of its own, all with imk's label, and leaves none of them.
//! Knows no Imagefile and prints nothing.

pub mod captured;
pub mod checks;
pub mod host;
pub mod perform;
pub mod plan;
pub mod probe;
pub mod queue;
pub mod receipt;
pub mod stage;
pub mod steps;
mod structure;
pub mod sweep;

pub use host::Host;
pub use stage::Subject;
pub use steps::{Outcome, run};

#[cfg(test)]
mod tests;
