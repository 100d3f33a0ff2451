//! Files of the state: how much room they take, and their removal.
//!
//! Works on the folder's own handle, so it follows no link and leaves the folder at no point. Knows
//! nothing of what the files mean.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::AtFlags;

use super::beneath;
use super::folder::StateFolder;
use crate::model::time::UnixSeconds;

/// A file or folder of the state, and the room it takes with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// Its name in the folder.
    pub name: String,
    /// Bytes of the files.
    pub size_bytes: u64,
    /// The moment when it was last written.
    pub written: UnixSeconds,
}

impl StateFolder {
    /// The entries of the folder, by name; none when there is no folder.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn list(&self) -> io::Result<Vec<StateFile>> {
        let Some(folder) = self.opened()? else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for name in beneath::names(folder.as_fd())? {
            let Ok(stat) = rustix::fs::statat(&folder, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let size_bytes = beneath::size(folder.as_fd(), &name);
            let written = UnixSeconds(u64::try_from(stat.st_mtime).unwrap_or_default());
            let name = String::from_utf8_lossy(&name).into_owned();
            files.push(StateFile { name, size_bytes, written });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// The names in the folder, sorted; none when there is no folder.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let Some(folder) = self.opened()? else { return Ok(Vec::new()) };
        let names = beneath::names(folder.as_fd())?;
        let mut names: Vec<String> =
            names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The bytes of a file, or of all files below a folder. What cannot be read counts nothing.
    pub fn size(&self, path: &str) -> u64 {
        let (folder, name) = self.split(path);
        let Ok(Some(folder)) = folder.opened() else { return 0 };
        beneath::parts(name).map_or(0, |_| beneath::size(folder.as_fd(), name.as_bytes()))
    }

    /// Removes a file, or a folder with all that is in it; one that is not there is removed already.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let (folder, name) = self.split(path);
        beneath::parts(name)?;
        let Some(folder) = folder.opened()? else { return Ok(()) };
        beneath::remove(folder.as_fd(), name.as_bytes()).map_err(|errno| self.error("remove", path, errno))
    }

    /// Whether anything has a name below the folder, be it a link that leads nowhere.
    pub fn has(&self, path: &str) -> bool {
        let (folder, name) = self.split(path);
        let Ok(Some(folder)) = folder.opened() else { return false };
        beneath::kind(folder.as_fd(), name).is_ok()
    }

    /// Whether the folder or any below it holds a link.
    pub fn has_links(&self) -> bool {
        let Ok(Some(folder)) = self.opened() else { return false };
        beneath::has_links(folder.as_fd())
    }

    /// Removes every link in the folder and below it.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove_links(&self) -> io::Result<()> {
        let Some(folder) = self.opened()? else { return Ok(()) };
        Ok(beneath::remove_links(folder.as_fd())?)
    }

    /// Bytes that are free on the disk of the folder, or of the nearest one above it that is there.
    pub fn free(&self) -> Option<u64> {
        let path = self.path()?;
        let there = path.ancestors().find(|folder| is_folder(folder))?;
        let told = rustix::fs::statvfs(there).ok()?;
        Some(told.f_bavail.saturating_mul(told.f_frsize))
    }
}

fn is_folder(path: &Path) -> bool {
    let found = rustix::fs::stat(path).map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
    found.is_ok_and(|kind| kind == rustix::fs::FileType::Directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;

    #[test]
    fn a_link_is_removed_and_not_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (state, other) = (folder.path().join("state"), folder.path().join("other"));
        fs::create_dir_all(state.join("logs")).unwrap();
        fs::write(state.join("logs/web.log"), "12345").unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("precious"), "1".repeat(5000)).unwrap();
        fs_err::os::unix::fs::symlink(&other, state.join("logs/away")).unwrap();
        fs_err::os::unix::fs::symlink(&other, state.join("evidence")).unwrap();
        let folder = StateFolder::at(&state);
        let told = folder.list().unwrap();
        assert_eq!(told.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["evidence", "logs"]);
        assert!(told[1].size_bytes < 500, "what a link leads to is not counted with a folder's files");
        assert_eq!(folder.sub("evidence").list().unwrap(), []);
        assert_eq!(folder.size("evidence/precious"), 0);
        folder.remove("evidence/precious").unwrap();
        folder.remove("logs").unwrap();
        folder.remove("logs").unwrap();
        folder.remove("evidence").unwrap();
        assert!(folder.remove("../other").is_err() && folder.remove("").is_err());
        assert!(fs::read_dir(&state).unwrap().next().is_none() && other.join("precious").exists());
    }
}
