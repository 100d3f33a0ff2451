//! The yardstick: a bare walk with two threads, `getdents` and one `fstatat` a file, and nothing else.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};

/// Walks the folders of `root` whose names do not begin with a dot; tells how many files it saw.
pub fn walk(root: &Path) -> usize {
    let root = open(CWD, root.as_os_str().as_encoded_bytes());
    let (mut folders, files) = list(&root);
    folders.retain(|name| name.first() != Some(&b'.'));
    let (next, count) = (AtomicUsize::new(0), AtomicUsize::new(files));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(name) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    count.fetch_add(below(&root, name), Ordering::Relaxed);
                }
            });
        }
    });
    count.into_inner()
}

fn below(folder: &OwnedFd, name: &[u8]) -> usize {
    let folder = open(folder, name);
    let (folders, files) = list(&folder);
    files + folders.iter().map(|name| below(&folder, name)).sum::<usize>()
}

fn open(at: impl AsFd, name: &[u8]) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty()).expect("a generated folder opens")
}

/// The folders of a folder, and the number of its files, each of which was asked for its stat.
fn list(folder: &OwnedFd) -> (Vec<Vec<u8>>, usize) {
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    let (mut folders, mut files) = (Vec::new(), 0);
    while let Some(entry) = entries.next() {
        let entry = entry.expect("a generated folder can be listed");
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            folders.push(name.to_vec());
        } else {
            let seen = rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            files += usize::from(seen.is_ok());
        }
    }
    (folders, files)
}
