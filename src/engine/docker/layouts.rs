//! Images of OCI layouts for a builder that can be handed none: they are loaded into the engine, and bear a name of
//! their own while the build runs.
//!
//! Nothing in a layout is believed: what is named by a digest is compared with it on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};

use ring::digest::{Context, SHA256};
use serde_json::{Value, json};

use super::client::DockerEngine;
use crate::engine::{
    BuildEvent, BuildFailure, BuildRequest, Cancel, Engine, EngineError, ImageId, LayoutImage, session,
};

/// The names of such images while a build needs them; they lead nowhere (RFC 2606).
const REPOSITORY: &str = "imk.invalid/layout";
/// How often an image is looked for again that went before it had a name.
const TRIES: u32 = 3;
/// No manifest and no configuration is longer.
const DOCUMENT: u64 = 4 << 20;

/// Builds with the images of a request's layouts loaded, and takes away what was loaded for it.
pub(super) fn with_loaded(
    engine: &DockerEngine,
    request: &BuildRequest,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
    build: impl FnOnce(&BuildRequest, &(dyn Fn(BuildEvent) + Sync)) -> Result<ImageId, EngineError>,
) -> Result<ImageId, EngineError> {
    let mut loaded = Loaded { engine, names: BTreeMap::new(), kept: BTreeSet::new() };
    for (name, image) in &request.layouts {
        loaded.take(name, &**image, cancel)?;
    }
    let names = loaded.names.clone();
    let dockerfile =
        names.iter().fold(request.dockerfile.clone(), |text, (name, tag)| text.replace(name, tag));
    let request = BuildRequest { dockerfile, layouts: BTreeMap::new(), ..request.clone() };
    let back = |text: &str| names.iter().fold(text.to_owned(), |text, (name, tag)| back(&text, name, tag));
    let report = |event| match event {
        BuildEvent::Step { id, name, number, total } => {
            events(BuildEvent::Step { id, name: back(&name), number, total });
        }
        other => events(other),
    };
    build(&request, &report).map_err(|error| match error {
        EngineError::Failed(failure) => EngineError::Failed(BuildFailure {
            step: back(&failure.step),
            message: back(&failure.message),
            ..failure
        }),
        other => other,
    })
}

/// A text of the engine in which the name of the request stands for its tags: this build's own, and that of another,
/// since BuildKit calls a step that two share as the first of them did.
fn back(text: &str, name: &str, tag: &str) -> String {
    let Some((shared, _)) = tag.rsplit_once('-') else { return text.to_owned() };
    let mark = format!("{shared}-");
    let mut pieces = text.split(mark.as_str());
    let mut told = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        told.push_str(name);
        told.push_str(piece.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    }
    told
}

/// Images in the engine, by the names that stand for them in the request.
struct Loaded<'e> {
    engine: &'e DockerEngine,
    names: BTreeMap<String, String>,
    /// Tags of images that had no other name before: with such a tag the engine would remove the image as well.
    kept: BTreeSet<String>,
}

