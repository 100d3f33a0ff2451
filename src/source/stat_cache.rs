//! Stat cache: the finds of the last look at the disk, as two flat files: `.imk/stat` and `.imk/hashes`.
//!
//! Folders in path order, after them their entries, and one table of names; the
//! records are read where they lie, so that loading it costs one read and one
//! hash. An answer that was given is kept with the folders it came from. Hashes of files
//! are needed only where an answer holds no more, and are not read before. Knows
//! nothing of the disk: whoever uses a record compares it with the disk first.
//! A damaged or foreign file is an empty cache.

use std::sync::{Arc, LazyLock};

use super::select::{Facts, by_components};
use super::stat::{HashedEntry, Seen};
use super::stat_memo::{Memo, read_memos, u16_at, u32_at, u64_at, write_memo};
use crate::model::file::FileKind;
use crate::model::hash::ContentHash;

/// Changes with the layout, and with what a hash means.
const MAGIC: &[u8; 16] = b"imk stat cache 3";
const CHECK: usize = MAGIC.len();
/// The check of the hashes that go with it.
const OF_HASHES: usize = CHECK + 32;
const COUNTS: usize = OF_HASHES + 32;
const FOLDERS: usize = COUNTS + 16;
const FOLDER: usize = 52;
const ENTRY: usize = 44;
const HASH: usize = 32;

/// The entry's facts are known.
const KNOWN: u8 = 1;
/// It changed too shortly before it was looked at: look again.
const RACY: u8 = 2;

/// The cache in memory, as it lies on the disk.
#[derive(Clone, Default)]
pub struct StatCache {
    bytes: Arc<Vec<u8>>,
    hashes: Hashes,
    /// How many folders it knows; they are numbered from 0 in path order.
    pub folders: usize,
    entries: usize,
    names: usize,
    /// Answers given before.
    pub memos: Arc<[Memo]>,
}

/// The hashes of all entries, one behind the other, once they are asked for.
#[derive(Clone)]
pub struct Hashes(Arc<LazyLock<Vec<u8>, Read>>);

type Read = Box<dyn FnOnce() -> Vec<u8> + Send>;

impl Default for Hashes {
    fn default() -> Self {
        Self::new(Vec::new)
    }
}

impl Hashes {
    /// Those that `read` reads, when somebody asks.
    pub fn new(read: impl FnOnce() -> Vec<u8> + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(read))))
    }

    /// The bytes of their file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn get(&self, number: usize) -> Option<ContentHash> {
        let at = number * HASH;
        Some(ContentHash(self.0.get(at..at + HASH)?.try_into().ok()?))
    }
}

/// A folder as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct CachedFolder<'a> {
    /// Below the repository's root.
    pub path: &'a str,
    /// The folder itself.
    pub seen: Seen,
    /// Its list may have changed right after it was read.
    pub racy: bool,
    first: usize,
    count: usize,
}

impl CachedFolder<'_> {
    /// Numbers of its entries.
    pub fn entries(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }
}

/// An entry as it was seen.
#[derive(Clone, Copy)]
pub struct CachedEntry<'a> {
    record: &'a [u8],
    number: usize,
    hashes: &'a Hashes,
    /// Its name, and behind it a link's target.
    text: &'a [u8],
}

