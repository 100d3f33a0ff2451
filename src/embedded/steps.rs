//! Results of commands in registries: what one machine has run, another need not.
//!
//! A step is a manifest under a tag that stands for all the command sees (`imk-step-…`), with the layer that it made
//! beside it; nothing else is ever put under that tag. It is found without its layer being fetched, and whoever looks
//! into the layer compares it with the digest that the step's result has. Asked only where `cache_from` and
//! `cache_to` say so. Knows no command.

use serde::Deserialize;
use serde_json::json;

use super::images::Images;
use super::layer::layers::Form;
use super::push;
use super::trouble::{Result, refusal};
use crate::engine::{Caches, Cancel, EngineError};
use crate::model::hash::ContentHash;
use crate::model::layer_cache::LayerCache;
use crate::registry::{Manifest, RegistryError, by_tag, document};
use crate::syntax::reference::{self, Reference};

/// Tags of steps begin with this.
const TAG: &str = "imk-step";
/// Digits of a key in a tag.
const DIGITS: usize = 40;
/// The kind of a step's manifest.
const KIND: &str = "application/vnd.imk.step.v1";
/// The annotation with the digest of the plain layer; empty of a step that changes nothing.
const DIFF_ID: &str = "imk.step.diff-id";
/// The image specification's name for a document that says nothing.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The registries that one build takes steps from and leaves them in.
#[derive(Debug, Default)]
pub struct RemoteSteps {
    from: Vec<Reference>,
    to: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    at: Reference,
    /// `ignore-error=true`
    lenient: bool,
}

/// A step's manifest, as far as it counts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    artifact_type: Option<String>,
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

impl RemoteSteps {
    /// Of an image's caches.
    ///
    /// # Errors
    /// When one is of another kind.
    pub fn of(image: &str, cache: &Caches) -> Result<Self> {
        let what = || format!("building `{image}`");
        let other = |kind: &str| {
            refusal(
                what(),
                format!(
                    "the embedded builder keeps layer caches in registries (`type=registry,ref=NAME`), and knows no `{kind}`"
                ),
            )
        };
        if cache.inline {
            return Err(other("inline"));
        }
        let reference = |text: &str| reference::parse(text).map_err(|why| refusal(what(), why));
        let mut steps = Self::default();
        for text in &cache.from {
            steps.from.push(reference(text)?);
        }
        let of = |cache: &LayerCache| match (cache.kind.as_str(), cache.attributes.get("ref")) {
            ("registry", Some(text)) => reference(text),
            (kind, _) => Err(other(kind)),
        };
        for cache in &cache.other_from {
            steps.from.push(of(cache)?);
        }
        for cache in &cache.to {
            let lenient = cache.attributes.get("ignore-error").is_some_and(|value| value == "true");
            steps.to.push(Place { at: of(cache)?, lenient });
        }
        Ok(steps)
    }

    /// The layer that a step made elsewhere, `Some("")` of one that changed nothing; `None` where nobody has it. A
    /// registry that does not answer has nothing: `told` hears why.
    pub fn find(
        &self,
        images: &Images<'_>,
        key: &ContentHash,
        told: &dyn Fn(String),
    ) -> Result<Option<String>> {
        for at in &self.from {
            match images.registry().manifest(&tag_of(at, key)) {
                Ok(Some(manifest)) => {
                    if let Some(layer) = taken(images, at, &manifest)? {
                        return Ok(Some(layer));
                    }
                }
                Ok(None) => {}
                Err(RegistryError::Interrupted) => return Err(EngineError::Interrupted),
                Err(error) => told(format!("the cache `{}` is not used: {error}\n", at.name())),
            }
        }
        Ok(None)
    }

    /// Leaves a step's result where it was asked for, unless it is there. A layer goes first, and its step last.
    pub fn leave(
        &self,
        images: &Images<'_>,
        key: &ContentHash,
        diff_id: &str,
        cancel: &Cancel,
    ) -> Result<()> {
        for Place { at, lenient } in &self.to {
            let tag = tag_of(at, key);
            match put(images, &tag, diff_id, cancel) {
                Err(EngineError::Refused { .. }) if *lenient => {}
                done => done?,
            }
        }
        Ok(())
    }
}

fn tag_of(at: &Reference, key: &ContentHash) -> Reference {
    by_tag(at, &format!("{TAG}-{}", key.short(DIGITS)))
}

/// The result that a step's manifest tells; its layer is known from now on. `None` of what is no step.
fn taken(images: &Images<'_>, at: &Reference, manifest: &Manifest) -> Result<Option<String>> {
    let Ok(step) = serde_json::from_slice::<Step>(&manifest.bytes) else { return Ok(None) };
    if step.artifact_type.as_deref() != Some(KIND) {
        return Ok(None);
    }
    let Some(diff_id) = step.annotations.get(DIFF_ID) else { return Ok(None) };
    if diff_id.is_empty() {
        return Ok(Some(String::new()));
    }
    let [layer] = step.layers.as_slice() else { return Ok(None) };
    let store = images.layers.store;
    if store.blob(diff_id).is_none() || store.blob(&layer.digest).is_none() {
        return Ok(None);
    }
    let form = Form {
        media_type: layer.media_type.clone(),
        digest: layer.digest.clone(),
        size: layer.size,
        from: Some(at.name()),
    };
    images.layers.learn(diff_id, form)?;
    Ok(Some(diff_id.clone()))
}

