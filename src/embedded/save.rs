//! An image on its way out of the store: as files, and as the archive that `docker save` writes.

use std::io::{self, Read, Write};

use super::images::{Image, Images};
use super::trouble::{During, Result};
use crate::engine::{Cancel, EngineError, StoredImage};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// The files that an image lies in. They stay readable when the store lets go of them.
pub fn stored(images: &Images<'_>, image: &Image, cancel: &Cancel) -> Result<StoredImage> {
    let mut layers = Vec::new();
    for diff_id in &image.config.diff_ids {
        if cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        images.layers.plain(diff_id)?;
        layers.push((diff_id.clone(), images.layers.store.open(diff_id)?.into_parts().0.into()));
    }
    Ok(StoredImage { config: images.layers.store.read(&image.id)?, layers })
}

/// Writes an image: its configuration, its layers, and the manifest that names them.
pub fn save(images: &Images<'_>, image: &Image, to: &mut dyn Write, cancel: &Cancel) -> Result<()> {
    let what = || format!("writing the image {}", image.id);
    let StoredImage { config, layers } = stored(images, image, cancel)?;
    let mut archive = tar::Builder::new(to);
    let name = |digest: &str| digest.strip_prefix("sha256:").unwrap_or(digest).to_owned();
    let mut paths = Vec::new();
    for (diff_id, file) in layers {
        if cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        let file = std::fs::File::from(file);
        let size = file.metadata().during(what)?.len();
        let path = format!("{}.tar", name(&diff_id));
        append(&mut archive, &path, size, file).during(what)?;
        paths.push(path);
    }
    let path = format!("{}.json", name(&image.id));
    append(&mut archive, &path, config.len() as u64, config.as_slice()).during(what)?;
    let manifest = serde_json::json!([{"Config": path, "RepoTags": null, "Layers": paths}]).to_string();
    append(&mut archive, "manifest.json", manifest.len() as u64, manifest.as_bytes()).during(what)?;
    archive.into_inner().and_then(|to| to.flush()).during(what)
}

fn append(
    archive: &mut tar::Builder<&mut dyn Write>,
    path: &str,
    size: u64,
    bytes: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size);
    // The archive asks for a few bytes at a time.
    archive.append_data(&mut header, path, io::BufReader::with_capacity(PIECE, bytes))
}