impl Loaded<'_> {
    fn take(&mut self, name: &str, image: &dyn LayoutImage, cancel: &Cancel) -> Result<(), EngineError> {
        let refused = |why: String| EngineError::Refused {
            what: format!("loading the image {} of an OCI layout", image.digest()),
            why,
        };
        let parts = Parts::of(image).map_err(refused)?;
        let digits = image.digest().split_once(':').map_or("", |(_, hex)| hex.get(..12).unwrap_or(hex));
        let tag = format!("{REPOSITORY}:{digits}-{}", session::session_id());
        let mut tries = 0;
        loop {
            // With a storage driver an image's id is the digest of its configuration.
            let there = self.engine.inspect(&parts.configuration)?;
            let is_unnamed = there.as_ref().is_some_and(|there| there.tags.is_empty());
            let id = match there {
                Some(there) => there.id,
                None => {
                    let mut write = |to: &mut dyn Write| parts.write(image, to).map_err(refused);
                    self.engine.load(&mut write, cancel)?
                }
            };
            match self.engine.tag(&id, &tag) {
                Ok(()) if is_unnamed => drop(self.kept.insert(tag.clone())),
                Ok(()) => {}
                // It was another build's, which has just ended.
                Err(EngineError::Refused { .. }) if tries < TRIES => {
                    tries += 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.names.insert(name.to_owned(), tag);
            return Ok(());
        }
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        // The engine removes an image with its last name. What cannot be taken away bears no name that anybody means.
        for tag in self.names.values().filter(|tag| !self.kept.contains(*tag)) {
            let _ = self.engine.untag(tag);
        }
    }
}

/// A layer as the manifest tells it.
struct Layer {
    digest: String,
    size: u64,
    is_zstd: bool,
}

/// The parts of an image that an archive has.
struct Parts {
    configuration: String,
    settings: Vec<u8>,
    layers: Vec<Layer>,
}

impl Parts {
    fn of(image: &dyn LayoutImage) -> Result<Self, String> {
        let manifest = document(image, image.digest())?;
        let manifest: Value =
            serde_json::from_slice(&manifest).map_err(|error| format!("its manifest is none: {error}"))?;
        let configuration =
            manifest["config"]["digest"].as_str().ok_or("it is not an image of one platform")?;
        let layer = |layer: &Value| {
            let digest = layer["digest"].as_str()?.to_owned();
            let is_zstd = layer["mediaType"].as_str().is_some_and(|kind| kind.ends_with("zstd"));
            Some(Layer { digest, size: layer["size"].as_u64()?, is_zstd })
        };
        let layers: Option<Vec<Layer>> =
            manifest["layers"].as_array().into_iter().flatten().map(layer).collect();
        Ok(Self {
            configuration: configuration.to_owned(),
            settings: document(image, configuration)?,
            layers: layers.ok_or("its manifest names no layers")?,
        })
    }

    /// Writes the archive that every `docker load` reads. Layers stay packed, but for a packing that older engines do not know.
    fn write(&self, image: &dyn LayoutImage, to: &mut dyn Write) -> Result<(), String> {
        let failed = |error: io::Error| error.to_string();
        let mut archive = tar::Builder::new(to);
        let name = format!("{}.json", hex(&self.configuration));
        put(&mut archive, &name, self.settings.len() as u64, &mut self.settings.as_slice())
            .map_err(failed)?;
        let path = |layer: &Layer| format!("{}/layer.tar", hex(&layer.digest));
        let mut there = BTreeSet::new();
        for layer in self.layers.iter().filter(|layer| there.insert(layer.digest.as_str())) {
            let blob = image.blob(&layer.digest)?.ok_or_else(|| format!("{} is not there", layer.digest))?;
            let mut blob = Compared { inner: blob, hash: Context::new(&SHA256), left: layer.size };
            if layer.is_zstd {
                let mut plain = tempfile::tempfile().map_err(failed)?;
                zstd::stream::copy_decode(&mut blob, &mut plain).map_err(failed)?;
                let size = plain.stream_position().map_err(failed)?;
                plain.seek(SeekFrom::Start(0)).map_err(failed)?;
                put(&mut archive, &path(layer), size, &mut plain).map_err(failed)?;
            } else {
                put(&mut archive, &path(layer), layer.size, &mut blob).map_err(failed)?;
            }
            blob.is(&layer.digest)?;
        }
        let paths: Vec<String> = self.layers.iter().map(path).collect();
        let list = json!([{"Config": name, "RepoTags": null, "Layers": paths}]).to_string();
        put(&mut archive, "manifest.json", list.len() as u64, &mut list.as_bytes()).map_err(failed)?;
        archive.finish().map_err(failed)
    }
}

fn put(
    archive: &mut tar::Builder<&mut dyn Write>,
    path: &str,
    size: u64,
    from: &mut dyn Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, from)
}

fn hex(digest: &str) -> String {
    let hex = digest.rsplit(':').next().unwrap_or(digest);
    hex.chars().filter(char::is_ascii_hexdigit).collect()
}

