//! Patch of one instruction: a tree over the tree of the layers below, and the layer it becomes.
//!
//! A layer's identity is what it holds, so the key of a step that copies is made of its changes:
//! whoever makes the same changes has that layer already, whatever is below.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use super::context::Context;
use crate::embedded::layer::index::{Entry, Kind, join, parent, parents};
use crate::embedded::layer::layers::{Form, Layers};
use crate::embedded::layer::view::{Origin, View, resolve};
use crate::embedded::layer::writer::LayerWriter;
use crate::embedded::room;
use crate::embedded::store::{NoteKind, Store};
use crate::embedded::trouble::{During, Result, refusal, refused};
use crate::model::hash::{ContentHash, FieldHasher};

/// Where the content of a file is.
#[derive(Clone, Debug)]
pub enum Content {
    /// In a layer, by its diff id and the place of its first byte.
    Layer(String, u64),
    /// In the context, by its place in the list.
    Context(u64),
    /// Here.
    Text(Arc<[u8]>),
    /// In a file of the store's drafts, from this byte on.
    Spot(PathBuf, u64),
}

/// A file is one and the same wherever this is the same: names of one file are hard links.
pub type Inode = (u64, usize, Vec<u8>);

#[derive(Clone, Debug)]
struct Node {
    entry: Entry,
    content: Option<Content>,
    inode: Option<Inode>,
}

/// Changes over a tree.
pub struct Patch<'v> {
    view: &'v View,
    nodes: BTreeMap<Vec<u8>, Node>,
    /// Nothing is known of what is below: `COPY --link`.
    bare: bool,
    /// Bytes of all names that were put in.
    weight: usize,
}

impl<'v> Patch<'v> {
    /// Changes of what a view shows.
    pub fn over(view: &'v View) -> Self {
        Self { view, nodes: BTreeMap::new(), bare: false, weight: 0 }
    }

    /// Changes that mean the same over every tree.
    pub fn bare(view: &'v View) -> Self {
        Self { bare: true, ..Self::over(view) }
    }

    /// The entry at a path now.
    pub fn get(&self, path: &[u8]) -> Option<Entry> {
        if let Some(node) = self.nodes.get(path) {
            return (node.entry.kind != Kind::Gone).then(|| node.entry.clone());
        }
        let hidden = |parent: &[u8]| self.nodes.get(parent).is_some_and(|node| !node.entry.is_folder());
        if parents(path).any(hidden) {
            return None;
        }
        self.view.get(path).map(|(_, entry)| entry.into_owned())
    }

    /// The path that a path leads to, all links followed within the root.
    pub fn resolve(&self, path: &[u8]) -> Result<Vec<u8>> {
        let kind = |path: &[u8]| self.get(path).map(|entry| entry.kind);
        let what = || format!("looking up `/{}`", String::from_utf8_lossy(path));
        resolve(path, kind).map_err(|why| refusal(what(), why))
    }

