//! The stat cache after an accident: see `crate::fuzz`.

use super::select::Facts;
use super::stat::{HashedEntry, Seen};
use super::stat_cache::{StatCache, Writer};
use super::stat_memo::Memo;
use super::tree::Selected;
use crate::model::file::FileKind;
use crate::model::hash::ContentHash;

fn sound() -> StatCache {
    let seen = Seen { dev: 1, size_bytes: 3, ino: 7, mtime_ns: 5, ctime_ns: 6, mode: 0o100_644 };
    let facts =
        Facts { mode: 0o644, size_bytes: 3, mtime_ns: 5, hash: ContentHash::of(b"abc"), target: "".into() };
    let hashed = HashedEntry { seen, facts, racy: false };
    let mut writer = Writer::default();
    writer.folder("", &seen, false, 2);
    writer.entry(b"Dockerfile", FileKind::File, Some(&hashed));
    writer.entry(b"src", FileKind::Folder, None);
    writer.folder("src", &seen, true, 1);
    writer.entry(b"a.txt", FileKind::File, Some(&hashed));
    let selected =
        Selected { hash: ContentHash::of(b"answer"), missing: vec![1], empty: vec![0], count: 2, bytes: 3 };
    writer.finish(vec![Memo { key: ContentHash::of(b"question"), selected, age: 1, folders: vec![(0, 2)] }])
}

/// A cache of two folders with an answer.
pub(crate) fn stat_cache_seeds() -> Vec<Vec<u8>> {
    vec![sound().bytes().to_vec()]
}

/// A cache is what was written, or empty.
pub(crate) fn stat_cache(bytes: &[u8]) {
    let cache = StatCache::parse(bytes.to_vec(), || Some(sound().hashes().bytes().to_vec()));
    assert!(cache.bytes().is_empty() || cache.bytes() == sound().bytes());
    for number in 0..cache.folders {
        for entry in cache.folder(number).entries() {
            let _ = (cache.entry(entry).name(), cache.entry(entry).hashed(1));
        }
    }
    let _ = cache.find("src");
}
