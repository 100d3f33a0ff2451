//! Layer caches as BuildKit is told them: a kind and its settings.
//!
//! Values only. How they are spelled is in `syntax/imagefile/caches`.

use std::collections::BTreeMap;

/// A place where layers are taken from, or left for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerCache {
    /// `registry`, `gha`, `s3` or `azblob`.
    pub kind: String,
    /// Its settings, as docker names them.
    pub attributes: BTreeMap<String, String>,
}
