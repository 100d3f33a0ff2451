//! Files that are no part of a repository's trees: a secret's value, the lock file that is written, a file without a name.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
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
    write(path, bytes).map_err(|error| ReadError { path: path.display().to_string(), why: error.to_string() })
}

/// As [`replace`], with an error that says what was attempted. A link stays a
/// link, and a file keeps its mode.
///
/// # Errors
/// When it cannot be written; what was there stays.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = || -> io::Result<()> {
        let path = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        // A temporary file is its owner's alone; this one is for everybody who may read the repository.
        let mode = fs_err::metadata(&path).map_or(Permissions::from_mode(0o644), |old| old.permissions());
        file.as_file().set_permissions(mode)?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot write `{}`: {}", path.display(), error.kind()))
    })
}

/// A file that nobody else can find, and that is gone with its handle.
pub type Nameless = File;

/// Makes a file without a name.
///
/// # Errors
/// When none can be made where temporary files are.
pub fn nameless() -> io::Result<Nameless> {
    tempfile::tempfile()
}

/// Whether something is at a path anywhere on the machine.
pub fn is_there(path: &Path) -> bool {
    path.exists()
}

/// Whether a path anywhere on the machine is a socket.
///
/// # Errors
/// When nothing is there, or it cannot be looked at.
pub fn is_socket(path: &Path) -> io::Result<bool> {
    fs_err::metadata(path).map(|metadata| metadata.file_type().is_socket())
}

/// Makes a folder and those above it, anywhere on the machine.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs_err::create_dir_all(path)
}

/// Adds to the end of a file anywhere on the machine, which need not exist.
///
/// # Errors
/// When it cannot be written.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs_err::OpenOptions::new().append(true).create(true).open(path)?.write_all(bytes)
}

/// Removes a file anywhere on the machine; none there is as good.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
