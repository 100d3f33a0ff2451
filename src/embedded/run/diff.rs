//! Changes of a command, as a layer.
//!
//! Follows BuildKit's `WriteUpperdir` and containerd's `ChangeWriter`: devices 0/0 are whiteouts, a marked
//! folder is opaque, files that are one are hard links, sockets are left out. Folders that are there only
//! because an overlay copied them, unchanged and empty, are no change.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fgetxattr, major, minor, openat, readlinkat, statat};

use super::root::{open_folder, open_within};
use super::rung::Rung;
use super::trees;
use crate::embedded::layer::index::{Entry, Kind, join};
use crate::embedded::layer::view::View;
use crate::embedded::layer::writer::LayerWriter;
use crate::embedded::room;
use crate::embedded::store::Store;
use crate::embedded::trouble::{During, Result};
use crate::model::hash::ContentHash;

/// The attribute that layers keep.
const CAPABILITY: &str = "security.capability";

/// An entry found in a folder.
#[derive(Clone, Debug)]
pub struct Found {
    /// The entry.
    pub entry: Entry,
    /// Device and number: names with the same are one file.
    pub inode: (u64, u64),
    /// Seconds and nanoseconds of its last change, which no program can set.
    pub changed: (i64, i64),
}

/// The layer of an overlay's upper folder, by its diff id; none when nothing was changed.
pub fn upper(store: &Store, rung: Rung, folder: &Path, below: &View, time: u64) -> Result<Option<String>> {
    let what = || "looking at what the command changed".to_owned();
    let mut all = BTreeMap::new();
    walk(&open_folder(folder).during(what)?, b"", Some(rung), &mut all).during(what)?;
    let mut kept: Vec<Found> = Vec::new();
    for found in all.into_values().rev() {
        let entry = &found.entry;
        // Backwards, so that what lies in a folder is seen before it.
        let holds = kept.last().is_some_and(|later| inside(&later.entry.path, &entry.path));
        let same = entry.kind == Kind::FOLDER
            && below.get(&entry.path).is_some_and(|(_, before)| {
                before.is_folder()
                    && (before.mode, before.uid, before.gid) == (entry.mode, entry.uid, entry.gid)
            });
        if holds || !same {
            kept.push(found);
        }
    }
    kept.reverse();
    write(store, folder, kept, time)
}

fn inside(path: &[u8], folder: &[u8]) -> bool {
    path.starts_with(folder) && path.get(folder.len()) == Some(&b'/')
}

/// Writes a layer of what was found, sorted by path.
pub fn write(store: &Store, folder: &Path, found: Vec<Found>, time: u64) -> Result<Option<String>> {
    if found.is_empty() {
        return Ok(None);
    }
    let what = || "writing what the command changed".to_owned();
    room::ask(store, found.iter().map(|found| found.entry.bytes()).sum(), what)?;
    let root = open_folder(folder).during(what)?;
    let mut first: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
    let mut layer = LayerWriter::new(store, time)?;
    for Found { mut entry, inode, .. } in found {
        if !matches!(entry.kind, Kind::File { .. }) {
            layer.add(entry, &mut io::empty())?;
            continue;
        }
        if let Some(path) = first.get(&inode) {
            entry.kind = Kind::Hard(path.clone());
            layer.add(entry, &mut io::empty())?;
            continue;
        }
        first.insert(inode, entry.path.clone());
        let mut file = open_within(&root, &entry.path).during(what)?;
        layer.add(entry, &mut file)?;
    }
    layer.keep(store).map(|written| Some(written.diff_id))
}

/// All that lies in a folder, by path. With a rung it is an overlay's folder, and its marks are read.
pub fn walk(
    folder: &OwnedFd,
    path: &[u8],
    overlay: Option<Rung>,
    all: &mut BTreeMap<Vec<u8>, Found>,
) -> io::Result<()> {
    for child in Dir::read_from(folder)? {
        let child = child?;
        let name = child.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let Some(found) = compare(folder, name, join(path, name), overlay)? else { continue };
        let is_folder = found.entry.is_folder();
        let path = found.entry.path.clone();
        all.insert(path.clone(), found);
        if is_folder {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            walk(&openat(folder, OsStr::from_bytes(name), flags, Mode::empty())?, &path, overlay, all)?;
        }
    }
    Ok(())
}

fn compare(folder: &OwnedFd, name: &[u8], path: Vec<u8>, overlay: Option<Rung>) -> io::Result<Option<Found>> {
    let word = OsStr::from_bytes(name);
    let stat = statat(folder, word, AtFlags::SYMLINK_NOFOLLOW)?;
    let mut xattrs = BTreeMap::new();
    let open =
        |flags: OFlags| openat(folder, word, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let file = open(OFlags::RDONLY | OFlags::NONBLOCK)?;
            if let Some(value) = attribute(&file, CAPABILITY) {
                xattrs.insert(CAPABILITY.to_owned(), value);
            }
            let size = u64::try_from(stat.st_size).unwrap_or_default();
            Kind::File { size, hash: ContentHash::default(), at: 0 }
        }
        FileType::Directory => {
            let own = open(OFlags::RDONLY | OFlags::DIRECTORY)?;
            let mark = overlay.and_then(|rung| attribute(&own, trees::opaque_mark(rung)));
            Kind::Folder { opaque: mark.is_some_and(|mark| mark == b"y"), implied: false }
        }
        FileType::Symlink => Kind::Link(readlinkat(folder, word, Vec::new())?.into_bytes()),
        FileType::CharacterDevice if overlay.is_some() && stat.st_rdev == 0 => Kind::Gone,
        kind @ (FileType::CharacterDevice | FileType::BlockDevice) => Kind::Device {
            character: kind == FileType::CharacterDevice,
            major: major(stat.st_rdev),
            minor: minor(stat.st_rdev),
        },
        FileType::Fifo => Kind::Pipe,
        // A socket is somebody who listens, not a file.
        _ => return Ok(None),
    };
    let entry = Entry { path, kind, mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, xattrs };
    let mode = if matches!(entry.kind, Kind::Link(_)) { 0o777 } else { entry.mode };
    Ok(Some(Found {
        entry: Entry { mode, ..entry },
        inode: (stat.st_dev, stat.st_ino),
        changed: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or_default()),
    }))
}

fn attribute(file: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    let length = fgetxattr(file, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

/// Gives all below a folder one time.
pub fn stamp_all(folder: &OwnedFd, time: u64) -> io::Result<()> {
    for child in Dir::read_from(folder)? {
        let child = child?;
        let name = OsStr::from_bytes(child.file_name().to_bytes());
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            stamp_all(&openat(folder, name, flags, Mode::empty())?, time)?;
        }
        trees::stamp(folder, name, time)?;
    }
    Ok(())
}
