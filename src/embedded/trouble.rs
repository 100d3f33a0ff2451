//! Why the embedded builder did not do something, as every engine says it.

use std::io;

use crate::engine::EngineError;

/// The remedies of a full disk.
pub const REMEDY: &str =
    "`imk gc` lets go of what nothing needs, and `--store DIR` (IMK_STORE) keeps images on another disk";

/// The results of this room.
pub type Result<T> = std::result::Result<T, EngineError>;

/// A refusal: what was attempted, and why it failed.
pub fn refused<T>(what: impl Into<String>, why: impl Into<String>) -> Result<T> {
    Err(refusal(what, why))
}

/// The refusal itself.
pub fn refusal(what: impl Into<String>, why: impl Into<String>) -> EngineError {
    EngineError::Refused { what: what.into(), why: why.into() }
}

/// Gives a failure of the system its place in the story.
pub trait During<T> {
    /// Says what was attempted. An engine's error that travelled inside an I/O error comes out again.
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref::<EngineError>()) {
            Some(inner) => inner.clone(),
            None => refusal(what(), said(&error)),
        })
    }
}

impl<T> During<T> for std::result::Result<T, rustix::io::Errno> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| refusal(what(), said(&error.into())))
    }
}

/// A failure of the system in words; of a full disk with what to do.
fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!("{error}; {REMEDY}"),
        _ => error.to_string(),
    }
}
