//! Results on their way to a registry and back.
//!
//! A key is published once: whoever comes second takes what is there. How the
//! engine sends the layers is in `transfer.rs`; the
//! manifest that everybody sees is ours, since an engine writes none with annotations.
//! Knows no tags that people choose; `build/publish` gives those.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::doubt::{self, Doubt};
use super::executor::{Executor, JobEvent};
use super::remote_cache::Published;
use crate::engine::{EngineError, ImageId, Node};
use crate::model::hash::ContentHash;
use crate::query::effect::Built;
use crate::registry::document::{self, Document};
use crate::registry::{Manifest, RegistryError};
use crate::state::ledger::Record;
use crate::syntax::reference::Reference;

/// How often a transfer is begun that broke off. The layers that arrived are not sent again.
const TRIES: u32 = 4;

/// Why a result was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The engine could not send it.
    Engine(EngineError),
    /// The registry did not take it, or did not say.
    Registry(RegistryError),
    /// It was put there and is not there.
    Lost(Reference),
    /// Its key is provisional: these parts of it nobody confirmed.
    Provisional(BTreeSet<Doubt>),
    /// A tag was asked for that cannot be made now.
    Tag { template: String, why: String },
    /// Other machines publish other results of the same inputs there, faster than they can be taken.
    Overtaken,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Registry(error) => error.fmt(f),
            Self::Lost(name) => write!(f, "`{name}` was put into the registry and is not there now"),
            Self::Provisional(doubts) => {
                write!(f, "its key is provisional, for {}", doubt::in_one_line(doubts))
            }
            Self::Tag { template, why } => {
                write!(f, "the tag `{template}` is asked for and cannot be made: {why}")
            }
            Self::Overtaken => f.write_str(
                "another machine published another result of the same inputs again while the first was being taken",
            ),
        }
    }
}

impl From<EngineError> for PublishError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<RegistryError> for PublishError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl Executor {
    /// Publishes a result under its key unless that is published already, and says what is there
    /// now: perhaps what another machine built. `None` when the image's name has no registry.
    ///
    /// # Errors
    /// See [`PublishError`]. The result itself is not touched by any.
    pub fn publish(&self, image: &str, built: &Built) -> Result<Option<Published>, PublishError> {
        self.publish_from(None, image, built)
    }

    /// As [`Executor::publish`], from an engine that is known to have it.
    pub(super) fn publish_from(
        &self,
        node: Option<&Arc<Node>>,
        image: &str,
        built: &Built,
    ) -> Result<Option<Published>, PublishError> {
        let Some(tag) = self.remote_cache.content_tag(image, &built.key) else { return Ok(None) };
        let doubts = self.doubts(image);
        if !doubts.is_empty() {
            return Err(PublishError::Provisional(doubts));
        }
        let there = match self.remote_cache.look_up(&tag)? {
            Some(there) => there,
            None => {
                self.report(image, JobEvent::Publishing);
                let holder = match node {
                    Some(node) => Arc::clone(node),
                    None => self.holder_or_default(&built.id)?,
                };
                let arrived = self.send(&holder, image, &tag, built)?;
                let named = self.name_arrived(image, &tag, &arrived.manifest);
                self.remove_transfer_tag(&arrived);
                named?
            }
        };
        let at = there.at.to_string();
        let pool = self.pool();
        // Only saves questions: what cannot be written down is asked for again.
        if there.content != built.content {
            let engine = pool.alive().next().unwrap_or(pool.default_node()).engine.identity()?;
            // From now on the key leads to what everybody has.
            let id = there.id(&engine.builder).0;
            let record = Record::fetched(built.key, image, engine.id, id, there.content, Some(at));
            let _ = self.ledger.record(record);
        } else {
            for record in self.ledger.results(&built.key) {
                let _ = self.ledger.published(&built.key, &record.engine, &at);
            }
        }
        self.remote_cache.learned(image, &built.key, there.clone());
        Ok(Some(there))
    }

    /// Fetches a published result into the default engine, which then calls it by its content tag.
    /// `None` when the registry has it no more.
    ///
    /// # Errors
    /// When the engine cannot fetch it: that is not an absence.
    pub fn fetch(&self, image: &str, at: &str, key: &ContentHash) -> Result<Option<ImageId>, EngineError> {
        let default = Arc::clone(self.pool().default_node());
        let fetched = self.fetch_to(&default, image, at, key)?;
        if let Some(id) = &fetched {
            self.note_engine(id, &default.name);
        }
        Ok(fetched)
    }

    /// Fetches a result that the default engine does not have: from its registry, where another engine puts it first
    /// if it must. `None` when nobody has it any more.
    ///
    /// # Errors
    /// See [`PublishError`]; so too when another engine has it and its name has no registry.
    pub fn pull_to_default(&self, image: &str, built: &Built) -> Result<Option<ImageId>, PublishError> {
        let records = self.ledger.results(&built.key).into_iter();
        let mut at = records.filter(|record| record.content == built.content).find_map(|it| it.published);
        let mut transfer = None;
        if at.is_none() && self.has(&built.id)? {
            let offer = self.offer(&self.holder_or_default(&built.id)?, image, built)?;
            let offer = offer.ok_or_else(|| EngineError::Refused {
                what: format!("fetching `{image}` from another engine"),
                why: "its name has no registry to travel through".into(),
            })?;
            (at, transfer) = (Some(offer.at), offer.transfer);
        }
        let fetched = at.map_or(Ok(None), |at| self.fetch(image, &at, &built.key));
        transfer.iter().for_each(|transfer| self.remove_transfer_tag(transfer));
        Ok(fetched?)
    }

