//! Webhooks: a forge's or a registry's word that something moved, and whether it is theirs.
//!
//! Pure: headers and the raw body in, a value out. Knows no server, no queue and no repository's files, and takes nothing
//! of a payload but names and ids of a known form.

mod bitbucket;
mod field;
pub mod forge;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod github;
mod gitlab;
pub mod headers;
mod images;
pub mod receive;
pub mod received;
mod refs;
pub mod secret;
mod signature;
pub mod terms;

pub use forge::Forge;
pub use headers::Headers;
pub use receive::{Fault, receive, receive_images};
pub use received::{Delivery, Proposal, Push, Received};
pub use secret::HookSecret;
pub use terms::Terms;
