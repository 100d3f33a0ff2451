//! The files of an image in a folder. Other files that are there stay.
//!
//! Every name is reached through handles and without following a link, so nothing outside the folder is
//! written, whoever made what is in it, and whatever the image holds. Files belong to the caller, as
//! docker's own client has it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::place::beneath;
use super::tree::{Content, Kind, Node, Tree};

/// Puts a tree into an open folder.
///
/// # Errors
/// When something cannot be put there; the message names it.
pub(super) fn write(root: BorrowedFd<'_>, tree: &Tree) -> io::Result<()> {
    let mut first: BTreeMap<(usize, u64), &[u8]> = BTreeMap::new();
    let named = |path: &[u8], error: io::Error| {
        let why = match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::NOTDIR) => {
                "a link or a file is on the way, and nothing is written through links".to_owned()
            }
            _ => error.to_string(),
        };
        io::Error::new(error.kind(), format!("`{}`: {why}", String::from_utf8_lossy(path)))
    };
    for (path, node) in tree {
        make(root, path, node, &mut first).map_err(|error| named(path, error))?;
    }
    // Folders get their modes and times when nothing is put in any more.
    for (path, node) in tree.iter().rev().filter(|(_, node)| matches!(node.kind, Kind::Folder)) {
        let finished = || -> io::Result<()> {
            let folder = beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(node.mode))?;
            Ok(rustix::fs::futimens(&folder, &times(node))?)
        };
        finished().map_err(|error| named(path, error))?;
    }
    Ok(())
}

fn make<'t>(
    root: BorrowedFd<'_>,
    path: &'t [u8],
    node: &Node,
    first: &mut BTreeMap<(usize, u64), &'t [u8]>,
) -> io::Result<()> {
    let (folder, name) = parent(root, path)?;
    if let Kind::Folder = node.kind {
        return make_folder(&folder, name);
    }
    match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR | Errno::PERM) => {
            return Err(io::Error::other("a folder is there, and the image has none"));
        }
        Err(error) => return Err(error.into()),
    }
    match &node.kind {
        Kind::Folder => Ok(()),
        Kind::File(content) => match first.get(&content.number) {
            Some(first) => {
                let (from, old) = parent(root, first)?;
                Ok(rustix::fs::linkat(&from, old, &folder, name, AtFlags::empty())?)
            }
            None => {
                first.insert(content.number, path);
                file(&folder, name, content, node)
            }
        },
        Kind::Link(target) => {
            rustix::fs::symlinkat(OsStr::from_bytes(target), &folder, name)?;
            Ok(rustix::fs::utimensat(&folder, name, &times(node), AtFlags::SYMLINK_NOFOLLOW)?)
        }
        Kind::Pipe => {
            Ok(rustix::fs::mknodat(&folder, name, FileType::Fifo, Mode::from_raw_mode(node.mode), 0)?)
        }
        Kind::Device { character, major, minor } => {
            let kind = if *character { FileType::CharacterDevice } else { FileType::BlockDevice };
            let device = rustix::fs::makedev(*major, *minor);
            match rustix::fs::mknodat(&folder, name, kind, Mode::from_raw_mode(node.mode), device) {
                Err(Errno::PERM) => {
                    Err(io::Error::other("it is a device, which only root can make; `type=tar` keeps it"))
                }
                made => Ok(made?),
            }
        }
    }
}

/// The open folder above a path, and its last name.
fn parent<'p>(root: BorrowedFd<'_>, path: &'p [u8]) -> io::Result<(OwnedFd, &'p OsStr)> {
    let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"".as_slice(), path),
    };
    Ok((beneath(root, folder, OFlags::PATH | OFlags::DIRECTORY)?, OsStr::from_bytes(name)))
}

fn make_folder(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
        // One that an earlier output left without rights must take files again.
        let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(own) = rustix::fs::openat(folder, name, open, Mode::empty()) {
            let _ = rustix::fs::fchmod(&own, Mode::from_raw_mode(there.st_mode & 0o777) | Mode::RWXU);
        }
        return Ok(());
    }
    rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
    Ok(rustix::fs::mkdirat(folder, name, Mode::RWXU)?)
}

fn file(folder: &OwnedFd, name: &OsStr, content: &Content, node: &Node) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut into = File::from(fd);
    io::copy(&mut content.part.read(), &mut into)?;
    rustix::fs::fchmod(&into, Mode::from_raw_mode(node.mode))?;
    Ok(rustix::fs::futimens(into.as_fd(), &times(node))?)
}

fn times(node: &Node) -> Timestamps {
    let at = Timespec { tv_sec: i64::try_from(node.mtime).unwrap_or_default(), tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}
