//! Engines: everything that talks to one. With `registry` the only room that awaits.
//!
//! Never decides *whether* an image is built; never reads the repository's
//! files by itself (it is handed a [`ContextFiles`]); never prints.

mod abilities;
pub mod agent;
pub mod api;
mod archive;
pub mod buildkitd;
mod carry;
mod control;
pub mod docker;
pub mod endpoint;
pub mod event;
pub mod fake;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod hijack;
pub mod node;
pub mod nowhere;
mod podman;
pub mod pool;
mod progress;
mod proxies;
mod sending;
mod session;
mod stored;
pub mod stores;
mod transport;

pub use api::{
    About, AddedRepository, ArchiveWriter, BuildFailure, BuildRequest, CachedIdentity, Caches, Cancel,
    CheckFinding, ContextFiles, Engine, EngineError, EngineIdentity, ImageId, ImageInfo, Inventory,
    SecretValue, SshSource,
};
pub use docker::DockerEngine;
pub use endpoint::{Endpoint, Environment};
pub use event::BuildEvent;
pub use fake::FakeEngine;
pub use node::Node;
pub use nowhere::NoEngine;
pub use pool::EnginePool;
pub(crate) use sending::CheckedFile;
pub use stored::StoredImage;
pub use stores::{Blob, LayoutImage};
