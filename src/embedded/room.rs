//! Room on the disk of the image store: asked for before it is used.
//!
//! A disk that fills up while a layer is written takes others with it, and half a layer is of use to nobody.

use rustix::fs::statvfs;

use super::store::Store;
use super::trouble::{REMEDY, Result, refused};

/// Sees to it that a file of so many bytes has room in the store; `what` says what it is for.
///
/// # Errors
/// How much is lacking, and what to do.
pub fn ask(store: &Store, bytes: u64, what: impl FnOnce() -> String) -> Result<()> {
    store.prepare()?;
    // A file system that does not tell is believed to have room.
    let Ok(told) = statvfs(store.root()) else { return Ok(()) };
    let free = told.f_bavail.saturating_mul(told.f_frsize);
    if told.f_blocks == 0 || bytes <= free {
        return Ok(());
    }
    let why = format!(
        "it takes {} MB, and the disk of the image store `{}` has {} MB left; {REMEDY}",
        bytes.div_ceil(1_000_000),
        store.root().display(),
        free / 1_000_000
    );
    refused(what(), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_disk_holds_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_owned());
        ask(&store, 1, || "writing".into()).unwrap();
        let error = ask(&store, u64::MAX, || "writing".into()).unwrap_err().to_string();
        assert!(error.contains("MB left") && error.contains("imk gc"), "{error}");
    }
}
