//! Transfer of an image from an engine to a registry, under a tag that serves the transfer alone.
//!
//! An engine sends images by tag alone, so a transfer needs one, and the tag is the transfer's own: two
//! machines that send at the same moment never meet. It is taken away afterwards. Where a registry
//! takes no tag away, such tags would pile up, one a machine and image; there one tag serves all that
//! send from the same folder, as CI machines do, and a transfer that was crossed begins again under one
//! of its own. The content of what arrived decides whether it was. Knows no tags that people choose.

use std::sync::Arc;

use super::executor::Executor;
use super::push::PublishError;
use crate::engine::{EngineError, Node};
use crate::model::hash::{ContentHash, FieldHasher};
use crate::query::effect::Built;
use crate::registry::{Manifest, by_digest, by_tag};
use crate::syntax::reference::Reference;

/// Tags of transfers begin with this.
pub const TRANSFER_TAG: &str = "imk-staging";

/// A tag that no transfer ever has: to ask whether a registry takes tags away.
const UNUSED_TAG: &str = "imk-staging-none";

/// How often a transfer that was crossed begins under a tag of its own.
const OWN_TRIES: usize = 2;

/// An image that arrived.
pub(super) struct Arrived {
    /// The manifest that the engine wrote.
    pub manifest: Manifest,
    /// The tag under which it came.
    tag: Reference,
}

impl Executor {
    /// Has the engine send an image to the repository of `near`.
    ///
    /// # Errors
    /// When the engine cannot send it, or the registry does not have it then.
    pub(super) fn send(
        &self,
        node: &Arc<Node>,
        image: &str,
        near: &Reference,
        built: &Built,
    ) -> Result<Arrived, PublishError> {
        let own = by_tag(near, &self.own_tag(image));
        let mut tags = vec![own; OWN_TRIES];
        if !self.deletes_tags(near) {
            tags.insert(0, by_tag(near, &self.shared_tag(image)));
        }
        let mut crossed = Err(PublishError::Overtaken);
        for tag in tags {
            crossed = self.send_under(node, &tag, built);
            match &crossed {
                // A tag that never moves, one that another transfer moved, a manifest that went with it.
                Err(
                    PublishError::Engine(EngineError::Refused { .. })
                    | PublishError::Lost(_)
                    | PublishError::Overtaken,
                ) if !self.cancel.is_cancelled() => {}
                _ => break,
            }
        }
        crossed
    }

    fn send_under(&self, node: &Arc<Node>, tag: &Reference, built: &Built) -> Result<Arrived, PublishError> {
        let name = tag.to_string();
        node.tag(&built.id, &name)?;
        self.give_temporary_name(&name);
        let told = self.again_and_again(|| node.engine.push(&name, &self.cancel))?;
        let registry = self.remote_cache.registry();
        // The tag is the transfer's own, and what it leads to is compared below with what was built.
        let digest = match told {
            Some(digest) => digest,
            None => registry.head(tag)?.ok_or_else(|| PublishError::Lost(tag.clone()))?.digest,
        };
        let sent = by_digest(tag, &digest);
        let manifest = registry.manifest(&sent)?.ok_or(PublishError::Lost(sent))?;
        let arrived = Arrived { manifest, tag: tag.clone() };
        // On an engine that serves several machines, another may have moved the name meanwhile.
        match self.remote_cache.read(tag, &arrived.manifest)? {
            Some(there) if there.content != built.content => {
                self.remove_transfer_tag(&arrived);
                Err(PublishError::Overtaken)
            }
            _ => Ok(arrived),
        }
    }

    /// Takes the tag of a transfer away. To be called when all that must stay has another name.
    pub(super) fn remove_transfer_tag(&self, arrived: &Arrived) {
        if self.deletes_tags(&arrived.tag) {
            // One that stays is given again by the next transfer from here, and taken away then.
            let _ = self.remote_cache.registry().untag(&arrived.tag);
        }
    }

    /// Whether a registry takes tags away. Asked once a run; one that does not say is taken for one that does.
    fn deletes_tags(&self, near: &Reference) -> bool {
        let ask = || !matches!(self.remote_cache.registry().untag(&by_tag(near, UNUSED_TAG)), Ok(false));
        self.remote_cache.deletes_tags(&near.registry, ask)
    }

    /// The tag of this machine's transfers with an image.
    fn own_tag(&self, image: &str) -> String {
        let run = self.run();
        transfer_tag(
            &FieldHasher::new("imk journey v1").field(&run.machine).field(image).finish(),
            &run.nonce,
        )
    }

    /// The tag of the transfers with an image from any machine's folder of this name.
    fn shared_tag(&self, image: &str) -> String {
        let run = self.run();
        let hash = FieldHasher::new("imk journeys v1").field(&run.share).field(image).finish();
        transfer_tag(&hash, &run.share[..12])
    }
}

fn transfer_tag(hash: &ContentHash, nonce: &str) -> String {
    format!("{TRANSFER_TAG}-{}-{nonce}", hash.short(16))
}

/// Whether a tag is that of a transfer which a repository with one of these marks began, or one that an
/// older imk gave, which told nobody's transfers apart.
pub fn is_transfer_tag(tag: &str, marks: [&str; 2]) -> bool {
    let Some(rest) = tag.strip_prefix(TRANSFER_TAG) else { return false };
    let parts: Vec<&str> = rest.split('-').collect();
    match parts.as_slice() {
        [""] => true,
        ["", old] => old.len() == 16,
        ["", _, of] => marks.contains(of),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_known_by_who_began_it() {
        let tag = transfer_tag(&ContentHash::of(b"web"), "0123456789ab");
        assert!(tag.len() <= 128, "the specification's longest tag");
        assert!(is_transfer_tag(&tag, ["x", "0123456789ab"]));
        assert!(
            !is_transfer_tag(&tag, ["ba9876543210", "x"]),
            "another repository's transfer may be under way"
        );
        assert!(
            is_transfer_tag("imk-staging", ["x"; 2])
                && is_transfer_tag("imk-staging-0123456789abcdef", ["x"; 2])
        );
        assert!(!is_transfer_tag("latest", ["x"; 2]) && !is_transfer_tag("imk-stagingly", ["x"; 2]));
    }
}
