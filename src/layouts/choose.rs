//! The manifest of a layout that a name and a platform stand for.
//!
//! A digest goes before a tag. A tag is the name that the index has for an entry; `latest`, or the only entry, without
//! one. An index below is searched for the platform, as a registry's is.

use super::layout::{Layout, LayoutError};
use crate::registry::document::{self, Document, Entry};
use crate::syntax::layout_source::LayoutSource;

/// The image specification's word for the name of an entry.
const NAME: &str = "org.opencontainers.image.ref.name";
/// containerd's, in full.
const FULL_NAME: &str = "io.containerd.image.name";
/// The tag that is meant where none is given.
const LATEST: &str = "latest";
/// No more documents are read for one image: an index may name itself, or others without end.
const DOCUMENTS: usize = 128;

/// The digest and the bytes of the manifest.
pub(super) fn manifest(
    layout: &Layout,
    source: &LayoutSource,
    platform: &str,
) -> Result<(String, Vec<u8>), LayoutError> {
    let mut search = Search { layout, platform, left: DOCUMENTS };
    if let Some(digest) = &source.digest {
        let bytes = layout.by_digest(digest, None)?;
        return search.below(digest, bytes);
    }
    let index = layout.index()?;
    let meant = meant(layout, &index, source.tag.as_deref())?;
    match meant.manifests.as_slice() {
        [only] => {
            let bytes = search.read(only)?;
            search.below(&only.digest, bytes)
        }
        _ => search.among(&meant),
    }
}

/// The entries that a tag stands for, as an index of their own: several where the images of several platforms
/// stand beside each other under one name.
fn meant(layout: &Layout, index: &Document, tag: Option<&str>) -> Result<Document, LayoutError> {
    let named = |tag: &str| -> Vec<Entry> {
        let is = |entry: &&Entry| {
            [NAME, FULL_NAME].iter().any(|key| entry.annotations.get(*key).is_some_and(|name| name == tag))
        };
        index.manifests.iter().filter(is).cloned().collect()
    };
    let mut found = named(tag.unwrap_or(LATEST));
    if found.is_empty() && tag.is_none() {
        let name = index.manifests.first().and_then(|entry| entry.annotations.get(NAME));
        if index.manifests.iter().all(|entry| entry.annotations.get(NAME) == name) {
            found.clone_from(&index.manifests);
        }
    }
    // One image that has several names is one image.
    let mut each: Vec<Entry> = Vec::new();
    for entry in found {
        if !each.iter().any(|other| other.digest == entry.digest) {
            each.push(entry);
        }
    }
    if each.is_empty() {
        return Err(unnamed(layout, index, tag));
    }
    Ok(Document { manifests: each, ..Document::default() })
}

/// The words for a name that the index does not have.
fn unnamed(layout: &Layout, index: &Document, tag: Option<&str>) -> LayoutError {
    let mut names: Vec<&str> =
        index.manifests.iter().filter_map(|entry| entry.annotations.get(NAME)).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let names: Vec<String> =
        names.iter().take(8).map(|name| format!("`{}`", name.chars().take(80).collect::<String>())).collect();
    let has = match (index.manifests.is_empty(), names.is_empty()) {
        (true, _) => "it has no images".to_owned(),
        (false, true) => format!("its {} images have no names", index.manifests.len()),
        (false, false) => format!("it has {}", names.join(", ")),
    };
    let folder = layout.shown();
    let hint =
        format!("name one: \"oci-layout://{folder}:TAG\", or by digest \"oci-layout://{folder}@sha256:…\"");
    let tag = tag.unwrap_or(LATEST);
    LayoutError::new(format!("the layout `{folder}` has no image named `{tag}`; {has}"), hint)
}

/// A search for the manifest of a platform.
struct Search<'a> {
    layout: &'a Layout,
    platform: &'a str,
    /// Documents that may still be read.
    left: usize,
}

impl Search<'_> {
    fn read(&mut self, entry: &Entry) -> Result<Vec<u8>, LayoutError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            LayoutError::unsound(format!("the index of the layout `{}` has no end", self.layout.shown()))
        })?;
        self.layout.by_digest(&entry.digest, Some(entry.size))
    }

    /// The manifest that a document is, or that lies below it.
    fn below(&mut self, digest: &str, bytes: Vec<u8>) -> Result<(String, Vec<u8>), LayoutError> {
        let wrong = |why: String| LayoutError::unsound(format!("`{}`, {digest}: {why}", self.layout.shown()));
        let document = Document::parse(&bytes).map_err(wrong)?;
        let kind = document.media_type.as_deref().filter(|kind| document::is_known(kind));
        match kind.or(document.kind()) {
            Some(kind) if document::is_index(kind) => self.among(&document),
            // What is named alone is that image, whatever it was made for, as it is with a registry.
            Some(_) => Ok((digest.to_owned(), bytes)),
            None => Err(wrong("it is neither a manifest nor an index".to_owned())),
        }
    }

    /// The manifest of the platform among those of an index.
    fn among(&mut self, index: &Document) -> Result<(String, Vec<u8>), LayoutError> {
        let (mut open, mut there) = (vec![index.clone()], Vec::new());
        while let Some(index) = open.pop() {
            there.extend(index.platforms());
            let named = index.named(self.platform);
            for entry in named.into_iter().chain(index.unnamed().filter(|_| named.is_none())) {
                let bytes = self.read(entry)?;
                let document = Document::parse(&bytes).unwrap_or_default();
                let Some(config) = &document.config else {
                    open.push(document);
                    continue;
                };
                if named.is_some() {
                    return Ok((entry.digest.clone(), bytes));
                }
                let made: document::Platform =
                    serde_json::from_slice(&self.read(config)?).unwrap_or_default();
                if document::fits(&made, self.platform) {
                    return Ok((entry.digest.clone(), bytes));
                }
                there.push(made.to_string());
            }
        }
        Err(LayoutError::new(
            format!(
                "the layout `{}` has no such image for {}; {}",
                self.layout.shown(),
                self.platform,
                document::has(&there)
            ),
            "build for a platform that it has, or put that image into it as well",
        ))
    }
}
