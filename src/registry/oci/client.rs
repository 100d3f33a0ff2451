//! The state that all questions to registries share.
//!
//! Each kind of question is an `impl` in a file of its own. Knows nothing of threads.

use super::cache::Cache;
use super::mirrors::Mirrors;
use super::singleflight::Singleflight;
use super::wire::Wire;
use crate::registry::options::Options;
use crate::registry::{Descriptor, Manifest};

/// Everything but the runtime: clients, addresses and passes of all hosts, and remembered answers.
pub(super) struct Client {
    pub(super) wire: Wire,
    pub(super) heads: Singleflight<Option<Descriptor>>,
    pub(super) manifests: Singleflight<Option<Manifest>>,
    pub(super) platforms: Singleflight<Option<Descriptor>>,
    pub(super) blobs: Singleflight<Vec<u8>>,
    pub(super) cache: Cache,
    pub(super) mirrors: Mirrors,
    /// One at a time changes the list of what is attached.
    pub(super) attaching: tokio::sync::Mutex<()>,
}

impl Client {
    /// A client that reads nothing and connects to nothing until it is asked.
    pub(super) fn new(options: Options) -> Self {
        Self {
            cache: Cache::new(options.cache_folder.clone()),
            wire: Wire::new(options),
            heads: Singleflight::default(),
            manifests: Singleflight::default(),
            platforms: Singleflight::default(),
            blobs: Singleflight::default(),
            mirrors: Mirrors::default(),
            attaching: tokio::sync::Mutex::default(),
        }
    }
}
