//! A repository in memory, written as one text: for tests of every room above.
//!
//! ```text
//! //- app/Dockerfile
//! FROM scratch
//! //- app/run.sh mode=755
//! //- app/latest link=run.sh
//! //- app/empty/
//! ```
//!
//! Its clock stands until the test winds it; nothing here depends on time but
//! the time stamps that travel with a file.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use super::resolve_selection;
use super::select::{Facts, FolderListing, Folders, ListError, by_components, join};
use super::tree::{ReadError, Selected, Selection, SourceTree};
use crate::model::file::{FileKind, UsedFiles};
use crate::model::hash::ContentHash;

/// A repository in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    nodes: BTreeMap<Key, Node>,
    now: i64,
}

#[derive(Clone, Debug)]
struct Node {
    kind: FileKind,
    mode: u32,
    mtime_ns: i64,
    /// Content, or a link's target.
    bytes: Vec<u8>,
}

/// A path in the order of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(String);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        by_components(&self.0, &other.0)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl MemoryTree {
    /// Reads a fixture. A heading that it cannot read is a mistake in the test, and panics.
    pub fn new(fixture: &str) -> Self {
        let mut tree = Self { nodes: BTreeMap::new(), now: 1 };
        let mut heading = None;
        let mut text = String::new();
        for line in fixture.split_inclusive('\n') {
            match line.strip_prefix("//- ") {
                Some(next) => {
                    tree.add(heading.replace(next.trim_end()), &text);
                    text.clear();
                }
                None => text.push_str(line),
            }
        }
        tree.add(heading, &text);
        tree
    }

    fn add(&mut self, heading: Option<&str>, text: &str) {
        let Some(heading) = heading else { return };
        let mut words = heading.split_whitespace();
        let path = words.next().unwrap_or_default();
        if let Some(folder) = path.strip_suffix('/') {
            self.folder(folder);
        } else {
            self.write(path, text);
        }
        for word in words {
            match word.split_once('=') {
                Some(("mode", bits)) => match u32::from_str_radix(bits, 8) {
                    Ok(mode) => self.chmod(path.trim_end_matches('/'), mode),
                    Err(_) => panic!("`{word}` of `{heading}` is not a mode"),
                },
                Some(("link", target)) => self.link(path, target),
                Some(("kind", "special")) => self.special(path),
                _ => panic!("`{word}` of `{heading}` is neither mode=, link= nor kind=special"),
            }
        }
    }

    /// Makes a folder, and those it lies in.
    pub fn folder(&mut self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for folder in ends.map(|end| &path[..end]) {
            let node = Node { kind: FileKind::Folder, mode: 0o755, mtime_ns: self.now, bytes: Vec::new() };
            self.nodes.entry(Key(folder.to_owned())).or_insert(node);
        }
    }

    /// Writes a file. One that exists keeps its mode.
    pub fn write(&mut self, path: &str, text: impl AsRef<[u8]>) {
        let mode = self.nodes.get(&Key(path.to_owned())).filter(|node| node.kind == FileKind::File);
        let mode = mode.map_or(0o644, |node| node.mode);
        self.put(path, FileKind::File, mode, text.as_ref());
    }

    /// Makes a link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.put(path, FileKind::Link, 0, target.as_bytes());
    }

    /// Makes a pipe.
    pub fn special(&mut self, path: &str) {
        self.put(path, FileKind::Special, 0o010_644, b"");
    }

    /// Removes a file, or a folder with all that is in it.
    pub fn remove(&mut self, path: &str) {
        self.nodes.retain(|key, _| !crate::syntax::glob::is_within(&key.0, path));
    }

    /// Moves a file or folder.
    pub fn rename(&mut self, from: &str, to: &str) {
        let moved: Vec<_> = self.nodes.iter().map(|(key, node)| (key.0.clone(), node.clone())).collect();
        self.remove(from);
        for (path, node) in moved {
            if let Some(tail) =
                path.strip_prefix(from).filter(|tail| tail.is_empty() || tail.starts_with('/'))
            {
                self.nodes.insert(Key(format!("{to}{tail}")), node);
            }
        }
    }

    /// Sets permission bits. Nothing stands there: a mistake in the test.
    pub fn chmod(&mut self, path: &str, mode: u32) {
        match self.nodes.get_mut(&Key(path.to_owned())) {
            Some(node) => node.mode = mode,
            None => panic!("there is no `{path}` to change the mode of"),
        }
    }

    /// Gives a file a new time stamp and nothing else.
    pub fn touch(&mut self, path: &str) {
        self.now += 1;
        if let Some(node) = self.nodes.get_mut(&Key(path.to_owned())) {
            node.mtime_ns = self.now;
        }
    }

    fn put(&mut self, path: &str, kind: FileKind, mode: u32, bytes: &[u8]) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent);
        }
        self.now += 1;
        self.nodes
            .insert(Key(path.to_owned()), Node { kind, mode, mtime_ns: self.now, bytes: bytes.to_vec() });
    }

    /// The node at a path once links are followed.
    fn follow(&self, path: &str) -> Option<(String, &Node)> {
        let mut path = path.to_owned();
        for _ in 0..40 {
            let node = self.nodes.get(&Key(path.clone()))?;
            if node.kind != FileKind::Link {
                return Some((path, node));
            }
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            path = join(parent, &String::from_utf8_lossy(&node.bytes));
        }
        None
    }
}

