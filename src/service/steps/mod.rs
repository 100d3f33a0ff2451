//! The work of a job in its checkout: the steps of `integration.yml`, or imk's own pipeline where there is none.
//!
//! Knows no queue and no HTTP: whoever has the job hands in a fresh checkout of the commit, and gets its outcome.

pub mod bounds;
pub(super) mod command;
pub mod confinement;
pub mod environment;
pub mod facts;
pub mod masked;
pub mod perform;
mod pipeline;
pub mod report;
pub mod task;
pub mod tools;
pub mod user;

pub use facts::Facts;
pub use perform::perform;
pub use task::{Image, Performed, Reach, Task};
pub use tools::Tools;
