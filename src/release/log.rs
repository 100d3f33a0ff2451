//! The release log: one artifact a release in a repository of the registry, under a tag made of its id.
//!
//! The tags are the list, so that every registry that keeps images can keep it. Knows how records
//! are kept, not what they are for.

use std::io::Cursor;

use crate::registry::document::{self, Document, EMPTY_BYTES};
use crate::registry::{Descriptor, Manifest, Registry, RegistryError, by_tag, digest};
use crate::release::record::Release;
use crate::syntax::reference::Reference;

/// The type of a release's artifact.
pub const RELEASE: &str = "application/vnd.imk.release.v1+json";
/// The beginning of the log's tags.
const TAG: &str = "imk-release-";

/// The log of a repository of images.
pub struct ReleaseLog<'r> {
    registry: &'r dyn Registry,
    /// Where it is kept.
    pub at: Reference,
}

impl<'r> ReleaseLog<'r> {
    /// The log that is kept at that repository.
    pub fn new(registry: &'r dyn Registry, at: Reference) -> Self {
        Self { registry, at }
    }

    /// Writes a release down. One that is there already is left as it is.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub fn append(&self, release: &Release) -> Result<(), RegistryError> {
        let payload = release.bytes();
        let blob = Descriptor {
            media_type: RELEASE.to_owned(),
            digest: digest::of(&payload),
            size: payload.len() as u64,
        };
        for bytes in [payload.as_slice(), EMPTY_BYTES] {
            let digest = digest::of(bytes);
            if !self.registry.has_blob(&self.at, &digest)? {
                self.registry.upload(&self.at, &digest, &mut Cursor::new(bytes))?;
            }
        }
        let bytes = document::artifact(None, RELEASE, &Default::default(), &blob);
        let manifest = Manifest::new(document::MANIFEST, bytes);
        let tag = by_tag(&self.at, &format!("{TAG}{}", release.id));
        match self.registry.head(&tag)? {
            Some(found) if found.digest == manifest.digest => Ok(()),
            _ => self.registry.put_manifest(&tag, &manifest),
        }
    }

    /// The ids of all releases, the oldest first.
    ///
    /// # Errors
    /// When the registry does not say.
    pub fn ids(&self) -> Result<Vec<String>, RegistryError> {
        let tags = self.registry.tags(&self.at)?;
        let mut ids: Vec<String> =
            tags.iter().filter_map(|tag| tag.strip_prefix(TAG)).map(str::to_owned).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// A release by its id; `None` when the log has none of that id.
    ///
    /// # Errors
    /// When the registry does not say, or what it has is no release.
    pub fn read(&self, id: &str) -> Result<Option<Release>, RegistryError> {
        let tag = by_tag(&self.at, &format!("{TAG}{id}"));
        let Some(manifest) = self.registry.manifest(&tag)? else { return Ok(None) };
        let unreadable = |why: String| RegistryError::Corrupt {
            host: tag.registry.clone(),
            repository: tag.repository.clone(),
            what: format!("the record of release `{id}`"),
            why,
        };
        let document = Document::parse(&manifest.bytes).map_err(unreadable)?;
        let Some(layer) = document.layers.first() else {
            return Err(unreadable("it holds nothing".into()));
        };
        let payload = self.registry.blob(&self.at, &layer.digest)?;
        let release: Release =
            serde_json::from_slice(&payload).map_err(|error| unreadable(error.to_string()))?;
        // A record says of itself which it is: one that was copied under another tag is none.
        match release.id == id {
            true => Ok(Some(release)),
            false => Err(unreadable(format!("it calls itself `{}`", release.id))),
        }
    }

    /// The newest release.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn newest(&self) -> Result<Option<Release>, RegistryError> {
        match self.ids()?.last() {
            Some(id) => self.read(id),
            None => Ok(None),
        }
    }
}
