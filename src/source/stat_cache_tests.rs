//! The cache's file: whole, damaged and foreign.

use super::*;
use crate::source::tree::Selected;

fn seen(ino: u64) -> Seen {
    Seen { dev: 1 << 32 | 3, ino, size_bytes: 5, mtime_ns: -7, ctime_ns: i64::MAX, mode: 0o100_644 }
}

#[test]
fn everything_comes_back() {
    let facts = |target: &str| Facts {
        mode: if target.is_empty() { 0o644 } else { 0 },
        size_bytes: if target.is_empty() { 5 } else { 0 },
        mtime_ns: -7,
        hash: ContentHash::of(b"x"),
        target: target.into(),
    };
    let file = HashedEntry { seen: seen(1), facts: facts(""), racy: true };
    let link = HashedEntry { seen: seen(2), facts: facts("there!"), racy: false };
    let link = HashedEntry { seen: Seen { size_bytes: 6, ..link.seen }, ..link };
    let mut writer = Writer::default();
    writer.folder("", &Seen { size_bytes: 0, ..seen(9) }, true, 3);
    writer.entry(b"a", FileKind::File, Some(&file));
    writer.entry(b"b\xff", FileKind::Special, None);
    writer.entry(b"c", FileKind::Link, Some(&link));
    writer.folder("d", &Seen { size_bytes: 0, ..seen(10) }, false, 0);
    let memo = Memo {
        key: ContentHash::of(b"k"),
        selected: Selected {
            hash: ContentHash::of(b"v"),
            missing: vec![2, 5],
            empty: vec![0],
            count: 3,
            bytes: 1 << 40,
        },
        age: 4,
        folders: vec![(0, 1), (1, 2)],
    };
    let written = writer.finish(vec![memo.clone()]);
    let hashes = written.hashes().bytes().to_vec();
    let cache = StatCache::parse(written.bytes().to_vec(), move || Some(hashes));
    assert_eq!(cache.memos[..], [memo]);
    assert_eq!((cache.find(""), cache.find("d"), cache.find("e")), (Some(0), Some(1), None));
    let folder = cache.folder(0);
    assert_eq!((folder.seen, folder.racy, folder.entries()), (Seen { size_bytes: 0, ..seen(9) }, true, 0..3));
    assert_eq!(cache.entry(0).hashed(seen(0).dev), Some(file));
    assert_eq!(cache.entry(0).settled(seen(0).dev), None);
    assert_eq!((cache.entry(1).name(), cache.entry(1).kind()), (&b"b\xff"[..], FileKind::Special));
    assert_eq!(cache.entry(1).hashed(0), None);
    assert_eq!((cache.entry(2).name(), cache.entry(2).hashed(seen(0).dev)), (&b"c"[..], Some(link)));
    assert_eq!(cache.folder(1).path, "d");
    // Hashes of another moment are none: the file is read again.
    let other = StatCache::parse(written.bytes().to_vec(), || Some(vec![0; 3 * HASH]));
    assert_eq!(
        (other.entry(0).hashed(seen(0).dev), other.entry(2).settled(3)),
        (None, cache.entry(2).settled(3))
    );
}

#[test]
fn a_file_takes_few_bytes() {
    assert!(ENTRY + "file0001.txt".len() <= 60, "in the file that every run reads");
}
