//! An image as what a container would see: read from its layers, the same way for both builders.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

/// One file system object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: String,
    pub mode: u32,
    pub owner: (u64, u64),
    pub content: String,
    pub capability: Option<Vec<u8>>,
}

/// Paths and what they name; names of one file name one node.
#[derive(Default)]
pub struct Tree {
    nodes: Vec<Node>,
    paths: BTreeMap<Vec<u8>, usize>,
}

/// The settings that users of an image depend on.
const SETTINGS: [&str; 12] = [
    "Env",
    "Cmd",
    "Entrypoint",
    "WorkingDir",
    "User",
    "ExposedPorts",
    "Volumes",
    "Labels",
    "Healthcheck",
    "StopSignal",
    "Shell",
    "OnBuild",
];

/// Of a configuration what counts, with nothing empty in it.
pub fn settings(config: &Value) -> Map<String, Value> {
    let mut kept = Map::new();
    for name in SETTINGS {
        let mut value = config[name].clone();
        if let Value::Object(map) = &mut value {
            map.retain(|key, _| key != "imk.key");
            let mut pairs: Vec<_> = std::mem::take(map).into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            map.extend(pairs);
        }
        let empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !empty {
            kept.insert(name.to_owned(), value);
        }
    }
    kept
}

impl Tree {
    /// Puts a layer over what is there.
    pub fn apply(&mut self, layer: impl Read) {
        let mut archive = tar::Archive::new(layer);
        let mut own: Vec<Vec<u8>> = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = clean(&entry.path_bytes());
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap().to_vec();
            let folder = path[..path.len() - name.len()].strip_suffix(b"/").unwrap_or(b"").to_vec();
            if name == b".wh..wh..opq" {
                self.forget(&folder, Some(&own));
                continue;
            }
            if let Some(gone) = name.strip_prefix(b".wh.") {
                let path = [folder.as_slice(), if folder.is_empty() { b"" } else { b"/" }, gone].concat();
                self.forget(&path, Some(&own));
                self.paths.remove(&path);
                continue;
            }
            if path.is_empty() {
                continue;
            }
            self.parents(&path);
            own.push(path.clone());
            self.put(&path, &mut entry);
        }
    }

    fn put(&mut self, path: &[u8], entry: &mut tar::Entry<'_, impl Read>) {
        let capability = entry.pax_extensions().ok().flatten().and_then(|records| {
            let mut records = records.flatten();
            let found = records.find(|record| record.key() == Ok("SCHILY.xattr.security.capability"))?;
            Some(found.value_bytes().to_vec())
        });
        let header = entry.header();
        let kind = header.entry_type();
        let mut node = Node {
            kind: format!("{kind:?}"),
            mode: header.mode().unwrap() & 0o7777,
            owner: (header.uid().unwrap_or_default(), header.gid().unwrap_or_default()),
            content: String::new(),
            capability,
        };
        let target = entry.link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
        match kind {
            tar::EntryType::Link => {
                let at = self.paths[&clean(&target)];
                self.paths.insert(path.to_vec(), at);
                return;
            }
            tar::EntryType::Symlink => {
                node.mode = 0;
                node.content = String::from_utf8_lossy(&target).into_owned();
            }
            tar::EntryType::Regular => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                node.content = format!("{} {}", bytes.len(), blake3::hash(&bytes));
            }
            tar::EntryType::Char | tar::EntryType::Block => {
                let header = entry.header();
                let (major, minor) = (header.device_major().unwrap(), header.device_minor().unwrap());
                node.content = format!("{major:?} {minor:?}");
            }
            _ => {}
        }
        if kind != tar::EntryType::Directory {
            self.forget(path, None);
        }
        self.paths.insert(path.to_vec(), self.nodes.len());
        self.nodes.push(node);
    }

    /// What is below a path goes, but for what this layer has put there.
    fn forget(&mut self, path: &[u8], but: Option<&[Vec<u8>]>) {
        let below =
            |other: &[u8]| path.is_empty() || other.starts_with(path) && other.get(path.len()) == Some(&b'/');
        let kept = |other: &Vec<u8>| but.is_some_and(|own| own.contains(other));
        self.paths.retain(|other, _| !below(other) || kept(other));
    }

    fn parents(&mut self, path: &[u8]) {
        let ends: Vec<usize> =
            path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect();
        for end in ends {
            let parent = path[..end].to_vec();
            let is_folder = self.paths.get(&parent).is_some_and(|at| self.nodes[*at].kind == "Directory");
            if !is_folder {
                let (kind, owner) = ("Directory".to_owned(), (0, 0));
                self.paths.insert(parent, self.nodes.len());
                self.nodes.push(Node { kind, mode: 0o755, owner, content: String::new(), capability: None });
            }
        }
    }

    /// One line for each path; of hard links the first path stands for all.
    pub fn lines(&self) -> Vec<String> {
        let mut first: BTreeMap<usize, String> = BTreeMap::new();
        let mut lines = Vec::new();
        for (path, at) in &self.paths {
            let shown = path.escape_ascii().to_string();
            let node = &self.nodes[*at];
            let group = first.entry(*at).or_insert_with(|| shown.clone());
            let same = if *group == shown { String::new() } else { format!(" = {group}") };
            let Node { kind, mode, owner: (uid, gid), content, capability } = node;
            let capability = capability.as_ref().map(|it| format!(" {it:?}")).unwrap_or_default();
            lines.push(format!("{shown} {kind} {mode:o} {uid}:{gid} {content}{capability}{same}"));
        }
        lines
    }
}

fn clean(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.collect::<Vec<_>>().join(&b'/')
}

/// An image of imk's own store, by its id.
pub fn of_store(store: &Path, id: &str) -> (Vec<String>, Map<String, Value>) {
    let blob = |digest: &str| store.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let config: Value = serde_json::from_slice(&fs_err::read(blob(id)).unwrap()).unwrap();
    let mut tree = Tree::default();
    for layer in config["rootfs"]["diff_ids"].as_array().unwrap() {
        tree.apply(fs_err::File::open(blob(layer.as_str().unwrap())).unwrap());
    }
    (tree.lines(), settings(&config["config"]))
}

/// An image as `docker save` writes it.
pub fn of_archive(archive: &Path) -> (Vec<String>, Map<String, Value>) {
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(fs_err::File::open(archive).unwrap()).unpack(folder.path()).unwrap();
    let read = |name: &str| fs_err::read(folder.path().join(name)).unwrap();
    let manifest: Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    let config: Value = serde_json::from_slice(&read(manifest[0]["Config"].as_str().unwrap())).unwrap();
    let mut tree = Tree::default();
    for layer in manifest[0]["Layers"].as_array().unwrap() {
        tree.apply(fs_err::File::open(folder.path().join(layer.as_str().unwrap())).unwrap());
    }
    (tree.lines(), settings(&config["config"]))
}
