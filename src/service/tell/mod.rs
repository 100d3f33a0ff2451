//! Words to others about the end of a job: statuses at commits, messages to people, jobs of Jenkins.
//!
//! Every message is a value that a test can look at, and is sent through one door, a few times if need be. Secrets are in
//! messages and in nothing that is told of them.

pub mod forge;
pub mod jenkins;
pub mod notice;
pub mod send;
pub mod status;

pub use forge::{Place, place_of};
pub use notice::{Form, Notice};
pub use send::{Message, Patience, send};
pub use status::{Stage, Status};