impl<'a> CachedEntry<'a> {
    /// The name.
    pub fn name(&self) -> &'a [u8] {
        &self.text[..usize::from(u16_at(self.record, 4))]
    }

    /// Its kind, by the listing.
    pub fn kind(&self) -> FileKind {
        match self.record[6] {
            0 => FileKind::File,
            1 => FileKind::Folder,
            2 => FileKind::Link,
            _ => FileKind::Special,
        }
    }

    /// Its hash as it was known, if someone used it.
    pub fn hashed(&self, dev: u64) -> Option<HashedEntry> {
        let flags = self.record[7];
        if flags & KNOWN == 0 {
            return None;
        }
        let target = std::str::from_utf8(&self.text[self.name().len()..]).ok()?;
        let seen = self.seen(dev)?;
        if self.kind() == FileKind::Special {
            let facts = Facts::of_special(seen.mode, seen.size_bytes, seen.mtime_ns);
            return Some(HashedEntry { seen, facts, racy: flags & RACY != 0 });
        }
        let facts = Facts {
            mode: if target.is_empty() { seen.mode & 0o7777 } else { 0 },
            size_bytes: if target.is_empty() { seen.size_bytes } else { 0 },
            mtime_ns: seen.mtime_ns,
            hash: self.hashes.get(self.number)?,
            target: target.into(),
        };
        Some(HashedEntry { seen, facts, racy: flags & RACY != 0 })
    }

    /// The stat that goes with what is known; nothing when it cannot be trusted to show a change.
    pub fn settled(&self, dev: u64) -> Option<Seen> {
        if self.record[7] & RACY == 0 { self.seen(dev) } else { None }
    }

    /// Has someone used it?
    pub fn is_known(&self) -> bool {
        self.record[7] & KNOWN != 0
    }

    fn seen(&self, dev: u64) -> Option<Seen> {
        let at = |offset| u64_at(self.record, offset);
        (self.is_known()).then(|| Seen {
            dev,
            size_bytes: at(8),
            ino: at(16),
            mtime_ns: at(24).cast_signed(),
            ctime_ns: at(32).cast_signed(),
            mode: u32_at(self.record, 40),
        })
    }
}

impl StatCache {
    /// Takes the bytes of a file; anything but a whole and sound one is an empty cache. `read` brings those of the
    /// hashes: others than those that go with it are none, and every file whose hash is asked for is read again.
    pub fn parse(bytes: Vec<u8>, read: impl FnOnce() -> Option<Vec<u8>> + Send + 'static) -> Self {
        Self::check(bytes, read).unwrap_or_default()
    }

    fn check(bytes: Vec<u8>, read: impl FnOnce() -> Option<Vec<u8>> + Send + 'static) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || bytes.len() < FOLDERS {
            return None;
        }
        if blake3::hash(&bytes[OF_HASHES..]).as_bytes()[..] != bytes[CHECK..OF_HASHES] {
            return None;
        }
        let check: [u8; 32] = bytes[OF_HASHES..COUNTS].try_into().ok()?;
        let hashes = Hashes::new(move || {
            let own = |bytes: &Vec<u8>| *blake3::hash(bytes).as_bytes() == check;
            read().filter(own).unwrap_or_default()
        });
        let count = |index: usize| u32_at(&bytes, COUNTS + 4 * index) as usize;
        let (folders, entries, names, memos) = (count(0), count(1), count(2), count(3));
        let names_at = FOLDERS + folders * FOLDER + entries * ENTRY;
        let memos_at = names_at + names;
        if memos_at > bytes.len() {
            return None;
        }
        let memos = read_memos(&bytes[memos_at..], memos)?;
        Some(Self { bytes: bytes.into(), hashes, folders, entries, names: names_at, memos: memos.into() })
    }

    /// The bytes of its file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the hash of every known file can be had.
    pub fn has_hashes(&self) -> bool {
        self.hashes.bytes().len() == self.entries * HASH
    }

    /// The hashes that go with it.
    pub fn hashes(&self) -> &Hashes {
        &self.hashes
    }

    /// Stands for all that it knows: two caches with one mark are the same.
    pub fn mark(&self) -> [u8; 32] {
        self.bytes.get(CHECK..OF_HASHES).and_then(|mark| mark.try_into().ok()).unwrap_or_default()
    }

    /// A folder by its number.
    pub fn folder(&self, number: usize) -> CachedFolder<'_> {
        let record = &self.bytes[FOLDERS + number * FOLDER..][..FOLDER];
        let word = |index: usize| u32_at(record, 4 * index) as usize;
        let long = |offset| u64_at(record, offset);
        let path = &self.bytes[self.names + word(0)..][..word(1)];
        let seen = Seen {
            dev: long(20),
            ino: long(28),
            mtime_ns: long(36).cast_signed(),
            ctime_ns: long(44).cast_signed(),
            mode: u32_at(record, 16) & 0x7fff_ffff,
            size_bytes: 0,
        };
        CachedFolder {
            path: std::str::from_utf8(path).unwrap_or_default(),
            seen,
            racy: u32_at(record, 16) >> 31 == 1,
            first: word(2),
            count: word(3),
        }
    }

    /// An entry by its number.
    pub fn entry(&self, number: usize) -> CachedEntry<'_> {
        debug_assert!(number < self.entries);
        let record = &self.bytes[FOLDERS + self.folders * FOLDER + number * ENTRY..][..ENTRY];
        let name = usize::from(u16_at(record, 4));
        // A link's size is its target's length, and the target lies behind its name.
        let target = if record[6] == 2 && record[7] & KNOWN != 0 { u64_at(record, 8) as usize } else { 0 };
        let text = &self.bytes[self.names + u32_at(record, 0) as usize..][..name + target];
        CachedEntry { record, number, hashes: &self.hashes, text }
    }

    /// The number of the folder at a path.
    pub fn find(&self, path: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.folders);
        while low < high {
            let middle = usize::midpoint(low, high);
            match by_components(self.folder(middle).path, path) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}

