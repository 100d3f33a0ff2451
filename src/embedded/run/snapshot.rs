//! Snapshot of a folder, and its changes since: where there is no overlay to tell.
//!
//! Goes by number, time of change, size, mode and owner of each entry. A program can set a file's time of
//! modification, and so hide what it did from whoever goes by that; the time of change is the kernel's.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::diff::{Found, walk, write};
use super::root::open_folder;
use crate::embedded::layer::index::{Entry, Kind, parents};
use crate::embedded::store::Store;
use crate::embedded::trouble::{During, Result};

/// All that a folder had.
pub struct Snapshot(BTreeMap<Vec<u8>, Found>);

impl Snapshot {
    /// Looks at a folder, and waits until a change would bear a later time.
    pub fn take(folder: &Path) -> Result<Self> {
        let what = || "looking at the files of a stage".to_owned();
        let mut all = BTreeMap::new();
        walk(&open_folder(folder).during(what)?, b"", None, &mut all).during(what)?;
        let latest = all.values().map(|found| found.changed).max().unwrap_or_default();
        let began = Instant::now();
        // The clock of files ticks some hundred times a second; on a coarse one a second must pass.
        while began.elapsed() < Duration::from_millis(2500) {
            let probe =
                tempfile::Builder::new().tempfile_in(folder.parent().unwrap_or(folder)).during(what)?;
            let stat = rustix::fs::fstat(probe.as_file()).during(what)?;
            if (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or_default()) > latest {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self(all))
    }

    /// The layer of what changed since; none when nothing did. What lies at or below `aside` is left out.
    pub fn layer(self, store: &Store, folder: &Path, aside: &[Vec<u8>], time: u64) -> Result<Option<String>> {
        let what = || "looking at what the command changed".to_owned();
        let mut now = BTreeMap::new();
        walk(&open_folder(folder).during(what)?, b"", None, &mut now).during(what)?;
        let set_aside = |path: &[u8]| {
            aside
                .iter()
                .any(|at| path == at.as_slice() || path.starts_with(at) && path.get(at.len()) == Some(&b'/'))
        };
        let mut changed: BTreeMap<Vec<u8>, Found> = BTreeMap::new();
        for (path, found) in &now {
            let same = self.0.get(path).is_some_and(|before| is_same(before, found));
            if !same && !set_aside(path) {
                for folder in parents(path) {
                    if let Some(found) = now.get(folder) {
                        changed.entry(folder.to_vec()).or_insert_with(|| found.clone());
                    }
                }
                changed.insert(path.clone(), found.clone());
            }
        }
        for (path, before) in &self.0 {
            let covered =
                parents(path).any(|folder| !now.get(folder).is_some_and(|found| found.entry.is_folder()));
            if !now.contains_key(path) && !covered && !set_aside(path) {
                let entry = Entry { kind: Kind::Gone, ..Entry::folder(path, 0) };
                changed.insert(path.clone(), Found { entry, ..before.clone() });
            }
        }
        write(store, folder, changed.into_values().collect(), time)
    }
}

/// A folder changes its time when something in it comes or goes; that alone is no change of the folder.
fn is_same(before: &Found, now: &Found) -> bool {
    let folder = now.entry.is_folder();
    before.entry == now.entry && before.inode == now.inode && (folder || before.changed == now.changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::layer::scan;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn paths(store: &Store, layer: Option<String>) -> String {
        let Some(diff_id) = layer else { return String::new() };
        let index = scan::kept_index(store, &diff_id).unwrap();
        let gone = |entry: &Entry| if entry.kind == Kind::Gone { "-" } else { "" };
        let one = |entry: &Entry| format!("{}{}", gone(entry), String::from_utf8_lossy(&entry.path));
        index.entries().iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_change_is_found_whatever_its_time_and_size_say() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("store"));
        let root = folder.path().join("root");
        fs_err::create_dir_all(root.join("d/e")).unwrap();
        for file in ["same", "edited", "chmod", "gone", "d/kept", "d/e/f", "to-link", "mounted"] {
            fs_err::write(root.join(file), "1").unwrap();
        }
        let times = root.join("edited").metadata().unwrap();
        let before = Snapshot::take(&root).unwrap();
        // The same size, in the same second, and the time set back.
        fs_err::write(root.join("edited"), "2").unwrap();
        let file = fs_err::File::options().write(true).open(root.join("edited")).unwrap();
        file.into_parts().0.set_modified(times.modified().unwrap()).unwrap();
        fs_err::set_permissions(root.join("chmod"), std::fs::Permissions::from_mode(0o755)).unwrap();
        fs_err::remove_file(root.join("gone")).unwrap();
        fs_err::remove_dir_all(root.join("d/e")).unwrap();
        fs_err::remove_file(root.join("to-link")).unwrap();
        symlink("same", root.join("to-link")).unwrap();
        fs_err::write(root.join("mounted"), "2").unwrap();
        let layer = before.layer(&store, &root, &[b"mounted".to_vec()], 0).unwrap();
        assert_eq!(paths(&store, layer), "chmod d -d/e edited -gone to-link");
    }

    #[test]
    fn nothing_done_is_nothing_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("store"));
        let root = folder.path().join("root");
        fs_err::create_dir_all(root.join("d")).unwrap();
        fs_err::write(root.join("d/f"), "1").unwrap();
        let before = Snapshot::take(&root).unwrap();
        fs_err::write(root.join("d/x"), "1").unwrap();
        fs_err::remove_file(root.join("d/x")).unwrap();
        assert_eq!(before.layer(&store, &root, &[], 0).unwrap(), None);
    }
}
