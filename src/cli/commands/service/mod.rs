//! Verbs of the service, and those that its jobs use.

pub mod tools;
