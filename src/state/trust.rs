//! Trust in a state folder: only one that this user's imk made itself is used.
//!
//! A checkout can bring files, a stranger's process can bring folders, and a merge overwrites files that git
//! ignores. So a folder counts when this user owns it and all that is in it, and when git tracks nothing
//! below it. Both are dear to find out (a walk, and a reading of git's index), so a mark in the
//! folder remembers them: see `mark.rs`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::{fmt, io};

use git2::{ErrorCode, Repository};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx};

use super::beneath::{self, FOLDER};
use super::folder::StateFolder;
use super::mark::{self, Mark};

/// Permission bits by which others can write.
const OTHERS: u32 = 0o022;

/// Why a folder is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Somebody else owns it, or this name in it.
    Owner(String, u32),
    /// Git tracks this path, so the checkout's author made it.
    Tracked(String),
    /// Another repository's checkout is at this path.
    Checkout(String),
    /// It is a link, or no folder: this noun.
    Kind(&'static str),
    /// Git's index does not say what it tracks.
    Unknown(String),
    /// It cannot be written, or not be read.
    Unwritable(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(path, uid) => write!(f, "`{}` belongs to another user ({uid})", path.escape_debug()),
            Self::Tracked(path) => {
                write!(f, "git tracks `{}`, so it came with the checkout", path.escape_debug())
            }
            Self::Checkout(path) => write!(f, "`{}` came with another checkout", path.escape_debug()),
            Self::Kind(noun) => write!(f, "it is {noun}, where a folder must be"),
            Self::Unknown(why) => write!(f, "git does not say whether it tracks it: {why}"),
            Self::Unwritable(why) => write!(f, "imk cannot write there: {why}"),
        }
    }
}

/// A repository around a folder, and where the state lies in its work tree.
pub(super) struct Place<'a> {
    /// The folder that the state lies in, at whatever depth.
    pub root: &'a Path,
    /// The state below it.
    pub below: &'a str,
}

/// Judges a folder that is open, below `place` where it lies in a checkout. One that is ours is closed to others.
pub(super) fn judge(
    fd: &OwnedFd,
    shown: &str,
    place: Option<&Place<'_>>,
    folder: &StateFolder,
) -> Result<(), Distrust> {
    let unwritable = |errno: rustix::io::Errno| Distrust::Unwritable(io::Error::from(errno).to_string());
    let seen = mark::stat(fd.as_fd()).map_err(unwritable)?;
    let me = rustix::process::geteuid().as_raw();
    if seen.stx_uid != me {
        return Err(Distrust::Owner(shown.to_owned(), seen.stx_uid));
    }
    let is_open = u32::from(seen.stx_mode) & OTHERS != 0;
    if !is_open && place.is_none_or(|_| holds(&seen, folder)) {
        return writable(fd);
    }
    // The stat comes before the reading: an index that changes meanwhile is read again next time.
    let mark = place.map(untracked).transpose()?.flatten();
    let mut open = Vec::new();
    walk(fd.as_fd(), shown, me, &mut open)?;
    writable(fd)?;
    for path in open {
        let inner = beneath::folder(fd.as_fd(), &path).map_err(unwritable)?;
        rustix::fs::fchmod(&inner, FOLDER).map_err(unwritable)?;
    }
    if u32::from(seen.stx_mode) & 0o7777 != FOLDER.bits() {
        rustix::fs::fchmod(fd, FOLDER).map_err(unwritable)?;
    }
    if let Some(mark) = mark {
        // Without it the next run looks again.
        let _ = mark
            .text(fd.as_fd())
            .and_then(|text| text.map_or(Ok(()), |text| folder.replace(mark::NAME, text.as_bytes())));
    }
    Ok(())
}

fn writable(fd: &OwnedFd) -> Result<(), Distrust> {
    rustix::fs::accessat(fd, ".", rustix::fs::Access::WRITE_OK, AtFlags::EACCESS)
        .map_err(|errno| Distrust::Unwritable(io::Error::from(errno).to_string()))
}

/// Whether the folder has a mark of ours, and git's index is as it was then.
fn holds(seen: &Statx, folder: &StateFolder) -> bool {
    let text = folder.read(mark::NAME).and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| mark::holds(&text, seen))
}

