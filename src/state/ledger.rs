//! Ledger of builds: action key → result, one line a build, appended and never changed.
//!
//! The truth about finished builds. A line is on the disk before its build
//! counts as done; a line that is torn or not as it was written (each ends with a check
//! of itself) is passed over. Of an image that is gone from the Imagefile the results stay, without
//! their history: see `ledger/removed_images.rs`. Knows nothing of queries; whether the engine still has an image
//! is asked elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use super::folder::StateFolder;
use crate::model::hash::ContentHash;
use crate::model::reason::Reason;
use crate::state::seal;

mod record;
pub mod removed_images;

pub use record::Record;
use record::{FILE, Line, Publication, RemovedImage};

/// How many builds of one image the ledger remembers when it is compacted.
const HISTORY: usize = 50;

/// The open ledger of one repository.
pub struct Ledger {
    folder: StateFolder,
    state: Mutex<State>,
}

/// How the file is to be written anew.
enum Mend {
    /// It is whole.
    None,
    /// With what is worth keeping.
    Kept,
    /// With every record.
    All,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    /// Results of images that are gone from the Imagefile.
    removed: Vec<Record>,
    /// Index of the newest record of a key on an engine.
    by_key: BTreeMap<(ContentHash, String), usize>,
    /// Indexes of all records of a key, oldest first.
    of_key: BTreeMap<ContentHash, Vec<usize>>,
    /// Index of the newest record of an image on an engine.
    by_image: BTreeMap<(String, String), usize>,
}

impl State {
    /// Notes it at the newest result of the key; `false` when that was known, or there is none.
    fn note_published(&mut self, publication: &Publication) -> bool {
        let index = self.by_key.get(&(publication.key, publication.engine.clone()));
        let Some(record) = index.and_then(|index| self.records.get_mut(*index)) else { return false };
        let news = record.published.as_ref() != Some(&publication.published);
        record.published = Some(publication.published.clone());
        news
    }

    fn add(&mut self, record: Record) {
        let index = self.records.len();
        self.by_key.insert((record.key, record.engine.clone()), index);
        self.of_key.entry(record.key).or_default().push(index);
        self.by_image.insert((record.image.clone(), record.engine.clone()), index);
        self.records.push(record);
    }
}

impl Ledger {
    /// Reads the ledger of a state folder and mends its file: for whoever holds the lock of the state. None
    /// there is an empty one.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or not be mended.
    pub fn open(folder: &StateFolder) -> std::io::Result<Self> {
        let (ledger, mend) = Self::read(folder)?;
        match mend {
            Mend::None => {}
            Mend::Kept => ledger.rewrite(ledger.kept())?,
            Mend::All => ledger.rewrite(ledger.records())?,
        }
        Ok(ledger)
    }

