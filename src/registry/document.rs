//! Manifests as documents: what they name, and the few that imk writes itself.
//!
//! Follows the image specification 1.1 and docker's schema 2. Text in, values
//! out; asks no registry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Descriptor;

/// An image for one platform.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A list of manifests, one a platform.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// docker's name for [`MANIFEST`].
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// docker's name for [`INDEX`].
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The configuration of an artifact that has none: the blob [`EMPTY_BYTES`].
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The bytes of such a configuration.
pub const EMPTY_BYTES: &[u8] = b"{}";
/// The annotation that says when something was made (RFC 3339).
pub const CREATED: &str = "org.opencontainers.image.created";
/// The media types that we take: a registry without this header may convert to docker's schema 1.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Whether it is the type of a manifest or an index, and not one that a server gives to everything.
pub fn is_known(media_type: &str) -> bool {
    matches!(media_type, MANIFEST | INDEX | DOCKER_MANIFEST | DOCKER_LIST)
}

/// Whether such a manifest lists others.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX | DOCKER_LIST)
}

/// A manifest, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Document {
    /// Its media type by its own word; old documents leave that to the header.
    pub media_type: Option<String>,
    /// Of an index: its manifests.
    pub manifests: Vec<Entry>,
    /// Of a manifest: its configuration.
    pub config: Option<Entry>,
    /// Of a manifest: its layers, in order.
    pub layers: Vec<Entry>,
}

/// A document's entry for something it names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// For whom, in an index.
    pub platform: Option<Platform>,
    /// The type of an artifact, in an index of attached ones.
    pub artifact_type: Option<String>,
    /// Notes.
    pub annotations: BTreeMap<String, String>,
    /// Places outside the registry; a layer with these need not be in it.
    pub urls: Vec<String>,
}

/// For whom a manifest is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `linux`
    pub os: String,
    /// `arm64`
    pub architecture: String,
    /// `v7`
    pub variant: Option<String>,
}

impl Entry {
    /// The descriptor that a registry would give.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor { media_type: self.media_type.clone(), digest: self.digest.clone(), size: self.size }
    }
}

impl Document {
    /// Reads a manifest. The error is a sentence.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| {
            format!("it is no manifest: line {}, column {} of its JSON", error.line(), error.column())
        })
    }

    /// The blobs it names that a registry must have: configuration first, each once.
    pub fn blobs(&self) -> Vec<&Entry> {
        let mut blobs: Vec<&Entry> = Vec::new();
        for entry in self.config.iter().chain(&self.layers) {
            if entry.urls.is_empty() && !blobs.iter().any(|other| other.digest == entry.digest) {
                blobs.push(entry);
            }
        }
        blobs
    }

    /// The manifest for a platform. The error names the platforms there are.
    pub fn choose(&self, platform: &str) -> Result<&Entry, String> {
        self.named(platform).ok_or_else(|| has(&self.platforms()))
    }

    /// The manifest that is named for a platform, or for one that such a machine runs as well.
    pub fn named(&self, platform: &str) -> Option<&Entry> {
        let of = |entry: &Entry| entry.platform.as_ref().map(|it| normal(&it.to_string()));
        runs(platform)
            .into_iter()
            .find_map(|wanted| self.manifests.iter().find(|entry| of(entry).as_ref() == Some(&wanted)))
    }

    /// The manifests of which it does not say for whom they are: the image specification leaves that open.
    pub fn unnamed(&self) -> impl Iterator<Item = &Entry> {
        let says = |platform: &Platform| !platform.os.is_empty() || !platform.architecture.is_empty();
        self.manifests.iter().filter(move |entry| !entry.platform.as_ref().is_some_and(says))
    }

    /// The platforms it names.
    pub fn platforms(&self) -> Vec<String> {
        let named = self.manifests.iter().filter_map(|entry| entry.platform.as_ref());
        // Notes that builders add to an index are for no machine.
        named
            .filter(|platform| !matches!(platform.os.as_str(), "unknown" | ""))
            .map(Platform::to_string)
            .collect()
    }

    /// The type of a document that does not say it, by the fields it has.
    pub fn kind(&self) -> Option<&'static str> {
        match (self.manifests.is_empty(), self.config.is_none()) {
            (false, _) => Some(INDEX),
            (true, false) => Some(MANIFEST),
            (true, true) => None,
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

/// The platforms of an index, as an error tells them.
pub fn has(platforms: &[String]) -> String {
    match platforms {
        [] => "it names no platforms".to_owned(),
        some => format!("it has {}", some.join(", ")),
    }
}

/// Whether an image for `made` runs on `platform`.
pub fn fits(made: &Platform, platform: &str) -> bool {
    runs(platform).contains(&normal(&made.to_string()))
}

/// Platforms that a machine of this one runs, the best first, after containerd's `platforms.Only`.
fn runs(platform: &str) -> Vec<String> {
    let best = normal(platform);
    let mut parts = best.split('/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (os, architecture, variant) = (part(), part(), part());
    let below = |most: u32, least: u32| (least..most).rev().map(|number| format!("v{number}"));
    let number = variant.strip_prefix('v').and_then(|number| number.parse::<u32>().ok());
    let mut others: Vec<String> = Vec::new();
    match (architecture.as_str(), number) {
        ("arm", Some(most)) => others.extend(below(most, 5).map(|variant| format!("{os}/arm/{variant}"))),
        ("arm64", _) => others.extend(below(9, 5).map(|variant| format!("{os}/arm/{variant}"))),
        ("amd64", most) => {
            let lesser = below(most.unwrap_or(1), 2).map(|variant| format!("{os}/amd64/{variant}"));
            others.extend(lesser);
            if most.is_some() {
                others.push(format!("{os}/amd64/"));
            }
            others.push(format!("{os}/386/"));
        }
        _ => {}
    }
    std::iter::once(best).chain(others).collect()
}

/// One spelling for each platform, after containerd's `platforms.Normalize`.
fn normal(platform: &str) -> String {
    let mut parts = platform.split('/');
    let os = parts.next().unwrap_or_default().to_lowercase();
    let architecture = parts.next().unwrap_or_default().to_lowercase();
    let variant = parts.next().unwrap_or_default().to_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
        ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
        ("armhf", _) | ("arm", "" | "7" | "v7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") | ("armel", _) => ("arm", "v6"),
        ("i386" | "i686" | "x86" | "386", _) => ("386", ""),
        other => other,
    };
    format!("{os}/{architecture}/{variant}")
}

/// A descriptor, written out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: u64,
}

