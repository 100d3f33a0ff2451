//! Platforms: what the images of one name for several platforms come to together, an index.
//!
//! Each of them has its key, its build and its reasons as any image has. Never decides what one of them is
//! keyed on, and never publishes one.

pub mod index;
