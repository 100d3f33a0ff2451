//! The work tree as git would commit it, and what it has different from a commit.
//!
//! Everything that git does not ignore is added to an index that is never
//! written, and its objects stay in memory: a work tree and a commit can then
//! be compared as two commits are, umask and untracked rubbish aside. Nothing
//! is written to `.git`. A submodule is what its own work tree holds. A file that cannot be read
//! has something in its place that is read in vain: only who uses it is told.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use git2::{Delta, DiffOptions, Index, IndexEntry, IndexTime, ObjectType, Odb, Oid, Repository};

use super::history::Commit;
use super::modules::{self, GITLINK};
use super::object_id;
use super::store::{Entry, Listing};
use super::{GitStore, GitTree, unreadable};
use crate::model::file::FileKind;
use crate::model::name::join;
use crate::source::tree::ReadError;

/// Objects made here are looked for before those on the disk; any number above theirs will do.
const IN_MEMORY: i32 = 999;
/// Git's mode of the placeholder of a file that cannot be read: a regular file.
const PLAIN: u32 = 0o100_644;
/// `assume-unchanged` in an entry's flags, and `skip-worktree` in those that came later: git does not
/// look whether such a file is there.
const ASSUMED: u16 = 0x8000;
const SKIPPED: u16 = 0x4000;

impl GitStore {
    /// The work tree as the next commit would have it if everything was added.
    ///
    /// # Errors
    /// When there is no work tree, or git cannot compare.
    pub fn work_tree(self: &Arc<Self>) -> Result<GitTree, ReadError> {
        let id = self.add_everything().map_err(|error| unreadable("the work tree", &error))?;
        self.tree_at(id)
    }

    fn add_everything(&self) -> Result<Oid, git2::Error> {
        let repository = self.repository.lock();
        modules::share_objects(&repository);
        let odb = repository.odb()?;
        odb.add_new_mempack_backend(IN_MEMORY)?;
        let mut adding = Adding { odb: &odb, below: &self.below, unreadable: HashMap::new() };
        let id = adding.tree(&repository, "")?;
        self.unreadable.lock().extend(adding.unreadable);
        Ok(id)
    }

    /// The commit to compare with: `REV`, or for `REV...` where `HEAD` left it.
    ///
    /// # Errors
    /// When it names none, or when the two have nothing in common.
    pub fn since(&self, rev: &str) -> Result<Commit, ReadError> {
        let Some(rev) = rev.strip_suffix("...") else { return self.commit(rev) };
        let (other, head) = (self.commit(rev)?, self.commit("HEAD")?);
        let base = {
            let repository = self.repository.lock();
            let ids = [&other, &head].map(|commit| object_id::parse(&commit.id));
            let [other, head] = ids;
            other.and_then(|other| repository.merge_base(other, head?))
        };
        let base = base.map_err(|error| unreadable(&format!("{rev}...HEAD"), &error))?;
        self.commit(&base.to_string())
    }

    /// Paths below the repository's root that the work tree has different from a
    /// commit: changed, added, removed; what git ignores is left out.
    ///
    /// # Errors
    /// When git cannot read one of the two.
    pub fn changed_since(self: &Arc<Self>, commit: &Commit) -> Result<BTreeSet<String>, ReadError> {
        let (before, after) = (self.tree(commit)?, self.work_tree()?);
        let mut changed = BTreeSet::new();
        self.differing_in("", &before.top, &after.top, &mut changed)
            .map_err(|error| unreadable(&commit.id, &error))?;
        Ok(changed)
    }

