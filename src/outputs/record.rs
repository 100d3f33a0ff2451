//! Records of outputs as they were written, so that one that is there is not written again.
//!
//! A file for each destination, sealed. Lost, it costs writing the output once more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::AtFlags;
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::model::hash::{ContentHash, FieldHasher};
use crate::model::output::Form;
use crate::state::folder::StateFolder;
use crate::state::seal;

const FOLDER: &str = "outputs";

/// An output as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// Where.
    pub place: String,
    /// All that it was made of.
    pub wanted: ContentHash,
    /// How the files were afterwards.
    pub stamp: ContentHash,
    /// The paths of a folder's files.
    pub files: Vec<String>,
}

/// Why an output is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is not there, or nobody knows what is there.
    Missing,
    /// It is of an older result, or was asked for otherwise.
    Outdated,
    /// It is not as it was written.
    Changed,
}

fn name(place: &str) -> String {
    ContentHash::of(place.as_bytes()).short(32)
}

/// The record of a place.
pub(super) fn load(state: &StateFolder, place: &Place) -> Option<Written> {
    let place = place.path().display().to_string();
    let bytes = state.sub(FOLDER).read(&name(&place))?;
    let written: Written = serde_json::from_slice(seal::open(&bytes)?).ok()?;
    (written.place == place).then_some(written)
}

/// Writes a record down.
///
/// # Errors
/// When it cannot be written; the output is written again then.
pub(super) fn save(state: &StateFolder, written: &Written) -> io::Result<()> {
    state.sub(FOLDER).replace(&name(&written.place), &seal::seal(serde_json::to_vec(written)?))
}

/// Why the output at a place is to be written; `None` when it is there as it is wanted.
pub fn why(state: &StateFolder, place: &Place, form: Form, wanted: &ContentHash) -> Option<Why> {
    let Some(written) = load(state, place) else { return Some(Why::Missing) };
    match stamp(place, form, &written.files) {
        Err(_) => Some(Why::Missing),
        Ok(_) if written.wanted != *wanted => Some(Why::Outdated),
        Ok(stamp) => (stamp != written.stamp).then_some(Why::Changed),
    }
}

/// How the files of an output are: kinds, modes, sizes, times.
///
/// # Errors
/// When one is not there.
pub(super) fn stamp(place: &Place, form: Form, files: &[String]) -> io::Result<ContentHash> {
    let mut hasher = FieldHasher::new("imk output stamp v1");
    if !form.is_folder() {
        let (folder, name) = place.parent()?;
        look(folder.as_fd(), name, &mut hasher)?;
        return Ok(hasher.finish());
    }
    let root = place.folder()?;
    for file in files {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        let folder = super::place::beneath(root.as_fd(), folder.as_bytes(), flags)?;
        hasher.field(file);
        look(folder.as_fd(), name, &mut hasher)?;
    }
    Ok(hasher.finish())
}

fn look(folder: BorrowedFd<'_>, name: &str, hasher: &mut FieldHasher) -> io::Result<()> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    hasher.number(u64::from(stat.st_mode));
    // A folder's size and time change with what others put into it.
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory {
        let time = |seconds: i64| u64::from_ne_bytes(seconds.to_ne_bytes());
        hasher
            .number(stat.st_size.unsigned_abs())
            .number(time(stat.st_mtime))
            .number(stat.st_mtime_nsec as u64);
    }
    Ok(())
}
