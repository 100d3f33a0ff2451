//! A BuildKit without an engine around it, as an engine like every other.
//!
//! It has no store of images, so an image's id is the digest of its manifest, and where the image is stands beside
//! it for as long as this process runs: results of earlier runs are found in the registry by their keys. A name that
//! is given here is given in this process alone; it reaches a registry when it is pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::save;
use crate::engine::buildkitd::Buildkitd;
use crate::engine::{
    About, BuildEvent, BuildFailure, BuildRequest, Cancel, CheckFinding, Engine, EngineError, EngineIdentity,
    ImageId, ImageInfo, Inventory,
};
use crate::model::{content, own_bases};
use crate::registry::document::Document;
use crate::registry::{Registry, RegistryError, by_digest};
use crate::syntax::reference::{self, Reference, normalized};

/// Names below it are given for a moment and lead nowhere outside of imk (RFC 2606).
const OWN_NAMES: &str = "imk.invalid/";

/// An engine whose images live in a registry.
pub struct BuildkitdEngine {
    daemon: Buildkitd,
    registry: Arc<dyn Registry>,
    known: Mutex<Known>,
}

/// The images that this process has met, and the names it gave them.
#[derive(Default)]
struct Known {
    places: BTreeMap<ImageId, Reference>,
    names: BTreeMap<String, ImageId>,
}

impl Known {
    fn place_of(&self, name: &str) -> Option<Reference> {
        let id = ImageId(name.to_owned());
        let id = if self.places.contains_key(&id) { &id } else { self.names.get(&normalized(name))? };
        self.places.get(id).cloned()
    }
}

fn refused<T>(what: impl Into<String>, why: impl Into<String>) -> Result<T, EngineError> {
    Err(EngineError::Refused { what: what.into(), why: why.into() })
}

impl BuildkitdEngine {
    /// An engine of a BuildKit and the registries that keep its results.
    pub fn new(daemon: Buildkitd, registry: Arc<dyn Registry>) -> Self {
        Self { daemon, registry, known: Mutex::default() }
    }

    fn told(what: String) -> impl Fn(RegistryError) -> EngineError {
        move |error| EngineError::Refused { what: what.clone(), why: error.to_string() }
    }

    /// An image as its registry has it; `None` when it has none there, or an index.
    fn described(&self, at: &Reference) -> Result<Option<ImageInfo>, EngineError> {
        let told = Self::told(format!("reading `{at}`"));
        let Some(manifest) = self.registry.manifest(at).map_err(&told)? else { return Ok(None) };
        let document: Option<Document> = serde_json::from_slice(&manifest.bytes).ok();
        let Some(document) = document else { return Ok(None) };
        let Some(configuration) = &document.config else { return Ok(None) };
        let bytes = self.registry.blob(at, &configuration.digest).map_err(&told)?;
        let Some(content) = content::of_configuration(&bytes) else { return Ok(None) };
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| -> Vec<String> {
            let texts = value["config"][key].as_array().into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut platform = format!("{}/{}", text("os"), text("architecture"));
        if let Some(variant) = value["variant"].as_str().filter(|variant| !variant.is_empty()) {
            platform = format!("{platform}/{variant}");
        }
        let pairs = list("Env");
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        let id = ImageId(manifest.digest.clone());
        Ok(Some(ImageInfo {
            tags: self.names_of(&id).into_iter().collect(),
            id,
            platform,
            repo_digests: vec![by_digest(at, &manifest.digest).to_string()],
            onbuild: list("OnBuild"),
            environment: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            own_bases: value["config"]["Labels"][own_bases::LABEL].as_str().map(str::to_owned),
            size_bytes: document.layers.iter().map(|layer| layer.size).sum(),
            manifest: None,
            content,
        }))
    }

    fn names_of(&self, id: &ImageId) -> BTreeSet<String> {
        let known = self.known.lock();
        known.names.iter().filter(|(_, of)| *of == id).map(|(name, _)| name.clone()).collect()
    }

    /// The exact names of the images for which a request has names of ours, by these.
    fn exact(&self, request: &BuildRequest) -> Vec<(String, String)> {
        let known = self.known.lock();
        let used = known.names.iter().filter(|(name, _)| name.starts_with(OWN_NAMES));
        let used = used.filter(|(name, _)| request.dockerfile.contains(name.as_str()));
        used.filter_map(|(name, id)| Some((name.clone(), known.places.get(id)?.to_string()))).collect()
    }
}

fn replaced(text: &str, names: impl Iterator<Item = (String, String)>) -> String {
    names.fold(text.to_owned(), |text, (from, to)| text.replace(&from, &to))
}

/// BuildKit's words, in the names that a request was made with.
fn back(names: &[(String, String)], text: &str) -> String {
    replaced(text, names.iter().map(|(name, exact)| (exact.clone(), name.clone())))
}

impl Engine for BuildkitdEngine {
    fn identity(&self) -> Result<EngineIdentity, EngineError> {
        let worker = self.daemon.worker()?;
        Ok(EngineIdentity {
            id: format!("buildkitd-{}", worker.id),
            version: worker.version,
            builder: "buildkit/registry".into(),
            platform: worker.platforms.first().cloned().unwrap_or_else(|| "linux/amd64".into()),
        })
    }

