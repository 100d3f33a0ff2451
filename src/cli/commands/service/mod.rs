//! Verbs of the service: the server, workers on other machines, and what jobs use.

mod asking;
mod listener;
mod options;
mod seen;
pub mod serve;
pub mod tools;
pub mod worker;
