//! Answers that hold because a monitor heard of no change: `.imk/watched`.
//!
//! Keeps the answers of the last look and the moment of the monitor that they are of, in a file that is small however
//! many files there are. When nothing changed since, it is all that is read. When something did, it says which
//! folders have to be compared with the disk. Says nothing by itself: without a monitor that vouches, everything is in
//! doubt. A damaged or foreign file is an empty one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::fsmonitor::{Monitor, Token, Told};
use super::stat_cache::StatCache;
use super::stat_memo::Memo;
use super::tree::Selected;
use crate::model::hash::ContentHash;
use crate::state::folder::StateFolder;

/// The file in the state folder.
const FILE: &str = "watched";
/// Changes with the layout, and with what an answer means.
const MAGIC: &[u8; 16] = b"imk watched v1\n\n";

/// A monitor, and the answers that it can vouch for.
pub(super) struct Trusted {
    monitor: Arc<Monitor>,
    state: StateFolder,
    kept: Mutex<Kept>,
}

/// The answers of one moment.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Kept {
    token: Option<Token>,
    /// The check of the stat cache that knows the same.
    cache: [u8; 32],
    answers: BTreeMap<ContentHash, Selected>,
    /// Folders whose files are not all in the cache as they were then.
    unverified: BTreeSet<String>,
    #[serde(skip)]
    unsaved: bool,
}

/// The doubt that is left of a known cache, once a monitor was asked.
pub(super) struct Doubt {
    told: Told,
    /// The answers that still hold.
    kept: Kept,
    /// Numbers of the folders that have to be compared with the disk are true.
    pub doubtful: Vec<bool>,
    /// Folders of which the monitor hears.
    heard: BTreeSet<String>,
}

impl Trusted {
    /// Reads the answers that are kept in `state`; the monitor is not asked yet.
    pub fn new(monitor: Arc<Monitor>, state: &StateFolder) -> Self {
        let kept = state.read(FILE).and_then(|bytes| Kept::unpack(&bytes)).unwrap_or_default();
        Self { monitor, state: state.clone(), kept: Mutex::new(kept) }
    }

    /// Asks what changed; `None` when the monitor says nothing.
    pub fn ask(&self) -> Option<Told> {
        self.monitor.ask(self.kept.lock().token)
    }

    /// All the answers, if none of them can have changed.
    pub fn answers(
        &self,
        told: &Told,
        keys: impl Iterator<Item = ContentHash>,
    ) -> Option<BTreeMap<ContentHash, Selected>> {
        if !told.changed.as_ref().is_some_and(BTreeSet::is_empty) {
            return None;
        }
        let kept = self.kept.lock();
        keys.map(|key| Some((key, kept.answers.get(&key)?.clone()))).collect()
    }

    /// Has the monitor watch what is asked for and not vouched for yet, before anybody looks at it. `marked` says
    /// which folders count, `memos` what rests on them. `None` when the monitor fails.
    pub fn doubt(&self, told: Told, cache: &StatCache, memos: &[&Memo], marked: &[bool]) -> Option<Doubt> {
        let mut kept = self.kept.lock().clone();
        let mut doubtful = marked.to_vec();
        let mut heard = BTreeSet::new();
        match &told.changed {
            Some(changed) if kept.cache == cache.mark() => {
                let known: BTreeMap<ContentHash, &Memo> =
                    cache.memos.iter().map(|memo| (memo.key, memo)).collect();
                kept.answers.retain(|key, _| {
                    known.get(key).is_some_and(|memo| {
                        folders_of(memo).all(|number| !changed.contains(cache.folder(number).path))
                    })
                });
                // Where an answer no more holds, the folders that did not change still need no look.
                let vouched = memos.iter().filter(|memo| self.kept.lock().answers.contains_key(&memo.key));
                for number in vouched.flat_map(|memo| folders_of(memo)) {
                    let path = cache.folder(number).path;
                    if !changed.contains(path) && !kept.unverified.contains(path) {
                        doubtful[number] = false;
                        heard.insert(path.to_owned());
                    }
                }
            }
            _ => kept = Kept::default(),
        }
        let paths = (0..cache.folders).filter(|number| doubtful[*number]);
        let paths: Vec<String> = paths.map(|number| cache.folder(number).path.to_owned()).collect();
        let in_doubt: BTreeSet<&String> = paths.iter().collect();
        kept.unverified.retain(|path| !in_doubt.contains(path));
        let refused = self.monitor.watch(told.token, paths.clone())?;
        heard.extend(paths.into_iter().filter(|path| !refused.contains(path)));
        Some(Doubt { told, kept, doubtful, heard })
    }

    /// Keeps the answers that rest on nothing but what is heard of.
    pub fn keep(
        &self,
        doubt: Doubt,
        cache: &StatCache,
        unverified: BTreeSet<String>,
        answers: impl Iterator<Item = (ContentHash, Selected)>,
    ) {
        let Doubt { told, mut kept, heard, .. } = doubt;
        let known: BTreeMap<ContentHash, &Memo> = cache.memos.iter().map(|memo| (memo.key, memo)).collect();
        for (key, selected) in answers {
            let is_heard =
                |memo: &&Memo| folders_of(memo).all(|number| heard.contains(cache.folder(number).path));
            match known.get(&key).filter(|memo| is_heard(memo)) {
                Some(_) => drop(kept.answers.insert(key, selected)),
                None => drop(kept.answers.remove(&key)),
            }
        }
        kept.unverified.extend(unverified);
        kept.token = Some(told.token);
        kept.cache = cache.mark();
        kept.unsaved = true;
        *self.kept.lock() = kept;
    }

    /// Writes the answers, if they differ from those that lie on the disk.
    pub fn save(&self) -> std::io::Result<()> {
        let mut kept = self.kept.lock();
        if kept.unsaved {
            let packed = rmp_serde::to_vec(&*kept).map_err(std::io::Error::other)?;
            let check = blake3::hash(&packed);
            self.state.replace(FILE, &[&MAGIC[..], check.as_bytes(), &packed].concat())?;
            kept.unsaved = false;
        }
        Ok(())
    }
}

impl Kept {
    fn unpack(bytes: &[u8]) -> Option<Self> {
        let (check, packed) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
        if blake3::hash(packed).as_bytes() != check {
            return None;
        }
        rmp_serde::from_slice(packed).ok()
    }
}

fn folders_of(memo: &Memo) -> impl Iterator<Item = usize> {
    memo.folders.iter().flat_map(|(first, end)| *first as usize..*end as usize)
}
