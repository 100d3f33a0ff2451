//! The index of the images that one name has for several platforms (image specification 1.1).
//!
//! It is made of its images and of annotations that are declared, so that the same images make the same index wherever
//! it is made: no time and no commit is in it. It is put when all of them are there. Knows no tags.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::model::hash::{ContentHash, FieldHasher};
use crate::registry::document::{self, entry};
use crate::registry::{Manifest, Registry, RegistryError, by_digest};
use crate::syntax::reference::Reference;
use crate::syntax::resolve::platform;

/// An image of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `linux/arm64`
    pub platform: String,
    /// Its exact name: repository and digest of the manifest.
    pub at: Reference,
}

/// Why an index was not put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// The registry does not have this image of it any more.
    Lost(Reference),
    /// The registry does not answer or refuses.
    Registry(RegistryError),
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(at) => write!(f, "`{at}` was there and is not there now"),
            Self::Registry(error) => error.fmt(f),
        }
    }
}

impl From<RegistryError> for IndexError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

/// Puts the index of some images of one repository under its digest, and says what that is. One that is
/// there already is left alone.
///
/// # Errors
/// See [`IndexError`]; nothing was put then.
pub fn put(
    registry: &dyn Registry,
    members: &[Member],
    annotations: &BTreeMap<String, String>,
) -> Result<Option<Reference>, IndexError> {
    let Some(first) = members.first() else { return Ok(None) };
    let manifest = manifest(registry, members, annotations)?;
    let at = by_digest(&first.at, &manifest.digest);
    if registry.head(&at)?.is_none() {
        registry.put_manifest(&at, &manifest)?;
    }
    Ok(Some(at))
}

fn manifest(
    registry: &dyn Registry,
    members: &[Member],
    annotations: &BTreeMap<String, String>,
) -> Result<Manifest, IndexError> {
    let mut entries = Vec::new();
    for member in members {
        let there = registry.head(&member.at)?.ok_or_else(|| IndexError::Lost(member.at.clone()))?;
        let mut image = entry(&there);
        image["platform"] = named(&member.platform);
        entries.push(image);
    }
    let mut bytes = document::index(&entries);
    if !annotations.is_empty()
        && let Ok(mut index) = serde_json::from_slice::<Value>(&bytes)
    {
        index["annotations"] = json!(annotations);
        bytes = index.to_string().into_bytes();
    }
    Ok(Manifest::new(document::INDEX, bytes))
}

/// A platform as an index names it. An `arm` without a version is the seventh, and an index says so.
fn named(text: &str) -> serde_json::Value {
    let Some(platform) = platform::parse(text) else { return json!({}) };
    let mut named = json!({"architecture": platform.architecture, "os": platform.os});
    if !platform.os_version.is_empty() {
        named["os.version"] = platform.os_version.into();
    }
    let variant = match (platform.architecture.as_str(), platform.variant.as_str()) {
        ("arm", "") => "v7",
        (_, variant) => variant,
    };
    if !variant.is_empty() {
        named["variant"] = variant.into();
    }
    named
}

/// The key of a name for several platforms: the keys of all its images.
pub fn key<'k>(members: impl IntoIterator<Item = (&'k str, &'k ContentHash)>) -> ContentHash {
    let mut key = FieldHasher::new("imk index v1");
    for (platform, of_image) in members {
        key.field(platform).field(of_image.to_string());
    }
    key.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::FakeRegistry;
    use crate::registry::document::Document;
    use crate::syntax::reference;

    fn member(registry: &FakeRegistry, platform: &str) -> Member {
        let repository = reference::parse("r.example/web").unwrap();
        let digest = registry.add_image(&format!("r.example/web:{}", platform.replace('/', "-")), platform);
        Member { platform: platform.to_owned(), at: by_digest(&repository, &digest) }
    }

    #[test]
    fn an_index_names_each_image_with_its_platform() {
        let registry = FakeRegistry::new();
        let members = ["linux/amd64", "linux/arm64", "linux/arm"].map(|one| member(&registry, one));
        let at = put(&registry, &members, &BTreeMap::new()).unwrap().unwrap();
        let index = registry.manifest(&at).unwrap().unwrap();
        assert_eq!(index.media_type, document::INDEX);
        let document = Document::parse(&index.bytes).unwrap();
        assert_eq!(document.platforms(), ["linux/amd64", "linux/arm64", "linux/arm/v7"]);
        for member in &members {
            let found = document.choose(&member.platform).unwrap();
            assert_eq!(Some(&found.digest), member.at.digest.as_ref());
        }
    }

    #[test]
    fn the_same_images_make_the_same_index_which_is_put_once() {
        let registry = FakeRegistry::new();
        let members = ["linux/amd64", "linux/arm64"].map(|one| member(&registry, one));
        let first = put(&registry, &members, &BTreeMap::new()).unwrap();
        assert_eq!(put(&registry, &members, &BTreeMap::new()).unwrap(), first);
        assert_eq!(registry.count("put_manifest"), 1);
    }

    #[test]
    fn annotations_stand_in_the_index_and_make_another() {
        let registry = FakeRegistry::new();
        let members = ["linux/amd64", "linux/arm64"].map(|one| member(&registry, one));
        let plain = put(&registry, &members, &BTreeMap::new()).unwrap().unwrap();
        let annotations = BTreeMap::from([("vendor".to_owned(), "acme".to_owned())]);
        let at = put(&registry, &members, &annotations).unwrap().unwrap();
        assert_ne!(at, plain);
        let index: Value = serde_json::from_slice(&registry.manifest(&at).unwrap().unwrap().bytes).unwrap();
        assert_eq!(index["annotations"], json!({"vendor": "acme"}));
        assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn an_index_is_not_put_without_one_of_its_images() {
        let registry = FakeRegistry::new();
        let members = ["linux/amd64", "linux/arm64"].map(|one| member(&registry, one));
        registry.remove(&members[1].at.to_string());
        assert_eq!(put(&registry, &members, &BTreeMap::new()), Err(IndexError::Lost(members[1].at.clone())));
        assert_eq!(registry.count("put_manifest"), 0);
        assert_eq!(put(&registry, &[], &BTreeMap::new()), Ok(None));
    }

    #[test]
    fn the_key_is_another_when_one_of_its_images_is() {
        let (a, b) = (ContentHash::of(b"a"), ContentHash::of(b"b"));
        let of = |amd: &ContentHash, arm: &ContentHash| key([("linux/amd64", amd), ("linux/arm64", arm)]);
        assert_eq!(of(&a, &b), of(&a, &b));
        assert_ne!(of(&a, &b), of(&b, &a));
    }
}