fn put(images: &Images<'_>, tag: &Reference, diff_id: &str, cancel: &Cancel) -> Result<()> {
    let what = || format!("leaving a step in the cache `{}`", tag.name());
    let failed = |error: RegistryError| match error {
        RegistryError::Interrupted => EngineError::Interrupted,
        error => refusal(what(), error.to_string()),
    };
    let registry = images.registry();
    if registry.head(tag).map_err(failed)?.is_some() {
        return Ok(());
    }
    if cancel.is_cancelled() {
        return Err(EngineError::Interrupted);
    }
    let nothing = b"{}".to_vec();
    let empty = crate::registry::digest::of(&nothing);
    if !registry.has_blob(tag, &empty).map_err(failed)? {
        registry.upload(tag, &empty, &mut std::io::Cursor::new(nothing)).map_err(failed)?;
    }
    let empty = json!({"mediaType": EMPTY, "digest": empty, "size": 2});
    let layer = match diff_id {
        "" => empty.clone(),
        diff_id => {
            let form = push::send_layer(images, tag, diff_id)?;
            json!({"mediaType": form.media_type, "digest": form.digest, "size": form.size})
        }
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": document::MANIFEST,
        "artifactType": KIND,
        "config": empty,
        "layers": [layer],
        "annotations": {DIFF_ID: diff_id},
    });
    let manifest = Manifest::new(document::MANIFEST, manifest.to_string().into_bytes());
    registry.put_manifest(tag, &manifest).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::layer::layers::Layers;
    use crate::embedded::layer::writer::{LayerWriter, TIME};
    use crate::embedded::store::Store;
    use crate::registry::{FakeRegistry, Registry};

    fn steps(at: &str) -> RemoteSteps {
        let at = reference::parse(at).unwrap();
        RemoteSteps { from: vec![at.clone()], to: vec![Place { at, lenient: false }] }
    }

    #[test]
    fn a_step_that_one_machine_left_is_found_by_another_and_fetched_when_it_is_looked_into() {
        let registry = FakeRegistry::new();
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = (Store::at(one.path().join("s")), Store::at(other.path().join("s")));
        let mut layer = LayerWriter::new(&one, TIME).unwrap();
        let folder = crate::embedded::layer::index::Entry::folder(b"made", 0o755);
        layer.add(folder, &mut std::io::empty()).unwrap();
        let made = layer.keep(&one).unwrap().diff_id;
        let (steps, key) = (steps("r.example/team/web:cache"), ContentHash::of(b"RUN x"));
        let (layers, there) = (Layers::new(&one, &registry), Layers::new(&other, &registry));
        let (images, theirs) = (Images::new(&layers, &registry), Images::new(&there, &registry));
        let silent = |why: String| panic!("{why}");
        assert_eq!(steps.find(&images, &key, &silent), Ok(None));
        steps.leave(&images, &key, &made, &Cancel::default()).unwrap();
        steps.leave(&images, &ContentHash::of(b"RUN true"), "", &Cancel::default()).unwrap();
        assert_eq!(steps.find(&theirs, &ContentHash::of(b"RUN true"), &silent), Ok(Some(String::new())));
        assert_eq!(steps.find(&theirs, &key, &silent), Ok(Some(made.clone())));
        assert!(!other.has(&made), "nobody looked into it");
        assert!(theirs.layers.index(&made).unwrap().get(b"made").is_some());
    }

    #[test]
    fn an_image_under_the_tag_of_a_step_is_no_step() {
        let registry = FakeRegistry::new();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("s"));
        let layers = Layers::new(&store, &registry);
        let images = Images::new(&layers, &registry);
        let (steps, key) = (steps("r.example/web"), ContentHash::of(b"x"));
        let tag = tag_of(&steps.from[0], &key);
        let digest = crate::registry::digest::of(b"{}");
        registry.upload(&tag, &digest, &mut std::io::Cursor::new(b"{}".to_vec())).unwrap();
        let empty = json!({"mediaType": EMPTY, "digest": digest, "size": 2});
        let other =
            json!({"schemaVersion": 2, "mediaType": document::MANIFEST, "config": empty, "layers": [empty]});
        let other = Manifest::new(document::MANIFEST, other.to_string().into_bytes());
        registry.put_manifest(&tag, &other).unwrap();
        assert_eq!(steps.find(&images, &key, &|why| panic!("{why}")), Ok(None));
    }

    #[test]
    fn other_kinds_of_caches_are_refused_by_their_name() {
        let of = |kind: &str| LayerCache { kind: kind.to_owned(), attributes: Default::default() };
        for kind in ["gha", "s3", "registry"] {
            let caches = Caches { to: vec![of(kind)], ..Caches::default() };
            let error = RemoteSteps::of("web", &caches).unwrap_err().to_string();
            assert!(error.contains(kind), "{error}");
        }
    }
}