    /// As [`Executor::fetch`], into any engine.
    pub(super) fn fetch_to(
        &self,
        node: &Node,
        image: &str,
        at: &str,
        key: &ContentHash,
    ) -> Result<Option<ImageId>, EngineError> {
        let fetched = self.again_and_again(|| node.engine.pull(at, &self.cancel))?;
        match &fetched {
            None => self.remote_cache.vanished(image, key),
            Some(id) => {
                node.learned(id);
                // An image without a name is the first that a clean-up takes.
                if let Some(tag) = self.remote_cache.content_tag(image, key) {
                    node.tag(id, &tag.to_string())?;
                }
            }
        }
        Ok(fetched)
    }

    /// Has a key's tag stand for what arrived, and says what it stands for.
    fn name_arrived(&self, image: &str, tag: &Reference, sent: &Manifest) -> Result<Published, PublishError> {
        let manifest = annotated(sent, &self.annotations(image));
        // Layers take their time: somebody may have been faster.
        if self.remote_cache.look_up(tag)?.is_none() {
            self.remote_cache.registry().put_manifest(tag, &manifest)?;
        }
        self.remote_cache.look_up(tag)?.ok_or_else(|| PublishError::Lost(tag.clone()))
    }

    fn annotations(&self, image: &str) -> BTreeMap<String, String> {
        self.run().annotations.get(image).cloned().unwrap_or_default()
    }

    /// Tries again what may go better a moment later.
    pub(super) fn again_and_again<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut pause = Duration::from_millis(500);
        for _ in 1..TRIES {
            match attempt() {
                Err(EngineError::Refused { why, .. }) if is_passing(&why) && !self.cancel.is_cancelled() => {
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                done => return done,
            }
        }
        attempt()
    }
}

/// Trouble of the network or of a server, by the engine's words.
fn is_passing(why: &str) -> bool {
    let why = why.to_lowercase();
    let words = [
        "eof",
        "timeout",
        "timed out",
        "connection reset",
        "connection refused",
        "broken pipe",
        "toomanyrequests",
        "too many requests",
        "status: 429",
        "status: 5",
        "internal server error",
        "bad gateway",
        "service unavailable",
    ];
    words.iter().any(|word| why.contains(word))
}

/// The same image in a manifest of the OCI image specification, which knows annotations. Layers and
/// configuration stay what they are, byte for byte.
fn annotated(sent: &Manifest, annotations: &BTreeMap<String, String>) -> Manifest {
    let Ok(Value::Object(mut manifest)) = serde_json::from_slice::<Value>(&sent.bytes) else {
        return sent.clone();
    };
    if serde_json::from_slice::<Document>(&sent.bytes).is_ok_and(|document| document.config.is_none()) {
        return sent.clone();
    }
    manifest.insert("mediaType".into(), document::MANIFEST.into());
    if let Some(kind) = manifest.get_mut("config").and_then(|config| config.get_mut("mediaType")) {
        *kind = oci(kind).into();
    }
    for layer in manifest.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(kind) = layer.get_mut("mediaType") {
            *kind = oci(kind).into();
        }
    }
    if !annotations.is_empty() {
        manifest.insert("annotations".into(), json!(annotations));
    }
    Manifest::new(document::MANIFEST, Value::Object(manifest).to_string().into_bytes())
}

/// The image specification's name for docker's kinds of blobs (its "Compatibility Matrix").
fn oci(kind: &Value) -> String {
    let kind = kind.as_str().unwrap_or_default();
    let name = match kind {
        "application/vnd.docker.container.image.v1+json" => "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        }
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_keeps_its_blobs_and_takes_annotations() {
        let docker = json!({
            "schemaVersion": 2,
            "mediaType": document::DOCKER_MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": "sha256:c"},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 2, "digest": "sha256:l"}],
        });
        let sent = Manifest::new(document::DOCKER_MANIFEST, docker.to_string().into_bytes());
        let ours =
            annotated(&sent, &BTreeMap::from([("org.opencontainers.image.revision".into(), "abc".into())]));
        let value: Value = serde_json::from_slice(&ours.bytes).unwrap();
        assert_eq!(ours.media_type, document::MANIFEST);
        assert_eq!(value["config"]["digest"], "sha256:c");
        assert_eq!(value["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
        assert_eq!(value["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        assert_eq!(value["annotations"]["org.opencontainers.image.revision"], "abc");
        assert_ne!(ours.digest, sent.digest);
    }

    #[test]
    fn trouble_that_passes_is_told_from_a_refusal() {
        for passing in
            ["unexpected EOF", "received unexpected HTTP status: 503 Service Unavailable", "i/o timeout"]
        {
            assert!(is_passing(passing), "{passing}");
        }
        for lasting in ["unauthorized: authentication required", "denied", "manifest invalid"] {
            assert!(!is_passing(lasting), "{lasting}");
        }
    }
}
