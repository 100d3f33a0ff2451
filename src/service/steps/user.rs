//! The user that a job's commands run as, where the server could become any.
//!
//! A server that is root gives each repository a number that no account has, so that its steps read neither the server's
//! secrets nor its queue nor another repository's checkout. A server that is somebody else runs steps as itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat, statat};
use rustix::process::{Pid, Signal, kill_process};

/// The numbers that are given: above those of people, below those that systemd gives.
const FIRST: u32 = 40_000;
const COUNT: u32 = 20_000;
/// Deeper trees are nobody's checkout.
const DEEPEST: usize = 200;

/// A user and a group of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepUser {
    /// Its number.
    pub id: u32,
}

impl StepUser {
    /// The user for a repository, when this process is root.
    pub fn for_repository(name: &str) -> Option<Self> {
        rustix::process::geteuid().is_root().then(|| Self::numbered(name))
    }

    fn numbered(name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes());
        let [a, b, c, d, ..] = hash.as_bytes();
        Self { id: FIRST + u32::from_be_bytes([*a, *b, *c, *d]) % COUNT }
    }

    /// Gives it a folder and all that is in it; links are not followed, and files that have another name elsewhere stay
    /// as they are.
    ///
    /// # Errors
    /// When something in it cannot be given.
    pub fn own(self, folder: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(folder, flags, Mode::empty())?;
        self.own_all(&opened, 0)?;
        self.take(&opened, c"")
    }

    /// Ends all its processes, also those that left their group: a repository has one job at a time, so they are of this one.
    pub fn end_all(self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(processes) = rustix::fs::open("/proc", flags, Mode::empty()) else { return };
        let Ok(entries) = Dir::read_from(&processes) else { return };
        for entry in entries.flatten() {
            let number = entry.file_name().to_str().ok().and_then(|name| name.parse().ok());
            let Some(process) = number.and_then(Pid::from_raw) else { continue };
            let is_its = statat(&processes, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|found| found.st_uid == self.id);
            if is_its {
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }

    fn own_all(self, folder: &OwnedFd, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(io::Error::other("its folders are too deep"));
        }
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    self.own_all(&openat(folder, name, flags, Mode::empty())?, depth + 1)?;
                    self.take(folder, name)?;
                }
                // Another name of the file may be in the mirror that checkouts are made from.
                FileType::RegularFile if found.st_nlink > 1 => {}
                _ => self.take(folder, name)?,
            }
        }
        Ok(())
    }

    fn take(self, folder: impl AsFd, name: &std::ffi::CStr) -> io::Result<()> {
        let flags = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
        let (user, group) = (Uid::from_raw(self.id), Gid::from_raw(self.id));
        Ok(chownat(folder, name, Some(user), Some(group), flags)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn repositories_have_numbers_of_their_own_that_stay() {
        let (one, other) = (StepUser::numbered("team/a"), StepUser::numbered("team/b"));
        assert!(one != other && one == StepUser::numbered("team/a"));
        assert!((FIRST..FIRST + COUNT).contains(&one.id));
    }

    #[test]
    fn a_tree_is_given_without_what_its_links_lead_to() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let outside = tempfile::tempdir().unwrap();
        let tree = tempfile::tempdir().unwrap();
        fs_err::write(outside.path().join("secret"), "x").unwrap();
        fs_err::create_dir(tree.path().join("a")).unwrap();
        fs_err::write(tree.path().join("a/b"), "x").unwrap();
        fs_err::os::unix::fs::symlink(outside.path(), tree.path().join("out")).unwrap();
        fs_err::hard_link(outside.path().join("secret"), tree.path().join("shared")).unwrap();
        let user = StepUser::numbered("x");
        user.own(tree.path()).unwrap();
        let owner = |path: &Path| fs_err::symlink_metadata(path).unwrap().uid();
        for own in ["", "a", "a/b", "out"] {
            assert_eq!(owner(&tree.path().join(own)), user.id, "{own}");
        }
        assert_eq!((owner(outside.path()), owner(&outside.path().join("secret"))), (0, 0));
    }
}
