//! The files of a commit as a checkout of it would have them, here.
//!
//! Where git says that a file on the disk is the commit's, the file on the disk is taken: its permission bits, its
//! line ends, all that git does not look at. What git ignores stays where it is when another commit is checked
//! out, and so do folders in which there is nothing: they are as they lie there. All else comes from git's objects, with
//! the modes that the umask leaves. So where git says that nothing is modified, this tree and the disk's are the same, and
//! a result of one is a result of the other. Knows no engine; comparisons of two commits do without it.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::attributes::AllAttributes;
use super::foreign::LONGEST_POINTER;
use super::smudge::{is_plain, smudged};
use super::store::{Entry, Listing};
use super::tree::{GitTree, Node, unreadable};
use super::unmodified::Standing;
use crate::model::file::{FileKind, UsedFiles};
use crate::model::hash::ContentHash;
use crate::model::name::join;
use crate::source::disk::DiskTree;
use crate::source::folders::{Facts, FolderListing, Folders, ListError, find};
use crate::source::scan::{self, Scan};
use crate::source::tree::{ReadError, Seekable, Selected, Selection, SourceTree};
use crate::source::{outside, resolve_selection};
use crate::state::folder::StateFolder;

/// A commit, as a checkout of it would be here.
pub struct CheckedOut {
    commit: GitTree,
    disk: DiskTree,
    standing: Standing,
    attributes: Mutex<AllAttributes>,
    umask: u32,
    /// Whether a checkout makes links, or files with their targets.
    has_links: bool,
}

/// A folder of both sides.
struct Folder {
    git: Option<Arc<Listing>>,
    disk: Option<Arc<scan::Folder>>,
    path: String,
    names: Vec<Name>,
    mode_and_mtime: (u32, i64),
}

/// A name in it.
struct Name {
    name: Box<[u8]>,
    kind: FileKind,
    from: From,
}

/// Where a name is from: its number there.
#[derive(Clone, Copy)]
enum From {
    Git(usize),
    Disk(usize),
}

impl CheckedOut {
    /// The files of a commit, in the work tree at `root`, whose state is `state`.
    ///
    /// # Errors
    /// When the disk or git's index cannot be read.
    pub fn new(commit: GitTree, root: &Path, state: &StateFolder) -> Result<Self, ReadError> {
        let disk = DiskTree::open(root, state)?;
        let standing = commit.store.standing()?;
        let has_links = commit.store.has_links();
        let attributes = Mutex::default();
        Ok(Self { commit: commit.strict(), disk, standing, attributes, umask: umask(), has_links })
    }

    /// The commit.
    pub fn commit(&self) -> &GitTree {
        &self.commit
    }

    /// Whether the disk's file at a path is the one that an entry of the commit is checked out as.
    fn is_unmodified(&self, path: &str, entry: &Entry) -> bool {
        let path = join(&self.commit.store.below, path);
        let kind = match entry.kind {
            FileKind::Link => 0o120_000,
            _ => 0o100_000 | entry.mode,
        };
        self.standing.unmodified.get(path.as_bytes()) == Some(&(entry.id, kind))
    }

    /// Whether a checkout would leave a file alone that the commit does not have: no commit holds it.
    fn stays(&self, path: &str) -> bool {
        if path.split('/').any(|part| part == ".git") {
            return true;
        }
        let inside = join(&self.commit.store.below, path);
        !self.standing.tracked.contains(inside.as_bytes()) && self.commit.store.ignores(path)
    }

    /// As [`Self::stays`], for a folder that git does not ignore as a whole: when something in it stays, or
    /// when nothing at all is in it.
    fn folder_stays(&self, scan: &Scan<'_>, path: &str) -> bool {
        if self.stays(path) {
            return true;
        }
        let Ok(folder) = scan.folder(path) else { return false };
        let mut is_empty = true;
        for index in 0..folder.count() {
            let (name, kind) = folder.name(index);
            let path = join(path, &String::from_utf8_lossy(name));
            let stays = match kind {
                FileKind::Folder => self.folder_stays(scan, &path),
                _ => self.stays(&path),
            };
            if stays {
                return true;
            }
            is_empty = false;
        }
        is_empty
    }