    fn about(&self) -> Result<About, EngineError> {
        let worker = self.daemon.ask()?;
        Ok(About {
            place: self.daemon.endpoint().to_string(),
            api: format!("BuildKit {}", worker.version),
            time: String::new(),
            images: 0,
            store: "none; images live in their registry".into(),
        })
    }

    fn keeps_images(&self) -> bool {
        false
    }

    fn inventory(&self, ids: &BTreeSet<ImageId>) -> Result<Inventory, EngineError> {
        let known = |id: &&ImageId| self.known.lock().places.contains_key(*id);
        let there: Vec<&ImageId> = ids.iter().filter(known).collect();
        Ok(there.into_iter().map(|id| (id.clone(), self.names_of(id))).collect())
    }

    fn references(&self, _: &BTreeSet<String>) -> Result<BTreeMap<String, ImageId>, EngineError> {
        Ok(BTreeMap::new())
    }

    fn inspect(&self, reference: &str) -> Result<Option<ImageInfo>, EngineError> {
        let place = self.known.lock().place_of(reference);
        let exact = || reference::parse(reference).ok().filter(|parsed| parsed.digest.is_some());
        match place.or_else(exact) {
            Some(at) => self.described(&at),
            // Whoever asks for an image that nobody has wants to know whether it is there itself.
            None => self.daemon.ask().map(|_| None),
        }
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &(dyn Fn(BuildEvent) + Sync),
        cancel: &Cancel,
    ) -> Result<ImageId, EngineError> {
        let what = || format!("building `{}`", request.image);
        let Some(repository) = request.repository.as_ref().and_then(|name| reference::parse(name).ok())
        else {
            return refused(
                what(),
                "its name has no registry, and a buildkitd keeps no images; `prefix: \"registry.example/team/\"` or --prefix gives it one",
            );
        };
        if cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        let names = self.exact(request);
        let dockerfile = replaced(&request.dockerfile, names.iter().cloned());
        let request = BuildRequest { dockerfile, ..request.clone() };
        let report = |event| match event {
            BuildEvent::Step { id, name, number, total } => {
                events(BuildEvent::Step { id, name: back(&names, &name), number, total });
            }
            other => events(other),
        };
        let built = self.daemon.build(&request, &repository.name(), &report, cancel);
        let id = built.map_err(|error| match error {
            EngineError::Failed(failure) => EngineError::Failed(BuildFailure {
                step: back(&names, &failure.step),
                message: back(&names, &failure.message),
                ..failure
            }),
            other => other,
        })?;
        self.known.lock().places.insert(id.clone(), by_digest(&repository, &id.0));
        Ok(id)
    }

    fn tag(&self, id: &ImageId, reference: &str) -> Result<(), EngineError> {
        let mut known = self.known.lock();
        if !known.places.contains_key(id) {
            return refused(format!("naming {id} `{reference}`"), "this process has not met it");
        }
        known.names.insert(normalized(reference), id.clone());
        Ok(())
    }

    fn untag(&self, reference: &str) -> Result<(), EngineError> {
        self.known.lock().names.remove(&normalized(reference));
        Ok(())
    }

    fn remove(&self, _: &ImageId) -> Result<(), EngineError> {
        Ok(())
    }

    fn containers(&self) -> Result<BTreeMap<ImageId, BTreeSet<String>>, EngineError> {
        Ok(BTreeMap::new())
    }

    fn push(&self, reference: &str, _: &Cancel) -> Result<Option<String>, EngineError> {
        let what = format!("pushing `{reference}`");
        let Some(at) = self.known.lock().place_of(reference) else {
            return refused(what, "no image has this name here");
        };
        let to = match reference::parse(reference) {
            Ok(to) => to,
            Err(why) => return refused(what, why),
        };
        Ok(Some(self.registry.copy(&at, &to).map_err(Self::told(what))?.digest))
    }

    fn pull(&self, reference: &str, _: &Cancel) -> Result<Option<ImageId>, EngineError> {
        let what = format!("looking for `{reference}`");
        let at = match reference::parse(reference) {
            Ok(at) => at,
            Err(why) => return refused(what, why),
        };
        let Some(found) = self.registry.head(&at).map_err(Self::told(what))? else { return Ok(None) };
        let id = ImageId(found.digest);
        self.known.lock().places.insert(id.clone(), by_digest(&at, &id.0));
        Ok(Some(id))
    }

    fn save(&self, id: &ImageId, to: &mut dyn Write, _: &Cancel) -> Result<(), EngineError> {
        let what = format!("reading {id}");
        let Some(at) = self.known.lock().place_of(&id.0) else {
            return refused(what, "no registry is known to have it; `imk pull` finds it");
        };
        save::save(&*self.registry, &at, to).map_err(|why| EngineError::Refused { what, why })
    }

    fn takes_layouts(&self) -> bool {
        true
    }

    fn checks(
        &self,
        request: &BuildRequest,
        cancel: &Cancel,
    ) -> Result<Option<Vec<CheckFinding>>, EngineError> {
        self.daemon.checks(request, cancel)
    }
}
