//! The files of a commit, read from git's own objects: nothing is checked out.
//!
//! A [`GitStore`] is one repository and remembers what never changes: listings by
//! tree id, content hashes by blob id, answers by the trees they were read
//! from. A [`GitTree`] is one commit of it. So three hundred commits read each
//! blob once, and what a commit left alone is not walked again. Knows no disk:
//! a link that leads out of the repository leads nowhere.
//!
//! Git keeps less than a disk does. A file is 0644 or 0755 and a folder 0755, as
//! a checkout under the umask 022 makes them; under another umask the same
//! commit has other modes on the disk: [`CheckedOut`](checked_out::CheckedOut) knows of those. Submodules are
//! what their commits hold, where those are on this disk or can be fetched; files that git does not track, filters (`eol`, LFS)
//! and `.git` itself do not exist here.

mod absent;
mod attributes;
pub mod changes;
pub mod checked_out;
mod clone;
pub mod credentials;
pub mod fetcher;
pub mod following;
pub mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod head;
pub mod heads;
pub mod history;
pub mod hooks;
pub(super) mod keep;
mod memory;
pub mod mirror;
mod missing_modules;
mod module_source;
mod modules;
mod object_id;
pub mod old;
mod opening;
pub mod origin;
mod own_modules;
mod pieces;
mod program;
pub mod pushed;
pub mod remote;
mod smudge;
mod store;
mod tree;
mod unmodified;
mod worktree;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use git2::Oid;
use rayon::prelude::*;

use super::locate::{IMAGEFILE, Located};
use super::select::{self, Facts, Folders, ListError, join};
use super::tree::{ReadError, Selected, Selection, SourceTree};
use super::{disk, resolve_selection};
use crate::model::file::{FileKind, UsedFile, UsedFiles};
use crate::model::hash::{ContentHash, FieldHasher};
use crate::syntax::glob;
use absent::Absent;

pub use store::GitStore;
use store::{Entry, Listing};
pub use tree::GitTree;
use tree::{Node, error, unreadable};

impl GitTree {
    /// Paths of all recipes of the commit, sorted: what discovery finds in a fresh checkout.
    ///
    /// # Errors
    /// When git cannot read one of its trees.
    pub fn recipes(&self) -> Result<Vec<String>, ReadError> {
        let found = self.store.recipes_of(&self.top).map_err(|error| unreadable("", &error))?;
        let mut recipes = Vec::new();
        for path in found.iter() {
            if matches!(self.walk(path)?, Some(Node::Leaf(_))) {
                recipes.push(path.clone());
            }
        }
        recipes.sort();
        Ok(recipes)
    }

    /// Whether this commit has an Imagefile. One that the work tree has and the
    /// commit has not means discovery; so does a folder that somebody `named`.
    ///
    /// # Errors
    /// When git cannot read one of its trees.
    pub fn located(&self, now: &Located, named: bool) -> Result<Located, ReadError> {
        let imagefile = match &now.imagefile {
            None if named => None,
            None => Some(IMAGEFILE.to_owned()),
            some => some.clone(),
        };
        let there = match &imagefile {
            Some(file) => matches!(self.walk(file)?, Some(Node::Leaf(_))),
            None => false,
        };
        Ok(Located { root: now.root.clone(), imagefile: imagefile.filter(|_| there) })
    }

    /// Tells two states of what a selection reads apart, as cheaply as can be:
    /// by git's own ids where nothing is left out. Not the hash of an answer.
    ///
    /// # Errors
    /// When something it reads cannot be read.
    pub fn fingerprint(&self, selection: &Selection) -> Result<ContentHash, ReadError> {
        let plain = selection.ignore.is_none()
            && selection.overlays.is_empty()
            && selection.reads.sources.iter().all(|source| {
                source.exclude.is_empty() && source.include.is_none() && !glob::has_wildcards(&source.pattern)
            });
        match self.ways(selection)? {
            Some(ways) if plain => Ok(ways),
            _ => self.answer(selection).map(|selected| selected.hash),
        }
    }

