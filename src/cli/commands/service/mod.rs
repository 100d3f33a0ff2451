//! Verbs of the service: the server, workers on other machines, and what jobs use.

mod listener;
mod options;
pub mod serve;
pub mod tools;
pub mod worker;
