//! Random trees with odd names, random edits of them, and their way to a disk.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

use super::random::Random;

// Files, folders and links never share a name, so that no copy meets another kind of thing.
const FILES: [&str; 16] = [
    "f",
    "g.txt",
    "a b",
    "!x",
    "#y",
    "[z]",
    "ü",
    ".h",
    "..x",
    "-dash",
    "q?m",
    "s*r",
    "back\\slash",
    "F",
    "f.txt",
    "fg",
];
/// Where the judge knows `ADD --unpack`, an archive is among the files.
const ARCHIVE: &str = "t.tar";
const FOLDERS: [&str; 8] = ["d", "e", "dir.d", "d d", ".git", "[c]", "node_modules", "é"];
const LINKS: [&str; 4] = ["l", "m", "l.txt", ".l"];
const FILE_MODES: [u32; 6] = [0o644, 0o755, 0o600, 0o640, 0o444, 0o4755];
const FOLDER_MODES: [u32; 3] = [0o755, 0o700, 0o775];

/// What stands at a path.
#[derive(Clone, PartialEq)]
pub enum Node {
    File { text: String, mode: u32 },
    Folder { mode: u32 },
    Link(String),
}

/// A context with its ignore file.
#[derive(Clone, Default)]
pub struct Tree {
    pub nodes: BTreeMap<String, Node>,
    pub ignore: Vec<String>,
    /// Makes every content unlike all others, those of other runs included.
    stamp: String,
    count: usize,
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, node) in &self.nodes {
            match node {
                Node::File { mode, .. } => writeln!(f, "  {path:?} {mode:o}")?,
                Node::Folder { mode } => writeln!(f, "  {path:?}/ {mode:o}")?,
                Node::Link(target) => writeln!(f, "  {path:?} -> {target:?}")?,
            }
        }
        writeln!(f, "  .dockerignore: {:?}", self.ignore)
    }
}

impl Tree {
    pub fn random(random: &mut Random, stamp: &str) -> Self {
        let mut tree = Self { stamp: stamp.to_owned(), ..Self::default() };
        tree.fill(random, "", 0);
        for _ in 0..random.below(5) {
            tree.add_link(random);
        }
        for _ in 0..[0, 0, 1, 1, 2, 3, 4, 6][random.below(8)] {
            let line = tree.ignore_line(random);
            tree.ignore.push(line);
        }
        tree
    }

    fn fill(&mut self, random: &mut Random, folder: &str, depth: usize) {
        for _ in 0..random.below(4) + usize::from(depth == 0) * 2 {
            self.add_file(random, folder);
        }
        for _ in 0..random.below(3) + usize::from(depth == 0) {
            let path = join(folder, FOLDERS[random.below(FOLDERS.len())]);
            if self.nodes.contains_key(&path) {
                continue;
            }
            self.nodes.insert(path.clone(), Node::Folder { mode: folder_mode(&path) });
            if depth < 2 && random.chance(80) {
                self.fill(random, &path, depth + 1);
            }
        }
    }

    fn text(&mut self, path: &str) -> String {
        self.count += 1;
        format!("{path}\n{} {}\n", self.stamp, self.count)
    }

    fn add_file(&mut self, random: &mut Random, folder: &str) {
        let path = join(folder, FILES[random.below(FILES.len())]);
        let text = self.text(&path);
        let mode = if random.chance(70) { 0o644 } else { FILE_MODES[random.below(FILE_MODES.len())] };
        self.nodes.insert(path, Node::File { text, mode });
    }

    /// An archive somewhere, whose content is a file's as well.
    pub fn add_archive(&mut self, random: &mut Random) {
        let path = join(&self.folder(random), ARCHIVE);
        let text = self.text(&path);
        self.nodes.insert(path, Node::File { text, mode: 0o644 });
    }

    fn add_link(&mut self, random: &mut Random) {
        let folder = self.folder(random);
        let path = join(&folder, LINKS[random.below(LINKS.len())]);
        let target = self.target(random, &folder);
        self.nodes.insert(path, Node::Link(target));
    }

    fn target(&self, random: &mut Random, folder: &str) -> String {
        let aim = self.any(random);
        let up = "../".repeat(if folder.is_empty() { 0 } else { folder.split('/').count() });
        match random.below(10) {
            0 => "nothing".into(),
            1 => "..".into(),
            2 => "../../..".into(),
            3 => ".".into(),
            4 => format!("/{aim}"),
            5 => format!("../../../../{aim}"),
            6 => LINKS[random.below(LINKS.len())].into(),
            _ => format!("{up}{aim}"),
        }
    }

