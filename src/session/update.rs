//! Update of Imagefile.lock: its entries beside the registries' present words, and the lock file that follows.
//!
//! Asks only for the bases that reached stages name. A registry that does not
//! answer leaves its entries as they were. Writes nothing by itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Engine;
use crate::parallel::at_once;
use crate::query::inputs::OutsideBase;
use crate::session::open::Session;
use crate::session::sync::{self, SyncError};
use crate::session::upstream::Upstream;
use crate::session::{inputs, overlays, project};
use crate::source::outside;
use crate::source::tree::ReadError;
use crate::syntax::lockfile::Lockfile;
use crate::syntax::reference::{self, Reference};

/// One entry of the lock file, as it is and as it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The reference as a person writes it, or the address of a git repository.
    pub name: String,
    /// The platform it is used for, or the branch or tag.
    pub of: String,
    /// The entry of the lock file.
    pub before: Option<String>,
    /// The entry that it would have.
    pub after: After,
}

/// A registry's present word on an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It stands for this digest, or this commit.
    Is(String),
    /// Only the engine has it: somebody built it there, and no lock file can name it.
    Local,
    /// There is no such image.
    Absent,
    /// The host that could know did not say, for this reason.
    Unknown(String),
    /// No image is built on it any more.
    Unused,
}

impl Move {
    /// Whether the entry would change.
    pub fn changes(&self) -> bool {
        match &self.after {
            After::Is(digest) => self.before.as_ref() != Some(digest),
            After::Unused | After::Local => self.before.is_some(),
            After::Absent | After::Unknown(_) => false,
        }
    }
}

/// An update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Every entry that was asked for, by name.
    pub moves: Vec<Move>,
    /// The lock file that follows.
    pub lock: Lockfile,
}

/// The lock file's key of a base.
type Entry = (String, String);

/// Asks the registries for the bases of the whole repository, or for those that `words` name:
/// a base, with or without its tag, or images, which stand for all their bases. The lock file
/// that follows is in force for the rest of the session.
///
/// # Errors
/// See [`SyncError`].
pub fn update(session: &mut Session, words: &[String]) -> Result<Update, SyncError> {
    let everything: Vec<String> = session.project.images.keys().cloned().collect();
    sync::choose(session, &everything)?;
    // It decides for which platform most images are; without one the last answer must do.
    if let Ok(identity) = session.executor.default_engine().identity() {
        inputs::set_engine(session, &identity);
    }
    let old = session.upstream.lock();
    let mut lock = old.clone();
    let mut moves: BTreeMap<Entry, Move> = BTreeMap::new();
    // What a base brings may name further bases; every round asks for at least one new one.
    let all = loop {
        let order = sync::order(session, &everything)?;
        let all = lockable(inputs::wanted(session, &order));
        let mut asked = chosen(session, words, &all)?;
        asked.retain(|entry, _| !moves.contains_key(entry));
        if asked.is_empty() {
            break all;
        }
        let asked: Vec<(Entry, Reference)> = asked.into_iter().collect();
        let default_engine = session.executor.default_engine();
        let (upstream, engine) = (&*session.upstream, &*default_engine);
        let answers = at_once(&asked, |(entry, name)| after(upstream, engine, entry, name));
        for ((entry, name), after) in asked.into_iter().zip(answers) {
            match &after {
                After::Is(digest) => drop(lock.bases.insert(entry.clone(), digest.clone())),
                After::Local => drop(lock.bases.remove(&entry)),
                After::Absent | After::Unknown(_) | After::Unused => {}
            }
            let before = old.bases.get(&entry).cloned();
            let of = entry.1.clone();
            moves.insert(entry, Move { name: name.familiar(), of, before, after });
        }
        session.upstream.relock(lock.clone());
        inputs::set_outside(session, &order, &mut BTreeMap::new());
    };
    if words.is_empty() {
        for (entry, digest) in old.bases.iter().filter(|(entry, _)| !all.contains_key(*entry)) {
            lock.bases.remove(entry);
            let name = reference::parse(&entry.0).map_or(entry.0.clone(), |name| name.familiar());
            let (of, before) = (entry.1.clone(), Some(digest.clone()));
            moves.insert(entry.clone(), Move { name, of, before, after: After::Unused });
        }
        session.upstream.relock(lock.clone());
    }
    let mut moves: Vec<Move> = moves.into_values().collect();
    moves.extend(update_git(session, words, &mut lock)?);
    session.upstream.relock(lock.clone());
    session.git_sources.pin_locked(&session.project, &lock, false);
    Ok(Update { moves, lock })
}