impl SourceTree for MemoryTree {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        match self.follow(path) {
            None => Ok(None),
            Some((_, node)) if node.kind == FileKind::File => Ok(Some(node.bytes.clone())),
            Some(_) => Err(ReadError { path: path.to_owned(), why: "it is not a file".into() }),
        }
    }

    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        Ok(path.is_empty() || self.follow(path).is_some_and(|(_, node)| node.kind == FileKind::Folder))
    }

    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        selections
            .iter()
            .map(|selection| resolve_selection::resolve(self, selection).map_err(error))
            .collect()
    }

    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        resolve_selection::list(self, selection).map_err(error)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        match self.read(path)? {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes))),
            None => Err(ReadError { path: path.to_owned(), why: "there is no such file".into() }),
        }
    }
}

fn error(trouble: ListError) -> ReadError {
    match trouble {
        ListError::Read(error) => error,
        ListError::Moved(path) => ReadError { path, why: "there is no such file or folder".into() },
    }
}

/// One folder's names and the stamps of the folder itself.
pub struct Listed {
    path: String,
    mode: u32,
    mtime_ns: i64,
    names: Vec<(String, FileKind)>,
}

impl FolderListing for Listed {
    fn count(&self) -> usize {
        self.names.len()
    }
    fn name(&self, index: usize) -> (&[u8], FileKind) {
        let (name, kind) = &self.names[index];
        (name.as_bytes(), *kind)
    }
    fn mode_and_mtime(&self) -> (u32, i64) {
        (self.mode, self.mtime_ns)
    }
}

impl Folders for MemoryTree {
    type Folder = Arc<Listed>;

    fn context(&self, path: &str) -> Result<Arc<Listed>, ListError> {
        let path = match path {
            "" => String::new(),
            path => self.follow(path).ok_or_else(|| ListError::read(path, "there is no such folder"))?.0,
        };
        self.folder(&path)
    }

    fn folder(&self, path: &str) -> Result<Arc<Listed>, ListError> {
        let (mode, mtime_ns) = match self.nodes.get(&Key(path.to_owned())) {
            Some(node) if node.kind == FileKind::Folder => (node.mode, node.mtime_ns),
            Some(_) => return Err(ListError::read(path, "it is not a folder")),
            None if path.is_empty() => (0o755, 0),
            None => return Err(ListError::Moved(path.to_owned())),
        };
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut names: Vec<(String, FileKind)> = self
            .nodes
            .iter()
            .filter_map(|(key, node)| Some((key.0.strip_prefix(&below)?, node.kind)))
            .filter(|(name, _)| !name.is_empty() && !name.contains('/'))
            .filter(|(name, _)| !(path.is_empty() && *name == ".imk"))
            .map(|(name, kind)| (name.to_owned(), kind))
            .collect();
        names.sort();
        Ok(Arc::new(Listed { path: path.to_owned(), mode, mtime_ns, names }))
    }

    fn facts(&self, folder: &Arc<Listed>, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        let fact = |index: &u32| {
            let path = join(&folder.path, &folder.names[*index as usize].0);
            let node = self.nodes.get(&Key(path.clone())).ok_or(ListError::Moved(path))?;
            if node.kind == FileKind::Special {
                return Ok(Facts::of_special(node.mode, 0, node.mtime_ns));
            }
            let is_link = node.kind == FileKind::Link;
            Ok(Facts {
                mode: node.mode,
                size_bytes: if is_link { 0 } else { node.bytes.len() as u64 },
                mtime_ns: node.mtime_ns,
                hash: ContentHash::of(&node.bytes),
                target: if is_link { String::from_utf8_lossy(&node.bytes).into() } else { "".into() },
            })
        };
        indexes.iter().map(fact).collect()
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
