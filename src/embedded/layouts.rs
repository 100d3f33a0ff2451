//! Images of OCI layouts, taken into the store as a build needs them.
//!
//! Nothing in a layout is believed: every blob is compared with the digest by which it was named, and with the
//! size that was told of it. Its layers stay here, since the folder may be gone when somebody looks into them.

use std::io::{self, Read};

use super::config::Config;
use super::layer::layers::{Bounded, Form, Layers, media_type};
use super::trouble::{During, Result, refusal, refused};
use crate::engine::LayoutImage;
use crate::registry::digest;
use crate::registry::document::{Document, Entry};

/// No manifest and no configuration is longer.
const DOCUMENT: u64 = 4 << 20;
/// No image has more layers: overlays carry a quarter of that.
const LAYERS: usize = 512;

/// Takes the layers of a layout's image into the store, and gives its configuration.
pub(super) fn take(layers: &Layers<'_>, image: &dyn LayoutImage) -> Result<(Vec<u8>, Config)> {
    let what = || format!("reading the image {} of an OCI layout", image.digest());
    let manifest = document(image, image.digest())?;
    let manifest = Document::parse(&manifest).map_err(|why| refusal(what(), why))?;
    let Some(configuration) = &manifest.config else {
        return refused(what(), "it is not an image of one platform");
    };
    let bytes = document(image, &configuration.digest)?;
    let config = Config::parse(&bytes).map_err(|why| refusal(what(), why))?;
    if manifest.layers.len() != config.diff_ids.len() || manifest.layers.len() > LAYERS {
        let why = "its manifest and its configuration name different numbers of layers, or too many";
        return refused(what(), why);
    }
    for (diff_id, layer) in config.diff_ids.iter().zip(&manifest.layers) {
        if layers.store.blob(diff_id).is_none() || layers.store.blob(&layer.digest).is_none() {
            return refused(what(), "it names a layer by something else than a sha256 digest");
        }
        blob(layers, image, layer)?;
        let form = Form {
            media_type: media_type(&layer.media_type),
            digest: layer.digest.clone(),
            size: layer.size,
            from: None,
        };
        layers.learn(diff_id, form)?;
    }
    Ok((bytes, config))
}

/// A manifest or a configuration.
fn document(image: &dyn LayoutImage, digest: &str) -> Result<Vec<u8>> {
    let what = || format!("reading {digest} of an OCI layout");
    let file = image.blob(digest).map_err(|why| refusal(what(), why))?;
    let Some(file) = file else { return refused(what(), "it is not there") };
    let mut bytes = Vec::new();
    file.take(DOCUMENT + 1).read_to_end(&mut bytes).during(what)?;
    match bytes.len() as u64 <= DOCUMENT && digest::is(digest, &bytes) {
        true => Ok(bytes),
        false => refused(what(), "the file is not what its digest says"),
    }
}

/// Puts a layer into the store as it lies in the layout, packed or not.
fn blob(layers: &Layers<'_>, image: &dyn LayoutImage, layer: &Entry) -> Result<()> {
    let store = layers.store;
    if store.has(&layer.digest) {
        return Ok(());
    }
    let what = || format!("reading layer {} of an OCI layout", layer.digest);
    let file = image.blob(&layer.digest).map_err(|why| refusal(what(), why))?;
    let Some(mut file) = file else { return refused(what(), "it is not there") };
    let draft = Bounded { inner: store.draft()?, left: layer.size };
    let mut draft = io::BufWriter::with_capacity(256 << 10, draft);
    io::copy(&mut file, &mut draft).during(what)?;
    let draft = draft.into_inner().map_err(io::IntoInnerError::into_error).during(what)?;
    if draft.left != 0 {
        return refused(what(), "the file is shorter than its manifest says");
    }
    let (digest, _) = draft.inner.keep()?;
    if digest == layer.digest { Ok(()) } else { refused(what(), "the file is not what its digest says") }
}
