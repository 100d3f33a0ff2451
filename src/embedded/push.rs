//! Images on their way to a registry.
//!
//! A layer that the registry has does not travel; one that it has elsewhere is mounted, so a base's
//! layers may never have been on this machine. The manifest comes last.

use super::images::{Image, Images};
use super::layer::layers::Form;
use super::trouble::{During, Result, refusal};
use crate::engine::{Cancel, EngineError};
use crate::registry::document;
use crate::registry::{Descriptor, Manifest, Registry, RegistryError, by_digest};
use crate::syntax::reference::{self, Reference};

/// The image specification's name for a configuration.
pub const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";

/// Sends what bears a name to the registry in that name; answers with the digest of its manifest.
pub fn push(images: &Images<'_>, name: &str, cancel: &Cancel) -> Result<String> {
    let what = || format!("pushing `{name}`");
    let to = reference::parse(name).map_err(|why| refusal(what(), why))?;
    let image = images.find(name)?.ok_or_else(|| refusal(what(), "no image of the store bears this name"))?;
    let registry = images.registry();
    let failed = |error: RegistryError| match error {
        RegistryError::Interrupted => EngineError::Interrupted,
        error => refusal(what(), error.to_string()),
    };
    for diff_id in &image.config.diff_ids {
        if cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        send_layer(images, &to, diff_id)?;
    }
    if !registry.has_blob(&to, &image.id).map_err(failed)? {
        let bytes = images.layers.store.read(&image.id)?;
        registry.upload(&to, &image.id, &mut std::io::Cursor::new(bytes)).map_err(failed)?;
    }
    let manifest = manifest(images, &image)?;
    registry.put_manifest(&Reference { digest: None, ..to.clone() }, &manifest).map_err(failed)?;
    images.seen_at(&image.id, &by_digest(&to, &manifest.digest))?;
    Ok(manifest.digest)
}

/// Sees to it that a repository has a layer, and answers with the form in which it has it.
pub fn send_layer(images: &Images<'_>, to: &Reference, diff_id: &str) -> Result<Form> {
    let failed = |error: RegistryError| match error {
        RegistryError::Interrupted => EngineError::Interrupted,
        error => refusal(format!("sending a layer to `{}`", to.name()), error.to_string()),
    };
    let form = images.layers.leaving(diff_id)?;
    if there(images.registry(), to, &form).map_err(failed)? {
        return Ok(form);
    }
    let ready = images.layers.ready(diff_id)?;
    let mut file = images.layers.store.open(&ready.digest)?;
    images.registry().upload(to, &ready.digest, &mut file).map_err(failed)?;
    images.layers.learn(diff_id, Form { from: Some(to.name()), ..ready.clone() })?;
    Ok(ready)
}

/// True if a registry has a layer now: it had it, or took it from a neighbour.
fn there(registry: &dyn Registry, to: &Reference, form: &Form) -> std::result::Result<bool, RegistryError> {
    if registry.has_blob(to, &form.digest)? {
        return Ok(true);
    }
    let Some(from) = form.from.as_ref().and_then(|from| reference::parse(from).ok()) else {
        return Ok(false);
    };
    if from.registry == to.registry && from.repository != to.repository {
        return registry.mount(to, &form.digest, &from);
    }
    Ok(false)
}

/// The manifest of an image, in the forms in which its layers leave the store.
pub fn manifest(images: &Images<'_>, image: &Image) -> Result<Manifest> {
    let layer = |diff_id: &String| {
        let form = images.layers.leaving(diff_id)?;
        Ok(Descriptor { media_type: form.media_type, digest: form.digest, size: form.size })
    };
    let layers: Vec<Descriptor> = image.config.diff_ids.iter().map(layer).collect::<Result<_>>()?;
    let path = images.layers.store.blob(&image.id);
    let size =
        path.map(|path| path.metadata()).transpose().during(|| format!("reading image {}", image.id))?;
    let size = size.map_or(0, |data| data.len());
    let config = Descriptor { media_type: CONFIGURATION.into(), digest: image.id.clone(), size };
    Ok(Manifest::new(document::MANIFEST, document::image(&config, &layers)))
}
