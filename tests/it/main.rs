//! The program as a person uses it: the real binary, whole outputs.
//!
//! Tests below `engine` need a Docker engine; `IMK_TEST_NO_ENGINE=1` skips
//! them, and each says that it was skipped. Those of `registry` start one of their
//! own, and are skipped with the same word where there is none to start.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod ahead;
mod ask_ahead;
mod auto;
mod bad_input;
mod browser;
mod checkouts;
mod completions;
mod docs;
mod fsmonitor;
mod history;
mod holes;
mod hook;
mod hostile;
mod import;
mod inline;
mod inputs;
mod jobs;
mod manage;
mod named_contexts;
mod names;
mod no_engine;
mod occasions;
mod outputs;
mod overlays;
mod peers;
mod sandbox;
mod screen;
mod settings;
mod shell;
mod silence;
mod state;
mod status_page;
mod strangers;
mod submodules;
mod suite;
mod tagged_names;
mod tags;
mod terminal;
mod tested_release;
mod tidy;
mod trouble;
mod warnings;
mod watch;

mod broken_files;
mod buildkitd;
mod campaign;
mod chain;
mod ci;
mod circles;
mod control;
mod diff;
mod differential;
mod embedded;
mod engine;
mod engine_changes;
mod engines;
mod environment;
mod events;
mod everyday;
mod far_engine;
mod formats;
mod freshness;
mod graph;
mod habits;
mod image_outputs;
mod killed_release;
mod learned;
mod lenient;
mod make;
mod nothing_to_do;
mod pages;
mod passed;
mod pipeline;
mod platforms;
mod podman;
mod publish;
mod registry;
mod registry_server;
mod relay;
mod release;
mod replay;
mod run;
mod second_engine;
mod serve;
mod told;
mod trusted_engine;
mod upgrade;
mod verbose;
mod why;
