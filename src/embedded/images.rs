//! Images of the store: their configurations, their names, and those that a registry brings.
//!
//! An image's id is the digest of its configuration. A name leads to one id; a name with a digest is
//! kept as well, so that a base that was fetched once is found again. What a registry has of an image
//! is learned here and fetched when somebody looks into it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::layer::layers::{Form, Layers, media_type};
use super::layouts;
use super::names;
use super::store::NoteKind;
use super::trouble::{Result, refusal, refused};
use crate::engine::LayoutImage;
use crate::registry::document::Document;
use crate::registry::{Registry, by_digest};
use crate::syntax::reference::{self, Reference};

/// A note on an image: all that is known of it beside its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// `name@sha256:…` under which registries have it.
    pub digests: BTreeSet<String>,
}

/// An image: its id and its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Digest of the configuration.
    pub id: String,
    /// The configuration.
    pub config: Config,
}

/// All images of a store.
pub struct Images<'a> {
    /// Their layers.
    pub layers: &'a Layers<'a>,
    registry: &'a dyn Registry,
    /// Images of OCI layouts, by the names that stand for them.
    layouts: BTreeMap<String, Arc<dyn LayoutImage>>,
}

impl<'a> Images<'a> {
    /// Images of these layers, and of registries.
    pub fn new(layers: &'a Layers<'a>, registry: &'a dyn Registry) -> Self {
        Self { layers, registry, layouts: BTreeMap::new() }
    }

    /// With images of OCI layouts, by the names that stand for them.
    pub fn with_layouts(self, layouts: &BTreeMap<String, Arc<dyn LayoutImage>>) -> Self {
        Self { layouts: layouts.clone(), ..self }
    }

    /// The registries.
    pub fn registry(&self) -> &dyn Registry {
        self.registry
    }

    /// The image that a name, an id or a name with a digest means here.
    pub fn find(&self, reference: &str) -> Result<Option<Image>> {
        match self.id(reference) {
            Some(id) => self.load(&id),
            None => Ok(None),
        }
    }

    /// The id behind a name.
    pub fn id(&self, reference: &str) -> Option<String> {
        let store = self.layers.store;
        if store.blob(reference).is_some() {
            return store.noted::<Note>(NoteKind::Images, reference).map(|_| reference.to_owned());
        }
        let at = reference::parse(reference).ok()?;
        match &at.digest {
            // A digest goes before a tag.
            Some(digest) => {
                let exact = by_digest(&at, digest).to_string();
                store.noted(NoteKind::Names, &exact)
            }
            None => store.noted(NoteKind::Names, &reference::normalized(reference)),
        }
    }

    fn load(&self, id: &str) -> Result<Option<Image>> {
        let store = self.layers.store;
        if store.noted::<Note>(NoteKind::Images, id).is_none() || !store.has(id) {
            return Ok(None);
        }
        let config =
            Config::parse(&store.read(id)?).map_err(|why| refusal(format!("reading image {id}"), why))?;
        Ok(Some(Image { id: id.to_owned(), config }))
    }

    /// Keeps an image, whose layers are there.
    pub fn keep(&self, configuration: &[u8]) -> Result<String> {
        let id = self.layers.store.put(configuration)?;
        let note: Note = self.layers.store.noted(NoteKind::Images, &id).unwrap_or_default();
        self.layers.store.note(NoteKind::Images, &id, &note)?;
        Ok(id)
    }

    /// Gives an image a name.
    pub fn name(&self, id: &str, name: &str) -> Result<()> {
        names::give(self.layers.store, id, &reference::normalized(name))
    }

    /// Remembers under which digest a registry has an image.
    pub fn seen_at(&self, id: &str, at: &Reference) -> Result<()> {
        let store = self.layers.store;
        let mut note: Note = store.noted(NoteKind::Images, id).unwrap_or_default();
        if note.digests.insert(at.to_string()) {
            store.note(NoteKind::Images, id, &note)?;
        }
        names::give(store, id, &at.to_string())
    }

    /// Fetches what a registry says of an image for a platform: not its layers. `None` when there is no such image.
    pub fn pull(&self, reference: &str, platform: &str) -> Result<Option<Image>> {
        let what = || format!("fetching `{reference}`");
        let at = reference::parse(reference).map_err(|why| refusal(what(), why))?;
        if let Some(image) = self.layouts.get(reference) {
            let (bytes, config) = layouts::take(self.layers, &**image)?;
            let id = self.keep(&bytes)?;
            self.seen_at(&id, &at)?;
            return Ok(Some(Image { id, config }));
        }
        let failed = |error: crate::registry::RegistryError| match error {
            crate::registry::RegistryError::Interrupted => crate::engine::EngineError::Interrupted,
            error => refusal(what(), error.to_string()),
        };
        let Some(chosen) = self.registry.platform(&at, platform).map_err(failed)? else { return Ok(None) };
        let exact = by_digest(&at, &chosen.digest);
        let Some(manifest) = self.registry.manifest(&exact).map_err(failed)? else { return Ok(None) };
        let document = Document::parse(&manifest.bytes).map_err(|why| refusal(what(), why))?;
        let Some(configuration) = &document.config else {
            return refused(what(), "it is not an image of one platform");
        };
        let bytes = self.registry.blob(&exact, &configuration.digest).map_err(failed)?;
        let config = Config::parse(&bytes).map_err(|why| refusal(what(), why))?;
        let layers: Vec<_> = document.layers.iter().collect();
        if layers.len() != config.diff_ids.len() {
            return refused(what(), "its manifest and its configuration name different numbers of layers");
        }
        for (diff_id, layer) in config.diff_ids.iter().zip(layers) {
            if self.layers.store.blob(diff_id).is_none() || self.layers.store.blob(&layer.digest).is_none() {
                return refused(what(), "it names a layer by something else than a sha256 digest");
            }
            let form = Form {
                media_type: media_type(&layer.media_type),
                digest: layer.digest.clone(),
                size: layer.size,
                from: Some(exact.name()),
            };
            self.layers.learn(diff_id, form)?;
        }
        let id = self.keep(&bytes)?;
        self.seen_at(&id, &exact)?;
        if let Some(digest) = &at.digest {
            self.seen_at(&id, &by_digest(&at, digest))?;
        }
        Ok(Some(Image { id, config }))
    }

    /// The tags of all images: name and id.
    pub fn tags(&self) -> Result<Vec<(String, String)>> {
        let store = self.layers.store;
        let names = store.names(NoteKind::Names)?.into_iter().filter(|name| !name.contains('@'));
        Ok(names.filter_map(|name| Some((name.clone(), store.noted(NoteKind::Names, &name)?))).collect())
    }
}
