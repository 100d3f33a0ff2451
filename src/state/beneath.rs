//! Names below an open folder, reached without following any link.
//!
//! The kernel walks a path itself where it knows `openat2`; older ones, and sandboxes that refuse it, are
//! walked for step by step. Knows file descriptors alone: what is kept in a folder is for the callers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Permission bits of a folder of the state: for its owner alone.
pub(super) const FOLDER: Mode = Mode::RWXU;
/// Permission bits of a file of the state.
pub(super) const FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Set once the system has said that it knows no `openat2`.
static BY_STEPS: AtomicBool = AtomicBool::new(false);

/// The parts of a path below a folder; one that could leave the folder is refused.
pub(super) fn parts(path: &str) -> Result<Vec<&str>, Errno> {
    let parts: Vec<&str> = path.split('/').collect();
    let plain = |part: &&str| !["", ".", ".."].contains(part) && !part.contains('\0');
    if parts.iter().all(plain) { Ok(parts) } else { Err(Errno::INVAL) }
}

/// Opens what a path below `dir` stands for. A link anywhere on the way is `ELOOP` or `ENOTDIR`, and a
/// pipe is opened without waiting for anybody.
pub(super) fn open(dir: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    parts(path)?;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    if !BY_STEPS.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(dir, path, flags, mode, resolve) {
            Err(Errno::NOSYS) => BY_STEPS.store(true, Ordering::Relaxed),
            // A sandbox refuses what it does not know by this; and a rename meanwhile asks for another try.
            Err(Errno::PERM | Errno::AGAIN) => {}
            done => return done,
        }
    }
    open_by_steps(dir, path, flags, mode)
}

/// As [`open`], one name after the other.
fn open_by_steps(dir: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut parts = parts(path)?;
    let last = parts.pop().ok_or(Errno::INVAL)?;
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here: Option<OwnedFd> = None;
    for part in parts {
        let from = here.as_ref().map_or(dir, AsFd::as_fd);
        here = Some(rustix::fs::openat(from, part, step, Mode::empty())?);
    }
    let from = here.as_ref().map_or(dir, AsFd::as_fd);
    rustix::fs::openat(from, last, flags | OFlags::NOFOLLOW, mode)
}