    /// All that is changed, by path.
    #[cfg(any(test, fuzzing))]
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.nodes.values().map(|node| &node.entry)
    }

    /// Bytes of all names that were put in.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Makes a folder and those above it that are missing.
    pub fn folders(&mut self, path: &[u8], owner: Option<(u32, u32)>) -> Result<()> {
        for folder in parents(path).chain([path]).filter(|folder| !folder.is_empty()) {
            match self.get(folder) {
                Some(entry) if entry.is_folder() => {}
                Some(_) => {
                    let shown = String::from_utf8_lossy(folder).into_owned();
                    return refused(format!("making the folder `/{shown}`"), "there is a file of that name");
                }
                None => {
                    let (uid, gid) = owner.unwrap_or_default();
                    self.put(Entry { uid, gid, ..Entry::folder(folder, 0o755) }, None, None);
                }
            }
        }
        Ok(())
    }

    /// Puts something at its path, in the place of what is there.
    pub fn put(&mut self, entry: Entry, content: Option<Content>, inode: Option<Inode>) {
        self.weight += entry.weight();
        if !entry.is_folder() {
            let below: Vec<Vec<u8>> = self.below(&entry.path);
            for path in below {
                self.nodes.remove(&path);
            }
        }
        self.nodes.insert(entry.path.clone(), Node { entry, content, inode });
    }

    /// Makes room at a path for what is no folder, or for a folder where there is none.
    pub fn replace(&mut self, path: &[u8], there: Option<&Entry>, by_folder: bool) {
        let Some(there) = there else { return };
        if there.is_folder() == by_folder {
            return;
        }
        for below in self.below(path) {
            self.nodes.remove(&below);
        }
    }

    /// A file that this patch makes or that is below it, to be given another name.
    pub fn named(&self, path: &[u8]) -> Option<(Entry, Option<Content>, Option<Inode>)> {
        if let Some(node) = self.nodes.get(path) {
            let file = !node.entry.is_folder() && node.entry.kind != Kind::Gone;
            return file.then(|| (node.entry.clone(), node.content.clone(), node.inode.clone()));
        }
        let (layer, entry) = self.view.get(path)?;
        let (at, file) = self.view.file(layer, &entry)?;
        let (Kind::File { at: place, .. }, Some(Origin::Layer(diff_id))) = (&file.kind, self.view.origin(at))
        else {
            return None;
        };
        let content = Content::Layer(diff_id.clone(), *place);
        Some((file.as_ref().clone(), Some(content), Some((u64::MAX, at, file.path.clone()))))
    }

    fn below(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let (first, end) = ([path, b"/"].concat(), [path, b"0"].concat());
        self.nodes.range(first..end).map(|(path, _)| path.clone()).collect()
    }

    /// The layer of these changes, made or found; none when nothing is changed.
    pub fn into_layer(mut self, making: &Making<'_>) -> Result<(Option<String>, bool)> {
        if self.nodes.is_empty() {
            return Ok((None, true));
        }
        self.add_parents();
        self.link_names();
        let key = self.key(making.time);
        let store = making.layers.store;
        if let Some(diff_id) = known(store, &key).filter(|_| !making.anew) {
            return Ok((Some(diff_id), true));
        }
        let bytes = self.nodes.values().map(|node| node.entry.bytes()).sum();
        room::ask(store, bytes, || "writing a layer".into())?;
        let mut layer = LayerWriter::new(store, making.time)?;
        for node in self.nodes.into_values() {
            let size = node.entry.bytes();
            let mut content = making.open(node.content.as_ref(), size)?;
            layer.add(node.entry, &mut content)?;
            if (making.stop)() {
                return Err(crate::engine::EngineError::Interrupted);
            }
        }
        let written = layer.keep(store)?;
        store.note(NoteKind::Steps, &key.to_string(), &written.diff_id)?;
        Ok((Some(written.diff_id), false))
    }

    /// Folders above what is changed are told again, as they are below: so whoever unpacks this layer alone
    /// gives them the right owner and mode.
    fn add_parents(&mut self) {
        let all: Vec<Vec<u8>> =
            self.nodes.keys().flat_map(|path| parents(path).map(<[u8]>::to_vec)).collect();
        for path in all {
            if self.nodes.contains_key(&path) {
                continue;
            }
            let below = if self.bare { None } else { self.view.get(&path) };
            let entry = match below {
                Some((_, entry)) if entry.is_folder() => {
                    Entry { path: path.clone(), kind: Kind::FOLDER, ..entry.into_owned() }
                }
                _ => Entry::folder(&path, 0o755),
            };
            self.nodes.insert(path, Node { entry, content: None, inode: None });
        }
    }

    /// Of the names of one file the first holds it and the others lead there.
    fn link_names(&mut self) {
        let mut first: BTreeMap<Inode, Vec<u8>> = BTreeMap::new();
        for (path, node) in &mut self.nodes {
            let Some(inode) = node.inode.take() else { continue };
            match first.get(&inode) {
                Some(first) => {
                    node.entry.kind = Kind::Hard(first.clone());
                    node.content = None;
                }
                None => drop(first.insert(inode, path.clone())),
            }
        }
    }

    fn key(&self, time: u64) -> ContentHash {
        let mut hasher = FieldHasher::new("imk embedded layer v1");
        hasher.number(time);
        for node in self.nodes.values() {
            describe(&node.entry, &mut hasher);
        }
        hasher.finish()
    }
}

