//! What lies in the folder `.imk`: how much room it takes, and its removal.
//!
//! Follows no link and leaves the folder at no point. Knows nothing of what the files mean.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;

/// A file or folder of the state, and the room it takes with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// Its name in the folder.
    pub name: String,
    /// Bytes of the files.
    pub size: u64,
    /// Seconds since 1970 when it was last written.
    pub written: i64,
}

/// The entries of a folder of the state, by name; none when there is no folder.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<StateFile>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let written = entry.metadata().map(|metadata| metadata.mtime()).unwrap_or_default();
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push(StateFile { name, size: size(&entry.path()), written });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The bytes of a file, or of all files below a folder. What cannot be read counts nothing.
pub fn size(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

/// Removes a file, or a folder with all that is in it; one that is not there is removed already.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Bytes that are free on the disk of a folder, or of the nearest one above it that is there.
pub fn free(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let told = rustix::fs::statvfs(there).ok()?;
    Some(told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_removed_and_not_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (state, other) = (folder.path().join("state"), folder.path().join("other"));
        fs::create_dir_all(state.join("logs")).unwrap();
        fs::write(state.join("logs/web.log"), "12345").unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("precious"), "1234567890").unwrap();
        fs_err::os::unix::fs::symlink(&other, state.join("logs/away")).unwrap();
        let told = list(&state).unwrap();
        assert_eq!(told[0].name, "logs");
        assert!(told[0].size < 500, "what a link leads to is not counted with a folder's files");
        remove(&state).unwrap();
        remove(&state).unwrap();
        assert!(!state.exists() && other.join("precious").exists());
        assert_eq!(list(&state).unwrap(), []);
    }
}
