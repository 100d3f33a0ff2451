//! The files of an image: its layers laid over each other, as an engine would show them.
//!
//! Follows the OCI image specification ("Representing Changes"). Knows headers and where contents are; writes nothing.
//! Paths are bytes below the root without a slash in front, and none leads out of it.

use std::collections::BTreeMap;
use std::io;

use tar::EntryType;

use super::saved::{Layer, Part, buffered};
use crate::embedded::layer::scan::clean;
use crate::embedded::layer::tarball::{Head, Tarball, number};

const MARK: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Beyond so many there is no image.
const MOST: usize = 20_000_000;

/// The kind of a file.
#[derive(Clone)]
pub(super) enum Kind {
    /// A file, with its content; `first` is the first path that has it, where there are several.
    File(Content),
    Folder,
    Link(Vec<u8>),
    Device {
        character: bool,
        major: u32,
        minor: u32,
    },
    Pipe,
}

/// The content of a file. Two names of one file have one content.
#[derive(Clone)]
pub(super) struct Content {
    /// Tells the files of an image apart.
    pub number: (usize, u64),
    /// The bytes.
    pub part: Part,
}

/// One file of an image.
#[derive(Clone)]
pub(super) struct Node {
    pub kind: Kind,
    /// Permission bits, `0o7777` at the most.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes, by name.
    pub attributes: BTreeMap<String, Vec<u8>>,
}

impl Node {
    fn folder() -> Self {
        Self { kind: Kind::Folder, mode: 0o755, uid: 0, gid: 0, mtime: 0, attributes: BTreeMap::new() }
    }
}

/// The files of an image by path: a folder comes before what is in it.
pub(super) type Tree = BTreeMap<Vec<u8>, Node>;

/// Lays layers over each other, the lowest first.
///
/// # Errors
/// What is wrong with a layer.
pub(super) fn tree(layers: &[Layer]) -> io::Result<Tree> {
    let mut tree = Tree::new();
    for (number, layer) in layers.iter().enumerate() {
        let (mut gone, mut made) = (Vec::new(), Vec::new());
        let mut archive = Tarball::new(buffered(layer.plain.size, layer.read()));
        while let Some(head) = archive.next()? {
            let path = clean(&head.path).map_err(io::Error::other)?;
            let (folder, name) = split(&path);
            if name == OPAQUE {
                gone.push((folder.to_vec(), true));
            } else if let Some(rest) = name.strip_prefix(MARK) {
                // `.wh..wh.…` are notes of old unions and name nothing.
                if !rest.is_empty() && !rest.starts_with(MARK) && rest != b"." && rest != b".." {
                    gone.push((join(folder, rest), false));
                }
            } else if !path.is_empty() {
                made.push((path, head));
            }
            if made.len() > MOST {
                return Err(io::Error::other("a layer has more files than any may"));
            }
        }
        // The digest is one of all bytes, those behind the end included.
        io::copy(&mut archive.into_inner(), &mut io::sink())?;
        // Marks are of what layers below have, wherever they stand in the archive.
        for (path, opaque) in gone {
            hide(&mut tree, &path);
            if !opaque {
                tree.remove(&path);
            }
        }
        for (path, head) in made {
            put(&mut tree, path, &head, (number, layer))?;
        }
    }
    Ok(tree)
}

fn put(tree: &mut Tree, path: Vec<u8>, head: &Head, (number, layer): (usize, &Layer)) -> io::Result<()> {
    let Some(node) = node(tree, &path, head, number, layer)? else { return Ok(()) };
    for parent in parents(&path) {
        if !matches!(tree.get(parent), Some(Node { kind: Kind::Folder, .. })) {
            tree.insert(parent.to_vec(), Node::folder());
        }
    }
    if !matches!(node.kind, Kind::Folder) {
        hide(tree, &path);
    }
    tree.insert(path, node);
    Ok(())
}

fn node(tree: &Tree, path: &[u8], head: &Head, number: usize, layer: &Layer) -> io::Result<Option<Node>> {
    let header = &head.header;
    let kind = match header.entry_type() {
        EntryType::Link => {
            let target = clean(&head.target).map_err(io::Error::other)?;
            // Another name of a file has its owner, mode and content.
            let node = tree.get(&target).filter(|node| !matches!(node.kind, Kind::Folder)).cloned();
            return node.map(Some).ok_or_else(|| {
                let shown = String::from_utf8_lossy(path).into_owned();
                io::Error::other(format!("`/{shown}` is a link to a file that is not there"))
            });
        }
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Link(head.target.clone()),
        kind @ (EntryType::Char | EntryType::Block) => Kind::Device {
            character: kind == EntryType::Char,
            major: header.device_major()?.unwrap_or_default(),
            minor: header.device_minor()?.unwrap_or_default(),
        },
        EntryType::Fifo => Kind::Pipe,
        EntryType::Regular | EntryType::Continuous if head.path.ends_with(b"/") => Kind::Folder,
        EntryType::Regular | EntryType::Continuous => {
            Kind::File(Content { number: (number, head.at), part: layer.plain.part(head.at, head.size)? })
        }
        // Notes for the whole archive, and kinds that no engine unpacks.
        _ => return Ok(None),
    };
    let told = |key: &str, own: io::Result<u64>| match number_of(head, key)? {
        Some(value) => Ok(value),
        None => own,
    };
    let attribute = |(key, value): (&String, &Vec<u8>)| {
        Some((key.strip_prefix("SCHILY.xattr.")?.to_owned(), value.clone()))
    };
    Ok(Some(Node {
        kind,
        mode: header.mode()? & 0o7777,
        uid: told("uid", header.uid())?,
        gid: told("gid", header.gid())?,
        mtime: seconds(head).unwrap_or(header.mtime()?),
        attributes: head.records.iter().filter_map(attribute).collect(),
    }))
}

fn number_of(head: &Head, key: &str) -> io::Result<Option<u64>> {
    number(&head.records, key)
}

/// Seconds of a time that a record tells, which may have a fraction.
fn seconds(head: &Head) -> Option<u64> {
    let text = std::str::from_utf8(head.records.get("mtime")?).ok()?;
    text.split('.').next()?.parse().ok()
}

/// Takes away all that is below a path.
fn hide(tree: &mut Tree, path: &[u8]) {
    if path.is_empty() {
        return tree.clear();
    }
    let (first, end) = ([path, b"/"].concat(), [path, b"0"].concat());
    let below: Vec<Vec<u8>> = tree.range(first..end).map(|(path, _)| path.clone()).collect();
    for path in below {
        tree.remove(&path);
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}
