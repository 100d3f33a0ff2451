//! One file of a context, as every room speaks of it.
//!
//! Knows neither a disk nor a git tree: whoever opens files makes these, and
//! whoever hashes or sends files reads them.

use serde::{Deserialize, Serialize};

use crate::model::hash::{ContentHash, FieldHasher};

/// The kind of thing that a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, kept as a link.
    Link,
    /// A device, socket or pipe.
    Special,
}

/// A file that an image's instructions can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedFile {
    /// Below the context's root, with `/` between names and none in front.
    pub path: String,
    /// Its kind.
    pub kind: FileKind,
    /// Permission bits, `0o7777` at the most; of a device, a socket or a pipe the bits of its type too. Zero for a
    /// link: Linux gives every link the same.
    pub mode: u32,
    /// Bytes of content; of a device its [number](device_number); else zero.
    pub size_bytes: u64,
    /// Modification time in nanoseconds since 1970. Never part of a key: it only travels with the file.
    pub mtime_ns: i64,
    /// Of a file its content's hash, of a link its target's, of a folder the hash of nothing, of anything else that of
    /// its number.
    pub hash: ContentHash,
    /// Where a link points, as written; empty for all else.
    pub target: String,
    /// Whether it is part of the key. A folder that is sent only because a used
    /// file lies in it leaves no trace in an image, and `chmod` of it is no reason to build.
    pub counts: bool,
}

/// A thing that is no file, folder or link, as whoever makes one needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device of characters or of blocks.
    Device {
        /// Of characters.
        character: bool,
        /// The number of its driver.
        major: u32,
        /// The number that the driver gives it.
        minor: u32,
    },
}

/// One number for the two of a device.
pub fn device_number(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

impl UsedFile {
    /// The device, socket or pipe that it is.
    pub fn special(&self) -> Option<Special> {
        let device = |character| Special::Device {
            character,
            major: (self.size_bytes >> 32) as u32,
            minor: self.size_bytes as u32,
        };
        match (self.kind, self.mode & 0o170_000) {
            (FileKind::Special, 0o010_000) => Some(Special::Pipe),
            (FileKind::Special, 0o020_000) => Some(device(true)),
            (FileKind::Special, 0o060_000) => Some(device(false)),
            (FileKind::Special, _) => Some(Special::Socket),
            _ => None,
        }
    }

    /// Bytes of its content.
    pub fn bytes(&self) -> u64 {
        if self.kind == FileKind::File { self.size_bytes } else { 0 }
    }
}

/// All files that one image reads of one context, in path order (folders
/// before what they hold), each once. The key and what is sent to the engine
/// both come from this list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedFiles {
    /// The files, sorted by the components of their paths.
    pub files: Vec<UsedFile>,
}

impl UsedFiles {
    /// The hash of all that counts of the list: path, kind, permission bits and content of the
    /// files that count. No time stamp, owner or absolute path goes in.
    pub fn hash(&self) -> ContentHash {
        Self::hash_of(&self.files)
    }

    /// The hash of a list that lies in pieces.
    pub fn hash_of<'a>(files: impl IntoIterator<Item = &'a UsedFile>) -> ContentHash {
        let mut hasher = FieldHasher::new("imk used files v1");
        for file in files.into_iter().filter(|file| file.counts) {
            hasher.field(&file.path).number(file.kind as u64).number(u64::from(file.mode)).field(file.hash.0);
        }
        hasher.finish()
    }
}
