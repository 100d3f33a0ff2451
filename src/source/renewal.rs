//! The stat cache after a scan: folders that an answer rests on, as they were last seen.
//!
//! Knows numbers of folders and what rests on them. Looks at no file: the scan did.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::scan::{Folder, Scan};
use super::select::by_components;
use super::stat_cache::{StatCache, Writer};
use super::stat_memo::Memo;
use super::tree::{Selected, Selection};
use crate::model::hash::ContentHash;

/// An answer nobody asks for is dropped when the cache was written this often.
const OLDEST: u8 = 16;

/// An answer that was worked out in this scan.
pub(super) struct Made {
    pub key: ContentHash,
    pub selected: Selected,
    pub folders: Vec<Arc<Folder>>,
}

/// The cache that takes the place of the one that a scan began with.
pub(super) fn renew(
    cache: &StatCache,
    scan: &Scan<'_>,
    asked: &BTreeMap<ContentHash, &Selection>,
    made: &[Made],
) -> StatCache {
    let fresh = made.iter().flat_map(|made| &made.folders).filter(|folder| folder.is_fresh());
    let fresh: HashSet<u32> =
        fresh.filter_map(|folder| Some(folder.known? as u32)).chain(scan.changed()).collect();
    let changed = Changed::new(cache, fresh.into_iter());
    let mut numbered = Numbered::new(cache, made);
    // Files without their hashes could not be kept as known, and an answer rests on files that are.
    if cache.has_hashes() {
        numbered.keep_old(cache, asked, made, &changed);
    }
    numbered.written(cache, scan)
}

/// How many changed folders come before each number: a range is asked in two steps.
pub(super) struct Changed(Vec<u32>);

impl Changed {
    pub(super) fn new(cache: &StatCache, numbers: impl Iterator<Item = u32>) -> Self {
        let mut before = vec![0; cache.folders + 1];
        for number in numbers {
            before[number as usize + 1] = 1;
        }
        for at in 1..before.len() {
            before[at] += before[at - 1];
        }
        Self(before)
    }

    pub(super) fn touches(&self, memo: &Memo) -> bool {
        memo.folders.iter().any(|(first, end)| self.0[*first as usize] != self.0[*end as usize])
    }
}

/// Answers with the numbers of the folders that they rest on. Known folders keep their numbers, new ones
/// get those behind.
struct Numbered<'a> {
    listed: HashMap<usize, &'a Arc<Folder>>,
    memos: Vec<(Memo, Vec<usize>)>,
    /// How many numbers there are.
    count: usize,
}

impl<'a> Numbered<'a> {
    fn new(cache: &StatCache, made: &'a [Made]) -> Self {
        let mut new: HashMap<*const Folder, usize> = HashMap::new();
        let mut listed: HashMap<usize, &Arc<Folder>> = HashMap::new();
        let mut memos: Vec<(Memo, Vec<usize>)> = Vec::new();
        for made in made {
            let numbers = made.folders.iter().map(|folder| {
                let next = cache.folders + new.len();
                let number = folder.known.unwrap_or_else(|| *new.entry(Arc::as_ptr(folder)).or_insert(next));
                listed.insert(number, folder);
                number
            });
            let numbers = numbers.collect();
            let selected = made.selected.clone();
            memos.push((Memo { key: made.key, selected, age: 0, folders: Vec::new() }, numbers));
        }
        Self { listed, memos, count: cache.folders + new.len() }
    }

    /// Adds the answers of the old cache that still hold and are not too old.
    fn keep_old(
        &mut self,
        cache: &StatCache,
        asked: &BTreeMap<ContentHash, &Selection>,
        made: &[Made],
        changed: &Changed,
    ) {
        let answered: HashSet<ContentHash> = made.iter().map(|made| made.key).collect();
        let hold = |memo: &&Memo| !answered.contains(&memo.key) && !changed.touches(memo);
        for memo in cache.memos.iter().filter(hold) {
            let age = if asked.contains_key(&memo.key) { 0 } else { memo.age + 1 };
            if age <= OLDEST {
                let numbers =
                    memo.folders.iter().flat_map(|(first, end)| *first as usize..*end as usize).collect();
                self.memos.push((Memo { age, ..memo.clone() }, numbers));
            }
        }
    }

    /// Writes the folders that some answer rests on, in the order of a walk, and the answers with their new numbers.
    fn written(self, cache: &StatCache, scan: &Scan<'_>) -> StatCache {
        let mut place = vec![0; self.count];
        let mut writer = Writer::default();
        for (at, number) in self.in_order(cache).into_iter().enumerate() {
            place[number] = at as u32;
            match self.listed.get(&number) {
                Some(folder) => {
                    writer.folder(&folder.path, &folder.seen, folder.racy, folder.slots.len());
                    for slot in &folder.slots {
                        writer.entry(&slot.name, slot.kind, scan.hashed(folder, slot).as_ref());
                    }
                }
                None => {
                    let folder = cache.folder(number);
                    writer.folder(folder.path, &folder.seen, folder.racy, folder.entries().len());
                    for entry in folder.entries().map(|number| cache.entry(number)) {
                        writer.entry(entry.name(), entry.kind(), entry.hashed(folder.seen.dev).as_ref());
                    }
                }
            }
        }
        let memos = self.memos.into_iter().map(|(memo, numbers)| {
            let mut numbers: Vec<u32> = numbers.into_iter().map(|number| place[number]).collect();
            numbers.sort_unstable();
            numbers.dedup();
            Memo { folders: ranges(&numbers), ..memo }
        });
        writer.finish(memos.collect())
    }

    fn in_order(&self, cache: &StatCache) -> Vec<usize> {
        let mut kept = vec![false; self.count];
        self.memos.iter().flat_map(|(_, numbers)| numbers).for_each(|number| kept[*number] = true);
        let path = |number: usize| {
            self.listed.get(&number).map_or_else(|| cache.folder(number).path, |folder| &folder.path)
        };
        let mut order: Vec<usize> = (0..kept.len()).filter(|number| kept[*number]).collect();
        order.sort_by(|a, b| by_components(path(*a), path(*b)));
        order
    }
}

fn ranges(numbers: &[u32]) -> Vec<(u32, u32)> {
    numbers.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some((*run.first()?, run.last()? + 1))).collect()
}
