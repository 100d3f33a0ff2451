//! Options of a container before it starts, in docker's spelling: mounts, ports, limits, devices.
//!
//! Text in, values out, for the command line and the Imagefile alike. Knows no engine, and opens no file.

pub mod limits;
pub mod mounts;
pub mod ports;
pub mod profile;
pub mod structure;
pub mod suite;
pub mod words;

pub use limits::{Device, Gpus, Limits, Ulimit};
pub use mounts::{Mount, Source};
pub use ports::Port;
pub use profile::{LogRules, Profile};
