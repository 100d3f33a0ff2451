//! What was built: action key → result, one line a build, appended and never changed.
//!
//! The truth about finished builds. A line is on the disk before its build
//! counts as done; a torn last line, left by a power cut or `kill -9`, is
//! passed over. Knows nothing of queries; whether the engine still has an image
//! is asked elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::reason::Reason;

/// One finished build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The action key: everything that could change the image.
    pub key: ContentHash,
    /// The image's name at the time. Explains, never decides.
    pub image: String,
    /// The engine that has the result; ids mean nothing elsewhere.
    pub engine: String,
    /// The image id on that engine.
    pub id: String,
    /// What users of the image are keyed on: its file-system layers and
    /// configuration without dates, so that the same image built twice is the same.
    pub content: ContentHash,
    /// Seconds since 1970 when the build ended.
    pub at: u64,
    /// Milliseconds the engine took.
    pub took_ms: u64,
    /// Why it was built, the first cause in front. Empty when an older result served again.
    pub reasons: Vec<Reason>,
    /// The exact name under which a registry has it, if it was published or found there:
    /// `r.example/team/app@sha256:…`. The engine need not have it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// It came out with the content of the build before: who uses the image was left alone.
    /// Ledgers of older imk do not say.
    #[serde(default)]
    pub same: bool,
}

/// Seconds since 1970, as records bear it.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// How many builds of one image the ledger remembers when it is compacted.
const HISTORY: usize = 50;

/// The open ledger of one repository.
pub struct Ledger {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    /// Index of the newest record of a key on an engine.
    by_key: BTreeMap<(ContentHash, String), usize>,
    /// Index of the newest record of an image on an engine.
    by_image: BTreeMap<(String, String), usize>,
}

/// A later word on a result: it was published.
#[derive(Debug, Serialize, Deserialize)]
struct Shelving {
    key: ContentHash,
    engine: String,
    published: String,
}

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Built(Record),
    Shelved(Shelving),
}

impl State {
    /// Notes it at the newest result of the key; `false` when that was known, or there is none.
    fn shelve(&mut self, shelving: &Shelving) -> bool {
        let index = self.by_key.get(&(shelving.key, shelving.engine.clone()));
        let Some(record) = index.and_then(|index| self.records.get_mut(*index)) else { return false };
        let news = record.published.as_ref() != Some(&shelving.published);
        record.published = Some(shelving.published.clone());
        news
    }

    fn add(&mut self, record: Record) {
        let index = self.records.len();
        self.by_key.insert((record.key, record.engine.clone()), index);
        self.by_image.insert((record.image.clone(), record.engine.clone()), index);
        self.records.push(record);
    }
}

