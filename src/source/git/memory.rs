//! Memory of git's objects, kept for the next process.
//!
//! Two files below `.imk`: answers and recipes by git's ids, which alone are read when a tree is as
//! before; and content hashes by blob id, read when the first blob is asked for. Git's ids never change
//! their meaning, so nothing is ever compared with the repository. Both are
//! disposable and bounded, and a damaged or foreign one is empty. Knows neither commits nor paths.

use std::collections::HashMap;
use std::sync::OnceLock;

use git2::Oid;
use serde::{Deserialize, Serialize};

use crate::model::hash::ContentHash;
use crate::source::tree::Selected;
use crate::state::folder::StateFolder;

const ANSWERS: &str = "git-answers";
const BLOBS: &str = "git-blobs";

/// The build that wrote the memory: an answer's meaning may change with imk, a content hash's may not.
const BUILD_ID: &str = env!("IMK_BUILD_ID");
const MAGIC: &[u8; 16] = b"imk git blobs 1\n";

/// An answer nobody asked for is dropped when the file was written this often.
const OLDEST: u8 = 16;
/// More blobs than this (30 MB of them), and only those of the last run are kept.
const MOST_BLOBS: usize = 500_000;

/// Bytes of a blob's id, of its content's hash and of its size. Of an id of more bytes, the first tell it from all others.
const ID: usize = 20;
const RECORD: usize = ID + 32 + 8;

/// The knowledge of earlier processes.
pub(super) struct Memory {
    state: StateFolder,
    answers: Answers,
    blobs: OnceLock<Vec<u8>>,
}

/// Content hash and size.
pub(super) type Blob = (ContentHash, u64);

#[derive(Default, Serialize, Deserialize)]
struct Answers {
    answers: HashMap<ContentHash, (Selected, u8)>,
    /// Recipes below a tree, by its id.
    recipes: HashMap<Vec<u8>, Vec<String>>,
}

impl Memory {
    /// Reads what was kept in a state folder, which may not exist yet.
    pub fn read(state: StateFolder) -> Self {
        let answers = state.read(ANSWERS).and_then(|bytes| {
            let packed = checked(&bytes, BUILD_ID.as_bytes())?;
            rmp_serde::from_slice(packed).ok()
        });
        Self { state, answers: answers.unwrap_or_default(), blobs: OnceLock::new() }
    }

    pub fn answer(&self, key: &ContentHash) -> Option<Selected> {
        self.answers.answers.get(key).map(|(selected, _)| selected.clone())
    }

    pub fn recipes(&self, tree: Oid) -> Option<&[String]> {
        self.answers.recipes.get(tree.as_bytes()).map(Vec::as_slice)
    }

    pub fn blob(&self, id: Oid) -> Option<Blob> {
        let records = self.blobs();
        let (mut low, mut high) = (0, records.len() / RECORD);
        while low < high {
            let middle = usize::midpoint(low, high);
            let record = &records[middle * RECORD..][..RECORD];
            match record[..ID].cmp(&id.as_bytes()[..ID]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(unpack(record)),
            }
        }
        None
    }

    /// Records by id, in order.
    fn blobs(&self) -> &[u8] {
        self.blobs.get_or_init(|| {
            let bytes = self.state.read(BLOBS);
            let records = bytes.as_deref().and_then(|bytes| checked(bytes, MAGIC));
            records.filter(|records| records.len() % RECORD == 0).unwrap_or_default().to_vec()
        })
    }

