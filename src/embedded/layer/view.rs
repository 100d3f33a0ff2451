//! Layers above each other, seen as one tree.
//!
//! Follows what an engine's union of layers shows: whiteouts, opaque folders, a file in the place of a
//! folder. Links lead on within the root only, as containerd's `fs.RootPath` has it. Opens no file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::index::{Entry, Index, Kind, join, parents};

/// More links than this on one way are a loop (the limit of containerd's `RootPath`).
const MOST_LINKS: usize = 255;

/// Where the contents of an index's files are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a layer, by its diff id.
    Layer(String),
    /// In the files that were sent with the build; `at` is a place in their list.
    Context,
}

/// A stack of indexes, the lowest first.
#[derive(Clone, Debug, Default)]
pub struct View {
    layers: Vec<(Origin, Arc<Index>)>,
}

/// An entry, and the place of its layer in the stack.
pub type Seen<'v> = (usize, Cow<'v, Entry>);

impl View {
    /// A view of these.
    pub fn new(layers: Vec<(Origin, Arc<Index>)>) -> Self {
        Self { layers }
    }

    /// Where contents of a layer are.
    pub fn origin(&self, layer: usize) -> Option<&Origin> {
        self.layers.get(layer).map(|(origin, _)| origin)
    }

    /// Puts a layer on top.
    pub fn push(&mut self, origin: Origin, index: Arc<Index>) {
        self.layers.push((origin, index));
    }

    /// The entry at a path; links on the way are not followed.
    pub fn get(&self, path: &[u8]) -> Option<Seen<'_>> {
        self.get_up_to(path, self.layers.len())
    }

    fn get_up_to(&self, path: &[u8], height: usize) -> Option<Seen<'_>> {
        let mut implied: Option<Seen<'_>> = None;
        for (at, (_, index)) in self.layers[..height].iter().enumerate().rev() {
            match index.get(path) {
                Some(entry) if entry.kind == Kind::Gone => return implied,
                Some(entry) if entry.is_implied() => {
                    implied.get_or_insert((at, Cow::Borrowed(entry)));
                }
                // A folder that is only implied above hides whatever is no folder.
                Some(entry) if implied.is_some() && !entry.is_folder() => return implied,
                Some(entry) => return Some((at, Cow::Borrowed(entry))),
                None => {}
            }
            for parent in parents(path) {
                match index.get(parent).map(|entry| &entry.kind) {
                    None | Some(Kind::Folder { opaque: false, .. }) => {}
                    Some(_) => return implied,
                }
            }
            // The root itself is opaque where a layer says so.
            if matches!(index.get(b"").map(|root| &root.kind), Some(Kind::Folder { opaque: true, .. }))
                && !path.is_empty()
            {
                return implied;
            }
        }
        if path.is_empty() && implied.is_none() {
            return Some((0, Cow::Owned(Entry::folder(b"", 0o755))));
        }
        implied
    }

    /// All below a folder, by path; links on the way are not followed.
    pub fn below(&self, folder: &[u8]) -> BTreeMap<Vec<u8>, (usize, Entry)> {
        let mut all: BTreeMap<Vec<u8>, (usize, Entry)> = BTreeMap::new();
        for (at, (_, index)) in self.layers.iter().enumerate() {
            for on_way in parents(folder).chain([folder, b""]) {
                let hides = |entry: &Entry| !matches!(entry.kind, Kind::Folder { opaque: false, .. });
                if index.get(on_way).is_some_and(hides) {
                    all.clear();
                }
            }
            for entry in index.below(folder) {
                put(&mut all, at, entry);
            }
        }
        all
    }

    /// The file behind a name: of a hard link the one it names. With the layer it is in and its own path.
    pub fn file<'v>(&'v self, layer: usize, entry: &'v Entry) -> Option<(usize, Cow<'v, Entry>)> {
        let (mut layer, mut entry) = (layer, Cow::Borrowed(entry));
        for _ in 0..MOST_LINKS {
            let Kind::Hard(target) = &entry.kind else { return Some((layer, entry)) };
            let target = target.clone();
            let (at, found) = self.get_up_to(&target, layer + 1)?;
            if found.is_folder() {
                return None;
            }
            (layer, entry) = (at, found);
        }
        None
    }

    /// The path that a path leads to, all links followed within the root; what is missing stays as written.
    ///
    /// # Errors
    /// When links go round in a circle. The error is a sentence.
    pub fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, String> {
        resolve(path, |path| self.get(path).map(|(_, entry)| entry.kind.clone()))
    }
}

/// Puts an entry of a higher layer over what is there.
fn put(all: &mut BTreeMap<Vec<u8>, (usize, Entry)>, at: usize, entry: &Entry) {
    let forget_below = |all: &mut BTreeMap<Vec<u8>, (usize, Entry)>| {
        let first = [entry.path.as_slice(), b"/"].concat();
        let end = [entry.path.as_slice(), b"0"].concat();
        let below: Vec<Vec<u8>> = all.range(first..end).map(|(path, _)| path.clone()).collect();
        for path in below {
            all.remove(&path);
        }
    };
    match entry.kind {
        Kind::Gone => {
            forget_below(all);
            all.remove(&entry.path);
        }
        Kind::Folder { opaque, implied } => {
            if opaque {
                forget_below(all);
            }
            let stays = implied && all.get(&entry.path).is_some_and(|(_, old)| old.is_folder());
            if !stays {
                all.insert(entry.path.clone(), (at, entry.clone()));
            }
        }
        _ => {
            forget_below(all);
            all.insert(entry.path.clone(), (at, entry.clone()));
        }
    }
}

