//! Files that are no part of a repository's trees: a secret's value, the lock file that is written.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
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

/// Replaces a file anywhere on the machine whole, so that nobody sees half of it.
///
/// # Errors
/// When it cannot be written; what was there stays.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReadError> {
    let written = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        // A temporary file is its owner's alone; this one is for everybody who may read the repository.
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|error| ReadError { path: path.display().to_string(), why: error.to_string() })
}
