//! Reports of an engine while it builds.
//!
//! Data only: the words and the drawing are made in `cli/`.

use std::time::Duration;

/// One thing that happened during the build of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildEvent {
    /// A step began, for instance `[2/4] COPY src /src`. `number` of `total` when the engine's name for it says so.
    Step { id: String, name: String, number: Option<u32>, total: Option<u32> },
    /// A step ended. `cached` when the engine had its result already.
    StepDone { id: String, cached: bool, error: Option<String>, took: Option<Duration> },
    /// Output of a step, as the engine sent it: it may hold part of a line.
    Log { id: String, bytes: Vec<u8> },
    /// A line that belongs to no step, such as a warning.
    Note(String),
    /// Files and bytes of the context that have been sent.
    Sent { files: u64, bytes: u64 },
}