impl<'a> Blob<'a> {
    fn of(Descriptor { media_type, digest, size }: &'a Descriptor) -> Self {
        Self { media_type, digest, size: *size }
    }
}

/// A manifest, written out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestText<'a> {
    schema_version: u8,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    config: Blob<'a>,
    layers: Vec<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

impl<'a> ManifestText<'a> {
    fn of(config: &'a Descriptor, layers: &'a [Descriptor]) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type: None,
            config: Blob::of(config),
            layers: layers.iter().map(Blob::of).collect(),
            subject: None,
            annotations: None,
        }
    }
}

/// An index, written out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexText<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: &'a [Value],
}

fn written(document: &impl Serialize) -> Vec<u8> {
    // Keys are texts and values have forms of JSON, so nothing is refused.
    serde_json::to_vec(document).unwrap_or_default()
}

/// An artifact of one blob and an empty configuration, which belongs to `subject` or stands by itself.
pub fn artifact(
    subject: Option<&Descriptor>,
    artifact_type: &str,
    annotations: &BTreeMap<String, String>,
    blob: &Descriptor,
) -> Vec<u8> {
    let empty = Descriptor {
        media_type: EMPTY.to_owned(),
        digest: super::digest::of(EMPTY_BYTES),
        size: EMPTY_BYTES.len() as u64,
    };
    written(&ManifestText {
        artifact_type: Some(artifact_type),
        subject: subject.map(Blob::of),
        annotations: Some(annotations),
        ..ManifestText::of(&empty, std::slice::from_ref(blob))
    })
}

/// An image of one configuration and these layers.
pub fn image(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    written(&ManifestText::of(config, layers))
}

/// An index of manifests given as descriptors in JSON.
pub fn index(manifests: &[Value]) -> Vec<u8> {
    written(&IndexText { schema_version: 2, media_type: INDEX, manifests })
}

/// A descriptor as documents write it.
pub fn entry(descriptor: &Descriptor) -> Value {
    serde_json::to_value(Blob::of(descriptor)).unwrap_or_default()
}

/// The tag that lists what is attached to a manifest, where a registry cannot say it otherwise.
pub fn fallback_tag(digest: &str) -> String {
    let (kind, digits) = digest.split_once(':').unwrap_or(("sha256", digest));
    let kind: String = kind.chars().take(32).collect();
    let digits: String = digits.chars().take(64).collect();
    format!("{kind}-{digits}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' })
        .collect()
}

/// Puts the newest first, by [`CREATED`]; where that says nothing, what stands later is newer.
pub fn newest_first(entries: &mut [Entry]) {
    entries.reverse();
    let made = |entry: &Entry| -> Option<jiff::Timestamp> { entry.annotations.get(CREATED)?.parse().ok() };
    entries.sort_by_key(|entry| std::cmp::Reverse(made(entry)));
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
