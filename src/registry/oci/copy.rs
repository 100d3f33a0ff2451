//! Copying a manifest and all it names to another name.
//!
//! From the bottom up: blobs, then manifests of an index, then the one asked
//! for. So no name ever stands for something that is not all there.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::client::Client;
use super::source::Source;
use crate::registry::document::Document;
use crate::registry::{Descriptor, RegistryError, by_digest, pointer};
use crate::syntax::reference::Reference;

impl Client {
    pub(super) async fn copy(&self, from: &Reference, to: &Reference) -> Result<Descriptor, RegistryError> {
        let Some(source) = self.manifest(from).await? else {
            return Err(RegistryError::refused(
                from,
                format!("copying `{}`", pointer(from)),
                "it has no such manifest",
            ));
        };
        let target = match &to.tag {
            Some(tag) => crate::registry::by_tag(to, tag),
            None => by_digest(to, &source.digest),
        };
        let base = self.wire.base(to).await?;
        if let Some(there) = self.head_at(&base, &target).await?
            && there.digest == source.digest
        {
            return Ok(there);
        }
        if from.name() != to.name() {
            let document = Document::parse(&source.bytes).map_err(|why| {
                RegistryError::corrupt(from, format!("the question for `{}`", pointer(from)), why)
            })?;
            let at_once = self.wire.options.at_once.max(1);
            stream::iter(document.blobs())
                .map(Ok)
                .try_for_each_concurrent(at_once, |blob| self.carry(from, to, &blob.digest))
                .await?;
            // One after the other: each has blobs under way at once already.
            for entry in &document.manifests {
                let (child, place) = (by_digest(from, &entry.digest), by_digest(to, &entry.digest));
                Box::pin(self.copy(&child, &place)).await?;
            }
        }
        self.put(&target, &source).await?;
        Ok(source.descriptor())
    }

    /// Sees to it that `to` has a blob.
    async fn carry(&self, from: &Reference, to: &Reference, digest: &str) -> Result<(), RegistryError> {
        if self.has_blob(to, digest).await? || self.mount(to, digest, from).await? {
            return Ok(());
        }
        self.upload(to, digest, Source::download(self, from, digest)).await
    }
}