/// Opens a folder below `dir`, to be listed.
pub(super) fn folder(dir: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    open(dir, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
}

/// The kind of what a name in a folder stands for; a link is a link.
pub(super) fn kind(dir: BorrowedFd<'_>, name: &str) -> Result<FileType, Errno> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// The noun for a kind, as messages use it.
pub(super) fn noun(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "no file",
    }
}

/// The names in an open folder but `.` and `..`, in no order. One that is not UTF-8 is kept as it is.
pub(super) fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

/// Removes a name from a folder, with all that is below it. Nothing outside is touched: what is reached
/// by a link stays, and a folder that becomes a link meanwhile is not entered.
pub(super) fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says the first of a folder, other systems the second.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    for inner in names(folder.as_fd())? {
        remove(folder.as_fd(), &inner)?;
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

/// The bytes of a name in a folder and of all that is below it. A link counts itself, and what cannot be
/// read counts nothing.
pub(super) fn size(dir: BorrowedFd<'_>, name: &[u8]) -> u64 {
    let Ok(stat) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { return 0 };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return u64::try_from(stat.st_size).unwrap_or_default();
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::openat(dir, name, flags, Mode::empty()) else { return 0 };
    let inner = names(folder.as_fd()).unwrap_or_default();
    inner.iter().map(|name| size(folder.as_fd(), name)).sum()
}

/// The links in a folder, and the folders in it, by name.
fn links_and_folders(dir: BorrowedFd<'_>) -> Result<(Vec<Vec<u8>>, Vec<OwnedFd>), Errno> {
    let (mut links, mut folders) = (Vec::new(), Vec::new());
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = match entry.file_type() {
            // Some file systems leave the kind to stat.
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        match kind {
            FileType::Symlink => links.push(name.to_bytes().to_owned()),
            FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                folders.push(rustix::fs::openat(dir, name, flags, Mode::empty())?);
            }
            _ => {}
        }
    }
    Ok((links, folders))
}

/// Whether a folder or any below it holds a link. One that cannot be read may.
pub(super) fn has_links(dir: BorrowedFd<'_>) -> bool {
    let Ok((links, folders)) = links_and_folders(dir) else { return true };
    !links.is_empty() || folders.iter().any(|folder| has_links(folder.as_fd()))
}

/// Removes every link in a folder and below it.
pub(super) fn remove_links(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    let (links, folders) = links_and_folders(dir)?;
    links.iter().try_for_each(|name| remove(dir, name))?;
    folders.iter().try_for_each(|folder| remove_links(folder.as_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;
    use fs_err::os::unix::fs::symlink;
    use std::path::Path;

    fn opened(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    type Open = fn(BorrowedFd<'_>, &str, OFlags, Mode) -> Result<OwnedFd, Errno>;
    /// The kernel's way and ours.
    const WAYS: [Open; 2] = [open, open_by_steps];

    #[test]
    fn no_link_is_followed_at_any_depth_whoever_walks() {
        let dir = tempfile::tempdir().unwrap();
        let (state, out) = (dir.path().join("state"), dir.path().join("out"));
        fs::create_dir_all(state.join("a/b")).unwrap();
        fs::create_dir_all(out.join("b")).unwrap();
        for file in [state.join("a/b/file"), out.join("b/file"), out.join("file")] {
            fs::write(file, "x").unwrap();
        }
        symlink(&out, state.join("first")).unwrap();
        symlink(out.join("b"), state.join("a/second")).unwrap();
        symlink(out.join("file"), state.join("a/b/third")).unwrap();
        symlink("file", state.join("a/b/beside")).unwrap();
        let fd = opened(&state);
        for way in WAYS {
            assert!(way(fd.as_fd(), "a/b/file", OFlags::RDONLY, Mode::empty()).is_ok());
            for path in ["first/file", "first/b/file", "a/second/file", "a/b/third", "a/b/beside", "first"] {
                let refused = way(fd.as_fd(), path, OFlags::RDONLY, Mode::empty());
                assert!(matches!(refused, Err(Errno::LOOP | Errno::NOTDIR)), "{path}: {refused:?}");
                let made = way(fd.as_fd(), path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, FILE);
                assert!(made.is_err(), "{path}");
            }
            for path in ["../out/file", "a/../../out/file", "/etc/passwd", "a//b/file", ".", "", "a/./b/file"]
            {
                assert_eq!(way(fd.as_fd(), path, OFlags::RDONLY, Mode::empty()).err(), Some(Errno::INVAL));
            }
        }
    }

    #[test]
    fn a_folder_that_becomes_a_link_while_it_is_removed_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (state, out) = (dir.path().join("state"), dir.path().join("out"));
        fs::create_dir(&out).unwrap();
        fs::create_dir(&state).unwrap();
        for n in 0..50 {
            fs::write(out.join(n.to_string()), "precious").unwrap();
        }
        let fd = opened(&state);
        let swapping = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (real, link) = (state.join("logs"), state.join("other"));
                let _ = fs::create_dir(&real);
                let _ = symlink(&out, &link);
                while swapping.load(Ordering::Relaxed) {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    let cwd = rustix::fs::CWD;
                    if rustix::fs::renameat_with(cwd, &real, cwd, &link, flags).is_err() {
                        let _ = fs::create_dir(&real);
                        let _ = symlink(&out, &link);
                    }
                }
            });
            for _ in 0..2000 {
                let _ = remove(fd.as_fd(), b"logs");
                let _ = size(fd.as_fd(), b"logs");
            }
            swapping.store(false, Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(&out).unwrap().count(), 50);
    }
}