/// Follows links within a root. `kind` says what stands at a path.
///
/// # Errors
/// When links go round in a circle. The error is a sentence.
pub fn resolve(path: &[u8], kind: impl Fn(&[u8]) -> Option<Kind>) -> Result<Vec<u8>, String> {
    let parts = |path: &[u8]| path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut rest, mut at, mut links) = (parts(path), Vec::new(), 0);
    while let Some(part) = rest.pop() {
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                at = super::index::parent(&at).to_vec();
                continue;
            }
            _ => {}
        }
        let next = join(&at, &part);
        match kind(&next) {
            Some(Kind::Link(target)) => {
                links += 1;
                if links > MOST_LINKS {
                    let shown = String::from_utf8_lossy(path);
                    return Err(format!("the links on the way to `/{shown}` go round in a circle"));
                }
                if target.starts_with(b"/") {
                    at.clear();
                }
                rest.extend(parts(&target));
            }
            _ => at = next,
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hash::ContentHash;

    /// `d:path` a folder, `f:path` a file, `w:path` a whiteout, `o:path` an opaque folder, `l:path>target`, `h:path>target`.
    fn index(words: &str) -> Arc<Index> {
        let entry = |word: &str| {
            let (kind, path) = word.split_once(':').unwrap();
            let (path, target) = path.split_once('>').unwrap_or((path, ""));
            let kind = match kind {
                "d" => Kind::FOLDER,
                "o" => Kind::Folder { opaque: true, implied: true },
                "w" => Kind::Gone,
                "l" => Kind::Link(target.into()),
                "h" => Kind::Hard(target.into()),
                _ => Kind::File { size: 0, hash: ContentHash::of(b""), at: 0 },
            };
            Entry { kind, ..Entry::folder(path.as_bytes(), 0o755) }
        };
        Arc::new(Index::new(words.split_whitespace().map(entry)))
    }

    fn view(layers: &[&str]) -> View {
        let layer = |(at, words): (usize, &&str)| (Origin::Layer(at.to_string()), index(words));
        View::new(layers.iter().enumerate().map(layer).collect())
    }

    fn paths(view: &View) -> String {
        let all = view.below(b"");
        for (path, (_, entry)) in &all {
            let (layer, seen) = view.get(path).unwrap();
            let shown = String::from_utf8_lossy(path);
            assert_eq!((seen.is_folder(), seen.mode), (entry.is_folder(), entry.mode), "{shown} of {layer}");
        }
        all.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_tree_is_what_the_highest_layer_says() {
        for (layers, wanted) in [
            (vec!["f:a f:d/b"], "a d d/b"),
            (vec!["f:a f:d/b", "w:a"], "d d/b"),
            (vec!["f:a f:d/b", "w:d"], "a"),
            (vec!["f:a f:d/b", "w:d f:d/c"], "a d d/c"),
            (vec!["f:d/b f:d/e/f", "o:d f:d/c"], "d d/c"),
            (vec!["f:d/b", "f:d"], "d"),
            (vec!["f:d/b", "f:d", "d:d"], "d"),
            (vec!["f:d", "f:d/b"], "d d/b"),
            (vec!["d:d f:d.x f:d/b", "w:d"], "d.x"),
            (vec!["f:d/b", "w:d", "f:d/c"], "d d/c"),
        ] {
            assert_eq!(paths(&view(&layers)), wanted, "{layers:?}");
        }
    }

    #[test]
    fn an_implied_folder_leaves_what_is_below_it_as_it_was() {
        let mut low = Entry::folder(b"tmp", 0o1777);
        low.uid = 5;
        let view = View::new(vec![
            (Origin::Layer("0".into()), Arc::new(Index::new([low]))),
            (Origin::Layer("1".into()), index("f:tmp/x")),
        ]);
        let (layer, entry) = view.get(b"tmp").unwrap();
        assert_eq!((layer, entry.mode, entry.uid), (0, 0o1777, 5));
        assert_eq!(view.below(b"").get(b"tmp".as_slice()).unwrap().1.mode, 0o1777);
    }

    #[test]
    fn links_lead_on_within_the_root_and_never_out() {
        let view = view(&["d:usr/lib l:lib>usr/lib l:up>../../etc l:abs>/usr l:a>b l:b>a d:etc"]);
        let at = |path: &str| view.resolve(path.as_bytes()).map(|path| String::from_utf8(path).unwrap());
        assert_eq!(at("lib/x").unwrap(), "usr/lib/x");
        assert_eq!(at("up/passwd").unwrap(), "etc/passwd");
        assert_eq!(at("/abs/../etc/./x").unwrap(), "etc/x");
        assert_eq!(at("../../..").unwrap(), "");
        assert!(at("a/x").is_err());
    }

    #[test]
    fn a_hard_link_is_the_file_it_names_in_its_own_layer_or_below() {
        let view = view(&["f:a", "h:b>a h:c>b", "f:a"]);
        let (layer, entry) = view.get(b"c").unwrap();
        let (at, file) = view.file(layer, &entry).unwrap();
        assert_eq!((at, file.path.as_slice()), (0, b"a".as_slice()));
        let looping = super::tests::view(&["h:x>x"]);
        let (layer, entry) = looping.get(b"x").unwrap();
        assert!(looping.file(layer, &entry).is_none());
    }
}
