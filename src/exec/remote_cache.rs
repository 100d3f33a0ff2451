//! The remote cache: results of the repository's images in registries, found by action key.
//!
//! An image is published under a tag made of its key, which is never given to
//! anything else: one question tells whether any machine has built it. Asks
//! registries and decides nothing; a registry that does not answer is noted,
//! and is "unknown" for the rest of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::ImageId;
use crate::model::content;
use crate::model::hash::ContentHash;
use crate::registry::document::Document;
use crate::registry::{Manifest, Registry, RegistryError, by_digest, by_tag};
use crate::syntax::reference::Reference;

/// An image that a registry has for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its exact name: repository and digest of the manifest.
    pub at: Reference,
    /// Digest of its configuration.
    pub configuration: String,
    /// The content that dependents are keyed on.
    pub content: ContentHash,
}

impl Published {
    /// The id it has, or will have, on an engine with this builder: containerd and registries go by
    /// manifests, all others by configurations.
    pub fn id(&self, builder: &str) -> ImageId {
        let by_manifest = builder.ends_with("/containerd") || builder.ends_with("/registry");
        let digest = self.at.digest.as_ref().filter(|_| by_manifest);
        ImageId(digest.unwrap_or(&self.configuration).clone())
    }
}

/// A registry's answer for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheLookup {
    /// It has an image for it.
    Hit(Box<Published>),
    /// It has none.
    Miss,
    /// It cannot be asked, or did not say: that is not an absence.
    Unknown,
}

/// A registry that did not say whether it has some images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Why, for one of them.
    pub error: RegistryError,
    /// The repositories there that it is about.
    pub repositories: BTreeSet<String>,
    /// The images that are published in them.
    pub images: BTreeSet<String>,
}

/// The registries, as far as the repository's own images go.
pub struct RemoteCache {
    registry: Arc<dyn Registry>,
    /// Where each image is published; none for images whose prefix names no registry.
    repositories: BTreeMap<String, Reference>,
    /// The beginning of content tags.
    tag: String,
    offline: bool,
    /// Why a registry, or one repository of it, is not asked any more in this run.
    unanswered: Mutex<BTreeMap<String, RegistryError>>,
    /// Whether registries take tags away, by host.
    untagging: Mutex<BTreeMap<String, bool>>,
    /// The answers so far, so that a key is asked for once.
    found: Mutex<BTreeMap<(String, ContentHash), Option<Published>>>,
}

impl RemoteCache {
    /// A cache for the images that have a repository. With `offline` nothing is asked.
    pub fn new(
        registry: Arc<dyn Registry>,
        repositories: BTreeMap<String, Reference>,
        tag: &str,
        offline: bool,
    ) -> Self {
        let tag = tag.to_owned();
        Self {
            registry,
            repositories,
            tag,
            offline,
            unanswered: Mutex::default(),
            untagging: Mutex::default(),
            found: Mutex::default(),
        }
    }

    /// The registries.
    pub fn registry(&self) -> &dyn Registry {
        &*self.registry
    }

    /// Where an image is published.
    pub fn repository(&self, image: &str) -> Option<&Reference> {
        self.repositories.get(image)
    }

    /// The tag that stands for a key of an image, and for nothing else.
    pub fn content_tag(&self, image: &str, key: &ContentHash) -> Option<Reference> {
        let repository = self.repository(image)?;
        Some(by_tag(repository, &format!("{}{}", self.tag, key.short(32))))
    }

    /// The image that was published for a key.
    pub fn find(&self, image: &str, key: &ContentHash) -> CacheLookup {
        let Some(tag) = self.content_tag(image, key) else { return CacheLookup::Unknown };
        let lookup = |found: Option<Published>| {
            found.map_or(CacheLookup::Miss, |found| CacheLookup::Hit(Box::new(found)))
        };
        let is_unanswered = |of: &String| self.unanswered.lock().contains_key(of);
        if self.offline || is_unanswered(&tag.registry) || is_unanswered(&tag.name()) {
            return CacheLookup::Unknown;
        }
        let asked = (image.to_owned(), *key);
        if let Some(known) = self.found.lock().get(&asked) {
            return lookup(known.clone());
        }
        match self.look_up(&tag) {
            Ok(found) => {
                self.found.lock().insert(asked, found.clone());
                lookup(found)
            }
            Err(error) => {
                let whole =
                    matches!(error, RegistryError::Unreachable { .. } | RegistryError::Throttled { .. });
                let unanswered = if whole { tag.registry.clone() } else { tag.name() };
                self.unanswered.lock().insert(unanswered, error);
                CacheLookup::Unknown
            }
        }
    }

    /// The image that a tag stands for now.
    ///
    /// # Errors
    /// When the registry does not say: that is not an absence.
    pub fn look_up(&self, tag: &Reference) -> Result<Option<Published>, RegistryError> {
        if self.registry.head(tag)?.is_none() {
            return Ok(None);
        }
        match self.registry.manifest(tag)? {
            Some(manifest) => self.read(tag, &manifest),
            None => Ok(None),
        }
    }

    /// Whether a registry takes tags away; `ask` is called when that is not known yet.
    pub(super) fn deletes_tags(&self, host: &str, ask: impl FnOnce() -> bool) -> bool {
        let known = self.untagging.lock().get(host).copied();
        known.unwrap_or_else(|| {
            let answer = ask();
            self.untagging.lock().insert(host.to_owned(), answer);
            answer
        })
    }

    /// The image that a manifest near a tag describes.
    pub(super) fn read(
        &self,
        tag: &Reference,
        manifest: &Manifest,
    ) -> Result<Option<Published>, RegistryError> {
        // What is no image of one platform was put there by somebody else, and answers no key.
        let document: Option<Document> = serde_json::from_slice(&manifest.bytes).ok();
        let Some(configuration) = document.and_then(|document| document.config) else { return Ok(None) };
        let bytes = self.registry.blob(tag, &configuration.digest)?;
        Ok(content::of_configuration(&bytes).map(|text| Published {
            at: by_digest(tag, &manifest.digest),
            configuration: configuration.digest,
            content: ContentHash::of(text.as_bytes()),
        }))
    }

    /// Remembers what was published just now.
    pub fn learned(&self, image: &str, key: &ContentHash, published: Published) {
        self.found.lock().insert((image.to_owned(), *key), Some(published));
    }

    /// Forgets what is not there any more.
    pub fn vanished(&self, image: &str, key: &ContentHash) {
        self.found.lock().insert((image.to_owned(), *key), None);
    }

    /// The questions that were not answered: one for each registry and cause, with all it is about.
    pub fn take_unanswered(&self) -> Vec<Unanswered> {
        let mut together: BTreeMap<String, Unanswered> = BTreeMap::new();
        for error in self.unanswered.lock().values() {
            let about = |(image, at): (&String, &Reference)| {
                (at.registry == error.host() && error.about().is_none_or(|it| it == at.repository))
                    .then(|| image.clone())
            };
            let images = self.repositories.iter().filter_map(about);
            let entry = together.entry(error.of_any().to_string()).or_insert_with(|| Unanswered {
                error: error.clone(),
                repositories: BTreeSet::new(),
                images: BTreeSet::new(),
            });
            entry.repositories.extend(error.about().map(str::to_owned));
            entry.images.extend(images);
        }
        together.into_values().collect()
    }
}
