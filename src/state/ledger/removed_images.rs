//! Images that are gone from the Imagefile: their results stay, their history goes.
//!
//! A result costs a build, and may be wanted again: on another branch the image is still there.
//! So it is found by its key as before until `imk gc` removes it, and nothing tells of it as of a build.

use std::collections::BTreeSet;

use super::Ledger;
use super::record::{FILE, Line, Record};
use crate::state::folder::StateFolder;
use crate::state::seal;

impl Ledger {
    /// The images that have a history.
    pub fn images(&self) -> BTreeSet<String> {
        self.state().records.iter().map(|record| record.image.clone()).collect()
    }

    /// Every build that is remembered, oldest first.
    pub fn records(&self) -> Vec<Record> {
        self.state().records.clone()
    }

    /// The results that are left of images gone from the Imagefile, oldest first.
    pub fn left(&self) -> Vec<Record> {
        self.state().removed.clone()
    }

    /// Takes the history of some images away and keeps their results.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is changed then.
    pub fn forget(&self, images: &BTreeSet<String>) -> std::io::Result<()> {
        let (mut kept, mut removed) = (self.records(), self.left());
        let before = kept.len();
        for record in kept.iter().filter(|record| images.contains(&record.image)) {
            removed.retain(|old| old.engine != record.engine || old.id != record.id || old.key != record.key);
            removed.push(record.clone());
        }
        kept.retain(|record| !images.contains(&record.image));
        if kept.len() == before { Ok(()) } else { self.write(kept, removed) }
    }

    /// Hands the history of an image over to the name that it has now.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is changed then.
    pub fn rename(&self, old: &str, new: &str) -> std::io::Result<()> {
        let mut kept = self.records();
        for record in kept.iter_mut().filter(|record| record.image == old) {
            record.image = new.to_owned();
        }
        self.rewrite(kept)
    }

    /// Drops every record, current or left, that `drop` says.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is changed then.
    pub fn drop_records(&self, drop: impl Fn(&Record) -> bool) -> std::io::Result<()> {
        let (mut kept, mut removed) = (self.records(), self.left());
        let before = kept.len() + removed.len();
        kept.retain(|record| !drop(record));
        removed.retain(|record| !drop(record));
        if kept.len() + removed.len() == before { Ok(()) } else { self.write(kept, removed) }
    }
}

/// How many lines of a ledger there are, and how many of them say nothing to this imk.
/// Changes nothing, as opening it may.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn health(folder: &StateFolder) -> std::io::Result<(usize, usize)> {
    let bytes = folder.try_read(FILE)?.unwrap_or_default();
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let unsealed = seal::is_unsealed(&bytes);
    let broken = lines.iter().filter(|line| Line::read(line, unsealed).is_none()).count();
    Ok((lines.len(), broken))
}