    /// Any folder, the root among them.
    fn folder(&self, random: &mut Random) -> String {
        let folders = self.nodes.iter().filter(|(_, node)| matches!(node, Node::Folder { .. }));
        let all: Vec<&str> = folders.map(|(path, _)| path.as_str()).chain([""]).collect();
        random.pick(&all).to_owned()
    }

    /// Any path.
    pub fn any(&self, random: &mut Random) -> String {
        let all: Vec<&str> = self.nodes.keys().map(String::as_str).collect();
        if all.is_empty() { "f".into() } else { random.pick(&all).to_owned() }
    }

    fn ignore_line(&self, random: &mut Random) -> String {
        let path = self.any(random);
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let escaped: String =
            path.chars().flat_map(|c| ["\\".repeat(usize::from("[]*?\\!#".contains(c))), c.into()]).collect();
        let pattern = match random.below(20) {
            0 => "*".into(),
            1 => "**".into(),
            2 => format!("**/{name}"),
            3 => format!("*/{name}"),
            4 => format!("{path}/*"),
            5 => format!("{path}/**"),
            6 => format!("/{path}"),
            7 => format!("{path}/"),
            8 => format!("./x/../{path}"),
            9 => format!("../{path}"),
            10 => "*.txt".into(),
            11 => "[a-f]*".into(),
            12 => "[^a-f]*".into(),
            13 => "?".into(),
            14 => "**/*.txt".into(),
            15 => ["# a comment", "", "  f  ", ".", "/", "\\!x", "\\#y", "#y", "!", "[", "*/.h"]
                [random.below(11)]
            .into(),
            16 => "d**".into(),
            _ => escaped,
        };
        if random.chance(25) && !pattern.is_empty() && !pattern.starts_with(['#', '!']) {
            return format!("!{pattern}");
        }
        pattern
    }