    /// Keeps what this process used, if some of it is new.
    ///
    /// # Errors
    /// When it cannot be written; nothing but time is lost.
    pub fn save<'a>(
        &self,
        answers: impl Iterator<Item = (ContentHash, &'a Selected)>,
        recipes: impl Iterator<Item = (Oid, &'a [String])>,
        blobs: &HashMap<Oid, Blob>,
    ) -> std::io::Result<()> {
        let answers: HashMap<_, _> = answers.map(|(key, answer)| (key, (answer.clone(), 0))).collect();
        let recipes: HashMap<Vec<u8>, Vec<String>> =
            recipes.map(|(id, paths)| (id.as_bytes().to_vec(), paths.to_vec())).collect();
        let has_news = answers.keys().any(|key| !self.answers.answers.contains_key(key))
            || recipes.keys().any(|id| !self.answers.recipes.contains_key(id));
        if has_news {
            // A list of recipes is made in no time from a tree that was read: those of the last run will do.
            let mut kept = Answers { answers, recipes };
            for (key, (answer, age)) in &self.answers.answers {
                if *age < OLDEST {
                    kept.answers.entry(*key).or_insert_with(|| (answer.clone(), age + 1));
                }
            }
            let packed = rmp_serde::to_vec(&kept).map_err(std::io::Error::other)?;
            self.state.replace(ANSWERS, &envelope(&packed, BUILD_ID.as_bytes()))?;
        }
        self.save_blobs(blobs)
    }

    fn save_blobs(&self, used: &HashMap<Oid, Blob>) -> std::io::Result<()> {
        if used.keys().all(|id| self.blob(*id).is_some()) {
            return Ok(());
        }
        let mut records: Vec<(&[u8], Blob)> =
            used.iter().map(|(id, blob)| (&id.as_bytes()[..ID], *blob)).collect();
        let old = self.blobs();
        if used.len() + old.len() / RECORD <= MOST_BLOBS {
            records.extend(old.chunks_exact(RECORD).map(|record| (&record[..ID], unpack(record))));
        }
        records.sort_unstable_by_key(|(id, _)| *id);
        records.dedup_by_key(|(id, _)| *id);
        let mut packed = Vec::with_capacity(records.len().min(MOST_BLOBS) * RECORD);
        for (id, (hash, size)) in records.into_iter().take(MOST_BLOBS) {
            packed.extend(id);
            packed.extend(hash.0);
            packed.extend(size.to_le_bytes());
        }
        self.state.replace(BLOBS, &envelope(&packed, MAGIC))
    }
}

fn unpack(record: &[u8]) -> Blob {
    let (mut hash, mut size) = ([0; 32], [0; 8]);
    hash.copy_from_slice(&record[ID..ID + 32]);
    size.copy_from_slice(&record[ID + 32..RECORD]);
    (ContentHash(hash), u64::from_le_bytes(size))
}

fn envelope(packed: &[u8], kind: &[u8]) -> Vec<u8> {
    [ContentHash::of(kind).0.as_slice(), &ContentHash::of(packed).0, packed].concat()
}

fn checked<'a>(bytes: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    let rest = bytes.strip_prefix(&ContentHash::of(kind).0)?;
    let (check, packed) = rest.split_at_checked(32)?;
    (ContentHash::of(packed).0 == check).then_some(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> Oid {
        Oid::from_bytes(&[number; ID]).unwrap()
    }

    fn blob(number: u8) -> Blob {
        (ContentHash::of(&[number]), u64::from(number))
    }

    fn selected(number: u8) -> Selected {
        Selected { hash: ContentHash::of(&[number]), missing: vec![1], empty: vec![0], count: 2, bytes: 3 }
    }

    #[test]
    fn what_was_learned_is_there_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(&folder.path().join(".imk"));
        let answer = selected(1);
        let recipes = ["a/Dockerfile".to_owned()];
        let keep = |blobs: &[u8]| {
            let blobs = blobs.iter().map(|number| (id(*number), blob(*number))).collect();
            let answers = [(answer.hash, &answer)].into_iter();
            let memory = Memory::read(state.clone());
            memory.save(answers, [(id(9), recipes.as_slice())].into_iter(), &blobs).unwrap();
            Memory::read(state.clone())
        };
        keep(&[3, 1]);
        let memory = keep(&[2]);
        assert_eq!(memory.answer(&answer.hash), Some(answer.clone()));
        assert_eq!(memory.recipes(id(9)), Some(recipes.as_slice()));
        assert_eq!(
            [1, 2, 3, 4].map(|number| memory.blob(id(number))),
            [Some(blob(1)), Some(blob(2)), Some(blob(3)), None]
        );
    }

    #[test]
    fn a_damaged_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(&folder.path().join(".imk"));
        let answer = selected(1);
        let blobs = HashMap::from([(id(1), blob(1))]);
        let memory = Memory::read(state.clone());
        memory.save([(answer.hash, &answer)].into_iter(), std::iter::empty(), &blobs).unwrap();
        for name in [ANSWERS, BLOBS] {
            let mut bytes = state.read(name).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            state.replace(name, &bytes).unwrap();
        }
        let memory = Memory::read(state);
        assert_eq!((memory.answer(&answer.hash), memory.blob(id(1))), (None, None));
    }
}
