//! The options of a build.

use std::sync::Arc;

use crate::build::jobserver::Jobserver;
use crate::build::room::Room;
use crate::engine::Caches;

/// The options of a build.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// How many images at once.
    pub jobs: usize,
    /// Room for more than always may run at once, where nobody said how many.
    pub room: Option<Arc<Room>>,
    /// Go on with what does not depend on a failure.
    pub keep_going: bool,
    /// Build the targets though they are fresh.
    pub always: bool,
    /// And have the engine forget its own cache.
    pub no_cache: bool,
    /// Publish the results: everything by its key, the targets under their tags.
    pub push: bool,
    /// The targets' tags stay where they are in registries.
    pub withhold_tags: bool,
    /// Outputs are not written, and images that are only to be shown to build stay: somebody tests them first.
    pub withhold_outputs: bool,
    /// Fetch the targets that only a registry or another engine has.
    pub load: bool,
    /// Layer caches of every image, beside those it declares.
    pub cache: Caches,
    /// The time that published images bear, seconds since 1970.
    pub source_date_epoch_seconds: i64,
    /// The jobserver that counts what runs at once: each build waits for its turn there.
    pub jobserver: Option<Arc<Jobserver>>,
}
