//! One look over the disk, with what an earlier one found in hand.
//!
//! First [`Scan::check`] asks the disk whether known folders and their used
//! files are as they were; no list is read and no text made for that. Then
//! folders are listed on demand, and a file is read only if its stat differs from the
//! one its hash goes with. Knows no ignore rules and writes nothing.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::compare::{self, Change, Compared};
use super::select::{Facts, FolderListing, Folders, ListError, join};
use super::stat::{self, HashedEntry, Seen};
use super::stat_cache::StatCache;
use crate::model::file::FileKind;
use crate::state::clock::Clock;
use crate::state::folder::StateFolder;
use crate::state::place::STATE;

/// A name of the tree that does not count: imk's own state.
pub struct Hidden {
    /// The folder it lies in.
    pub folder: String,
    /// Its name.
    pub name: Vec<u8>,
}

/// One look over the disk.
pub struct Scan<'a> {
    root: &'a OwnedFd,
    hidden: &'a [Hidden],
    known: &'a StatCache,
    state: &'a StateFolder,
    clock: OnceLock<Clock>,
    /// Known folders that were compared with the disk.
    checked: Vec<bool>,
    /// The folders that differed.
    changes: HashMap<u32, Change>,
    listed: Mutex<HashMap<String, Arc<Folder>>>,
}

/// A folder that was listed in this scan.
pub struct Folder {
    /// Below the repository's root.
    pub path: String,
    /// Its stat from before it was listed.
    pub seen: Seen,
    /// Its list may change without showing it.
    pub racy: bool,
    /// Its number in the cache.
    pub known: Option<usize>,
    /// Its entries.
    pub slots: Vec<Slot>,
    /// True if something in it is not as the cache had it.
    fresh: AtomicBool,
    /// Held while its files are looked at, so that two selections do not read one file twice.
    looking: Mutex<()>,
}

/// One name of a folder.
pub struct Slot {
    /// The name.
    pub name: Box<[u8]>,
    /// Its kind, by the listing.
    pub kind: FileKind,
    /// Number of its entry in the cache.
    known: Option<u32>,
    /// It was found to differ from that.
    differs: bool,
    hashed: OnceLock<HashedEntry>,
}

impl Folder {
    /// Is something in it not as the cache had it?
    pub fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
    }
}

impl<'a> Scan<'a> {
    /// Begins a scan; the disk is not touched yet.
    pub fn new(
        root: &'a OwnedFd,
        hidden: &'a [Hidden],
        known: &'a StatCache,
        state: &'a StateFolder,
    ) -> Self {
        Self {
            root,
            hidden,
            known,
            state,
            clock: OnceLock::new(),
            checked: Vec::new(),
            changes: HashMap::new(),
            listed: Mutex::default(),
        }
    }

    /// Compares the marked folders of the cache, and their used files, with the disk. Those that are not in doubt
    /// are as they were known: somebody vouches for them. What was looked at just before is not looked at again.
    pub fn check(&mut self, marked: Vec<bool>, doubtful: Option<&[bool]>, before: Option<Compared>) {
        let in_doubt = doubtful.unwrap_or(&marked);
        let before = before.unwrap_or_default();
        let open = (0..marked.len()).map(|number| in_doubt[number] && !before.has(number));
        let now = compare::all(self.root, self.known, &open.collect::<Vec<bool>>());
        self.changes = now;
        self.changes.extend(before.changes.into_iter().filter(|(number, _)| in_doubt[*number as usize]));
        self.checked = marked;
    }

    /// Numbers of the known folders that differ, in no order.
    pub fn changed(&self) -> impl Iterator<Item = u32> {
        self.changes.keys().copied()
    }

    /// Folders with files whose known facts nobody compared with the disk, or that differ: those facts are written
    /// once more, and must not be taken on anybody's word.
    pub fn unverified(&self) -> BTreeSet<String> {
        let listed = self.listed.lock();
        let is_open = |folder: &Folder, slot: &Slot| {
            slot.hashed.get().is_none() && self.known_hashed(folder, slot).is_some()
        };
        let half = listed.values().filter(|folder| folder.slots.iter().any(|slot| is_open(folder, slot)));
        let half = half.map(|folder| folder.path.clone());
        let changed = self.changes.keys().map(|number| self.known.folder(*number as usize).path);
        half.chain(changed.filter(|path| !listed.contains_key(*path)).map(str::to_owned)).collect()
    }

    /// The facts of an entry, found now or before.
    pub fn hashed(&self, folder: &Folder, slot: &Slot) -> Option<HashedEntry> {
        slot.hashed.get().cloned().or_else(|| self.known_hashed(folder, slot))
    }

    fn known_hashed(&self, folder: &Folder, slot: &Slot) -> Option<HashedEntry> {
        self.known.entry(slot.known? as usize).hashed(folder.seen.dev)
    }

    fn clock(&self) -> &Clock {
        self.clock.get_or_init(|| self.state.clock())
    }