    /// The file of the commit at a path, when the disk's is not it; links are not followed.
    fn leaf(&self, path: &str) -> Result<Option<Entry>, ReadError> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(Node::Folder(above)) = self.commit.walk(above)? else { return Ok(None) };
        Ok(above.find(name.as_bytes()).filter(|entry| entry.kind != FileKind::Folder).cloned())
    }

    /// Whether the disk has what a checkout has at a path.
    fn is_on_disk(&self, path: &str) -> Result<bool, ReadError> {
        Ok(match self.leaf(path)? {
            Some(entry) => self.is_unmodified(path, &entry),
            None => self.commit.walk(path)?.is_none() && self.stays(path),
        })
    }

    /// The content of a blob as it would lie at a path.
    fn content(&self, path: &str, entry: &Entry) -> Result<Vec<u8>, ReadError> {
        let store = &self.commit.store;
        let content = store.blob(entry.id).map_err(|error| unreadable(path, &error))?;
        let whole = join(&store.below, path);
        let repository = store.repository.lock();
        let mut all = self.attributes.lock();
        let (attributes, inside) =
            all.at(&repository, self.commit.root, &whole).map_err(|error| unreadable(path, &error))?;
        smudged(&repository, attributes, &inside, entry.id, content)
            .map_err(|error| ReadError { path: path.to_owned(), ..error })
    }

    /// Whether a checkout writes every blob at a path as it is.
    fn is_plain(&self, path: &str) -> bool {
        let store = &self.commit.store;
        let repository = store.repository.lock();
        let mut all = self.attributes.lock();
        let found = all.at(&repository, self.commit.root, &join(&store.below, path));
        found.is_ok_and(|(attributes, inside)| is_plain(&repository, attributes, &inside))
    }

    /// See [`SourceTree::beyond_git`]; git's own folder is beyond it as well.
    fn not_committed(&self, selection: &Selection) -> Result<Vec<String>, ReadError> {
        let selected = self.select(std::slice::from_ref(selection)).remove(0)?;
        let place = |path: &str| selection.place_of(path);
        let asked = selected.missing.iter().filter_map(|index| selection.reads.sources.get(*index));
        let mut beyond: Vec<String> = asked
            .filter_map(|source| place(&source.pattern))
            .filter(|path| self.commit.store.ignores(path))
            .collect();
        let files = self.used_files(selection)?.files;
        for path in
            files.iter().filter(|file| file.kind != FileKind::Folder).filter_map(|file| place(&file.path))
        {
            // The file that stands for a submodule's repository is as good as its commit.
            if path.rsplit('/').next() != Some(".git") && self.leaf(&path)?.is_none() && self.stays(&path) {
                beyond.push(path);
            }
        }
        beyond.sort();
        Ok(beyond)
    }

    fn view<'a>(&'a self, scan: &'a Scan<'a>) -> View<'a> {
        View { tree: self, scan }
    }
}

impl SourceTree for CheckedOut {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        match self.leaf(path)? {
            Some(entry) if entry.kind == FileKind::File => match self.is_unmodified(path, &entry) {
                true => self.disk.read(path),
                false => self.content(path, &entry).map(Some),
            },
            None if self.is_on_disk(path)? => self.disk.read(path),
            _ => self.commit.read(path),
        }
    }

    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        Ok(self.commit.is_folder(path)? || (self.stays(path) && self.disk.is_folder(path)?))
    }

    fn seekable(&self, path: &str) -> Result<Option<Box<dyn Seekable>>, ReadError> {
        match self.leaf(path)? {
            Some(entry) if entry.kind == FileKind::File && self.is_unmodified(path, &entry) => {
                self.disk.seekable(path)
            }
            None if self.is_on_disk(path)? => self.disk.seekable(path),
            _ => Ok(self.read(path)?.map(|bytes| Box::new(Cursor::new(bytes)) as Box<dyn Seekable>)),
        }
    }

    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        let one = |selection: &Selection| {
            self.disk.with_scan(|scan| resolve_selection::resolve(&self.view(scan), selection))
        };
        selections.iter().map(one).collect()
    }

    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        self.disk.with_scan(|scan| resolve_selection::list(&self.view(scan), selection))
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        match self.leaf(path)? {
            _ if self.is_on_disk(path)? => self.disk.open(path),
            Some(entry) => Ok(Box::new(Cursor::new(self.content(path, &entry)?))),
            None => self.commit.open(path),
        }
    }

    fn beyond_git(&self, selection: &Selection) -> Result<Vec<String>, ReadError> {
        self.not_committed(selection)
    }

    fn save(&self) -> std::io::Result<()> {
        self.commit.save()
    }
}

impl FolderListing for Folder {
    fn count(&self) -> usize {
        self.names.len()
    }

    fn name(&self, index: usize) -> (&[u8], FileKind) {
        (&self.names[index].name, self.names[index].kind)
    }

    fn mode_and_mtime(&self) -> (u32, i64) {
        self.mode_and_mtime
    }
}

/// Both sides as one tree.
struct View<'a> {
    tree: &'a CheckedOut,
    scan: &'a Scan<'a>,
}