    fn differing_in(
        &self,
        path: &str,
        before: &Listing,
        after: &Listing,
        changed: &mut BTreeSet<String>,
    ) -> Result<(), git2::Error> {
        let names: BTreeSet<&[u8]> =
            before.entries.iter().chain(&after.entries).map(|entry| entry.name.as_slice()).collect();
        for name in names {
            let sides = [before.find(name), after.find(name)];
            if sides[0] == sides[1] {
                continue;
            }
            let path = join(path, &String::from_utf8_lossy(name));
            let is_file = |entry: &Entry| entry.kind != FileKind::Folder || entry.is_absent;
            if sides.iter().flatten().any(|entry| is_file(entry)) {
                changed.insert(path.clone());
            }
            let nothing = || Arc::new(Listing { id: Oid::ZERO_SHA1, entries: Vec::new(), is_absent: false });
            let folder = |side: Option<&Entry>| match side.filter(|entry| !is_file(entry)) {
                Some(entry) => self.folder_of(entry),
                None => Ok(nothing()),
            };
            let [before, after] = [folder(sides[0])?, folder(sides[1])?];
            if before.id != after.id {
                self.differing_in(&path, &before, &after, changed)?;
            }
        }
        Ok(())
    }
}

/// A work tree that is being added.
struct Adding<'a> {
    /// Takes the objects.
    odb: &'a Odb<'a>,
    /// The repository's root below the top of git's work tree.
    below: &'a str,
    /// Placeholders of files that cannot be read.
    unreadable: HashMap<Oid, ReadError>,
}

impl Adding<'_> {
    /// The tree of a repository's work tree, which is shown at a path.
    fn tree(&mut self, repository: &Repository, shown: &str) -> Result<Oid, git2::Error> {
        let mut index = repository.index()?;
        index.read(true)?;
        let id = self.add(repository, &mut index, shown);
        // The index in memory is shared by all who ask this repository: it goes back to what is on the disk.
        index.read(true)?;
        id
    }

    fn add(&mut self, repository: &Repository, index: &mut Index, shown: &str) -> Result<Oid, git2::Error> {
        let none = || git2::Error::from_str("there is no work tree");
        let top = repository.workdir().ok_or_else(none)?.to_owned();
        let changes = match changes(repository, index) {
            Ok(changes) => changes,
            // Git gives all up for one file that it cannot read.
            Err(_) => {
                leave_out_unreadable(index, &top)?;
                changes(repository, index)?
            }
        };
        // Repositories that the index knows nothing of.
        let mut strays: BTreeSet<Vec<u8>> = BTreeSet::new();
        for (path, delta) in changes {
            // imk's own state ignores itself, unless somebody deleted the file that says so.
            if path.components().any(|part| part.as_os_str() == crate::state::place::STATE) {
                continue;
            }
            let is_link = |index: &Index| index.get_path(&path, 0).is_some_and(|entry| entry.mode == GITLINK);
            match delta {
                _ if is_link(index) => {}
                _ if top.join(&path).join(".git").exists() => {
                    let bytes = path.as_os_str().as_bytes();
                    strays.insert(bytes.strip_suffix(b"/").unwrap_or(bytes).to_owned());
                }
                Delta::Deleted => self.remove(index, &top, &path, shown)?,
                _ => {
                    if let Err(error) = index.add_path(&path) {
                        self.stand_in(index, &top, &path, shown, &error)?;
                    }
                }
            }
        }
        self.modules(repository, index, &top, shown, strays)?;
        index.write_tree()
    }

    fn remove(&mut self, index: &mut Index, top: &Path, path: &Path, shown: &str) -> Result<(), git2::Error> {
        let unseen = |entry: &IndexEntry| entry.flags & ASSUMED != 0 || entry.flags_extended & SKIPPED != 0;
        if index.get_path(path, 0).is_some_and(|entry| unseen(&entry)) {
            return Ok(());
        }
        match fs::symlink_metadata(top.join(path)) {
            Err(error) if is_gone(&error) => index.remove_path(path),
            // It is there: the folder that it is in cannot be listed.
            Err(error) => {
                let error = git2::Error::from_str(&error.kind().to_string());
                self.stand_in(index, top, path, shown, &error)
            }
            Ok(_) => match index.add_path(path) {
                Ok(()) => Ok(()),
                Err(error) => self.stand_in(index, top, path, shown, &error),
            },
        }
    }

    /// Puts something in the place of a file that cannot be read.
    fn stand_in(
        &mut self,
        index: &mut Index,
        top: &Path,
        path: &Path,
        shown: &str,
        error: &git2::Error,
    ) -> Result<(), git2::Error> {
        let special = |metadata: std::fs::Metadata| {
            let kind = metadata.file_type();
            !kind.is_file() && !kind.is_symlink()
        };
        // Git commits neither pipes nor sockets.
        if fs::symlink_metadata(top.join(path)).is_ok_and(special) {
            return Ok(());
        }
        let path = path.to_string_lossy();
        let whole = join(shown, &path);
        let told = whole.strip_prefix(self.below).map_or(whole.as_str(), |rest| rest.trim_start_matches('/'));
        let id = self.odb.write(ObjectType::Blob, format!("imk: unreadable {whole}").as_bytes())?;
        let why = match fs::File::open(top.join(&*path)) {
            Err(cause) => cause.kind().to_string(),
            Ok(_) => format!("git says: {}", error.message()),
        };
        self.unreadable.insert(id, ReadError { path: told.to_owned(), why });
        index.add(&entry(path.as_bytes().to_vec(), id, PLAIN))
    }

    /// Puts in the place of each submodule, and of each repository that just lies there, what its work tree holds.
    fn modules(
        &mut self,
        repository: &Repository,
        index: &mut Index,
        top: &Path,
        shown: &str,
        strays: BTreeSet<Vec<u8>>,
    ) -> Result<(), git2::Error> {
        let mut paths: BTreeSet<Vec<u8>> =
            index.iter().filter(|entry| entry.mode == GITLINK).map(|entry| entry.path).collect();
        paths.extend(strays);
        for path in paths {
            let Some(module) = modules::at(top, &path) else { continue };
            module.set_odb(self.odb)?;
            let name = String::from_utf8_lossy(&path).into_owned();
            let tree = self.tree(&module, &join(shown, &name))?;
            if index.get_path(Path::new(&name), 0).is_some() {
                index.remove_path(Path::new(&name))?;
            }
            splice(repository, index, &path, tree)?;
        }
        Ok(())
    }
}