impl Ledger {
    /// Reads the ledger at `path`; none there is an empty one.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut state = State::default();
        let mut lines = 0;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            lines += 1;
            // A line that does not parse is torn or of another version: it only costs a build.
            match serde_json::from_slice(line) {
                Ok(Line::Built(record)) => state.add(record),
                Ok(Line::Shelved(shelving)) => drop(state.shelve(&shelving)),
                Err(_) => {}
            }
        }
        let ledger = Self { path: path.to_owned(), state: Mutex::new(state) };
        let torn = bytes.last().is_some_and(|last| *last != b'\n');
        if torn || lines > 2 * ledger.kept().len() + 1000 {
            ledger.rewrite()?;
        }
        Ok(ledger)
    }

    /// A ledger of nothing, to plan with. Where nothing is built nothing is written.
    pub fn empty() -> Self {
        Self { path: PathBuf::new(), state: Mutex::default() }
    }

    /// The result of `key` on `engine`, if it was ever built there.
    pub fn lookup(&self, key: &ContentHash, engine: &str) -> Option<Record> {
        let state = self.state();
        state.by_key.get(&(*key, engine.to_owned())).map(|index| state.records[*index].clone())
    }

    /// The newest result of `key` on every engine that ever had one.
    pub fn results(&self, key: &ContentHash) -> Vec<Record> {
        let state = self.state();
        let from = (*key, String::new());
        let of_key = state.by_key.range(from..).take_while(|((of, _), _)| of == key);
        of_key.map(|(_, index)| state.records[*index].clone()).collect()
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

    /// The newest record of every id with this content, on `engine` or on any, newest first.
    pub fn with_content(&self, content: &ContentHash, engine: Option<&str>) -> Vec<Record> {
        let state = self.state();
        let there = |record: &Record| engine.is_none_or(|engine| record.engine == engine);
        let same = state.records.iter().rev().filter(|record| record.content == *content && there(record));
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
        let shelving = Shelving { key: *key, engine: engine.to_owned(), published: at.to_owned() };
        let mut state = self.state();
        if !state.shelve(&shelving) {
            return Ok(());
        }
        self.append(&shelving)
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
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(&line)?;
        file.sync_data()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held left whole records behind: `add` is the last step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn rewrite(&self) -> std::io::Result<()> {
        let kept = self.kept();
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for record in &kept {
            serde_json::to_writer(&mut file, record)?;
            file.write_all(b"\n")?;
        }
        file.as_file().sync_data()?;
        file.persist(&self.path)?;
        let mut state = self.state();
        *state = State::default();
        for record in kept {
            state.add(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(image: &str, key: u8, id: &str) -> Record {
        Record {
            key: ContentHash::of(&[key]),
            image: image.into(),
            engine: "e".into(),
            id: id.into(),
            content: ContentHash::of(id.as_bytes()),
            at: 1,
            took_ms: 2,
            reasons: vec![],
            published: None,
            same: false,
        }
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        (folder, path)
    }

    fn history(ledger: &Ledger, image: &str) -> Vec<Record> {
        ledger.history(&BTreeSet::from([image.to_owned()]))
    }

    #[test]
    fn two_builds_of_one_second_keep_their_order() {
        let (_folder, path) = folder();
        let ledger = Ledger::open(&path).unwrap();
        for (image, key) in [("web", 1), ("db", 2), ("web", 3)] {
            let reasons = vec![Reason::forced()];
            ledger.record(Record { reasons, ..record(image, key, &format!("sha256:{key}")) }).unwrap();
        }
        let ids: Vec<String> = history(&ledger, "web").into_iter().map(|record| record.id).collect();
        assert_eq!(ids, ["sha256:3", "sha256:1"], "the newest in front");
        let (at, newest) = ledger.last_build("web", usize::MAX).unwrap();
        assert_eq!((at, newest.id.as_str()), (2, "sha256:3"));
        let (at, before) = ledger.last_build("web", at).unwrap();
        assert_eq!((at, before.id.as_str()), (0, "sha256:1"));
        assert_eq!(ledger.last_build("web", at), None);
    }

    #[test]
    fn a_ledger_of_an_older_imk_is_read() {
        let (_folder, path) = folder();
        let line = serde_json::to_string(&record("web", 1, "sha256:a")).unwrap();
        fs::write(&path, line.replace(",\"same\":false", "") + "\n").unwrap();
        assert_eq!(Ledger::open(&path).unwrap().builds("web"), [record("web", 1, "sha256:a")]);
    }

    #[test]
    fn what_was_recorded_is_found_by_the_next_process() {
        let (_folder, path) = folder();
        let ledger = Ledger::open(&path).unwrap();
        ledger.record(record("web", 1, "sha256:a")).unwrap();
        ledger.record(record("web", 2, "sha256:b")).unwrap();
        drop(ledger);
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.lookup(&ContentHash::of(&[1]), "e").unwrap().id, "sha256:a");
        assert_eq!(ledger.lookup(&ContentHash::of(&[1]), "other engine"), None);
        assert_eq!(ledger.latest("web", "e").unwrap().id, "sha256:b");
        assert_eq!(ledger.with_content(&ContentHash::of(b"sha256:a"), Some("e"))[0].id, "sha256:a");
    }

    #[test]
    fn a_ledger_cut_at_any_byte_keeps_every_whole_line() {
        let (_folder, path) = folder();
        let ledger = Ledger::open(&path).unwrap();
        for n in 0..3 {
            ledger.record(record("web", n, "sha256:a")).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
            let ledger = Ledger::open(&path).unwrap();
            // The last line may be whole but for its line end.
            let found = history(&ledger, "web").len();
            assert!(found == lines || found == lines + 1, "{found} of {lines} at {length}");
            ledger.record(record("db", 9, "sha256:z")).unwrap();
            let again = Ledger::open(&path).unwrap();
            assert_eq!(history(&again, "web").len(), found, "a torn line must not swallow the next");
            assert_eq!(history(&again, "db").len(), 1);
        }
    }

    #[test]
    fn recent_keys_are_those_of_the_last_builds_of_each_image() {
        let (_folder, path) = folder();
        let ledger = Ledger::open(&path).unwrap();
        for (image, key) in [("web", 1), ("db", 2), ("web", 3), ("web", 4)] {
            ledger.record(record(image, key, "sha256:a")).unwrap();
        }
        let recent: Vec<_> =
            [1, 2, 3, 4].map(|key| ledger.recent(2).contains(&ContentHash::of(&[key]))).into();
        assert_eq!(recent, [false, true, true, true]);
    }

    #[test]
    fn a_long_ledger_is_compacted_and_loses_no_current_result() {
        let (_folder, path) = folder();
        let ledger = Ledger::open(&path).unwrap();
        ledger.record(record("other", 200, "sha256:o")).unwrap();
        let line = serde_json::to_string(&record("web", 1, "sha256:a")).unwrap() + "\n";
        fs::write(&path, fs::read_to_string(&path).unwrap() + &line.repeat(3000)).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        assert!(fs::read_to_string(&path).unwrap().lines().count() < 100);
        assert!(ledger.lookup(&ContentHash::of(&[1]), "e").is_some());
        assert!(ledger.lookup(&ContentHash::of(&[200]), "e").is_some());
    }
}