impl View<'_> {
    fn merged(&self, path: &str, git: Option<Arc<Listing>>, disk: Option<Arc<scan::Folder>>) -> Arc<Folder> {
        let on_disk = |index: usize| disk.as_ref().map(|disk| disk.name(index));
        let count = disk.as_ref().map_or(0, FolderListing::count);
        let mut names: Vec<Name> = Vec::new();
        let entries: &[Entry] = git.as_ref().map_or(&[], |git| &git.entries);
        let below = |name: &[u8]| join(path, &String::from_utf8_lossy(name));
        for (number, entry) in entries.iter().enumerate() {
            let at = disk.as_ref().and_then(|disk| find(disk, &entry.name));
            let there = at.and_then(|at| Some((at, on_disk(at)?.1)));
            let (kind, from) = match (entry.kind, there) {
                (FileKind::File | FileKind::Link, Some((at, kind @ (FileKind::File | FileKind::Link))))
                    if self.tree.is_unmodified(&below(&entry.name), entry) =>
                {
                    (kind, From::Disk(at))
                }
                (FileKind::Link, _) if !self.tree.has_links => (FileKind::File, From::Git(number)),
                (kind, _) => (kind, From::Git(number)),
            };
            names.push(Name { name: entry.name.as_slice().into(), kind, from });
        }
        for at in 0..count {
            let Some((name, kind)) = on_disk(at) else { continue };
            if entries.binary_search_by(|entry| (*entry.name).cmp(name)).is_ok() {
                continue;
            }
            let stays = match kind {
                FileKind::Folder => self.tree.folder_stays(self.scan, &below(name)),
                _ => self.tree.stays(&below(name)),
            };
            if stays {
                names.push(Name { name: name.into(), kind, from: From::Disk(at) });
            }
        }
        names.sort_by(|a, b| a.name.cmp(&b.name));
        let made = (0o777 & !self.tree.umask, 0);
        let mode_and_mtime = disk.as_ref().map_or(made, FolderListing::mode_and_mtime);
        Arc::new(Folder { git, disk, path: path.to_owned(), names, mode_and_mtime })
    }

    /// The folder of the commit at a path, if it has one.
    fn of_commit(&self, path: &str) -> Result<Option<Arc<Listing>>, ListError> {
        match self.tree.commit.walk(path).map_err(ListError::Read)? {
            Some(Node::Folder(_)) => self.tree.commit.folder(path).map(Some),
            _ => Ok(None),
        }
    }
}

impl Folders for View<'_> {
    type Folder = Arc<Folder>;

    fn context(&self, path: &str) -> Result<Arc<Folder>, ListError> {
        let git = self.of_commit(path)?;
        match self.scan.context(path) {
            Ok(disk) => Ok(self.merged(path, git, Some(disk))),
            Err(ListError::Read(_)) if git.is_some() => Ok(self.merged(path, git, None)),
            Err(trouble) => Err(trouble),
        }
    }

    fn folder(&self, path: &str) -> Result<Arc<Folder>, ListError> {
        let git = self.of_commit(path)?;
        match self.scan.folder(path) {
            Ok(disk) => Ok(self.merged(path, git, Some(disk))),
            Err(_) if git.is_some() => Ok(self.merged(path, git, None)),
            Err(trouble) => Err(trouble),
        }
    }

    fn facts(&self, folder: &Arc<Folder>, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let fact = |index: &u32| match (folder.names[*index as usize].from, &folder.disk, &folder.git) {
            (From::Disk(at), Some(disk), _) => {
                self.scan.facts(disk, &[number(at)]).map(|mut facts| facts.remove(0))
            }
            (From::Git(at), _, Some(git)) => self.of_git(&folder.path, git, at),
            _ => Err(ListError::Moved(folder.path.clone())),
        };
        indexes.iter().map(fact).collect()
    }
}

impl View<'_> {
    /// Facts of an entry as a checkout would make it.
    fn of_git(&self, folder: &str, git: &Listing, at: usize) -> Result<Facts, ListError> {
        let (entry, tree) = (&git.entries[at], self.tree);
        let mut facts = tree.commit.facts(git, &[u32::try_from(at).unwrap_or(u32::MAX)])?.remove(0);
        if entry.kind == FileKind::File || !tree.has_links {
            facts.target = "".into();
            let all = if entry.mode & 0o100 != 0 { 0o777 } else { 0o666 };
            facts.mode = all & !tree.umask;
            let path = join(folder, &String::from_utf8_lossy(&entry.name));
            if facts.size_bytes > LONGEST_POINTER && tree.is_plain(&path) {
                return Ok(facts);
            }
            let content = tree.content(&path, entry).map_err(ListError::Read)?;
            (facts.hash, facts.size_bytes) = (ContentHash::of(&content), content.len() as u64);
        }
        Ok(facts)
    }
}

/// The permission bits that this process's files are made without; those of most people where Linux does not say.
fn umask() -> u32 {
    let status = outside::read(Path::new("/proc/self/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    umask.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(0o022)
}

#[cfg(test)]
#[path = "checked_out_tests.rs"]
mod tests;
