//! Opening what a path of the repository stands for, so that no link leads out of the repository.
//!
//! The author of a checkout may be anybody: a Dockerfile, an Imagefile or a context that is a link to a file of the
//! user's would be shown in messages and sent to engines. Links inside the repository are followed, which is
//! the whole of git's work tree where there is one. Knows nothing of what the files mean.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::stat;
use super::tree::ReadError;

/// The most bytes that are set aside for a file before it is read.
const ROOM: usize = 16 * 1024 * 1024;

/// The content of a file at a path below `root`; nothing when none is there.
///
/// # Errors
/// As [`file`], and when it cannot be read.
pub fn read(root: &Path, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
    let error = |errno| ReadError { path: path.to_owned(), why: stat::why(errno) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(error)?;
    content(fd.as_fd(), root, path)
}

/// As [`read`], where `fd` is the folder `root`.
pub(super) fn content(fd: BorrowedFd<'_>, root: &Path, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
    let Some((file, size)) = file(fd, root, path)? else { return Ok(None) };
    // Room for a file of this size, and for what shows that it ends there: the system is asked twice, and not four times.
    let mut bytes = Vec::with_capacity(size + 64);
    let read = file.take(u64::MAX).read_to_end(&mut bytes);
    read.map_err(|error| ReadError { path: path.to_owned(), why: error.to_string() })?;
    Ok(Some(bytes))
}

/// Whether a file is at a path below `root`, of which `fd` is the folder, that could be read.
///
/// # Errors
/// As [`file`].
pub(super) fn is_file(fd: BorrowedFd<'_>, root: &Path, path: &str) -> Result<bool, ReadError> {
    Ok(file(fd, root, path)?.is_some())
}

/// The file at a path below `root`, of which `fd` is the folder, open for reading, and its size in bytes; nothing when
/// none is there.
///
/// # Errors
/// When it cannot be opened, leads out, or is no file: a pipe would be waited for without end.
pub(super) fn file(fd: BorrowedFd<'_>, root: &Path, path: &str) -> Result<Option<(File, usize)>, ReadError> {
    let Some(found) = open(fd, root, path, OFlags::RDONLY | OFlags::NONBLOCK)? else { return Ok(None) };
    let error = |errno| ReadError { path: path.to_owned(), why: stat::why(errno) };
    let seen = rustix::fs::fstat(&found).map_err(error)?;
    match FileType::from_raw_mode(seen.st_mode) {
        // A size that cannot be had is found out when the content is read.
        FileType::RegularFile => {
            Ok(Some((File::from(found), usize::try_from(seen.st_size).unwrap_or(0).min(ROOM))))
        }
        FileType::Directory => Err(error(Errno::ISDIR)),
        _ => Err(ReadError {
            path: path.to_owned(),
            why: "it is a device, a socket or a pipe, and imk reads files only".into(),
        }),
    }
}

/// Whether a folder is at a path below `root`, of which `fd` is the folder.
///
/// # Errors
/// When that cannot be said, or it leads out.
pub(super) fn is_folder(fd: BorrowedFd<'_>, root: &Path, path: &str) -> Result<bool, ReadError> {
    let path = if path.is_empty() { "." } else { path };
    let Some(found) = open(fd, root, path, OFlags::PATH)? else { return Ok(false) };
    let error = |errno| ReadError { path: path.to_owned(), why: stat::why(errno) };
    let mode = rustix::fs::fstat(&found).map_err(error)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::Directory)
}

fn open(fd: BorrowedFd<'_>, root: &Path, path: &str, flags: OFlags) -> Result<Option<OwnedFd>, ReadError> {
    let flags = flags | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat2(fd, path, flags, Mode::empty(), ResolveFlags::BENEATH) {
        // It leads out of the folder, perhaps to elsewhere in the repository; or the system cannot say.
        Err(Errno::XDEV | Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::INVAL) => {
            if let Some(error) = leads_out(root, path) {
                return Err(error);
            }
            rustix::fs::openat(fd, path, flags, Mode::empty())
        }
        opened => opened,
    };
    match opened {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(ReadError { path: path.to_owned(), why: stat::why(errno) }),
    }
}

/// The error of a path that ends outside of the repository around `root`; nothing of one that is not there.
fn leads_out(root: &Path, path: &str) -> Option<ReadError> {
    let error = |why: String| Some(ReadError { path: path.to_owned(), why });
    let real = match root.join(path).canonicalize() {
        Ok(real) => real,
        Err(lost) if matches!(lost.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return None,
        Err(lost) => return error(lost.to_string()),
    };
    let root = root.canonicalize().ok()?;
    let top = root.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(&root);
    if real.starts_with(top) {
        return None;
    }
    error("a link leads out of the repository; put the file itself there".into())
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use fs_err::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_the_repository_and_refused_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let (top, root) = (folder.path().join("repo"), folder.path().join("repo/sub"));
        fs::create_dir_all(root.join("app")).unwrap();
        fs::create_dir(top.join(".git")).unwrap();
        fs::write(folder.path().join("outside"), "out").unwrap();
        fs::write(top.join("shared"), "in").unwrap();
        for (name, target) in [
            ("up", "../shared".into()),
            ("whole", top.join("shared")),
            ("out", "../../outside".into()),
            ("folder", folder.path().into()),
            ("nothing", "gone".into()),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        for name in ["up", "whole"] {
            assert_eq!(read(&root, name).unwrap().as_deref(), Some(b"in".as_slice()), "{name}");
        }
        for name in ["out", "folder/outside"] {
            assert!(read(&root, name).unwrap_err().why.contains("leads out"), "{name}");
        }
        assert_eq!(read(&root, "nothing").unwrap(), None);
        assert!(read(&root, "app").is_err());
        let status = std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
        assert!(status.success() && read(&root, "pipe").unwrap_err().why.contains("a pipe"));
        let fd = rustix::fs::open(&root, OFlags::PATH, Mode::empty()).unwrap();
        let found = |path| is_folder(fd.as_fd(), &root, path);
        assert_eq!(
            (found(""), found("app"), found("up"), found("gone")),
            (Ok(true), Ok(true), Ok(false), Ok(false))
        );
        assert!(found("folder").is_err());
    }
}
