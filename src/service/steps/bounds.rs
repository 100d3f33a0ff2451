//! The bounds of what a repository's author may reach, as its policy has them. Plain values.

use std::path::PathBuf;

/// The bounds of one repository.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Trust in those who write to the repository: they might as well have the server.
    pub trusts_authors: bool,
    /// The call of ssh with which git reaches other repositories: with the repository's key, or with none.
    pub ssh: Option<String>,
    /// The repository's store of images, where imk builds without an engine and the server names no other.
    pub store: Option<PathBuf>,
    /// Folders with tools that steps may read.
    pub readable: Vec<PathBuf>,
    /// Files and folders of the server's own.
    pub hidden: Vec<PathBuf>,
}
