//! The headers of one layer: what a layer has, without what its files hold.
//!
//! Made once a layer and kept by its diff id. A file's content is known by hash and by its place
//! in the uncompressed layer. Paths are bytes below the root, without a slash in front.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::hash::ContentHash;

/// Raised when entries change their meaning: older indexes are made again.
const VERSION: u32 = 1;

/// One thing that a layer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Below the root.
    #[serde(with = "serde_bytes_vec")]
    pub path: Vec<u8>,
    /// Its kind.
    pub kind: Kind,
    /// Permission bits, `0o7777` at the most.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Extended attributes that images keep.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// The kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A file.
    File {
        /// Bytes.
        size: u64,
        /// Of its content.
        hash: ContentHash,
        /// Where its content begins in the uncompressed layer.
        at: u64,
    },
    /// A folder.
    Folder {
        /// True if all that layers below have in it is gone.
        opaque: bool,
        /// The layer does not speak of it: something lies in it.
        implied: bool,
    },
    /// A symbolic link, as written.
    Link(#[serde(with = "serde_bytes_vec")] Vec<u8>),
    /// Another name of a file, of this layer or of one below.
    Hard(#[serde(with = "serde_bytes_vec")] Vec<u8>),
    /// A device: of characters, else of blocks.
    Device {
        /// Of characters.
        character: bool,
        /// Its driver.
        major: u32,
        /// Which of the driver's.
        minor: u32,
    },
    /// A pipe.
    Pipe,
    /// The mark that the entry of a layer below is gone here.
    Gone,
}

impl Kind {
    /// A folder that hides nothing.
    pub const FOLDER: Self = Self::Folder { opaque: false, implied: false };
}

impl Entry {
    /// A folder of root's, as builders make those that are missing.
    pub fn folder(path: &[u8], mode: u32) -> Self {
        Self { path: path.to_vec(), kind: Kind::FOLDER, mode, uid: 0, gid: 0, xattrs: BTreeMap::new() }
    }

    /// Bytes of its names and attributes.
    pub fn weight(&self) -> usize {
        let target = match &self.kind {
            Kind::Link(target) | Kind::Hard(target) => target.len(),
            _ => 0,
        };
        let xattrs: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.path.len() + target + xattrs
    }

    /// Bytes of its content.
    pub fn bytes(&self) -> u64 {
        if let Kind::File { size, .. } = self.kind { size } else { 0 }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.kind, Kind::Folder { .. })
    }

    /// Whether it is a folder that only lies on the way.
    pub fn is_implied(&self) -> bool {
        matches!(self.kind, Kind::Folder { implied: true, .. })
    }
}

/// The headers of one layer, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    entries: Vec<Entry>,
}

/// An index in the making.
#[derive(Default)]
pub struct IndexBuilder {
    all: BTreeMap<Vec<u8>, Entry>,
    weight: usize,
}

impl IndexBuilder {
    /// Adds an entry; of two with one path the later counts. Folders on the way are added.
    pub fn add(&mut self, entry: Entry) {
        for parent in parents(&entry.path) {
            self.weight += 1;
            if self.all.get(parent).is_none_or(|before| before.kind == Kind::Gone) {
                self.weight += parent.len();
                let kind = Kind::Folder { opaque: false, implied: true };
                merge(&mut self.all, Entry { kind, ..Entry::folder(parent, 0o755) });
            }
        }
        self.weight += entry.weight();
        merge(&mut self.all, entry);
    }

    /// An entry on the way to a path that can hold nothing, if there is one. A link may lead to a folder.
    pub fn in_the_way<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let holds = |entry: &Entry| matches!(entry.kind, Kind::Folder { .. } | Kind::Link(_) | Kind::Gone);
        parents(path).find(|parent| self.all.get(*parent).is_some_and(|entry| !holds(entry)))
    }

    /// The bytes of all names so far, and the folders that were looked up for them: how much it takes to hold what a
    /// few bytes of an archive can ask for.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The index.
    pub fn finish(self) -> Index {
        Index { entries: self.all.into_values().collect() }
    }
}