    /// Reads the ledger and leaves its file as it is. Somebody else may be writing to it: a file that is
    /// replaced meanwhile would lose that line.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open_read_only(folder: &StateFolder) -> std::io::Result<Self> {
        Self::read(folder).map(|(ledger, _)| ledger)
    }

    fn read(folder: &StateFolder) -> std::io::Result<(Self, Mend)> {
        let bytes = folder.try_read(FILE)?.unwrap_or_default();
        let mut state = State::default();
        let mut lines = 0;
        let unsealed = seal::is_unsealed(&bytes);
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            lines += 1;
            // A line that does not parse is torn or of another version: it only costs a build.
            match Line::read(line, unsealed) {
                Some(Line::Built(record)) => state.add(record),
                Some(Line::Published(publication)) => drop(state.note_published(&publication)),
                Some(Line::Removed(removed)) => state.removed.push(removed.into()),
                None => {}
            }
        }
        let ledger = Self { folder: folder.clone(), state: Mutex::new(state) };
        let torn = bytes.last().is_some_and(|last| *last != b'\n');
        let mend = match () {
            () if torn || lines > 2 * ledger.kept().len() + 1000 => Mend::Kept,
            // Among lines with checks those without would be damaged ones.
            () if unsealed && lines > 0 => Mend::All,
            () => Mend::None,
        };
        Ok((ledger, mend))
    }

    /// A ledger of nothing, to plan with. Where nothing is built nothing is written.
    pub fn empty() -> Self {
        Self { folder: StateFolder::nowhere("this ledger is of a plan alone"), state: Mutex::default() }
    }

    /// The result of `key` on `engine`, if it was ever built there.
    pub fn lookup(&self, key: &ContentHash, engine: &str) -> Option<Record> {
        let state = self.state();
        let known = state.by_key.get(&(*key, engine.to_owned())).map(|index| &state.records[*index]);
        let gone = || state.removed.iter().rev().find(|record| record.key == *key && record.engine == engine);
        known.or_else(gone).cloned()
    }

    /// Why an image without a result on an engine has none there, as far as builds of it are known.
    pub fn no_result(&self, image: &str) -> Reason {
        match self.newest_of(image) {
            Some(_) => Reason::built_elsewhere(),
            None => Reason::never_built(),
        }
    }

    /// Every result of `key`, on whatever engine, newest first. An id is a digest of the image, so an engine
    /// that was upgraded, or went back to an older store of its own, may have any of them. Of those older than one that a
    /// registry has only such as are the same: that one is everybody's.
    pub fn results(&self, key: &ContentHash) -> Vec<Record> {
        let state = self.state();
        let built = state.of_key.get(key).into_iter().flatten().rev().map(|index| &state.records[*index]);
        let left = state.removed.iter().rev().filter(|record| record.key == *key);
        let mut published: Option<ContentHash> = None;
        let mut results: Vec<Record> = Vec::new();
        for record in built.chain(left) {
            let known = results.iter().any(|known| known.id == record.id && known.engine == record.engine);
            if known || published.is_some_and(|content| content != record.content) {
                continue;
            }
            if record.published.is_some() {
                published = Some(record.content);
            }
            results.push(record.clone());
        }
        results
    }

    /// Whether some engine ever had a result of `key`.
    pub fn knows(&self, key: &ContentHash) -> bool {
        let state = self.state();
        let mut of_key = state.by_key.range((*key, String::new())..);
        of_key.next().is_some_and(|((of, _), _)| of == key) || state.removed.iter().any(|it| it.key == *key)
    }

    /// Whether an image was recorded with this id. The newest of its records is looked at first.
    pub fn has_id(&self, image: &str, id: &str) -> bool {
        self.newest_of(image).is_some_and(|record| record.id == id)
            || self.newest(|record| record.id == id).is_some()
            || self.state().removed.iter().any(|record| record.id == id)
    }

    /// The newest build of an image, on whatever engine.
    pub fn newest_of(&self, image: &str) -> Option<Record> {
        let state = self.state();
        let from = (image.to_owned(), String::new());
        let of_image = state.by_image.range(from..).take_while(|((of, _), _)| of == image);
        of_image.map(|(_, index)| *index).max().map(|index| state.records[index].clone())
    }

    /// The newest build of an image on an engine.
    pub fn latest(&self, image: &str, engine: &str) -> Option<Record> {
        let state = self.state();
        let key = (image.to_owned(), engine.to_owned());
        state.by_image.get(&key).map(|index| state.records[*index].clone())
    }

    /// The newest record of every id with this content, on whatever engine, newest first.
    pub fn with_content(&self, content: &ContentHash) -> Vec<Record> {
        let state = self.state();
        let same = state.records.iter().rev().filter(|record| record.content == *content);
        let mut records: Vec<Record> = Vec::new();
        for record in same {
            match records.iter_mut().find(|known| known.id == record.id) {
                // Where it was published may be told by an older record only.
                Some(known) if known.published.is_none() => known.published.clone_from(&record.published),
                Some(_) => {}
                None => records.push(record.clone()),
            }
        }
        records
    }

    /// The keys of the last `count` builds of every image.
    pub fn recent(&self, count: usize) -> BTreeSet<ContentHash> {
        let state = self.state();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let newest_first = state.records.iter().rev();
        newest_first
            .filter(|record| {
                let of_image = seen.entry(&record.image).or_default();
                *of_image += 1;
                *of_image <= count
            })
            .map(|record| record.key)
            .collect()
    }

    /// All builds of some images, newest first. The ledger's own order: two
    /// builds of one second have one time.
    pub fn history(&self, images: &BTreeSet<String>) -> Vec<Record> {
        let state = self.state();
        state.records.iter().rev().filter(|record| images.contains(&record.image)).cloned().collect()
    }

    /// The newest build of an image before a place in the ledger, on any engine,
    /// and its own place; a result that only served again is none.
    pub fn last_build(&self, image: &str, before: usize) -> Option<(usize, Record)> {
        let state = self.state();
        let end = before.min(state.records.len());
        let found = state.records[..end].iter().rposition(|r| r.image == image && !r.reasons.is_empty());
        found.map(|at| (at, state.records[at].clone()))
    }

    /// Writes down where the newest result of a key was published.
    ///
    /// # Errors
    /// When the line cannot be written or synced; it is then asked for again.
    pub fn published(&self, key: &ContentHash, engine: &str, at: &str) -> std::io::Result<()> {
        let publication = Publication { key: *key, engine: engine.to_owned(), published: at.to_owned() };
        let mut state = self.state();
        if !state.note_published(&publication) {
            return Ok(());
        }
        self.append(&publication)
    }

    /// All builds of an image that are remembered, oldest first: the first is `IMAGE@1`.
    pub fn builds(&self, image: &str) -> Vec<Record> {
        self.state().records.iter().filter(|record| record.image == image).cloned().collect()
    }

    /// The newest build for which something holds.
    pub fn newest(&self, is_it: impl Fn(&Record) -> bool) -> Option<Record> {
        self.state().records.iter().rev().find(|record| is_it(record)).cloned()
    }

    /// The middle of what builds took, of one image or of all; `None` when none is remembered.
    pub fn usual_ms(&self, image: Option<&str>) -> Option<u64> {
        let state = self.state();
        let of_image = state.records.iter().filter(|record| image.is_none_or(|image| record.image == image));
        let mut took: Vec<u64> = of_image.map(|record| record.took_ms).filter(|ms| *ms > 0).collect();
        took.sort_unstable();
        took.get(took.len() / 2).copied()
    }

    /// Writes a build down. When this returns, no crash can lose it.
    ///
    /// # Errors
    /// When the line cannot be written or synced; the build then does not count.
    pub fn record(&self, record: Record) -> std::io::Result<()> {
        let mut state = self.state();
        self.append(&record)?;
        state.add(record);
        Ok(())
    }

    fn append(&self, line: &impl Serialize) -> std::io::Result<()> {
        let line = seal::seal_line(&serde_json::to_vec(line)?);
        let mut file = self.folder.open_file(FILE, true)?;
        let before = file.metadata()?.len();
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        if written.is_err() {
            // A full disk takes a part of a line; the next line must not be written behind it.
            let _ = file.set_len(before);
        }
        written
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held left whole records behind: `add` is the last step.
        self.state.lock()
    }

    /// The newest record of every key, and of each image the last [`HISTORY`].
    fn kept(&self) -> Vec<Record> {
        let state = self.state();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut kept: Vec<Record> = Vec::new();
        for (index, record) in state.records.iter().enumerate().rev() {
            let count = seen.entry(&record.image).or_default();
            *count += 1;
            let newest = state.by_key.get(&(record.key, record.engine.clone())) == Some(&index);
            if *count <= HISTORY && (newest || *count <= HISTORY / 2) {
                kept.push(record.clone());
            }
        }
        kept.reverse();
        kept
    }

    /// Replaces the whole file by these records, and the results of images that are gone.
    fn rewrite(&self, kept: Vec<Record>) -> std::io::Result<()> {
        let removed = self.state().removed.clone();
        self.write(kept, removed)
    }

    fn write(&self, kept: Vec<Record>, removed: Vec<Record>) -> std::io::Result<()> {
        self.folder.replace_with(FILE, true, |file| {
            let mut file = BufWriter::new(file);
            for record in &kept {
                file.write_all(&seal::seal_line(&serde_json::to_vec(record)?))?;
            }
            for record in &removed {
                file.write_all(&seal::seal_line(&serde_json::to_vec(&RemovedImage::from(record))?))?;
            }
            file.flush()
        })?;
        let mut state = self.state();
        *state = State { removed, ..State::default() };
        for record in kept {
            state.add(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
