//! A careful look at one name on the disk: stat first, then read, then stat again.
//!
//! Knows file descriptors and time stamps, and which stamp is too young to be
//! trusted. Knows nothing of selections or of the cache's layout.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::large;
use super::select::{Facts, ListError};
use crate::model::file::{FileKind, device_number};
use crate::model::hash::ContentHash;
use crate::state::clock::Clock;

/// A file that is written without pause is given up after so many looks.
const TRIES: usize = 4;

/// The stat by which a name still stands for the same, unchanged thing. The
/// change time catches edits whose modification time was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes; of a device its number; zero for a folder, whose size says nothing.
    pub size_bytes: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time in nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Kind and permission bits.
    pub mode: u32,
}

/// A file or link that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedEntry {
    /// Its stat, from before it was read.
    pub seen: Seen,
    /// The facts.
    pub facts: Facts,
    /// A later change might leave the same stat: look again next time.
    pub racy: bool,
}

impl Seen {
    /// Is this stat too young to be trusted?
    pub fn is_racy(&self, clock: &Clock) -> bool {
        clock.is_racy(self.dev, self.mtime_ns.max(self.ctime_ns))
    }
}

const WANTED: StatxFlags = StatxFlags::TYPE
    .union(StatxFlags::MODE)
    .union(StatxFlags::INO)
    .union(StatxFlags::SIZE)
    .union(StatxFlags::MTIME)
    .union(StatxFlags::CTIME);

fn statx(dir: impl AsFd, name: &[u8], flags: AtFlags) -> Result<Seen, Errno> {
    let stat = rustix::fs::statx(dir, name, flags, WANTED)?;
    let nanos = |stamp: rustix::fs::StatxTimestamp| {
        stamp.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(stamp.tv_nsec))
    };
    let mode = u32::from(stat.stx_mode);
    let size = match FileType::from_raw_mode(mode) {
        FileType::Directory => 0,
        FileType::CharacterDevice | FileType::BlockDevice => {
            device_number(stat.stx_rdev_major, stat.stx_rdev_minor)
        }
        _ => stat.stx_size,
    };
    Ok(Seen {
        dev: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
        ino: stat.stx_ino,
        size_bytes: size,
        mtime_ns: nanos(stat.stx_mtime),
        ctime_ns: nanos(stat.stx_ctime),
        mode,
    })
}

/// The stat of a name in a folder; links are not followed.
pub fn stat(dir: impl AsFd, name: &[u8]) -> Result<Seen, Errno> {
    statx(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// The stat of what is open.
pub fn stat_open(fd: impl AsFd) -> Result<Seen, Errno> {
    statx(fd, b"", AtFlags::EMPTY_PATH)
}

/// Opens a folder; `flags` says what for.
pub fn open_folder(root: impl AsFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { "." } else { path };
    rustix::fs::openat(root, path, OFlags::DIRECTORY | OFlags::CLOEXEC | flags, Mode::empty())
}

/// The kind of a stat's or listing's type.
pub fn kind_of(kind: FileType) -> FileKind {
    match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Folder,
        FileType::Symlink => FileKind::Link,
        _ => FileKind::Special,
    }
}

/// A name in a folder, as the file system has it, and what it stands for.
pub type Named = (Box<[u8]>, FileKind);

/// All names of an open folder, sorted by their bytes.
pub fn list(fd: &OwnedFd) -> Result<Vec<Named>, Errno> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut found = Vec::new();
    let mut entries = rustix::fs::RawDir::new(fd, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        // Some file systems leave the kind to stat.
        let kind = match entry.file_type() {
            FileType::Unknown => match stat(fd, name) {
                Ok(seen) => kind_of(FileType::from_raw_mode(seen.mode)),
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            },
            known => kind_of(known),
        };
        found.push((name.into(), kind));
    }
    found.sort_unstable();
    Ok(found)
}