/// Makes a cache, folder by folder in path order.
#[derive(Default)]
pub struct Writer {
    folders: Vec<u8>,
    entries: Vec<u8>,
    hashes: Vec<u8>,
    names: Vec<u8>,
    folder_count: u32,
    entry_count: u32,
}

impl Writer {
    /// Begins the next folder; its entries follow.
    pub fn folder(&mut self, path: &str, seen: &Seen, racy: bool, entries: usize) {
        let (names, entries) = (self.names.len() as u32, entries as u32);
        for word in [names, path.len() as u32, self.entry_count, entries, seen.mode | u32::from(racy) << 31] {
            self.folders.extend(word.to_le_bytes());
        }
        for long in [seen.dev, seen.ino, seen.mtime_ns.cast_unsigned(), seen.ctime_ns.cast_unsigned()] {
            self.folders.extend(long.to_le_bytes());
        }
        self.names.extend(path.as_bytes());
        self.folder_count += 1;
    }

    /// Adds an entry of the folder last begun.
    pub fn entry(&mut self, name: &[u8], kind: FileKind, hashed: Option<&HashedEntry>) {
        self.entries.extend((self.names.len() as u32).to_le_bytes());
        self.entries.extend((name.len() as u16).to_le_bytes());
        self.names.extend(name);
        let flags = hashed.map_or(0, |hashed| KNOWN | if hashed.racy { RACY } else { 0 });
        self.entries.extend([kind as u8, flags]);
        match hashed {
            None => {
                self.entries.extend([0; ENTRY - 8]);
                self.hashes.extend([0; HASH]);
            }
            Some(HashedEntry { seen, facts, .. }) => {
                self.names.extend(facts.target.as_bytes());
                let size = if kind == FileKind::Link { facts.target.len() as u64 } else { seen.size_bytes };
                for long in [size, seen.ino, seen.mtime_ns.cast_unsigned(), seen.ctime_ns.cast_unsigned()] {
                    self.entries.extend(long.to_le_bytes());
                }
                self.entries.extend(seen.mode.to_le_bytes());
                self.hashes.extend(facts.hash.0);
            }
        }
        self.entry_count += 1;
    }

    /// The finished cache.
    pub fn finish(self, memos: Vec<Memo>) -> StatCache {
        let mut bytes = MAGIC.to_vec();
        bytes.reserve(self.folders.len() + self.entries.len() + self.names.len() + 128 * memos.len() + 64);
        bytes.extend([0; 32]);
        bytes.extend(blake3::hash(&self.hashes).as_bytes());
        for count in [self.folder_count, self.entry_count, self.names.len() as u32, memos.len() as u32] {
            bytes.extend(count.to_le_bytes());
        }
        let names = bytes.len() + self.folders.len() + self.entries.len();
        for part in [self.folders, self.entries, self.names] {
            bytes.extend(part);
        }
        for memo in &memos {
            write_memo(&mut bytes, memo);
        }
        let check = blake3::hash(&bytes[OF_HASHES..]);
        bytes[CHECK..OF_HASHES].copy_from_slice(check.as_bytes());
        let hashes = self.hashes;
        StatCache {
            bytes: bytes.into(),
            hashes: Hashes::new(move || hashes),
            folders: self.folder_count as usize,
            entries: self.entry_count as usize,
            names,
            memos: memos.into(),
        }
    }
}

#[cfg(test)]
#[path = "stat_cache_tests.rs"]
mod tests;