/// The same for branches and tags of git repositories; words that name an image stand for what it uses.
fn update_git(session: &mut Session, words: &[String], lock: &mut Lockfile) -> Result<Vec<Move>, SyncError> {
    let images: BTreeSet<String> = match words.is_empty() {
        true => session.project.images.keys().cloned().collect(),
        false => {
            let named = |word: &&String| session.project.images.contains_key(word.as_str());
            words.iter().filter(named).cloned().collect()
        }
    };
    let standing = overlays::standing(session, &images);
    let mut moves = Vec::new();
    if words.is_empty() {
        let unused: Vec<Entry> =
            lock.git.keys().filter(|entry| !standing.contains_key(*entry)).cloned().collect();
        for (name, of) in unused {
            let before = lock.git.remove(&(name.clone(), of.clone()));
            moves.push(Move { name, of, before, after: After::Unused });
        }
    }
    for ((name, of), commit) in standing {
        let before = lock.git.get(&(name.clone(), of.clone())).cloned();
        let after = match commit {
            Ok(commit) => {
                lock.git.insert((name.clone(), of.clone()), commit.clone());
                After::Is(commit)
            }
            Err(error) => After::Unknown(error.to_string()),
        };
        moves.push(Move { name, of, before, after });
    }
    Ok(moves)
}

/// The entries that some words mean; all when there are none.
fn chosen(
    session: &mut Session,
    words: &[String],
    all: &BTreeMap<Entry, Reference>,
) -> Result<BTreeMap<Entry, Reference>, SyncError> {
    if words.is_empty() {
        return Ok(all.clone());
    }
    let mut chosen = BTreeMap::new();
    let mut images = Vec::new();
    for word in words {
        let meant = reference::parse(word).ok();
        let means = |name: &Reference| {
            let untagged = |meant: &Reference| !tagged(word) && meant.name() == name.name();
            meant.as_ref().is_some_and(|meant| meant == name || untagged(meant))
        };
        let before = chosen.len();
        chosen.extend(all.iter().filter(|(_, name)| means(name)).map(|(e, n)| (e.clone(), n.clone())));
        if chosen.len() == before {
            images.push(word.clone());
        }
    }
    if !images.is_empty() {
        let order = sync::order(session, &images)?;
        chosen.extend(lockable(inputs::wanted(session, &order)));
    }
    Ok(chosen)
}

/// Writes the lock file beside the Imagefile.
///
/// # Errors
/// When it cannot be written; the old one is then as it was.
pub fn write_lock(session: &Session, lock: &Lockfile) -> Result<(), ReadError> {
    let path = project::lock_path(session.project.imagefile.as_deref());
    outside::replace(&session.project.root.join(path), lock.text().as_bytes())
}

fn after(upstream: &Upstream, engine: &dyn Engine, (_, platform): &Entry, name: &Reference) -> After {
    let only_here = || {
        let found = engine.inspect(&name.familiar()).ok().flatten();
        found.is_some_and(|info| info.repo_digests.is_empty())
    };
    match upstream.ask(name, platform) {
        Ok(Some(digest)) => After::Is(digest),
        Ok(None) | Err(_) if only_here() => After::Local,
        Ok(None) => After::Absent,
        Err(error) => After::Unknown(error.to_string()),
    }
}

fn tagged(word: &str) -> bool {
    word.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// The names that a lock file can hold: references by name and not by digest.
fn lockable(bases: BTreeSet<OutsideBase>) -> BTreeMap<Entry, Reference> {
    let mut found = BTreeMap::new();
    for base in bases {
        if let Ok(name) = reference::parse(&base.reference)
            && name.digest.is_none()
        {
            found.insert((name.to_string(), base.platform), name);
        }
    }
    found
}
