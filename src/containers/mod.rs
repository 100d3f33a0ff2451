//! Containers of results: what `imk run` starts for a person, and what `imk test` starts and takes away.
//!
//! Never touches a container, network or volume that is not imk's by label; never decides what is stale;
//! never prints.

pub mod api;
pub mod docker;
pub mod fake;
pub mod log;
pub mod prepare;
pub mod suite;
pub mod users;

pub use api::{
    Channel, ContainerId, ContainerSpec, Containers, Control, Conversation, End, ImageFacts, Reach,
};
pub use docker::DockerContainers;
