//! The program as a person uses it: the real binary, whole outputs.
//!
//! Tests below `engine` need a Docker engine; `IMK_TEST_NO_ENGINE=1` skips
//! them, and each says that it was skipped. Those of `registry` start one of their
//! own, and are skipped with the same word where there is none to start.

mod bad_input;
mod history;
mod hook;
mod hostile;
mod inputs;
mod no_engine;
mod overlays;
mod peers;
mod sandbox;
mod tags;
mod tidy;
mod warnings;
mod watch;

mod chain;
mod differential;
mod engine;
mod everyday;
mod freshness;
mod graph;
mod publish;
mod readme;
mod registry;
mod registry_server;
mod replay;
mod second_engine;
mod why;
