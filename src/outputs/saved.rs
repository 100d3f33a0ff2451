//! An image as an engine saved it: its configuration and its layers, each to be read as a plain archive.
//!
//! Reads what `docker save` writes, of the old form (`ID/layer.tar`) and of the new (`blobs/sha256/…`). An engine may
//! be anybody's, so nothing in the archive is trusted: what does not fit together is an error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tar::EntryType;

use super::digest::digest;
use crate::embedded::layer::compress::{self, Encoding};
use crate::embedded::layer::tarball::Tarball;

/// No configuration and no list of layers is longer.
const DOCUMENT_MAX: u64 = 8 << 20;
/// No image has more.
const LAYERS_MAX: usize = 4096;

/// A saved image.
pub(super) struct Saved {
    /// Its configuration.
    pub config: Vec<u8>,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
}

/// One layer.
pub(super) struct Layer {
    /// Digest of its plain bytes.
    pub diff_id: String,
    /// Its plain bytes.
    pub plain: Part,
    /// The bytes as they were saved, where that is gzip.
    pub gzip: Option<Part>,
}

/// A part of a file.
#[derive(Clone)]
pub(super) struct Part {
    file: Arc<File>,
    at: u64,
    /// Bytes.
    pub size: u64,
}

impl Part {
    fn whole(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), at: 0, size })
    }

    /// Its bytes, from the first on.
    pub fn read(&self) -> impl Read + use<> {
        PartReader { part: self.clone(), read: 0 }
    }

    /// A part of it.
    ///
    /// # Errors
    /// When it is shorter.
    pub fn part(&self, at: u64, size: u64) -> io::Result<Self> {
        let end = at.checked_add(size).filter(|end| *end <= self.size);
        end.ok_or_else(|| io::Error::other("a file of a layer leads out of it"))?;
        Ok(Self { file: Arc::clone(&self.file), at: self.at + at, size })
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        if self.size > DOCUMENT_MAX {
            return Err(io::Error::other("the engine's description of the image is too long"));
        }
        let mut bytes = Vec::new();
        self.read().read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

struct PartReader {
    part: Part,
    read: u64,
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.part.size - self.read).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let read = self.part.file.read_at(&mut buffer[..most], self.part.at + self.read)?;
        if read == 0 && most > 0 {
            return Err(io::Error::other("a layer ends before its announced size"));
        }
        self.read += read as u64;
        Ok(read)
    }
}

impl Saved {
    /// Has `save` write the archive into a file that has no name, in `folder`, and reads it.
    ///
    /// # Errors
    /// When it cannot be saved, or is no image.
    pub fn take(folder: &Path, save: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        let mut file = tempfile::tempfile_in(folder)?;
        let mut sink = io::BufWriter::with_capacity(256 << 10, &mut file);
        save(&mut sink)?;
        sink.flush()?;
        drop(sink);
        file.seek(SeekFrom::Start(0))?;
        Self::of(folder, Part::whole(file)?)
    }

    fn of(folder: &Path, archive: Part) -> io::Result<Self> {
        let names = Names::read(&archive)?;
        let manifest: Value = serde_json::from_slice(&names.get("manifest.json")?.bytes()?)?;
        let Some([image]) = manifest.as_array().map(Vec::as_slice) else {
            return Err(io::Error::other("the engine saved something else than one image"));
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let config =
            text(&image["Config"]).ok_or_else(|| io::Error::other("the saved image has no configuration"))?;
        let config = names.get(&config)?.bytes()?;
        let described: Value = serde_json::from_slice(&config)?;
        let diff_ids: Vec<String> =
            described["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(text).collect();
        let paths: Vec<String> = image["Layers"].as_array().into_iter().flatten().filter_map(text).collect();
        if paths.len() != diff_ids.len() || paths.len() > LAYERS_MAX {
            return Err(io::Error::other("the saved image has other layers than its configuration names"));
        }
        let layer = |(path, diff_id): (String, String)| Layer::of(folder, names.get(&path)?, diff_id);
        let layers = paths.into_iter().zip(diff_ids).map(layer).collect::<io::Result<_>>()?;
        Ok(Self { config, layers })
    }
}

impl Layer {
    fn of(folder: &Path, saved: Part, diff_id: String) -> io::Result<Self> {
        let mut first = [0; 8];
        let most = usize::try_from(saved.size).unwrap_or(8).min(8);
        saved.read().read_exact(&mut first[..most])?;
        let (plain, gzip) = match Encoding::of(&first[..most]) {
            Encoding::Plain => (saved, None),
            encoding => {
                let (_, mut reader) = compress::plain(saved.read())?;
                let mut file = tempfile::tempfile_in(folder)?;
                io::copy(&mut reader, &mut file)?;
                (Part::whole(file)?, (encoding == Encoding::Gzip).then_some(saved))
            }
        };
        let found = digest(&mut plain.read())?;
        if found != diff_id {
            return Err(io::Error::other(format!("the layer {diff_id} has other bytes: they are {found}")));
        }
        Ok(Self { diff_id, plain, gzip })
    }
}

/// The files of the archive, and links among them: old engines save a layer that comes twice once.
struct Names {
    files: BTreeMap<String, Part>,
    links: BTreeMap<String, String>,
}

impl Names {
    fn read(archive: &Part) -> io::Result<Self> {
        let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
        let mut reader = Tarball::new(archive.read());
        while let Some(head) = reader.next()? {
            let Ok(path) = String::from_utf8(head.path.clone()) else { continue };
            let Some(path) = crate::model::name::clean_path(&path) else { continue };
            match head.header.entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    files.insert(path, archive.part(head.at, head.size)?);
                }
                EntryType::Symlink | EntryType::Link => {
                    let target = String::from_utf8_lossy(&head.target).into_owned();
                    let from = match (head.header.entry_type(), path.rsplit_once('/')) {
                        (EntryType::Symlink, Some((folder, _))) => format!("{folder}/{target}"),
                        _ => target,
                    };
                    links.extend(crate::model::name::clean_path(&from).map(|target| (path, target)));
                }
                _ => {}
            }
        }
        Ok(Self { files, links })
    }

    fn get(&self, path: &str) -> io::Result<Part> {
        let path = self.links.get(path).map_or(path, String::as_str);
        let found = self.files.get(path).cloned();
        found.ok_or_else(|| io::Error::other(format!("the saved image lacks `{path}`")))
    }
}
