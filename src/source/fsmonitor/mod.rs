//! The file system monitor: a process that a user starts for one repository, and that tells which folders changed.
//!
//! `watches` hears the kernel, `doubts` knows the files that it may not hear of, `server` answers over the socket
//! that `socket` finds, `client` asks, and `wire` is what they say to each other. Whoever asks decides what an answer
//! is worth: whenever the monitor cannot vouch for something, everything is looked at as if there were none.
//! Knows no selection and no cache.

mod client;
mod doubts;
mod server;
pub mod socket;
mod watches;
mod wire;

pub use client::{Monitor, Told, request_stop, status};
pub use server::{Serving, StartError};
pub use wire::{Status, Token};

#[cfg(test)]
pub(super) mod tests;