/// A manifest or a configuration, compared with its digest.
fn document(image: &dyn LayoutImage, digest: &str) -> Result<Vec<u8>, String> {
    let blob = image.blob(digest)?.ok_or_else(|| format!("{digest} is not there"))?;
    let mut blob = Compared { inner: blob, hash: Context::new(&SHA256), left: DOCUMENT };
    let mut bytes = Vec::new();
    blob.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    blob.left = 0;
    blob.is(digest)?;
    Ok(bytes)
}

/// A reader that hashes what passes, and gives no more than it was said to have.
struct Compared<R> {
    inner: R,
    hash: Context,
    left: u64,
}

impl<R: Read> Read for Compared<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let count = self.inner.read(&mut into[..most])?;
        self.hash.update(&into[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}

impl<R: Read> Compared<R> {
    /// Reads what is left, and compares.
    fn is(mut self, digest: &str) -> Result<(), String> {
        io::copy(&mut self, &mut io::sink()).map_err(|error| error.to_string())?;
        let mut more = [0];
        let is_longer = self.inner.read(&mut more).map_err(|error| error.to_string())? > 0;
        let hash = self.hash.finish();
        let own: String = hex::encode(hash);
        match self.left == 0 && !is_longer && digest == format!("sha256:{own}") {
            true => Ok(()),
            false => Err(format!("{digest} is not what its digest and its size say")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Blob;

    /// A layout of texts.
    struct Texts(BTreeMap<String, Vec<u8>>, String);

    fn digest(bytes: &[u8]) -> String {
        let hash = ring::digest::digest(&SHA256, bytes);
        format!("sha256:{}", hex::encode(hash))
    }

    impl LayoutImage for Texts {
        fn digest(&self) -> &str {
            &self.1
        }

        fn blob(&self, digest: &str) -> Result<Option<Box<dyn Blob>>, String> {
            let found = self.0.get(digest).cloned();
            Ok(found.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Blob>))
        }
    }

    fn layout(layer: &[u8], size: usize) -> Texts {
        let config = b"{}".to_vec();
        let manifest = json!({
            "config": {"digest": digest(&config)},
            "layers": [{"digest": digest(b"layer"), "size": size, "mediaType": "x.tar+gzip"}],
        });
        let manifest = manifest.to_string().into_bytes();
        let top = digest(&manifest);
        let blobs = [(top.clone(), manifest), (digest(&config), config), (digest(b"layer"), layer.to_vec())];
        Texts(blobs.into(), top)
    }

    fn written(layout: &Texts) -> Result<Vec<String>, String> {
        let mut bytes = Vec::new();
        Parts::of(layout)?.write(layout, &mut bytes)?;
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        Ok(names.collect())
    }

    #[test]
    fn a_step_says_the_name_of_the_request_whichever_build_began_it() {
        let tag = format!("{REPOSITORY}:0123456789ab-imk77");
        let said = format!(
            "[1/2] FROM {tag}@sha256:1, {REPOSITORY}:0123456789ab-imk99 {REPOSITORY}:ffffffffffff-imk1"
        );
        let wanted = format!("[1/2] FROM acme@sha256:1, acme {REPOSITORY}:ffffffffffff-imk1");
        assert_eq!(back(&said, "acme", &tag), wanted);
    }

    #[test]
    fn an_image_of_a_layout_is_written_as_engines_load_it() {
        let names = written(&layout(b"layer", 5)).unwrap();
        assert_eq!(names.len(), 3);
        assert!(names[1].ends_with("/layer.tar") && names[2] == "manifest.json", "{names:?}");
    }

    #[test]
    fn what_a_layout_says_of_itself_is_not_believed() {
        for (layer, size) in [(&b"other"[..], 5), (b"layer and more", 5), (b"lay", 5), (b"layer", 7)] {
            assert!(written(&layout(layer, size)).is_err(), "{layer:?}");
        }
        let mut lying = layout(b"layer", 5);
        let top = lying.1.clone();
        lying.0.get_mut(&top).unwrap().push(b' ');
        assert!(Parts::of(&lying).is_err());
    }
}
