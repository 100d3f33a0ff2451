//! The files on a disk as they would be if some of them were others, or gone.
//!
//! A path that is there is supposed to have another content; one that is not
//! is supposed to be a new file; a folder means all that is in it. Nothing on
//! the disk is touched. Knows no images.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use super::disk::DiskTree;
use super::resolve_selection;
use super::select::{Facts, FolderListing, Folders, ListError, join};
use super::tree::{ReadError, Selected, Selection, SourceTree};
use crate::model::file::{FileKind, UsedFiles};
use crate::model::hash::{ContentHash, FieldHasher};
use crate::syntax::glob::is_within;

/// A supposition about the files. Paths are below the repository's root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supposition {
    /// With another content, or new.
    pub changed: BTreeSet<String>,
    /// Gone, with all that is in them.
    pub gone: BTreeSet<String>,
}

impl Supposition {
    fn changes(&self, path: &str) -> bool {
        self.changed.iter().any(|changed| is_within(path, changed))
    }

    fn removes(&self, path: &str) -> bool {
        self.gone.iter().any(|gone| is_within(path, gone))
    }

    /// Names below a folder that would be there, folders on the way included.
    fn names_in(&self, folder: &str) -> impl Iterator<Item = (&str, FileKind)> {
        let inside = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.changed.iter().filter_map(move |path| {
            let rest = path.strip_prefix(&inside)?;
            Some(match rest.split_once('/') {
                Some((name, _)) => (name, FileKind::Folder),
                None => (rest, FileKind::File),
            })
        })
    }
}

/// A disk under a supposition.
pub struct Supposed {
    disk: Arc<DiskTree>,
    what: Supposition,
}

impl Supposed {
    /// The files of `disk`, but for what is supposed.
    pub fn new(disk: Arc<DiskTree>, what: Supposition) -> Self {
        Self { disk, what }
    }
}

impl SourceTree for Supposed {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        if self.what.removes(path) { Ok(None) } else { self.disk.read(path) }
    }

    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        Ok(!self.what.removes(path)
            && (self.what.names_in(path).next().is_some() || self.disk.is_folder(path)?))
    }

    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        let one = |selection| {
            self.disk.with_scan(|scan| {
                resolve_selection::resolve(&Supposing { disk: scan, what: &self.what }, selection)
            })
        };
        selections.iter().map(one).collect()
    }

    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        self.disk.with_scan(|scan| {
            let supposing = Supposing { disk: scan, what: &self.what };
            resolve_selection::list(&supposing, selection)
        })
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        self.disk.open(path)
    }
}

/// One look at the disk under a supposition.
struct Supposing<'a, D> {
    disk: &'a D,
    what: &'a Supposition,
}

/// A folder of it.
struct Listed<F> {
    path: String,
    /// The folder on the disk, if there is one.
    real: Option<F>,
    names: Vec<Name>,
}

struct Name {
    name: Vec<u8>,
    kind: FileKind,
    /// Its place in the folder on the disk; `None` for one that is only supposed.
    real: Option<usize>,
}

impl<D: Folders> Supposing<'_, D> {
    fn listed(
        &self,
        path: &str,
        real: Result<D::Folder, ListError>,
    ) -> Result<Arc<Listed<D::Folder>>, ListError> {
        let mut names: Vec<Name> = Vec::new();
        let real = match real {
            Ok(real) => Some(real),
            Err(_) if self.what.names_in(path).next().is_some() => None,
            Err(trouble) => return Err(trouble),
        };
        for at in 0..real.as_ref().map_or(0, FolderListing::count) {
            let Some((name, kind)) = real.as_ref().map(|real| real.name(at)) else { continue };
            if !self.what.removes(&join(path, &String::from_utf8_lossy(name))) {
                names.push(Name { name: name.to_owned(), kind, real: Some(at) });
            }
        }
        for (name, kind) in self.what.names_in(path) {
            if !names.iter().any(|known| known.name == name.as_bytes()) {
                names.push(Name { name: name.as_bytes().to_owned(), kind, real: None });
            }
        }
        names.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Arc::new(Listed { path: path.to_owned(), real, names }))
    }
}

impl<F: FolderListing> FolderListing for Listed<F> {
    fn count(&self) -> usize {
        self.names.len()
    }
    fn name(&self, index: usize) -> (&[u8], FileKind) {
        (&self.names[index].name, self.names[index].kind)
    }
    fn mode_and_mtime(&self) -> (u32, i64) {
        self.real.as_ref().map_or((0o755, 0), F::mode_and_mtime)
    }
}

impl<D: Folders> Folders for Supposing<'_, D> {
    type Folder = Arc<Listed<D::Folder>>;

    fn context(&self, path: &str) -> Result<Self::Folder, ListError> {
        self.listed(path, self.disk.context(path))
    }
    fn folder(&self, path: &str) -> Result<Self::Folder, ListError> {
        self.listed(path, self.disk.folder(path))
    }
    fn facts(&self, folder: &Self::Folder, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        let names = || indexes.iter().map(|index| &folder.names[*index as usize]);
        let wanted: Vec<u32> = names().filter_map(|name| u32::try_from(name.real?).ok()).collect();
        let found = match &folder.real {
            Some(real) => self.disk.facts(real, &wanted)?,
            None => Vec::new(),
        };
        let mut found = found.into_iter();
        let facts = names().map(|name| {
            let path = join(&folder.path, &String::from_utf8_lossy(&name.name));
            let real = name.real.and_then(|_| found.next());
            let mut facts = real.unwrap_or_else(|| Facts {
                mode: 0o644,
                size_bytes: 0,
                mtime_ns: 0,
                hash: ContentHash::default(),
                target: "".into(),
            });
            if self.what.changes(&path) {
                facts.hash = FieldHasher::new("imk supposed content v1").field(facts.hash.0).finish();
            }
            facts
        });
        Ok(facts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryTree;
    use crate::syntax::reads::Reads;

    /// The used files of the whole tree under a supposition; `*` marks those of another content.
    #[track_caller]
    fn check(changed: &[&str], gone: &[&str], expected: &str) {
        let tree = MemoryTree::new("//- a/one\n1\n//- a/two\n2\n//- b\n3\n");
        let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let what = Supposition { changed: set(changed), gone: set(gone) };
        let selection = Selection {
            root: String::new(),
            ignore: None,
            reads: Reads::whole(),
            overlays: Vec::new(),
            named: Default::default(),
        };
        let files = |what: &Supposition| {
            let supposing = Supposing { disk: &tree, what };
            let picked =
                crate::source::select::list_used(&supposing, &selection).unwrap_or_else(|_| panic!("lists"));
            crate::source::select::hash_listed(&supposing, picked).unwrap_or_else(|_| panic!("hashes")).files
        };
        let before = files(&Supposition::default());
        let told: Vec<String> = files(&what)
            .iter()
            .filter(|file| file.kind == FileKind::File)
            .map(|file| {
                let same = before.contains(file);
                format!("{}{}", file.path, if same { "" } else { "*" })
            })
            .collect();
        assert_eq!(told.join(" "), expected);
    }

    #[test]
    fn files_change_appear_and_go() {
        check(&[], &[], "a/one a/two b");
        check(&["a/one"], &[], "a/one* a/two b");
        check(&["a"], &[], "a/one* a/two* b");
        check(&["a/new", "c/d/e"], &["a/two"], "a/new* a/one b c/d/e*");
        check(&[], &["a"], "b");
        // A name that only begins alike is another name.
        check(&["a/on"], &["a/tw"], "a/on* a/one a/two b");
    }
}