    /// Changes one thing, and says which. A touched path is written anew with the same text.
    pub fn edit(&mut self, random: &mut Random) -> Edit {
        let path = self.any(random);
        let text = self.text(&path);
        match (random.below(12), self.nodes.get_mut(&path)) {
            (0, _) => return Edit { what: format!("touch {path:?}"), touched: Some(path) },
            (1 | 2, _) => {
                if !self.ignore.is_empty() && random.chance(40) {
                    let gone = self.ignore.remove(random.below(self.ignore.len()));
                    return Edit::of(format!("ignore line {gone:?} removed"));
                }
                let line = self.ignore_line(random);
                let at = random.below(self.ignore.len() + 1);
                self.ignore.insert(at, line.clone());
                return Edit::of(format!("ignore line {line:?} inserted at {at}"));
            }
            (3, _) => {
                let folder = self.folder(random);
                self.add_file(random, &folder);
                return Edit::of(format!("file added or changed in {folder:?}"));
            }
            (4, _) => {
                self.add_link(random);
                return Edit::of("link added or changed".into());
            }
            (5, _) => {
                let folder = join(&self.folder(random), FOLDERS[random.below(FOLDERS.len())]);
                self.nodes.entry(folder.clone()).or_insert(Node::Folder { mode: folder_mode(&folder) });
                return Edit::of(format!("folder {folder:?} added"));
            }
            (6, _) => {
                self.remove(&path);
                return Edit::of(format!("{path:?} removed"));
            }
            (7, _) => return Edit::of(self.rename(random, &path)),
            (8, Some(Node::File { mode, .. })) => *mode = FILE_MODES[random.below(FILE_MODES.len())],
            (_, Some(Node::File { text: old, .. })) => *old = text,
            (_, Some(Node::Link(_))) => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
                let target = self.target(random, &folder);
                self.nodes.insert(path.clone(), Node::Link(target));
            }
            _ => {}
        }
        Edit::of(format!("{path:?} changed"))
    }

    fn rename(&mut self, random: &mut Random, path: &str) -> String {
        let pool = match self.nodes.get(path) {
            Some(Node::File { .. }) => FILES.as_slice(),
            Some(Node::Folder { .. }) => FOLDERS.as_slice(),
            Some(Node::Link(_)) => LINKS.as_slice(),
            None => return "nothing".into(),
        };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let to = join(folder, pool[random.below(pool.len())]);
        if to != path {
            self.remove(&to);
            for (old, node) in self.nodes.clone() {
                if within(&old, path) {
                    self.nodes.remove(&old);
                    let new = format!("{to}{}", &old[path.len()..]);
                    let node = match node {
                        Node::Folder { .. } => Node::Folder { mode: folder_mode(&new) },
                        other => other,
                    };
                    self.nodes.insert(new, node);
                }
            }
        }
        format!("{path:?} renamed to {to:?}")
    }

    pub fn remove(&mut self, path: &str) {
        self.nodes.retain(|old, _| !within(old, path));
    }

    /// For a run that shares nothing with any other.
    pub fn restamped(&self, stamp: &str) -> Self {
        let mut tree = Self { stamp: stamp.to_owned(), ..self.clone() };
        for node in tree.nodes.values_mut() {
            if let Node::File { text, .. } = node {
                *text = text.replace(&self.stamp, stamp);
            }
        }
        tree
    }

    /// Makes the folder at `root` what this tree says, leaving alone what is so already.
    pub fn write(&self, root: &Path, old: &Self) {
        let kind = |node: &Node| std::mem::discriminant(node);
        for (path, node) in old.nodes.iter().rev() {
            if self.nodes.get(path).is_none_or(|new| kind(new) != kind(node)) {
                match node {
                    Node::Folder { .. } => fs::remove_dir(root.join(path)).unwrap(),
                    _ => fs::remove_file(root.join(path)).unwrap(),
                }
            }
        }
        for (path, node) in &self.nodes {
            let (before, at) = (old.nodes.get(path), root.join(path));
            if before == Some(node) {
                continue;
            }
            match node {
                Node::Folder { .. } if matches!(before, Some(Node::Folder { .. })) => {}
                Node::Folder { .. } => fs::create_dir(&at).unwrap(),
                Node::File { text, .. } => {
                    if !matches!(before, Some(Node::File { text: old, .. }) if old == text) {
                        fs::write(&at, bytes(path, text)).unwrap();
                    }
                }
                Node::Link(target) => {
                    if matches!(before, Some(Node::Link(_))) {
                        fs::remove_file(&at).unwrap();
                    }
                    fs_err::os::unix::fs::symlink(target, &at).unwrap();
                }
            }
            if let Node::File { mode, .. } | Node::Folder { mode } = node {
                fs::set_permissions(&at, std::fs::Permissions::from_mode(*mode)).unwrap();
            }
        }
        let ignore = root.join(".dockerignore");
        if self.ignore.is_empty() {
            let _ = fs::remove_file(ignore);
        } else {
            fs::write(ignore, self.ignore_text()).unwrap();
        }
    }

    pub fn ignore_text(&self) -> String {
        // A comment first makes the file's own content known when it reaches an image.
        format!("# {}\n{}\n", self.stamp, self.ignore.join("\n"))
    }

    /// Which path has this content.
    pub fn path_of(&self, content: &str) -> Option<&str> {
        if !self.ignore.is_empty() && content == self.ignore_text() {
            return Some(".dockerignore");
        }
        let found =
            self.nodes.iter().find(|(path, node)| {
                // An archive arrives as it is, or as what is in it.
                matches!(node, Node::File { text, .. } if text == content || bytes(path, text) == content.as_bytes())
            });
        found.map(|(path, _)| path.as_str())
    }
}

/// A file's content: its text, or an archive with that in it.
fn bytes(path: &str, text: &str) -> Vec<u8> {
    if !path.ends_with(".tar") {
        return text.as_bytes().to_vec();
    }
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let name = path.replace('/', "_") + ".content";
    archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    archive.into_inner().unwrap()
}

/// What an edit did.
pub struct Edit {
    pub what: String,
    pub touched: Option<String>,
}

impl Edit {
    fn of(what: String) -> Self {
        Self { what, touched: None }
    }
}

/// A path keeps its mode for ever: BuildKit's file sync forgets to tell its cache of a folder
/// that is there and only changed its mode (fsutil, `DiskWriter.HandleChange`), so that docker's
/// builds are no judge of that. `engine.rs` has the test that imk's builds are right.
fn folder_mode(path: &str) -> u32 {
    let sum: usize = path.bytes().map(usize::from).sum();
    FOLDER_MODES[(sum % 7).saturating_sub(4)]
}

pub fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
