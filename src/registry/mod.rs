//! Registries: everything that speaks to an OCI registry.
//!
//! [`OciRegistry`] speaks HTTP; [`FakeRegistry`] keeps everything in memory for
//! tests. Neither knows images of the repository, queries or engines: names and
//! digests go in, manifests and blobs come out. Nothing here prints or decides.

pub mod api;
pub mod digest;
pub mod document;
pub mod error;
pub mod fake;
pub mod oci;
pub mod options;

pub(crate) use api::place_of;
pub use api::{Content, Descriptor, Manifest, Registry, by_digest, by_tag, pointer};
pub use error::RegistryError;
pub use fake::FakeRegistry;
pub use oci::OciRegistry;
pub use options::{Options, Retry, Stop};
