//! The repository's tree, with trees of other repositories shown at their addresses, and texts that are no files.
//!
//! A context that is wholly from git is called by its address, as docker writes it:
//! `https://host/repo.git#main:folder`. A path of the repository never holds `//`, so the two
//! cannot be mistaken for each other. A Dockerfile that stands in the Imagefile can be read by a name of its own, and is in
//! no folder. Knows no network.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use parking_lot::RwLock;

use super::contexts;
use super::git::GitTree;
use super::tree::{ReadError, Seekable, Selected, Selection, SourceTree};
use crate::model::file::UsedFiles;
use crate::syntax::glob::is_within;

/// A tree and what is mounted on it.
pub struct MountedTree {
    below: Arc<dyn SourceTree>,
    mounts: RwLock<BTreeMap<String, GitTree>>,
    texts: RwLock<BTreeMap<String, String>>,
}

impl MountedTree {
    /// Nothing is mounted yet.
    pub fn new(below: Arc<dyn SourceTree>) -> Self {
        Self { below, mounts: RwLock::default(), texts: RwLock::default() }
    }

    /// Shows a tree at an address.
    pub fn mount(&self, address: &str, tree: GitTree) {
        self.mounts.write().insert(address.to_owned(), tree);
    }

    /// Has a text be read by a name.
    pub fn show(&self, name: &str, text: &str) {
        self.texts.write().insert(name.to_owned(), text.to_owned());
    }

    /// The tree mounted around a path, and the rest of the path.
    fn mounted<'a>(&self, path: &'a str) -> Option<(GitTree, &'a str)> {
        if !path.contains("://") {
            return None;
        }
        let mounts = self.mounts.read();
        let around = mounts.iter().filter(|(address, _)| is_within(path, address));
        let (address, tree) = around.max_by_key(|(address, _)| address.len())?;
        Some((tree.clone(), path[address.len()..].trim_start_matches('/')))
    }
}

impl SourceTree for MountedTree {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        if let Some(text) = self.texts.read().get(path) {
            return Ok(Some(text.clone().into_bytes()));
        }
        match self.mounted(path) {
            Some((tree, rest)) => tree.read(rest),
            None => self.below.read(path),
        }
    }

    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        match self.mounted(path) {
            Some((tree, rest)) => tree.is_folder(rest),
            None => self.below.is_folder(path),
        }
    }

    fn seekable(&self, path: &str) -> Result<Option<Box<dyn Seekable>>, ReadError> {
        match self.mounted(path) {
            Some((tree, rest)) => tree.seekable(rest),
            None => self.below.seekable(path),
        }
    }

    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        contexts::select(&*self.below, selections)
    }

    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        contexts::used_files(&*self.below, selection)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        match self.mounted(path) {
            Some((tree, rest)) => tree.open(rest),
            None => self.below.open(path),
        }
    }

    fn beyond_git(&self, selection: &Selection) -> Result<Vec<String>, ReadError> {
        contexts::beyond_git(&*self.below, selection)
    }

    fn save(&self) -> std::io::Result<()> {
        self.below.save()
    }
}
