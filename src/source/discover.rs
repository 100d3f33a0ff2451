//! Finds the recipes of a repository that has no Imagefile.
//!
//! A recipe is a file with a [name](super::recipe_name) of one that git tracks or does not ignore. The repository's own
//! `.gitignore` and `.git/info/exclude` are heard; a person's global ones are not, since
//! what is built must not depend on who builds it. What was found holds while every folder that was
//! walked, and every ignore file, is as it was: a stat for each folder instead of a
//! walk. Git's index alone is read again when only it has changed. Knows nothing of what recipes say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ignore::{WalkBuilder, WalkState};
use parking_lot::Mutex;
use rayon::prelude::*;
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::fsmonitor::{Monitor, Token, Told};
use super::recipe_name::is_recipe;
use super::stat::{self, Seen};
use super::tree::ReadError;
use crate::state::clock::Clock;
use crate::state::folder::StateFolder;

/// The cache's file in the state folder.
const FILE: &str = "recipes";
/// The same as far as a monitor vouches for it: small however many folders there are.
const WATCHED: &str = "recipes-watched";
/// Folders that a thread compares in one go.
const CHUNK: usize = 64;

/// Paths of all recipes below `root`, sorted. `state` keeps what makes the next time fast.
pub fn discover(root: &Path, state: &StateFolder) -> Result<Vec<String>, ReadError> {
    discover_watched(root, state, None)
}

/// As [`discover`]; where nothing changed by the word of a monitor, no folder is looked at.
pub fn discover_watched(
    root: &Path,
    state: &StateFolder,
    monitor: Option<&Monitor>,
) -> Result<Vec<String>, ReadError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|errno| ReadError { path: root.display().to_string(), why: stat::why(errno) })?;
    let kept = monitor.and_then(|_| Kept::unpack(&state.read(WATCHED)?));
    let told = monitor.and_then(|monitor| monitor.ask(kept.as_ref().map(|kept| kept.token)));
    if let (Some(kept), Some(Told { changed: Some(changed), .. })) = (&kept, &told)
        && changed.is_empty()
        && kept.holds(&fd)
    {
        return Ok(kept.recipes.clone());
    }
    let old = state.read(FILE).and_then(|bytes| Found::unpack(&bytes));
    let heard = monitor.zip(told.as_ref()).zip(old.as_ref()).and_then(|((monitor, told), old)| {
        // Before they are looked at, so that no change falls between.
        let folders: Vec<String> = old.folders.keys().cloned().collect();
        monitor
            .watch(told.token, folders)
            .filter(BTreeSet::is_empty)
            .map(|_| old.folders.keys().cloned().collect())
    });
    let heard: BTreeSet<String> = heard.unwrap_or_default();
    let (found, is_new) = look(root, &fd, state, old)?;
    if is_new {
        // A cache that cannot be written costs time, never an answer.
        let _ = found.pack().map(|bytes| state.replace(FILE, &bytes));
    }
    let recipes = found.recipes(root);
    if let Some(told) = told
        && found.folders.keys().all(|folder| heard.contains(folder))
        && let Some(kept) = found.kept(told.token, &recipes)
    {
        let _ = kept.pack().map(|bytes| state.replace(WATCHED, &bytes));
    }
    Ok(recipes)
}

/// The finds of now, and whether they are others than before.
fn look(
    root: &Path,
    fd: &OwnedFd,
    state: &StateFolder,
    old: Option<Found>,
) -> Result<(Found, bool), ReadError> {
    let walked_before = old.filter(|found| found.settled && found.is_as_it_was(fd));
    let is_current = walked_before.as_ref().is_some_and(|found| found.index.is_as_it_was());
    match walked_before {
        Some(found) if is_current => Ok((found, false)),
        other => {
            let clock = state.clock();
            let walked = match other {
                Some(found) => found,
                None => walk(root, fd, state.path(), &clock)?,
            };
            let index = Index::read(root, &clock);
            Ok((Found { index, ..walked }, true))
        }
    }
}

