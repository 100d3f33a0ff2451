//! An image as an engine saved it: its configuration and its layers, each to be read as a plain archive.
//!
//! Reads what `docker save` writes, of the old form (`ID/layer.tar`) and of the new (`blobs/sha256/…`), and images that
//! lie on this machine where they are. An engine may be anybody's, and so may a file: nothing is trusted, and what does
//! not fit together is an error. Bytes are compared with their digest as they are read for the first time.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tar::EntryType;

use super::digest;
use crate::embedded::layer::compress::{self, Encoding};
use crate::embedded::layer::tarball::Tarball;
use crate::engine::StoredImage;
use crate::registry::digest::Sum;

/// No configuration and no list of layers is longer.
const DOCUMENT_MAX: u64 = 8 << 20;
/// No image has more.
const LAYERS_MAX: usize = 4096;
/// Bytes that are read and written at once.
pub(super) const PIECE: usize = 256 << 10;

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
    /// Its plain bytes, not compared with their digest.
    pub plain: Part,
    /// The bytes as they were saved, where that is gzip.
    pub gzip: Option<Part>,
    /// They are known to be those of the digest.
    checked: Cell<bool>,
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
        buffered(self.size, PartReader { part: self.clone(), read: 0 })
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

/// Reads many bytes at once, of a file that has so many.
pub(super) fn buffered<R: Read>(size: u64, inner: R) -> io::BufReader<R> {
    io::BufReader::with_capacity(usize::try_from(size).unwrap_or(PIECE).clamp(1, PIECE), inner)
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

    /// Takes one that lies here as it is.
    ///
    /// # Errors
    /// When a file of it cannot be looked at.
    pub fn stored(image: StoredImage) -> io::Result<Self> {
        let layer = |(diff_id, file): (String, OwnedFd)| {
            Ok(Layer { diff_id, plain: Part::whole(file.into())?, gzip: None, checked: Cell::new(false) })
        };
        let layers = image.layers.into_iter().map(layer).collect::<io::Result<_>>()?;
        Ok(Self { config: image.config, layers })
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
        let encoding = Encoding::of(&first[..most]);
        if encoding == Encoding::Plain {
            return Ok(Self { diff_id, plain: saved, gzip: None, checked: Cell::new(false) });
        }
        let (_, mut reader) = compress::plain(saved.read())?;
        let mut into =
            digest::Summed::new(io::BufWriter::with_capacity(PIECE, tempfile::tempfile_in(folder)?));
        io::copy(&mut reader, &mut into)?;
        let (file, found) = into.finish();
        let plain = Part::whole(file.into_inner().map_err(io::IntoInnerError::into_error)?)?;
        same(&diff_id, &found)?;
        let gzip = (encoding == Encoding::Gzip).then_some(saved);
        Ok(Self { diff_id, plain, gzip, checked: Cell::new(true) })
    }

    /// Its plain bytes. The last read fails when all of them are not those of the digest.
    pub fn read(&self) -> impl Read + '_ {
        let sum = (!self.checked.get()).then(Sum::new);
        CheckedReader { layer: self, inner: PartReader { part: self.plain.clone(), read: 0 }, sum }
    }
}

fn same(diff_id: &str, found: &str) -> io::Result<()> {
    if found == diff_id {
        return Ok(());
    }
    Err(io::Error::other(format!("the layer {diff_id} has other bytes: they are {found}")))
}

/// Reads a layer from its first byte to its last.
struct CheckedReader<'l> {
    layer: &'l Layer,
    inner: PartReader,
    /// Of what was read; none when there is nothing to compare any more.
    sum: Option<Sum>,
}

impl Read for CheckedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(sum) = &mut self.sum {
            sum.update(&buffer[..read]);
        }
        // Whoever knows the size may not ask for more than that.
        if self.inner.read == self.layer.plain.size
            && let Some(sum) = self.sum.take()
        {
            same(&self.layer.diff_id, &sum.finish())?;
            self.layer.checked.set(true);
        }
        Ok(read)
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
