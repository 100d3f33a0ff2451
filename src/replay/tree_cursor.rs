//! A tree that stands at one commit at a time, so that one session can go through all of them.

use std::io::Read;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::model::file::UsedFiles;
use crate::source::git::GitTree;
use crate::source::tree::{ReadError, Selected, Selection, SourceTree};

/// The files of the commit that it was last moved to.
pub struct TreeCursor(RwLock<Arc<GitTree>>);

impl TreeCursor {
    /// Begins at a commit.
    pub fn new(tree: GitTree) -> Self {
        Self(RwLock::new(Arc::new(tree)))
    }

    /// Moves to another commit.
    pub fn move_to(&self, tree: &Arc<GitTree>) {
        *self.0.write() = Arc::clone(tree);
    }

    fn now(&self) -> Arc<GitTree> {
        Arc::clone(&self.0.read())
    }
}

impl SourceTree for TreeCursor {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.now().read(path)
    }
    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        self.now().is_folder(path)
    }
    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        self.now().select(selections)
    }
    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        self.now().used_files(selection)
    }
    fn beyond_git(&self, selection: &Selection) -> Result<Vec<String>, ReadError> {
        self.now().beyond_git(selection)
    }
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        self.now().open(path)
    }
}