impl Index {
    /// An index of these; of two with one path the later counts. Folders on the way are added.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut builder = IndexBuilder::default();
        entries.into_iter().for_each(|entry| builder.add(entry));
        builder.finish()
    }

    /// The entry at a path.
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// All it has, in the order of their paths' bytes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All it has below a folder, in the order of their paths' bytes.
    pub fn below(&self, folder: &[u8]) -> &[Entry] {
        if folder.is_empty() {
            return &self.entries;
        }
        let (first, end) = ([folder, b"/"].concat(), [folder, b"0"].concat());
        let from = self.entries.partition_point(|entry| entry.path < first);
        let to = self.entries.partition_point(|entry| entry.path < end);
        &self.entries[from..to]
    }

    /// As bytes, for the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec(&Kept { version: VERSION, entries: self.entries.clone() }).unwrap_or_default()
    }

    /// From those bytes; `None` when another version wrote them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: Kept = rmp_serde::from_slice(bytes).ok()?;
        (kept.version == VERSION).then_some(Self { entries: kept.entries })
    }
}

/// Puts an entry in. A folder keeps what was said of it before: that layers below are hidden. What is no folder
/// takes the place of one with all in it, as engines that unpack it remove that first. A whiteout hides what
/// layers below have, and nothing of its own layer, wherever it stands.
fn merge(all: &mut BTreeMap<Vec<u8>, Entry>, mut entry: Entry) {
    match (all.get_mut(&entry.path), &mut entry.kind) {
        (Some(before), Kind::Gone) => {
            if let Kind::Folder { opaque, .. } = &mut before.kind {
                *opaque = true;
            }
            return;
        }
        (Some(before), Kind::Folder { opaque, implied }) => match before.kind {
            // It went and came again: of what was below nothing is left, its owner and mode included.
            Kind::Gone => (*opaque, *implied) = (true, false),
            Kind::Folder { opaque: was_opaque, implied: was_implied } => {
                *opaque |= was_opaque;
                if *implied {
                    before.kind = Kind::Folder { opaque: *opaque, implied: was_implied };
                    return;
                }
            }
            _ => {}
        },
        (Some(before), _) if before.is_folder() => {
            let (first, end) = ([&entry.path[..], b"/"].concat(), [&entry.path[..], b"0"].concat());
            let below: Vec<Vec<u8>> = all.range(first..end).map(|(path, _)| path.clone()).collect();
            for path in below {
                all.remove(&path);
            }
        }
        _ => {}
    }
    all.insert(entry.path.clone(), entry);
}

/// The folders above a path, the outermost first; the root is none of them.
pub fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// The folder a path lies in; empty for the root.
pub fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |at| &path[..at])
}

/// The last part of a path.
pub fn name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |at| &path[at + 1..])
}

/// A path in a folder.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match (folder, name) {
        (b"", name) => name.to_vec(),
        (folder, b"") => folder.to_vec(),
        (folder, name) => [folder, b"/", name].concat(),
    }
}

/// Bytes as bytes: as a list of numbers they would take twice the room.
mod serde_bytes_vec {
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Entry {
        let kind = Kind::File { size: 0, hash: ContentHash::of(b""), at: 0 };
        Entry { kind, ..Entry::folder(path.as_bytes(), 0o644) }
    }

    #[test]
    fn folders_on_the_way_are_there_and_implied() {
        let index = Index::new([file("a/b/c"), Entry::folder(b"a", 0o700), file("a.b")]);
        let paths: Vec<&[u8]> = index.entries().iter().map(|entry| entry.path.as_slice()).collect();
        assert_eq!(paths, [b"a".as_slice(), b"a.b", b"a/b", b"a/b/c"]);
        assert!(index.get(b"a/b").unwrap().is_implied());
        assert!(!index.get(b"a").unwrap().is_implied());
        assert_eq!(index.below(b"a").len(), 2);
        assert_eq!(Index::from_bytes(&index.to_bytes()), Some(index));
    }

    #[test]
    fn a_folder_stays_opaque_whatever_is_said_of_it_next() {
        let opaque =
            Entry { kind: Kind::Folder { opaque: true, implied: true }, ..Entry::folder(b"a", 0o755) };
        let index = Index::new([Entry::folder(b"a", 0o700), opaque, file("a/b")]);
        let folder = index.get(b"a").unwrap();
        assert_eq!(folder.kind, Kind::Folder { opaque: true, implied: false });
        assert_eq!(folder.mode, 0o700);
    }
}