/// Checks that all below a folder is ours. Folders that others can write are noted in `open`.
fn walk(fd: BorrowedFd<'_>, shown: &str, me: u32, open: &mut Vec<String>) -> Result<(), Distrust> {
    let unreadable = |errno: rustix::io::Errno| Distrust::Unwritable(io::Error::from(errno).to_string());
    let mut todo = vec![String::new()];
    while let Some(path) = todo.pop() {
        let inner;
        let here = if path.is_empty() {
            fd
        } else {
            inner = beneath::folder(fd, &path).map_err(unreadable)?;
            inner.as_fd()
        };
        for name in beneath::names(here).map_err(unreadable)? {
            let stat = match rustix::fs::statat(here, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(errno) => return Err(unreadable(errno)),
            };
            let text = String::from_utf8_lossy(&name);
            let below = if path.is_empty() { text.into_owned() } else { format!("{path}/{text}") };
            if stat.st_uid != me {
                return Err(Distrust::Owner(format!("{shown}/{below}"), stat.st_uid));
            }
            // A submodule's checkout stays behind when a later commit has none, and is tracked by nobody then.
            if name == b".git" {
                return Err(Distrust::Checkout(format!("{shown}/{below}")));
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                && std::str::from_utf8(&name).is_ok()
            {
                if stat.st_mode & OTHERS != 0 {
                    open.push(below.clone());
                }
                todo.push(below);
            }
        }
    }
    Ok(())
}

/// Asks git's index and its last commit whether they have anything at a place.
/// `None` for the mark where none would hold.
pub(super) fn untracked(place: &Place<'_>) -> Result<Option<Mark>, Distrust> {
    let unknown = |error: git2::Error| Distrust::Unknown(error.message().to_owned());
    let Some(top) = place.root.ancestors().find(|folder| exists(&folder.join(".git"))) else {
        return Ok(None);
    };
    // The folder is found without its configuration, which is not needed and not trusted.
    let git = match Repository::discover_path(place.root, None::<&Path>) {
        Ok(git) => git,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(unknown(error)),
    };
    let above = place.root.strip_prefix(top).unwrap_or(Path::new(""));
    let path = above.join(place.below);
    let Some(path) = path.to_str() else {
        return Err(Distrust::Unknown("its path is not UTF-8".into()));
    };
    let index = git.join("index");
    let mark = Mark::of(&index);
    let listed = git2::Index::open(&index);
    let head = || -> Option<bool> {
        let repository = Repository::open(&git).ok()?;
        let tree = repository.head().and_then(|head| head.peel_to_tree()).ok()?;
        Some(tree.get_path(Path::new(path)).is_ok())
    };
    let (indexed, committed) = (listed.as_ref().map(|index| first_below(index, path)), head());
    match (indexed, committed) {
        (Ok(Some(found)), _) => Err(Distrust::Tracked(found)),
        (_, Some(true)) => Err(Distrust::Tracked(path.to_owned())),
        // Sparse and split indexes are beyond libgit2; the commit must do.
        (Ok(None), _) | (Err(_), Some(false)) => Ok(mark),
        (Err(error), None) => Err(Distrust::Unknown(error.message().to_owned())),
    }
}

fn exists(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok()
}

/// The first entry of an index that is a path or lies below it, whatever the case of its letters: some
/// file systems know none.
fn first_below(index: &git2::Index, path: &str) -> Option<String> {
    index.iter().find_map(|entry| {
        let is_below = entry.path.get(..path.len())?.eq_ignore_ascii_case(path.as_bytes())
            && matches!(entry.path.get(path.len()), None | Some(b'/'));
        is_below.then(|| String::from_utf8_lossy(&entry.path).into_owned())
    })
}

/// Opens a folder that may be a link, to be judged. `None` when nothing is there.
pub(super) fn open(path: &Path) -> Result<Option<OwnedFd>, Distrust> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(errno) => {
            let kind =
                rustix::fs::lstat(path).map(|stat| (FileType::from_raw_mode(stat.st_mode), stat.st_uid));
            match kind {
                Ok((FileType::Directory, uid)) if uid != rustix::process::geteuid().as_raw() => {
                    Err(Distrust::Owner(path.display().to_string(), uid))
                }
                Ok((FileType::Directory, _)) | Err(_) => {
                    Err(Distrust::Unwritable(io::Error::from(errno).to_string()))
                }
                Ok((kind, _)) => Err(Distrust::Kind(beneath::noun(kind))),
            }
        }
    }
}