/// Paths of all files below `root` with such a name, sorted; those that git ignores are left out.
///
/// # Errors
/// When a folder cannot be read.
pub fn named(root: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, ReadError> {
    let own = |entry: &ignore::DirEntry| entry.file_name() != ".git" && entry.file_name() != ".imk";
    let walker =
        WalkBuilder::new(root).hidden(false).ignore(false).git_global(false).filter_entry(own).build();
    let mut paths = Vec::new();
    for entry in walker {
        let entry =
            entry.map_err(|error| ReadError { path: root.display().to_string(), why: error.to_string() })?;
        let path = entry.path().strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
        if entry.path().is_file() && wanted(path.rsplit('/').next().unwrap_or_default()) {
            paths.push(path.to_owned());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Raised when the rule of names changes: what an older imk found is then looked for again.
const RULE: u32 = 2;

/// The finds of a walk, and the folders that they rest on.
#[derive(Serialize, Deserialize)]
struct Found {
    /// The rule of names that it was found by.
    rule: u32,
    /// Nothing it rests on is so young that it might change unseen.
    settled: bool,
    /// Folders below the root, each with its stamp.
    folders: BTreeMap<String, Stamp>,
    /// Files with ignore rules; those above the root by their whole path. One that is absent has no stamp.
    rules: BTreeMap<String, Option<Stamp>>,
    /// Recipes that git does not ignore.
    walked: BTreeSet<String>,
    /// Recipes that git tracks.
    index: Index,
}

/// Device, inode, modification and change time.
type Stamp = (u64, u64, i64, i64);

fn stamp(seen: &Seen) -> Stamp {
    (seen.dev, seen.ino, seen.mtime_ns, seen.ctime_ns)
}

impl Found {
    fn recipes(&self, root: &Path) -> Vec<String> {
        // No folder's stamp vouches for a tracked file in an ignored folder.
        let hidden = self.index.tracked.difference(&self.walked).filter(|path| root.join(path).is_file());
        let all: BTreeSet<&String> = self.walked.iter().chain(hidden).collect();
        all.into_iter().cloned().collect()
    }

    /// The recipes as a monitor can vouch for them; `None` where they rest on files that it does not hear of.
    fn kept(&self, token: Token, recipes: &[String]) -> Option<Kept> {
        let is_outside = |path: &String| path.starts_with('/');
        let above = self.rules.iter().filter(|(path, _)| is_outside(path) || path.starts_with(".git/"));
        let above = above.map(|(path, was)| (path.clone(), *was)).collect();
        let is_inside = recipes.iter().all(|path| self.walked.contains(path));
        (is_inside && self.index.tracked.is_subset(&self.walked)).then(|| Kept {
            rule: RULE,
            token,
            recipes: recipes.to_vec(),
            above,
            index: Index { file: self.index.file.clone(), tracked: BTreeSet::new() },
        })
    }

    fn is_as_it_was(&self, root: &OwnedFd) -> bool {
        let folders: Vec<_> = self.folders.iter().collect();
        let same = |(path, was): &(&String, &Stamp)| {
            let path = if path.is_empty() { "." } else { path };
            stat::stat(root, path.as_bytes()).is_ok_and(|seen| stamp(&seen) == **was)
        };
        self.rules
            .iter()
            .all(|(path, was)| stat::stat(root, path.as_bytes()).ok().map(|seen| stamp(&seen)) == *was)
            && folders.par_chunks(CHUNK).all(|chunk| chunk.iter().all(same))
    }

    fn pack(&self) -> Option<Vec<u8>> {
        pack(self)
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        unpack(bytes).filter(|found: &Self| found.rule == RULE)
    }
}

/// The finds that hold as long as a monitor hears of no change.
#[derive(Serialize, Deserialize)]
struct Kept {
    rule: u32,
    token: Token,
    recipes: Vec<String>,
    /// Files with ignore rules of which no monitor hears.
    above: BTreeMap<String, Option<Stamp>>,
    index: Index,
}

impl Kept {
    fn holds(&self, root: &OwnedFd) -> bool {
        self.index.is_as_it_was()
            && self
                .above
                .iter()
                .all(|(path, was)| stat::stat(root, path.as_bytes()).ok().map(|seen| stamp(&seen)) == *was)
    }

    fn pack(&self) -> Option<Vec<u8>> {
        pack(self)
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        unpack(bytes).filter(|kept: &Self| kept.rule == RULE)
    }
}

fn pack(value: &impl Serialize) -> Option<Vec<u8>> {
    let packed = rmp_serde::to_vec(value).ok()?;
    Some([blake3::hash(&packed).as_bytes().as_slice(), &packed].concat())
}

fn unpack<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    let (check, packed) = bytes.split_at_checked(32)?;
    if blake3::hash(packed).as_bytes() != check {
        return None;
    }
    rmp_serde::from_slice(packed).ok()
}

fn walk(root: &Path, fd: &OwnedFd, state_dir: Option<PathBuf>, clock: &Clock) -> Result<Found, ReadError> {
    let mut found = Found {
        rule: RULE,
        settled: true,
        folders: BTreeMap::new(),
        rules: BTreeMap::new(),
        walked: BTreeSet::new(),
        index: Index::default(),
    };
    for rules in rules_above(root) {
        let seen = stat::stat(CWD, rules.as_os_str().as_encoded_bytes()).ok();
        found.settled &= !seen.as_ref().is_some_and(|seen| seen.is_racy(clock));
        found.rules.insert(rules.display().to_string(), seen.as_ref().map(stamp));
    }
    let walker = WalkBuilder::new(root)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .require_git(false)
        .threads(rayon::current_num_threads())
        .filter_entry(move |entry| {
            entry.file_name() != ".git"
                && entry.file_name() != ".imk"
                && Some(entry.path()) != state_dir.as_deref()
        })
        .build_parallel();
    let shared = Mutex::new(&mut found);
    let refused = Mutex::new(None);
    walker.run(|| {
        Box::new(|entry| {
            if let Some(error) =
                entry.as_ref().map_or_else(Some, ignore::DirEntry::error).filter(is_no_answer)
            {
                *refused.lock() =
                    Some(ReadError { path: root.display().to_string(), why: error.to_string() });
                return WalkState::Quit;
            }
            let Ok(entry) = entry else { return WalkState::Continue };
            let Some(path) = entry.path().strip_prefix(root).ok().and_then(Path::to_str) else {
                return WalkState::Continue;
            };
            let Some(kind) = entry.file_type() else { return WalkState::Continue };
            let name = path.rsplit('/').next().unwrap_or_default();
            let is_recipe =
                is_recipe(name) && (kind.is_file() || kind.is_symlink() && entry.path().is_file());
            let is_rules = name == ".gitignore";
            if !kind.is_dir() && !is_recipe && !is_rules {
                return WalkState::Continue;
            }
            // The walker lists a folder after this, and has read a `.gitignore` before: a
            // change in between shows in the first, and makes the second too young.
            let seen = stat::stat(fd, if path.is_empty() { b"." } else { path.as_bytes() }).ok();
            let mut found = shared.lock();
            if kind.is_dir() || is_rules {
                found.settled &= seen.is_some_and(|seen| !seen.is_racy(clock));
            }
            if is_rules {
                found.rules.insert(path.to_owned(), seen.as_ref().map(stamp));
            } else if kind.is_dir() {
                found.folders.extend(seen.map(|seen| (path.to_owned(), stamp(&seen))));
            } else {
                found.walked.insert(path.to_owned());
            }
            WalkState::Continue
        })
    });
    refused.into_inner().map_or(Ok(found), Err)
}

/// Whether an error says nothing of what a folder holds or ignores: too many open files, a disk that fails. What nobody
/// may read holds no recipe that could be built, and what went meanwhile holds none.
fn is_no_answer(error: &&ignore::Error) -> bool {
    if let ignore::Error::Partial(errors) = error {
        return errors.iter().any(|error| is_no_answer(&error));
    }
    let is_answer = |error: &io::Error| {
        use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        matches!(error.kind(), NotADirectory | NotFound | PermissionDenied)
    };
    error.io_error().is_some_and(|error| !is_answer(error))
}

/// Ignore files that lie above the root or in git's own folder.
fn rules_above(root: &Path) -> Vec<PathBuf> {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let above = root.ancestors().skip(1).map(|folder| folder.join(".gitignore"));
    let exclude = root.ancestors().map(|folder| folder.join(".git/info/exclude"));
    above.chain(exclude).collect()
}

/// The files by git's index.
#[derive(Default, Serialize, Deserialize)]
struct Index {
    /// The index, if the repository has one.
    file: Option<(String, Option<Stamp>)>,
    /// Recipes in it, whether they exist or not.
    tracked: BTreeSet<String>,
}

impl Index {
    fn is_as_it_was(&self) -> bool {
        self.file.as_ref().is_none_or(|(path, was)| {
            was.is_some() && stat::stat(CWD, path.as_bytes()).ok().map(|seen| stamp(&seen)) == *was
        })
    }

    /// A repository that git cannot read tracks nothing, as far as we are concerned; it is read again the next time.
    fn read(root: &Path, clock: &Clock) -> Self {
        let repository = match git2::Repository::discover(root) {
            Ok(repository) => repository,
            Err(error) if error.code() == git2::ErrorCode::NotFound => return Self::default(),
            Err(_) => return Self { file: Some((String::new(), None)), tracked: BTreeSet::new() },
        };
        let file = repository.path().join("index");
        let seen = stat::stat(CWD, file.as_os_str().as_encoded_bytes()).ok();
        // An index too young to be trusted is read again next time; so is one that is not there.
        let was = seen.filter(|seen| !seen.is_racy(clock)).as_ref().map(stamp);
        let file = Some((file.display().to_string(), was));
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let prefix = repository.workdir().and_then(|top| {
            let top = top.canonicalize().ok()?;
            root.strip_prefix(top).ok()?.to_str().map(str::to_owned)
        });
        let (Some(prefix), Ok(index)) = (prefix, repository.index()) else {
            return Self { file: file.map(|(path, _)| (path, None)), tracked: BTreeSet::new() };
        };
        let tracked = index.iter().filter_map(|entry| {
            let path = String::from_utf8(entry.path).ok()?;
            let path = match prefix.as_str() {
                "" => path.as_str(),
                prefix => path.strip_prefix(prefix)?.strip_prefix('/')?,
            };
            is_recipe(path.rsplit('/').next().unwrap_or_default()).then(|| path.to_owned())
        });
        Self { file, tracked: tracked.collect() }
    }
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