    /// The start of a selection: the question, and git's ids at the places where its
    /// sources begin. `None` when a link is on the way, for that may lead anywhere.
    fn ways(&self, selection: &Selection) -> Result<Option<ContentHash>, ReadError> {
        let mut hasher = FieldHasher::new("imk git ways v1");
        hasher.field(disk::key(selection).0).number(self.is_strict.into());
        for source in &selection.reads.sources {
            match self.straight(&join(&selection.root, &source.start()))? {
                Way::Link => return Ok(None),
                Way::Nothing => hasher.field("nothing"),
                Way::At(id, mode) => hasher.field(id.as_bytes()).number(mode.into()),
            };
        }
        Ok(Some(hasher.finish()))
    }

    fn straight(&self, path: &str) -> Result<Way, ReadError> {
        let mut here = Arc::clone(&self.top);
        let mut parts = path.split('/').filter(|part| !matches!(*part, "" | ".")).peekable();
        while let Some(part) = parts.next() {
            if here.is_absent {
                return Ok(Way::At(here.id, 0));
            }
            let Some(entry) = here.find(part.as_bytes()) else { return Ok(Way::Nothing) };
            match entry.kind {
                FileKind::Link => return Ok(Way::Link),
                FileKind::File | FileKind::Special if parts.peek().is_some() => return Ok(Way::Nothing),
                FileKind::File | FileKind::Special => return Ok(Way::At(entry.id, entry.mode)),
                FileKind::Folder => {
                    here = self.store.folder_of(entry).map_err(|error| unreadable(path, &error))?;
                }
            }
        }
        Ok(Way::At(here.id, 0o755))
    }

    fn answer(&self, selection: &Selection) -> Result<Selected, ReadError> {
        let everything = || {
            let mut hasher = FieldHasher::new("imk git top v1");
            hasher.field(disk::key(selection).0).number(self.is_strict.into());
            hasher.field(self.top.id.as_bytes()).finish()
        };
        // An overlay shows any part of the commit at any place.
        let ways = if selection.overlays.is_empty() { self.ways(selection)? } else { None };
        let keys: Vec<ContentHash> = [ways, Some(everything())].into_iter().flatten().collect();
        {
            let answers = self.store.answers.lock();
            if let Some(known) = keys.iter().find_map(|key| answers.get(key)) {
                return known.clone();
            }
        }
        let remembered = |key| Some((key, self.store.memory.as_ref()?.answer(&key)?));
        if let Some((key, known)) = keys.into_iter().find_map(remembered) {
            self.store.answers.lock().insert(key, Ok(known.clone()));
            return Ok(known);
        }
        if !selection.overlays.is_empty() {
            let reading = Reading::new(self);
            let answer = reading.summed(selection);
            self.store.answers.lock().insert(everything(), answer.clone());
            return answer;
        }
        if let [only] = selection.reads.sources.as_slice()
            && only.is_whole()
        {
            let answer = pieces::whole(self, selection);
            self.store.answers.lock().insert(ways.unwrap_or_else(everything), answer.clone());
            return answer;
        }
        let reading = Reading::new(self);
        let picked = select::list_used(&reading, selection).map_err(error);
        // A wildcard can meet a link that the ways do not show.
        let key = ways.filter(|_| !reading.followed.load(Ordering::Relaxed)).unwrap_or_else(everything);
        let answer = picked.and_then(|mut picked| {
            let [missing, empty] = [&mut picked.missing, &mut picked.empty].map(std::mem::take);
            let mut files = select::hash_listed(&reading, picked).map_err(error)?;
            reading.absent.stand_in(&selection.root, &mut files);
            let bytes = files.files.iter().map(UsedFile::bytes).sum();
            Ok(Selected { hash: files.hash(), missing, empty, count: files.files.len() as u64, bytes })
        });
        self.store.answers.lock().insert(key, answer.clone());
        answer
    }
}

