//! Files of container-structure-test: YAML or JSON of schema 2.0.0. Text in, values out.
//!
//! Read as strictly as that tool reads it. Patterns are Go's there; `go` has what differs. Runs nothing.

mod expected;
mod go;
mod read;

pub use expected::{Check, CommandTest, Existence, Metadata, RunOptions, Structure, StructureTest};
pub use go::expand;
pub use read::read;

#[cfg(test)]
mod tests;
