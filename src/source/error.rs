//! Why something of the repository could not be read. Reads nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why something in the repository could not be read. An absent file is not
/// one of these where absence is an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadError {
    /// The file, below the repository's root.
    pub path: String,
    /// Why it failed, in the system's words or ours.
    pub why: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read `{}`: {}", self.path, self.why)
    }
}

impl std::error::Error for ReadError {}