/// Looks at a file or link. `path` is for messages.
pub fn hash(
    dir: impl AsFd,
    name: &[u8],
    kind: FileKind,
    clock: &Clock,
    path: &str,
) -> Result<HashedEntry, ListError> {
    let trouble = |errno: Errno| match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::INVAL | Errno::STALE => {
            ListError::Moved(path.to_owned())
        }
        errno => ListError::read(path, why(errno)),
    };
    for _ in 0..TRIES {
        let (seen, facts, after) = match kind {
            FileKind::Link => link(&dir, name, path, trouble)?,
            FileKind::Special => special(&dir, name, path, trouble)?,
            _ => file(&dir, name, path, trouble)?,
        };
        if seen == after {
            return Ok(HashedEntry { racy: seen.is_racy(clock), seen, facts });
        }
    }
    Err(ListError::read(path, "it is being written without pause"))
}

fn file(
    dir: impl AsFd,
    name: &[u8],
    path: &str,
    trouble: impl Fn(Errno) -> ListError,
) -> Result<(Seen, Facts, Seen), ListError> {
    // A pipe put in a file's place must not make us wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(&trouble)?);
    let seen = stat_open(&file).map_err(&trouble)?;
    if FileType::from_raw_mode(seen.mode) != FileType::RegularFile {
        return Err(ListError::Moved(path.to_owned()));
    }
    let hash = match seen.size_bytes > large::LARGE {
        true => large::hash(&file, seen.size_bytes),
        false => small(&mut file, seen.size_bytes),
    };
    let hash = match hash {
        Ok(hash) => hash,
        // It was cut short while it was read.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(ListError::Moved(path.to_owned()));
        }
        Err(error) => return Err(ListError::read(path, error)),
    };
    let after = stat_open(&file).map_err(&trouble)?;
    let facts = Facts {
        mode: seen.mode & 0o7777,
        size_bytes: seen.size_bytes,
        mtime_ns: seen.mtime_ns,
        hash,
        target: "".into(),
    };
    Ok((seen, facts, after))
}

/// The hash of all that is in a file, which is about so large.
fn small(file: &mut File, size_bytes: u64) -> std::io::Result<ContentHash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; usize::try_from(size_bytes).unwrap_or(usize::MAX).clamp(512, 128 * 1024) + 1];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(ContentHash(*hasher.finalize().as_bytes())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
    }
}

fn link(
    dir: impl AsFd,
    name: &[u8],
    path: &str,
    trouble: impl Fn(Errno) -> ListError,
) -> Result<(Seen, Facts, Seen), ListError> {
    let seen = stat(&dir, name).map_err(&trouble)?;
    if FileType::from_raw_mode(seen.mode) != FileType::Symlink {
        return Err(ListError::Moved(path.to_owned()));
    }
    let target = rustix::fs::readlinkat(&dir, name, Vec::new()).map_err(&trouble)?;
    let after = stat(&dir, name).map_err(&trouble)?;
    let target =
        target.into_string().map_err(|_| ListError::read(path, "where the link points is not UTF-8"))?;
    let facts = Facts {
        mode: 0,
        size_bytes: 0,
        mtime_ns: seen.mtime_ns,
        hash: ContentHash::of(target.as_bytes()),
        target: target.into(),
    };
    Ok((seen, facts, after))
}

/// A device, a socket or a pipe, which is never opened: some wait for somebody at the other side.
fn special(
    dir: impl AsFd,
    name: &[u8],
    path: &str,
    trouble: impl Fn(Errno) -> ListError,
) -> Result<(Seen, Facts, Seen), ListError> {
    let seen = stat(&dir, name).map_err(&trouble)?;
    if kind_of(FileType::from_raw_mode(seen.mode)) != FileKind::Special {
        return Err(ListError::Moved(path.to_owned()));
    }
    Ok((seen, Facts::of_special(seen.mode, seen.size_bytes, seen.mtime_ns), seen))
}

/// The system's words for an error, without its number.
pub fn why(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
