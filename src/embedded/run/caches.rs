//! Caches of `RUN --mount=type=cache`: folders that stay, locked as `sharing` says.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use crate::embedded::store::Store;
use crate::embedded::trouble::{During, Result, refused};
use crate::engine::{Cancel, EngineError};
use crate::model::hash::ContentHash;

/// How often somebody who waits looks again.
const TICK: Duration = Duration::from_millis(100);

/// A cache in use; it is free again when this is dropped.
pub struct Lock {
    folder: PathBuf,
    _file: fs::File,
}

impl Lock {
    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Takes a cache. `shared` has many users at once, `locked` one after the other, and with `private` each
/// user has one of its own.
pub fn take(store: &Store, id: &str, sharing: &str, cancel: &Cancel) -> Result<Lock> {
    store.prepare()?;
    let how = match sharing {
        "shared" => FlockOperation::NonBlockingLockShared,
        "locked" | "private" => FlockOperation::NonBlockingLockExclusive,
        other => {
            return refused(
                "mounting a cache",
                format!("`sharing={other}` is none of shared, private and locked"),
            );
        }
    };
    let name = ContentHash::of(id.as_bytes()).short(24);
    let mut number = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        let name = if number == 0 { name.clone() } else { format!("{name}-{number}") };
        let folder = store.root().join("caches").join(&name);
        let what = || format!("taking the cache `{id}`");
        let open = || -> io::Result<fs::File> {
            let lock = store.root().join("caches").join(format!("{name}.lock"));
            fs::OpenOptions::new().create(true).append(true).open(lock)
        };
        let file = open().during(what)?;
        match flock(&file, how) {
            Ok(()) => {
                return Ok(Lock { folder: std::path::absolute(&folder).unwrap_or(folder), _file: file });
            }
            Err(rustix::io::Errno::WOULDBLOCK) if sharing == "private" => number += 1,
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(TICK),
            Err(error) => return Err(error).during(what),
        }
    }
}

/// The first content of a new cache: a folder that goes to its place, or an empty one with mode and owner.
pub enum First<'a> {
    /// This folder.
    Folder(&'a Path),
    /// None; with permission bits, owner and group.
    Nothing(Option<u32>, u32, u32),
}

/// Sees to it that a cache which was taken is there. By whoever has the users of the command.
pub fn ready(folder: &Path, work: &Path, first: &First<'_>) -> io::Result<()> {
    let draft = match first {
        First::Folder(from) => from.to_path_buf(),
        First::Nothing(mode, uid, gid) => {
            let draft = tempfile::Builder::new().prefix("cache").tempdir_in(work)?.keep();
            fs::set_permissions(&draft, std::fs::Permissions::from_mode(mode.unwrap_or(0o755)))?;
            if (*uid, *gid) != (0, 0) {
                std::os::unix::fs::chown(&draft, Some(*uid), Some(*gid))?;
            }
            draft
        }
    };
    match fs::rename(&draft, folder) {
        // Of two that share it the first makes it.
        Err(_) if folder.is_dir() => Ok(()),
        moved => moved,
    }
}

/// A cache that is used counts as new for the collector.
pub fn used(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.into_parts().0.set_modified(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_says_who_waits_and_who_has_one_of_his_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_owned());
        let cancel = Cancel::default();
        let of = |sharing| take(&store, "a", sharing, &cancel);
        let (one, two) = (of("shared").unwrap(), of("shared").unwrap());
        assert_eq!(one.folder(), two.folder());
        let own = of("private").unwrap();
        assert_ne!(own.folder(), one.folder());
        cancel.cancel();
        assert!(matches!(of("locked"), Err(EngineError::Interrupted)));
    }
}