    fn find(&self, path: &str, flags: OFlags) -> Result<Arc<Folder>, Errno> {
        let listed = || self.listed.lock();
        if let Some(folder) = listed().get(path) {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(self.list(path, flags)?);
        Ok(Arc::clone(listed().entry(path.to_owned()).or_insert(folder)))
    }

    fn list(&self, path: &str, flags: OFlags) -> Result<Folder, Errno> {
        // Before the first stat that may be remembered.
        let clock = self.clock();
        let known = self.known.find(path);
        let change = known.and_then(|number| self.changes.get(&u32::try_from(number).ok()?));
        let is_checked = known.is_some_and(|number| self.checked.get(number) == Some(&true));
        if let Some(number) = known
            && is_checked
            && change != Some(&Change::List)
        {
            let mut folder = self.cached(number);
            let changed = match change {
                Some(Change::Files(positions)) => positions.as_slice(),
                _ => &[],
            };
            for position in changed {
                folder.slots[*position as usize].differs = true;
            }
            for slot in folder.slots.iter().filter(|slot| !slot.differs) {
                if let Some(hashed) = self.known_hashed(&folder, slot) {
                    let _ = slot.hashed.set(hashed);
                }
            }
            return Ok(folder);
        }
        let fd = stat::open_folder(self.root, path, OFlags::RDONLY | flags)?;
        let seen = stat::stat_open(&fd)?;
        if let Some(number) = known
            && change.is_none()
            && !self.known.folder(number).racy
            && self.known.folder(number).seen == seen
        {
            return Ok(self.cached(number));
        }
        let mut names = stat::list(&fd)?;
        // The state of a project in a folder below is no more a file of this one than its own is.
        names.retain(|(name, _)| **name != *STATE.as_bytes());
        for hidden in self.hidden.iter().filter(|hidden| hidden.folder == path) {
            names.retain(|(name, _)| **name != *hidden.name);
        }
        let mut old = known.map_or(0..0, |number| self.known.folder(number).entries()).peekable();
        let slots = names.into_iter().map(|(name, kind)| {
            while old.next_if(|entry| self.known.entry(*entry).name() < &*name).is_some() {}
            let same = |entry: &usize| {
                let entry = self.known.entry(*entry);
                entry.name() == &*name && entry.kind() == kind
            };
            let known = old.peek().copied().filter(same).map(|entry| entry as u32);
            Slot { name, kind, known, differs: false, hashed: OnceLock::new() }
        });
        let slots = slots.collect();
        let (fresh, looking) = (AtomicBool::new(true), Mutex::default());
        Ok(Folder { path: path.to_owned(), racy: seen.is_racy(clock), seen, known, slots, fresh, looking })
    }

    fn cached(&self, number: usize) -> Folder {
        let folder = self.known.folder(number);
        let slots = folder.entries().map(|number| {
            let entry = self.known.entry(number);
            let known = Some(number as u32);
            Slot {
                name: entry.name().into(),
                kind: entry.kind(),
                known,
                differs: false,
                hashed: OnceLock::new(),
            }
        });
        Folder {
            path: folder.path.to_owned(),
            seen: folder.seen,
            racy: folder.racy,
            known: Some(number),
            slots: slots.collect(),
            fresh: AtomicBool::new(false),
            looking: Mutex::default(),
        }
    }

    fn hash(&self, folder: &Folder, slot: &Slot, dir: impl AsFd) -> Result<HashedEntry, ListError> {
        if !slot.differs
            && let Some(known) = self.known_hashed(folder, slot)
            && !known.racy
            && stat::stat(&dir, &slot.name) == Ok(known.seen)
        {
            return Ok(known);
        }
        folder.fresh.store(true, Ordering::Relaxed);
        let path = join(&folder.path, &String::from_utf8_lossy(&slot.name));
        let mut hashed = stat::hash(dir, &slot.name, slot.kind, self.clock(), &path)?;
        // The cache keeps one device for a folder: a file mounted into it is never settled.
        hashed.racy |= hashed.seen.dev != folder.seen.dev;
        Ok(hashed)
    }
}

impl FolderListing for Folder {
    fn count(&self) -> usize {
        self.slots.len()
    }
    fn name(&self, index: usize) -> (&[u8], FileKind) {
        let slot = &self.slots[index];
        (&slot.name, slot.kind)
    }
    fn mode_and_mtime(&self) -> (u32, i64) {
        (self.seen.mode & 0o7777, self.seen.mtime_ns)
    }
}

impl Folders for Scan<'_> {
    type Folder = Arc<Folder>;

    fn context(&self, path: &str) -> Result<Arc<Folder>, ListError> {
        self.find(path, OFlags::empty()).map_err(|errno| match errno {
            Errno::NOENT => ListError::read(path, "there is no such folder"),
            Errno::NOTDIR => ListError::read(path, "it is not a folder"),
            errno => ListError::read(path, stat::why(errno)),
        })
    }

    fn folder(&self, path: &str) -> Result<Arc<Folder>, ListError> {
        self.find(path, OFlags::NOFOLLOW).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE => ListError::Moved(path.to_owned()),
            errno => ListError::read(path, stat::why(errno)),
        })
    }

    fn facts(&self, folder: &Arc<Folder>, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        let _looking = folder.looking.lock();
        let mut dir: Option<OwnedFd> = None;
        let mut all = Vec::with_capacity(indexes.len());
        for index in indexes {
            let slot = &folder.slots[*index as usize];
            if slot.hashed.get().is_none() {
                let dir = match &dir {
                    Some(dir) => dir,
                    None => dir.insert(self.reopen(folder)?),
                };
                let _ = slot.hashed.set(self.hash(folder, slot, dir)?);
            }
            all.extend(slot.hashed.get().map(|hashed| hashed.facts.clone()));
        }
        Ok(all)
    }
}

impl Scan<'_> {
    /// Opens a listed folder once more, if it is still the same.
    fn reopen(&self, folder: &Folder) -> Result<OwnedFd, ListError> {
        let moved = |_| ListError::Moved(folder.path.clone());
        let fd = stat::open_folder(self.root, &folder.path, OFlags::PATH).map_err(moved)?;
        let seen = stat::stat_open(&fd).map_err(moved)?;
        if (seen.dev, seen.ino) != (folder.seen.dev, folder.seen.ino) {
            return Err(ListError::Moved(folder.path.clone()));
        }
        Ok(fd)
    }
}