/// The part of an entry that makes a layer that layer.
pub fn describe(entry: &Entry, hasher: &mut FieldHasher) {
    hasher.field(&entry.path).number(u64::from(entry.mode));
    hasher.number(u64::from(entry.uid)).number(u64::from(entry.gid));
    match &entry.kind {
        Kind::File { hash, size, .. } => hasher.field(b"file").field(hash.0).number(*size),
        Kind::Folder { opaque, .. } => hasher.field(b"folder").number(u64::from(*opaque)),
        Kind::Link(target) => hasher.field(b"link").field(target),
        Kind::Hard(target) => hasher.field(b"hard").field(target),
        Kind::Device { character, major, minor } => {
            let kind: &[u8] = if *character { b"char" } else { b"block" };
            hasher.field(kind).number(u64::from(*major)).number(u64::from(*minor))
        }
        Kind::Pipe => hasher.field(b"pipe"),
        Kind::Gone => hasher.field(b"gone"),
    };
    hasher.number(entry.xattrs.len() as u64);
    for (name, value) in &entry.xattrs {
        hasher.field(name).field(value);
    }
}

/// The layer that a step led to, if it is still there.
pub fn known(store: &Store, key: &ContentHash) -> Option<String> {
    let diff_id: String = store.noted(NoteKind::Steps, &key.to_string())?;
    let forms = || store.noted::<Vec<Form>>(NoteKind::Layers, &diff_id).unwrap_or_default();
    // One that came from elsewhere may lie here as it came.
    if !store.has(&diff_id) && !forms().iter().any(|form| store.has(&form.digest)) {
        return None;
    }
    store.used(NoteKind::Steps, &key.to_string());
    Some(diff_id)
}

/// The means of writing a layer.
pub struct Making<'a> {
    /// Where layers are.
    pub layers: &'a Layers<'a>,
    /// The files that were sent.
    pub context: &'a Context,
    /// Seconds since 1970 that files bear.
    pub time: u64,
    /// Make it again though it is known.
    pub anew: bool,
    /// Says whether to stop.
    pub stop: &'a dyn Fn() -> bool,
}

impl Making<'_> {
    /// The bytes of a file.
    pub fn open<'s>(&'s self, content: Option<&Content>, size: u64) -> Result<Box<dyn Read + 's>> {
        match content {
            None => Ok(Box::new(io::empty())),
            Some(Content::Layer(diff_id, at)) => Ok(self.layers.part(diff_id, *at, size)?),
            Some(Content::Context(at)) => self.context.open(*at),
            Some(Content::Text(text)) => Ok(Box::new(io::Cursor::new(Arc::clone(text)))),
            Some(Content::Spot(path, at)) => {
                let open = || -> io::Result<Box<dyn Read>> {
                    let mut file = fs_err::File::open(path)?;
                    file.seek(SeekFrom::Start(*at))?;
                    Ok(Box::new(file.take(size)))
                };
                open().during(|| "reading an unpacked archive".into())
            }
        }
    }
}

/// A path as instructions write it, below the root and without dots; links are not followed.
pub fn absolute(folder: &str, path: &str) -> Vec<u8> {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let mut at: Vec<u8> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => at = parent(&at).to_vec(),
            part => at = join(&at, part.as_bytes()),
        }
    }
    at
}
