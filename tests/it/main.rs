//! The program as a person uses it: the real binary, whole outputs.
//!
//! Tests below `engine` need a Docker engine; `IMK_TEST_NO_ENGINE=1` skips
//! them, and each says that it was skipped.

mod ask_ahead;
mod bad_input;
mod history;
mod hostile;
mod inputs;
mod no_engine;
mod peers;
mod sandbox;
mod tidy;
mod warnings;

mod chain;
mod diff;
mod differential;
mod engine;
mod everyday;
mod freshness;
mod graph;
mod readme;
mod replay;
mod why;
