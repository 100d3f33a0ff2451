//! Receipts of tests that passed, and which runs of tests are under way.
//!
//! A line of JSON for each receipt, with a check of itself; a lost one costs a test. Knows no test.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::folder::StateFolder;
use super::seal;
use crate::model::hash::{ContentHash, FieldHasher};
use crate::model::time::UnixSeconds;

const FILE: &str = "receipts";
/// Lines beyond which old ones go.
const MOST: usize = 4096;

/// A test that passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Everything that it rests on.
    pub key: ContentHash,
    /// The image's name at the time.
    pub image: String,
    /// The test's name.
    pub test: String,
    /// Seconds since 1970 when it passed.
    pub at: u64,
    /// Milliseconds it took.
    pub took_ms: u64,
    /// The try at which it passed.
    pub tries: u32,
}

/// Seconds since 1970, as receipts bear them.
pub fn now() -> u64 {
    UnixSeconds::now().0
}

/// The receipts of a repository.
pub struct Receipts {
    state: StateFolder,
    by_key: BTreeMap<ContentHash, Receipt>,
    lines: usize,
}

impl Receipts {
    /// Reads them; a damaged line is none.
    pub fn read(state: &StateFolder) -> Self {
        let bytes = state.read(FILE).unwrap_or_default();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| seal::is_whole(line));
        let found: Vec<Receipt> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let lines = found.len();
        let by_key = found.into_iter().map(|receipt| (receipt.key, receipt)).collect();
        Self { state: state.clone(), by_key, lines }
    }

    /// The receipt of a key, not older than `max_age` seconds.
    pub fn of(&self, key: &ContentHash, max_age: Option<u64>) -> Option<&Receipt> {
        let receipt = self.by_key.get(key)?;
        // One from the future is of a clock that was wrong: it has no age.
        let age = now().checked_sub(receipt.at)?;
        max_age.is_none_or(|most| age <= most).then_some(receipt)
    }

    /// Takes somebody else's into account, and does not write it down. A later one of the same key stays.
    pub fn believe(&mut self, receipt: Receipt) {
        let known = self.by_key.get(&receipt.key);
        if known.is_none_or(|known| known.at < receipt.at) {
            self.by_key.insert(receipt.key, receipt);
        }
    }

    /// Writes one down.
    ///
    /// # Errors
    /// When it cannot be written; the test runs again then.
    pub fn add(&mut self, receipt: Receipt) -> io::Result<()> {
        let line = seal::seal_line(&serde_json::to_vec(&receipt)?);
        self.by_key.insert(receipt.key, receipt);
        self.lines += 1;
        if self.lines <= MOST {
            return self.state.open_file(FILE, true)?.write_all(&line);
        }
        let mut kept: Vec<&Receipt> = self.by_key.values().collect();
        kept.sort_by_key(|receipt| std::cmp::Reverse(receipt.at));
        kept.truncate(MOST / 2);
        let mut text = Vec::new();
        for receipt in &kept {
            text.extend(seal::seal_line(&serde_json::to_vec(receipt)?));
        }
        self.lines = kept.len();
        self.state.replace(FILE, &text)
    }
}

/// A run of tests: as long as this lives, what it made is its own.
pub struct TestRun {
    /// Stands for this repository's state on this machine and for no other.
    pub owner: String,
    /// Its name, which no other run has.
    pub name: String,
    state: StateFolder,
    _lock: File,
}

impl TestRun {
    /// Begins a run.
    ///
    /// # Errors
    /// When the state cannot be written, or the file system knows no locks.
    pub fn begin(state: &StateFolder) -> io::Result<Self> {
        let state = state.sub("tests");
        let host = rustix::system::uname();
        // Two that are the first at once are one owner.
        let turn = state.open_file("owner.lock", false)?;
        turn.lock()?;
        let id = match state.read("owner").filter(|id| id.len() == 32) {
            Some(id) => id,
            None => {
                let id = unique().into_bytes();
                state.replace("owner", &id)?;
                id
            }
        };
        let owner =
            FieldHasher::new("imk tests").field(id).field(host.nodename().to_bytes()).finish().short(16);
        drop(turn);
        let name = unique();
        let lock = state.open_file(&format!("{name}.lock"), false)?;
        // Another run may try it for a moment, to see whether this one is over.
        lock.lock()?;
        Ok(Self { owner, name, state, _lock: lock })
    }

    /// Whether a run of this owner is over: nobody holds its lock. That of a killed process the kernel gave back.
    pub fn is_over(&self, name: &str) -> bool {
        let is_name = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_name || name == self.name {
            return false;
        }
        let file = format!("{name}.lock");
        match self.state.try_read(&file) {
            Ok(None) => true,
            Ok(Some(_)) => self.state.open_file(&file, false).is_ok_and(|lock| lock.try_lock().is_ok()),
            Err(_) => false,
        }
    }
}

impl Drop for TestRun {
    fn drop(&mut self) {
        let _ = self.state.remove(&format!("{}.lock", self.name));
    }
}

/// 32 hexadecimal digits that nobody else has.
fn unique() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = [RandomState::new(), RandomState::new()].map(|state| state.hash_one(now()));
    let mut id = FieldHasher::new("imk unique");
    id.number(random[0]).number(random[1]).number(u64::from(std::process::id())).number(now());
    id.finish().short(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(number: u64) -> Receipt {
        let key = ContentHash::of(&number.to_le_bytes());
        Receipt { key, image: "a".into(), test: "t".into(), at: now(), took_ms: 1, tries: 1 }
    }

    #[test]
    fn a_receipt_is_found_until_it_is_too_old_or_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let mut receipts = Receipts::read(&state);
        let one = receipt(1);
        receipts.add(one.clone()).unwrap();
        receipts.add(Receipt { at: now() - 100, ..receipt(2) }).unwrap();
        let again = Receipts::read(&state);
        assert_eq!(again.of(&one.key, Some(10)), Some(&one));
        assert!(again.of(&receipt(2).key, Some(50)).is_none() && again.of(&receipt(2).key, None).is_some());
        assert!(again.of(&receipt(3).key, None).is_none());
        let text = String::from_utf8(state.read(FILE).unwrap()).unwrap().replacen("\"a\"", "\"b\"", 1);
        state.replace(FILE, text.as_bytes()).unwrap();
        assert!(Receipts::read(&state).of(&one.key, None).is_none());
    }

    #[test]
    fn old_receipts_go_when_there_are_many() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let mut receipts = Receipts::read(&state);
        receipts.lines = MOST;
        receipts.add(receipt(1)).unwrap();
        assert_eq!((receipts.lines, Receipts::read(&state).by_key.len()), (1, 1));
    }

    #[test]
    fn a_run_is_over_when_nobody_holds_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let one = TestRun::begin(&state).unwrap();
        let other = TestRun::begin(&state).unwrap();
        assert_eq!(one.owner, other.owner);
        assert!(!one.is_over(&other.name) && !one.is_over(&one.name) && !one.is_over("../x"));
        let name = other.name.clone();
        drop(other);
        assert!(one.is_over(&name));
    }
}
