//! Files that are no part of a repository's trees: a secret's value.

use std::path::Path;

use super::tree::ReadError;

/// The content of a file anywhere on the machine.
///
/// # Errors
/// When it cannot be read. The content never stands in an error.
pub fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    fs_err::read(path)
        .map_err(|error| ReadError { path: path.display().to_string(), why: error.kind().to_string() })
}