/// Paths that git calls different in the work tree, untracked files included.
pub(super) fn changes(
    repository: &Repository,
    index: &Index,
) -> Result<Vec<(std::path::PathBuf, Delta)>, git2::Error> {
    let mut options = DiffOptions::new();
    options.include_untracked(true).recurse_untracked_dirs(true).include_typechange(true);
    options.ignore_submodules(true);
    let diff = repository.diff_index_to_workdir(Some(index), Some(&mut options))?;
    let changes = diff.deltas().filter_map(|delta| {
        let path = delta.new_file().path().or(delta.old_file().path())?;
        Some((path.to_owned(), delta.status()))
    });
    Ok(changes.collect())
}

/// Takes out of the index what git cannot read, so that it goes on with the rest.
pub(super) fn leave_out_unreadable(index: &mut Index, top: &Path) -> Result<(), git2::Error> {
    let cannot = |entry: &IndexEntry| {
        let path = top.join(std::ffi::OsStr::from_bytes(&entry.path));
        let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        is_file && fs::File::open(&path).is_err()
    };
    let paths: Vec<Vec<u8>> = index.iter().filter(cannot).map(|entry| entry.path).collect();
    paths.iter().try_for_each(|path| index.remove_path(Path::new(std::ffi::OsStr::from_bytes(path))))
}

/// Puts all files of a tree below a path of an index.
fn splice(repository: &Repository, index: &mut Index, path: &[u8], tree: Oid) -> Result<(), git2::Error> {
    for found in &repository.find_tree(tree)? {
        let path = [path, b"/", found.name_bytes()].concat();
        match found.kind() {
            Some(ObjectType::Tree) => splice(repository, index, &path, found.id())?,
            _ => index.add(&entry(path, found.id(), u32::try_from(found.filemode()).unwrap_or(PLAIN)))?,
        }
    }
    Ok(())
}

fn entry(path: Vec<u8>, id: Oid, mode: u32) -> IndexEntry {
    let never = IndexTime::new(0, 0);
    let (dev, ino, uid, gid, file_size, flags, flags_extended) = (0, 0, 0, 0, 0, 0, 0);
    IndexEntry {
        ctime: never,
        mtime: never,
        dev,
        ino,
        mode,
        uid,
        gid,
        file_size,
        id,
        flags,
        flags_extended,
        path,
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
