//! Compares folders of the stat cache with the disk: their own stat, and that of every used file in them.
//!
//! An unchanged folder holds the same names, so nothing is listed and no text made. May begin before anybody asks,
//! while the Imagefile is read. Knows no ignore rules and no answer.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rustix::fs::OFlags;

use super::stat;
use super::stat_cache::StatCache;

/// Folders that a thread compares in one go.
const CHUNK: usize = 32;
/// A look that began longer ago is not of now: somebody was waited for meanwhile.
const FRESH: Duration = Duration::from_secs(1);

/// How a known folder differs from the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The folder: its list has to be read again.
    List,
    /// Some of its files, by their positions.
    Files(Vec<u32>),
}

/// The finds of one comparison.
#[derive(Default)]
pub struct Compared {
    /// The folders that were compared, by number; those behind the last were not.
    checked: Vec<bool>,
    /// Those of them that differ.
    pub changes: HashMap<u32, Change>,
}

impl Compared {
    /// Whether a folder was compared.
    pub fn has(&self, number: usize) -> bool {
        self.checked.get(number) == Some(&true)
    }
}

/// Compares the folders whose numbers are true; tells those that differ.
pub fn all(root: &OwnedFd, known: &StatCache, in_doubt: &[bool]) -> HashMap<u32, Change> {
    let numbers: Vec<u32> =
        (0u32..).zip(in_doubt).filter(|(_, doubtful)| **doubtful).map(|(n, _)| n).collect();
    numbers
        .par_chunks(CHUNK)
        .flat_map_iter(|chunk| {
            chunk.iter().filter_map(|number| Some((*number, folder(root, known, *number as usize)?)))
        })
        .collect()
}

fn folder(root: &OwnedFd, known: &StatCache, number: usize) -> Option<Change> {
    let folder = known.folder(number);
    // Links are followed, since a context may be one: another folder shows by its stat.
    let Ok(fd) = stat::open_folder(root, folder.path, OFlags::PATH) else {
        return Some(Change::List);
    };
    if folder.racy || stat::stat_open(&fd) != Ok(folder.seen) {
        return Some(Change::List);
    }
    let mut changed = Vec::new();
    for (position, number) in folder.entries().enumerate() {
        let entry = known.entry(number);
        if !entry.is_known() {
            continue;
        }
        let settled = entry.settled(folder.seen.dev);
        if settled.is_none() || stat::stat(&fd, entry.name()).ok() != settled {
            changed.push(position as u32);
        }
    }
    (!changed.is_empty()).then_some(Change::Files(changed))
}

/// A comparison that began before anybody asked: of all that the last run asked for.
pub struct Early {
    began: Instant,
    thread: JoinHandle<([u8; 32], Compared)>,
}

impl Early {
    /// Begins it; `known` brings the cache.
    pub fn begin(root: Arc<OwnedFd>, known: impl FnOnce() -> StatCache + Send + 'static) -> Self {
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            let known = known();
            let mut checked = vec![false; known.folders];
            let asked = known.memos.iter().filter(|memo| memo.age == 0);
            for (first, end) in asked.flat_map(|memo| &memo.folders) {
                checked[*first as usize..*end as usize].fill(true);
            }
            let changes = all(&root, &known, &checked);
            (known.mark(), Compared { checked, changes })
        });
        Self { began, thread }
    }

    /// The finds, if they are of now and of this cache.
    pub fn finds(self, known: &StatCache) -> Option<Compared> {
        if self.began.elapsed() > FRESH {
            return None;
        }
        let (mark, compared) = self.thread.join().ok()?;
        (mark == known.mark()).then_some(compared)
    }
}
