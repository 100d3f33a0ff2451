//! The image itself in an archive or a folder: as the OCI image layout has it, and as `docker load` reads it.
//!
//! The same image gives the same bytes: nothing of the day is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::digest::{Summed, digest};
use super::place::beneath;
use super::saved::{PIECE, Saved, buffered};
use crate::embedded::layer::compress;
use crate::model::output::Packing;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The words that an image has beside its files.
pub(super) struct Described<'a> {
    /// Its names, in full.
    pub names: &'a [String],
    /// Annotations of its manifest.
    pub annotations: &'a BTreeMap<String, String>,
}

/// The side that files are put into.
pub(super) trait Sink {
    /// Puts a file there.
    fn put(&mut self, path: &str, size: u64, bytes: &mut dyn Read) -> io::Result<()>;
}

/// An archive.
pub(super) struct Archive<'w>(pub tar::Builder<&'w mut dyn Write>);

impl Sink for Archive<'_> {
    fn put(&mut self, path: &str, size: u64, bytes: &mut dyn Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(size);
        self.0.append_data(&mut header, path, buffered(size, bytes))
    }
}

/// An open folder. No link in it is followed, and what has the name of a file gives way.
pub(super) struct Folder<'f>(pub BorrowedFd<'f>);

impl Sink for Folder<'_> {
    fn put(&mut self, path: &str, _: u64, bytes: &mut dyn Read) -> io::Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut made = String::new();
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            let above = beneath(self.0, made.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)?;
            match rustix::fs::mkdirat(&above, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            made = if made.is_empty() { part.to_owned() } else { format!("{made}/{part}") };
        }
        let folder = beneath(self.0, folder.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)?;
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o644))?);
        let mut file = io::BufWriter::with_capacity(PIECE, file);
        let put = io::copy(bytes, &mut file).and_then(|_| file.flush());
        if put.is_err() {
            // Nobody shall find half of a blob, or another one, under its name.
            let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
        }
        put
    }
}

/// The paths that an OCI layout of the image has, beside its blobs.
pub(super) const OCI_FILES: [&str; 2] = ["oci-layout", "index.json"];

/// Writes an OCI image layout, and says which files it has.
///
/// # Errors
/// When it cannot be written.
pub(super) fn oci(
    saved: &Saved,
    packing: Packing,
    described: &Described<'_>,
    scratch: &Path,
    sink: &mut dyn Sink,
) -> io::Result<Vec<String>> {
    let mut blobs = Blobs { sink, there: BTreeSet::new() };
    let config = blobs.document(CONFIG, &saved.config)?;
    let mut layers = Vec::new();
    for layer in &saved.layers {
        layers.push(match (packing, &layer.gzip) {
            (Packing::Plain, _) => blobs.blob(LAYER, &layer.diff_id, layer.plain.size, &mut layer.read())?,
            (Packing::Gzip, Some(gzip)) => {
                let digest = digest(&mut gzip.read())?;
                blobs.blob(&format!("{LAYER}+gzip"), &digest, gzip.size, &mut gzip.read())?
            }
            (Packing::Gzip, None) => {
                let pack = |into: &mut dyn Write| compress::gzip(&mut layer.read(), into);
                blobs.packed(&format!("{LAYER}+gzip"), scratch, pack)?
            }
            (Packing::Zstd, _) => {
                let pack = |into: &mut dyn Write| compress::zstd(&mut layer.read(), into);
                blobs.packed(&format!("{LAYER}+zstd"), scratch, pack)?
            }
        });
    }
    let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
    if !described.annotations.is_empty() {
        manifest["annotations"] = json!(described.annotations);
    }
    let manifest = blobs.document(MANIFEST, manifest.to_string().as_bytes())?;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": named(&manifest, saved, described.names)});
    let there: Vec<String> = blobs.there.iter().cloned().collect();
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    sink.put(OCI_FILES[0], layout.len() as u64, &mut layout.as_slice())?;
    let index = index.to_string();
    sink.put(OCI_FILES[1], index.len() as u64, &mut index.as_bytes())?;
    Ok(there.into_iter().chain(OCI_FILES.map(str::to_owned)).collect())
}

/// The manifest once for each name, or once without any.
fn named(manifest: &Value, saved: &Saved, names: &[String]) -> Vec<Value> {
    let config: Value = serde_json::from_slice(&saved.config).unwrap_or_default();
    let mut platform = json!({"architecture": config["architecture"], "os": config["os"]});
    if let Some(variant) = config["variant"].as_str().filter(|variant| !variant.is_empty()) {
        platform["variant"] = json!(variant);
    }
    let mut plain = manifest.clone();
    plain["platform"] = platform;
    let with_name = |name: &String| {
        let mut named = plain.clone();
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        named["annotations"] =
            json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
        named
    };
    if names.is_empty() { vec![plain] } else { names.iter().map(with_name).collect() }
}

struct Blobs<'s> {
    sink: &'s mut dyn Sink,
    there: BTreeSet<String>,
}

impl Blobs<'_> {
    /// Puts a blob there, once, and describes it.
    fn blob(&mut self, kind: &str, digest: &str, size: u64, bytes: &mut dyn Read) -> io::Result<Value> {
        let path = format!("blobs/{}", digest.replace(':', "/"));
        if self.there.insert(path.clone()) {
            self.sink.put(&path, size, bytes)?;
        }
        Ok(json!({"mediaType": kind, "digest": digest, "size": size}))
    }

    fn document(&mut self, kind: &str, bytes: &[u8]) -> io::Result<Value> {
        let digest = digest(&mut &*bytes)?;
        self.blob(kind, &digest, bytes.len() as u64, &mut &*bytes)
    }

    /// Puts a blob there that is made first, in a file without a name: an archive tells sizes ahead.
    fn packed(
        &mut self,
        kind: &str,
        scratch: &Path,
        pack: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Value> {
        let mut into = Summed::new(tempfile::tempfile_in(scratch)?);
        pack(&mut into)?;
        let (mut file, digest) = into.finish();
        let size = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        self.blob(kind, &digest, size, &mut file)
    }
}

/// Writes an archive that every `docker load` reads.
///
/// # Errors
/// When it cannot be written.
pub(super) fn docker(saved: &Saved, names: &[String], sink: &mut dyn Sink) -> io::Result<()> {
    let hex = |digest: &str| digest.strip_prefix("sha256:").unwrap_or(digest).to_owned();
    let mut there = BTreeSet::new();
    let mut paths = Vec::new();
    for layer in &saved.layers {
        let path = format!("{}.tar", hex(&layer.diff_id));
        if there.insert(path.clone()) {
            sink.put(&path, layer.plain.size, &mut layer.read())?;
        }
        paths.push(path);
    }
    let config = format!("{}.json", hex(&digest(&mut saved.config.as_slice())?));
    sink.put(&config, saved.config.len() as u64, &mut saved.config.as_slice())?;
    let manifest = json!([{"Config": config, "RepoTags": names, "Layers": paths}]).to_string();
    sink.put("manifest.json", manifest.len() as u64, &mut manifest.as_bytes())
}
