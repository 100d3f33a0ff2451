//! Stat cache: the finds of the last look at the disk, as one flat file: `.imk/stat`.
//!
//! Folders in path order, after them their entries, and one table of names; the
//! records are read where they lie, so that loading it costs one read and one
//! hash. An answer that was given is kept with the folders it came from. Knows
//! nothing of the disk: whoever uses a record compares it with the disk first.
//! A damaged or foreign file is an empty cache.

use std::sync::Arc;

use super::select::{Facts, by_components};
use super::stat::{HashedEntry, Seen};
use super::tree::Selected;
use crate::model::file::FileKind;
use crate::model::hash::ContentHash;

/// Changes with the layout, and with what a hash means.
const MAGIC: &[u8; 16] = b"imk stat cache 2";
const CHECK: usize = MAGIC.len();
const COUNTS: usize = CHECK + 32;
const FOLDERS: usize = COUNTS + 16;
const FOLDER: usize = 52;
const ENTRY: usize = 76;

/// The entry's facts are known.
const KNOWN: u8 = 1;
/// It changed too shortly before it was looked at: look again.
const RACY: u8 = 2;

/// The cache in memory, as it lies on the disk.
#[derive(Clone, Default)]
pub struct StatCache {
    bytes: Arc<Vec<u8>>,
    /// How many folders it knows; they are numbered from 0 in path order.
    pub folders: usize,
    entries: usize,
    names: usize,
    /// Answers given before.
    pub memos: Arc<[Memo]>,
}

/// An answer and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memo {
    /// Hash of the question.
    pub key: ContentHash,
    /// The answer.
    pub selected: Selected,
    /// How many times the file was written since someone asked.
    pub age: u8,
    /// The folders that were listed for it, as ranges of numbers.
    pub folders: Vec<(u32, u32)>,
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
        let mut hash = [0; 32];
        hash.copy_from_slice(&self.record[44..76]);
        let seen = self.seen(dev)?;
        if self.kind() == FileKind::Special {
            let facts = Facts::of_special(seen.mode, seen.size_bytes, seen.mtime_ns);
            return Some(HashedEntry { seen, facts, racy: flags & RACY != 0 });
        }
        let facts = Facts {
            mode: if target.is_empty() { seen.mode & 0o7777 } else { 0 },
            size_bytes: if target.is_empty() { seen.size_bytes } else { 0 },
            mtime_ns: seen.mtime_ns,
            hash: ContentHash(hash),
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
    /// Takes the bytes of a file; anything but a whole and sound one is an empty cache.
    pub fn parse(bytes: Vec<u8>) -> Self {
        Self::check(bytes).unwrap_or_default()
    }

    fn check(bytes: Vec<u8>) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || bytes.len() < FOLDERS {
            return None;
        }
        if blake3::hash(&bytes[COUNTS..]).as_bytes()[..] != bytes[CHECK..COUNTS] {
            return None;
        }
        let count = |index: usize| u32_at(&bytes, COUNTS + 4 * index) as usize;
        let (folders, entries, names, memos) = (count(0), count(1), count(2), count(3));
        let names_at = FOLDERS + folders * FOLDER + entries * ENTRY;
        let memos_at = names_at + names;
        if memos_at > bytes.len() {
            return None;
        }
        let memos = read_memos(&bytes[memos_at..], memos)?;
        Some(Self { bytes: bytes.into(), folders, entries, names: names_at, memos: memos.into() })
    }

    /// The bytes of its file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Stands for all that it knows: two caches with one mark are the same.
    pub fn mark(&self) -> [u8; 32] {
        self.bytes.get(CHECK..COUNTS).and_then(|mark| mark.try_into().ok()).unwrap_or_default()
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
        CachedEntry { record, text }
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

/// Marks the index of a wildcard that matched nothing, among those of sources that are missing.
const EMPTY: u32 = 1 << 31;

/// Makes a cache, folder by folder in path order.
#[derive(Default)]
pub struct Writer {
    folders: Vec<u8>,
    entries: Vec<u8>,
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
            None => self.entries.extend([0; ENTRY - 8]),
            Some(HashedEntry { seen, facts, .. }) => {
                self.names.extend(facts.target.as_bytes());
                let size = if kind == FileKind::Link { facts.target.len() as u64 } else { seen.size_bytes };
                for long in [size, seen.ino, seen.mtime_ns.cast_unsigned(), seen.ctime_ns.cast_unsigned()] {
                    self.entries.extend(long.to_le_bytes());
                }
                self.entries.extend(seen.mode.to_le_bytes());
                self.entries.extend(facts.hash.0);
            }
        }
        self.entry_count += 1;
    }

    /// The finished cache.
    pub fn finish(self, memos: Vec<Memo>) -> StatCache {
        let mut bytes = MAGIC.to_vec();
        bytes.reserve(self.folders.len() + self.entries.len() + self.names.len() + 128 * memos.len() + 64);
        bytes.extend([0; 32]);
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
        let check = blake3::hash(&bytes[COUNTS..]);
        bytes[CHECK..COUNTS].copy_from_slice(check.as_bytes());
        StatCache {
            bytes: bytes.into(),
            folders: self.folder_count as usize,
            entries: self.entry_count as usize,
            names,
            memos: memos.into(),
        }
    }
}

fn write_memo(bytes: &mut Vec<u8>, memo: &Memo) {
    bytes.extend(memo.key.0);
    bytes.extend(memo.selected.hash.0);
    bytes.extend(memo.selected.count.to_le_bytes());
    bytes.extend(memo.selected.bytes.to_le_bytes());
    let mut word = |word: u32| bytes.extend(word.to_le_bytes());
    word(memo.age.into());
    word((memo.selected.missing.len() + memo.selected.empty.len()) as u32);
    word(memo.folders.len() as u32);
    memo.selected.missing.iter().for_each(|index| word(*index as u32));
    memo.selected.empty.iter().for_each(|index| word(*index as u32 | EMPTY));
    for (first, end) in &memo.folders {
        word(*first);
        word(*end);
    }
}

fn read_memos(mut bytes: &[u8], count: usize) -> Option<Vec<Memo>> {
    let mut take = |length: usize| {
        let (head, tail) = bytes.split_at_checked(length)?;
        bytes = tail;
        Some(head)
    };
    let mut memos = Vec::new();
    for _ in 0..count {
        let fixed = take(92)?;
        let word = |index: usize| u32_at(fixed, 80 + 4 * index);
        let unmatched = take(4 * word(1) as usize)?;
        let unmatched = unmatched.chunks_exact(4).map(|at| u32_at(at, 0));
        let (empty, missing): (Vec<u32>, Vec<u32>) = unmatched.partition(|index| index & EMPTY != 0);
        let folders = take(8 * word(2) as usize)?;
        let hash = |at: usize| Some(ContentHash(fixed[at..at + 32].try_into().ok()?));
        memos.push(Memo {
            key: hash(0)?,
            selected: Selected {
                hash: hash(32)?,
                missing: missing.into_iter().map(|index| index as usize).collect(),
                empty: empty.into_iter().map(|index| (index & !EMPTY) as usize).collect(),
                count: u64_at(fixed, 64),
                bytes: u64_at(fixed, 72),
            },
            age: u8::try_from(word(0)).ok()?,
            folders: folders.chunks_exact(8).map(|at| (u32_at(at, 0), u32_at(at, 4))).collect(),
        });
    }
    Some(memos)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
#[path = "stat_cache_tests.rs"]
mod tests;
