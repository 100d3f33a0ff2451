//! Destinations of outputs: whether one can be written, looked at before anything is built, and its open folder.
//!
//! Below the Imagefile's folder no link is followed, since the links there may be a stranger's. Of a path that was
//! typed, the folders that are there are the user's own word, links among them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::model::output::Form;

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A folder that is trusted as it is.
    base: PathBuf,
    /// The names below it, in which no link is followed.
    rest: Vec<String>,
}

/// Opens what a path below `root` stands for, following no link; the root itself for an empty path.
pub(super) fn beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    // The system refuses a path that is not to be waited for: nothing is waited for there.
    let patience = if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NONBLOCK };
    let flags = flags | OFlags::CLOEXEC | patience;
    let path = if path.is_empty() { b".".as_slice() } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, std::ffi::OsStr::from_bytes(path), flags, Mode::empty(), resolve) {
        // A system or a sandbox that knows no such question is asked name by name.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
        opened => return Ok(opened?),
    }
    let mut here: Option<OwnedFd> = None;
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        if part == b".." {
            return Err(Errno::XDEV.into());
        }
        let from = here.as_ref().map_or(root, AsFd::as_fd);
        let own = match parts.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            None => flags,
        };
        here = Some(rustix::fs::openat(
            from,
            std::ffi::OsStr::from_bytes(part),
            own | OFlags::NOFOLLOW,
            Mode::empty(),
        )?);
    }
    here.ok_or_else(|| Errno::NOENT.into())
}

impl Place {
    /// The place of an output: of one that was typed, which is absolute, or of one below the Imagefile's folder.
    ///
    /// # Errors
    /// When a folder of a typed path cannot be looked at.
    pub fn of(root: &Path, dest: &str) -> io::Result<Self> {
        let names = |path: &Path| {
            path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        if !dest.starts_with('/') {
            return Ok(Self { base: root.to_owned(), rest: names(Path::new(dest)) });
        }
        let mut there = Path::new(dest);
        let mut rest = Vec::new();
        loop {
            match fs::canonicalize(there) {
                Ok(base) if base.is_dir() => {
                    rest.reverse();
                    return Ok(Self { base, rest });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let name = there.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
            rest.push(name.to_string_lossy().into_owned());
            there = there.parent().unwrap_or(Path::new("/"));
        }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.rest.iter().fold(self.base.clone(), |path, part| path.join(part))
    }

    /// Why an output of this form cannot be written here, if it cannot. Nothing is made.
    ///
    /// # Errors
    /// The reason, as a sentence.
    pub fn check(&self, form: Form) -> Result<(), String> {
        let mut here = self.open_base().map_err(|error| format!("`{}`: {error}", self.base.display()))?;
        let mut path = self.base.clone();
        for (at, part) in self.rest.iter().enumerate() {
            let is_last = at + 1 == self.rest.len();
            let stat = match rustix::fs::statat(&here, part.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => break,
                Err(error) => return Err(format!("`{}`: {}", path.display(), io::Error::from(error))),
            };
            path.push(part);
            match (FileType::from_raw_mode(stat.st_mode), is_last) {
                (FileType::Directory, true) if !form.is_folder() => {
                    return Err(format!(
                        "`{}` is a folder, and `{}` is one file",
                        path.display(),
                        form.name()
                    ));
                }
                (FileType::Directory, _) => {}
                (FileType::RegularFile, true) if !form.is_folder() => break,
                (FileType::Symlink, _) => {
                    return Err(format!(
                        "`{}` is a link, and nothing is written through links",
                        path.display()
                    ));
                }
                (_, true) if !form.is_folder() => {
                    return Err(format!("`{}` is no file", path.display()));
                }
                _ => return Err(format!("`{}` is no folder", path.display())),
            }
            here = beneath(here.as_fd(), part.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)
                .map_err(|error| format!("`{}`: {error}", path.display()))?;
        }
        let writable = rustix::fs::accessat(&here, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty());
        writable.map_err(|error| {
            format!("nothing can be written below `{}`: {}", self.base.display(), io::Error::from(error))
        })
    }

    fn open_base(&self) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(
            CWD,
            &self.base,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// The open folder at the place itself, if it is there.
    pub(super) fn folder(&self) -> io::Result<OwnedFd> {
        beneath(self.open_base()?.as_fd(), self.rest.join("/").as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The open folder that the place is in, if it is there, and the name in it.
    pub(super) fn parent(&self) -> io::Result<(OwnedFd, &str)> {
        let (name, above) = self.rest.split_last().ok_or_else(|| io::Error::other("it is a folder"))?;
        let folder = beneath(
            self.open_base()?.as_fd(),
            above.join("/").as_bytes(),
            OFlags::RDONLY | OFlags::DIRECTORY,
        )?;
        Ok((folder, name))
    }

    /// Makes the folders on the way, and the place itself where it is one.
    pub(super) fn make(&self, form: Form) -> io::Result<()> {
        let folders = if form.is_folder() { self.rest.len() } else { self.rest.len().saturating_sub(1) };
        let mut here = self.open_base()?;
        for part in &self.rest[..folders] {
            match rustix::fs::mkdirat(&here, part.as_str(), Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            here = beneath(here.as_fd(), part.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_looked_at_before_anything_is_built() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("file"), "").unwrap();
        fs::os::unix::fs::symlink("folder", path("link")).unwrap();
        let check = |dest: &str, form| Place::of(root.path(), dest).unwrap().check(form);
        for (dest, form) in
            [("new/deep", Form::Local), ("folder", Form::Local), ("file", Form::Tar), ("new.tar", Form::Oci)]
        {
            assert_eq!(check(dest, form), Ok(()), "{dest}");
        }
        for (dest, form, why) in [
            ("folder", Form::Tar, "is a folder"),
            ("file", Form::Local, "is no folder"),
            ("file/x", Form::Tar, "is no folder"),
            ("link", Form::Local, "is a link"),
            ("link/x.tar", Form::Tar, "is a link"),
        ] {
            assert!(check(dest, form).unwrap_err().contains(why), "{dest}");
        }
        // Whoever types a path means the folder that it leads to.
        let typed = format!("{}/link/x.tar", root.path().display());
        assert_eq!(check(&typed, Form::Tar), Ok(()));
        assert!(Place::of(root.path(), &typed).unwrap().path().ends_with("folder/x.tar"));
    }
}
