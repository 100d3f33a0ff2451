//! Keys that other machines may not compute: what was asked for them did not answer.
//!
//! A key is made of what registries, servers and git hosts say. Where one of them is away, imk goes on
//! with what it knows, and so it should: but the key is then this machine's guess, and so is all that is
//! built on its result. A guess is built and remembered here; it is never published, neither under its
//! key, where nobody would look for it, nor under a tag, where everybody would.
//! Knows no policy of bases: `session/upstream` says what was not confirmed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::doubt::Doubt;
use super::executor::Executor;
use super::push::PublishError;
use super::transfer::Arrived;
use crate::engine::Node;
use crate::model::hash::ContentHash;
use crate::query::effect::Built;
use crate::registry::by_digest;

/// A result where another engine can fetch it.
pub(super) struct Offer {
    /// Its exact name.
    pub at: String,
    /// The content of what is there.
    pub content: ContentHash,
    /// The transfer that brought it, where nothing but that keeps it.
    pub transfer: Option<Arrived>,
}

impl Executor {
    /// The unconfirmed parts of an image's key and of those of its bases; empty when the key is everybody's.
    pub fn doubts(&self, image: &str) -> BTreeSet<Doubt> {
        self.run().provisional.get(image).cloned().unwrap_or_default()
    }

    /// Puts a result where another engine can fetch it: under its key, or when that is provisional under
    /// the name of its transfer alone. `None` when the image's name has no registry.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub(super) fn offer(
        &self,
        node: &Arc<Node>,
        image: &str,
        built: &Built,
    ) -> Result<Option<Offer>, PublishError> {
        if self.doubts(image).is_empty() {
            let there = self.publish_from(Some(node), image, built)?;
            return Ok(there.map(|there| Offer {
                at: there.at.to_string(),
                content: there.content,
                transfer: None,
            }));
        }
        let Some(near) = self.remote_cache.repository(image).cloned() else { return Ok(None) };
        let arrived = self.send(node, image, &near, built)?;
        let at = by_digest(&near, &arrived.manifest.digest).to_string();
        Ok(Some(Offer { at, content: built.content, transfer: Some(arrived) }))
    }
}
