//! An image of a registry as `docker save` would write it: its configuration, its layers, and a list of both.
//!
//! Layers stay packed as they are.

use std::io::{Read, Seek, SeekFrom, Write};

use serde_json::json;

use crate::registry::Registry;
use crate::registry::document::Document;
use crate::syntax::reference::Reference;

/// Writes an image; the error is a sentence.
pub fn save(registry: &dyn Registry, at: &Reference, to: &mut dyn Write) -> Result<(), String> {
    let manifest = registry.manifest(at).map_err(|error| error.to_string())?;
    let manifest = manifest.ok_or_else(|| format!("`{at}` is not there any more"))?;
    let document = Document::parse(&manifest.bytes)?;
    let Some(configuration) = &document.config else { return Err(format!("`{at}` is no image")) };
    let mut archive = tar::Builder::new(to);
    let plain = |digest: &str| digest.rsplit(':').next().unwrap_or(digest).to_owned();
    let settings = registry.blob(at, &configuration.digest).map_err(|error| error.to_string())?;
    let name = format!("{}.json", plain(&configuration.digest));
    append(&mut archive, &name, settings.len() as u64, &mut settings.as_slice())?;
    let mut layers: Vec<String> = Vec::new();
    for layer in &document.layers {
        let path = format!("{}/layer.tar", plain(&layer.digest));
        if layers.contains(&path) {
            layers.push(path);
            continue;
        }
        let mut file = tempfile::tempfile().map_err(|error| format!("making a temporary file: {error}"))?;
        registry.download(at, &layer.digest, &mut file).map_err(|error| error.to_string())?;
        let size = file.stream_position().map_err(|error| error.to_string())?;
        file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        append(&mut archive, &path, size, &mut file)?;
        layers.push(path);
    }
    let list = json!([{"Config": name, "RepoTags": null, "Layers": layers}]).to_string();
    append(&mut archive, "manifest.json", list.len() as u64, &mut list.as_bytes())?;
    archive.finish().map_err(|error| error.to_string())
}

fn append(
    archive: &mut tar::Builder<&mut dyn Write>,
    path: &str,
    size: u64,
    content: &mut dyn Read,
) -> Result<(), String> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content).map_err(|error| format!("writing `{path}`: {error}"))
}
