//! A builder without a daemon: images made by imk alone, behind the same seam as every engine.
//!
//! A stage is a list of layers, and what its layers hold is known by indexes of their headers, so
//! that files are looked up without any being unpacked. `COPY`, `ADD` and `WORKDIR` write a layer from
//! such indexes; only `RUN` has folders. Never decides whether an image is built, never opens the
//! repository's files (it is handed them), and never runs anything in the root it runs in.

mod assemble;
mod collect;
mod config;
mod engine;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod images;
pub(crate) mod layer;
mod layouts;
mod names;
mod push;
mod room;
mod run;
mod save;
mod steps;
mod store;
mod trouble;

pub use engine::{EmbeddedEngine, NAME};
pub use run::{Confined, Isolation, View, answered, machine, tried};