/// The end of a way without links.
enum Way {
    Nothing,
    Link,
    At(Oid, u32),
}

impl SourceTree for GitTree {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let entry = match self.walk(path)? {
            None => return Ok(None),
            Some(Node::Folder(_)) => {
                return Err(ReadError { path: path.to_owned(), why: "it is not a file".into() });
            }
            Some(Node::Leaf(entry)) => entry,
        };
        if let Some(known) = self.store.texts.lock().get(&entry.id) {
            return Ok(Some(known.to_vec()));
        }
        let bytes = self.store.blob(entry.id).map_err(|error| unreadable(path, &error))?;
        self.store.texts.lock().insert(entry.id, bytes.as_slice().into());
        Ok(Some(bytes))
    }

    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        Ok(matches!(self.walk(path)?, Some(Node::Folder(_))))
    }

    /// Of a commit alone that is what is asked for and not there.
    fn beyond_git(&self, selection: &Selection) -> Result<Vec<String>, ReadError> {
        let missing = self.answer(selection)?.missing;
        let sources = missing.iter().filter_map(|index| selection.reads.sources.get(*index));
        let mut paths: Vec<String> = sources
            .filter_map(|source| selection.place_of(&source.pattern))
            .filter(|path| self.store.ignores(path))
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// Keeps what was learned of git's objects, where [`GitStore::remembering`] opened them.
    fn save(&self) -> std::io::Result<()> {
        self.store.save()
    }

    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        let keys: Vec<ContentHash> = selections.iter().map(disk::key).collect();
        let asked: BTreeMap<ContentHash, &Selection> = keys.iter().copied().zip(selections).collect();
        let answers: BTreeMap<_, _> =
            asked.into_par_iter().map(|(key, selection)| (key, self.answer(selection))).collect();
        keys.iter().map(|key| answers[key].clone()).collect()
    }

    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        Reading::new(self).listed(selection)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        // What is sent is wanted once: it is not remembered as texts are.
        match self.walk(path)? {
            Some(Node::Leaf(entry)) => {
                let bytes = self.store.blob(entry.id).map_err(|error| unreadable(path, &error))?;
                Ok(Box::new(Cursor::new(bytes)))
            }
            _ => Err(ReadError { path: path.to_owned(), why: "there is no such file".into() }),
        }
    }
}

/// One answer being worked out.
struct Reading<'a> {
    tree: &'a GitTree,
    /// Whether a link was followed: picking asks for facts for nothing else.
    followed: AtomicBool,
    absent: Absent,
}

impl<'a> Reading<'a> {
    fn new(tree: &'a GitTree) -> Self {
        Self { tree, followed: AtomicBool::new(false), absent: Absent::default() }
    }

    fn listed(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        let mut files = resolve_selection::list(self, selection).map_err(error)?;
        self.absent.stand_in(&selection.root, &mut files);
        Ok(files)
    }

    fn summed(&self, selection: &Selection) -> Result<Selected, ReadError> {
        let selected = resolve_selection::resolve(self, selection).map_err(error)?;
        match self.absent.is_empty() {
            true => Ok(selected),
            false => Ok(Selected { hash: self.listed(selection)?.hash(), ..selected }),
        }
    }
}

impl Folders for Reading<'_> {
    type Folder = Arc<Listing>;

    fn context(&self, path: &str) -> Result<Arc<Listing>, ListError> {
        self.folder(path)
    }
    fn folder(&self, path: &str) -> Result<Arc<Listing>, ListError> {
        Ok(self.absent.note(path, self.tree.folder(path)?))
    }
    fn facts(&self, folder: &Arc<Listing>, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        self.followed.store(true, Ordering::Relaxed);
        self.tree.facts(folder, indexes)
    }
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
