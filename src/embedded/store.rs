//! The content store: blobs by digest, what is known of layers, names of images, results of steps.
//!
//! Every file comes to its place by a rename, so that a kill at any moment leaves whole files and
//! drafts. Several processes may work in one store: whoever builds holds its lock together with others,
//! whoever collects holds it alone. Knows no Dockerfile.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::trouble::{During, Result, refused};
use crate::registry::digest::Sum;

/// No configuration, manifest or note of the store is larger.
const SMALL: u64 = 64 << 20;

/// A folder of blobs and notes.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    prepared: OnceLock<()>,
}

/// A kind of note that the store keeps beside blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Headers of a layer, by diff id.
    Index,
    /// Compressed forms of a layer and where they can be had, by diff id.
    Layers,
    /// Images, by the digest of their configuration.
    Images,
    /// Names of images.
    Names,
    /// Results of steps, by key.
    Steps,
}

impl NoteKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Index, Self::Layers, Self::Images, Self::Names, Self::Steps];

    fn folder(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Layers => "layers",
            Self::Images => "images",
            Self::Names => "names",
            Self::Steps => "steps",
        }
    }
}

/// Held while a build or a collection runs; the system takes it back from whoever dies.
#[derive(Debug)]
pub struct StoreLock(#[expect(dead_code, reason = "dropping it is what it is for")] fs::File);

impl Store {
    /// A store in this folder, which is made when something is put there.
    pub fn at(root: PathBuf) -> Self {
        Self { root, prepared: OnceLock::new() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folders, for this user alone.
    pub fn prepare(&self) -> Result<()> {
        if self.prepared.get().is_some() {
            return Ok(());
        }
        let make = || -> io::Result<()> {
            let folders = NoteKind::ALL.iter().map(|kind| kind.folder());
            for folder in folders.chain(["blobs/sha256", "drafts", "trees", "caches"]) {
                fs::create_dir_all(self.root.join(folder))?;
            }
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&self.root, std::fs::Permissions::from_mode(0o700))?;
            let layout = self.root.join("oci-layout");
            if !layout.exists() {
                self.place(&layout, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
            }
            Ok(())
        };
        make().during(|| format!("making the image store `{}`", self.root.display()))?;
        let _ = self.prepared.set(());
        Ok(())
    }

    /// The identity of this store: made once, and the same ever after.
    pub fn identity(&self) -> Result<String> {
        self.prepare()?;
        let file = self.root.join("id");
        let read = || fs::read_to_string(&file).map(|text| text.trim().to_owned());
        if let Ok(id) = read() {
            return Ok(id);
        }
        let make = || -> io::Result<String> {
            let mut random = [0; 16];
            fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
            let id: String = hex::encode(random);
            let mut draft = tempfile::NamedTempFile::new_in(self.root.join("drafts"))?;
            draft.write_all(id.as_bytes())?;
            // Of two at once the first counts for both.
            match draft.persist_noclobber(&file) {
                Ok(_) => Ok(id),
                Err(_) => read(),
            }
        };
        make().during(|| format!("naming the image store `{}`", self.root.display()))
    }

    /// Holds the store together with other builds, or alone. `None` when it is wanted alone and somebody is in it.
    pub fn hold(&self, alone: bool) -> Result<Option<StoreLock>> {
        self.prepare()?;
        let open = || {
            let file = fs::OpenOptions::new().create(true).append(true).open(self.root.join("lock"))?;
            let how = match alone {
                true => FlockOperation::NonBlockingLockExclusive,
                false => FlockOperation::LockShared,
            };
            match flock(&file, how) {
                Ok(()) => Ok(Some(StoreLock(file))),
                Err(rustix::io::Errno::WOULDBLOCK) if alone => Ok(None),
                Err(error) => Err(io::Error::from(error)),
            }
        };
        open().during(|| format!("locking the image store `{}`", self.root.display()))
    }

    /// Where a blob is, or would be; `None` for what is no digest of the store's kind.
    pub fn blob(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let good = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| self.root.join("blobs/sha256").join(hex))
    }

    /// Whether it has a blob.
    pub fn has(&self, digest: &str) -> bool {
        self.blob(digest).is_some_and(|path| path.exists())
    }

    /// Opens a blob. What is read of it is not checked here.
    pub fn open(&self, digest: &str) -> Result<fs::File> {
        match self.blob(digest) {
            Some(path) => fs::File::open(path).during(|| format!("reading `{digest}` from the image store")),
            None => refused("reading from the image store", format!("`{digest}` is no digest")),
        }
    }

    /// A small blob, checked against its digest.
    pub fn read(&self, digest: &str) -> Result<Vec<u8>> {
        let what = || format!("reading `{digest}` from the image store");
        let mut bytes = Vec::new();
        self.open(digest)?.take(SMALL).read_to_end(&mut bytes).during(what)?;
        match crate::registry::digest::is(digest, &bytes) {
            true => Ok(bytes),
            false => {
                refused(what(), "its bytes are not those of its name; `imk gc` with an empty store mends it")
            }
        }
    }

    /// Keeps a small blob, and names it.
    pub fn put(&self, bytes: &[u8]) -> Result<String> {
        let mut draft = self.draft()?;
        draft.write_all(bytes).during(|| "writing into the image store".into())?;
        draft.keep().map(|(digest, _)| digest)
    }

    /// A blob in the making.
    pub fn draft(&self) -> Result<Draft<'_>> {
        self.draft_with(Sum::new())
    }

    /// A new file with the sums that are wanted of it.
    pub fn draft_with<S>(&self, sums: S) -> Result<Draft<'_, S>> {
        self.prepare()?;
        let file = tempfile::NamedTempFile::new_in(self.root.join("drafts"))
            .during(|| format!("writing into the image store `{}`", self.root.display()))?;
        Ok(Draft { store: self, file, sums, size: 0 })
    }

    /// A folder in the making, which goes when it is dropped.
    pub fn folder(&self) -> Result<tempfile::TempDir> {
        self.prepare()?;
        tempfile::Builder::new()
            .prefix("f")
            .tempdir_in(self.root.join("drafts"))
            .during(|| format!("writing into the image store `{}`", self.root.display()))
    }

    /// Keeps a note as JSON.
    pub fn note(&self, kind: NoteKind, name: &str, value: &impl Serialize) -> Result<()> {
        self.prepare()?;
        let bytes = serde_json::to_vec(value).map_err(io::Error::other);
        bytes
            .and_then(|bytes| self.place(&self.path(kind, name), &bytes))
            .during(|| format!("writing a note of `{name}` into the image store"))
    }

    /// A note; `None` when there is none, or none that this version reads: then it is made again.
    pub fn noted<T: DeserializeOwned>(&self, kind: NoteKind, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.path(kind, name)).ok()?).ok()
    }

    /// A note that is of use once more: it counts as new.
    pub fn used(&self, kind: NoteKind, name: &str) {
        let now = std::time::SystemTime::now();
        // A note that looks old is made again, no more.
        let _ = fs::OpenOptions::new()
            .write(true)
            .open(self.path(kind, name))
            .and_then(|file| file.into_parts().0.set_modified(now));
    }

    /// How long ago a note was written or of use.
    pub fn age(&self, kind: NoteKind, name: &str) -> Duration {
        let written = self.path(kind, name).metadata().and_then(|data| data.modified()).ok();
        written.and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }

    /// Keeps bytes as they are.
    pub fn place_bytes(&self, kind: NoteKind, name: &str, bytes: &[u8]) -> Result<()> {
        self.prepare()?;
        self.place(&self.path(kind, name), bytes)
            .during(|| format!("writing a note of `{name}` into the image store"))
    }

    /// Bytes that were kept.
    pub fn placed_bytes(&self, kind: NoteKind, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(kind, name)).ok()
    }

    /// Takes a note away; none is none.
    pub fn forget(&self, kind: NoteKind, name: &str) -> Result<()> {
        match fs::remove_file(self.path(kind, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).during(|| format!("removing `{name}` from the image store"))
            }
            _ => Ok(()),
        }
    }

    /// The names of all notes of a kind.
    pub fn names(&self, kind: NoteKind) -> Result<Vec<String>> {
        let read = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(self.root.join(kind.folder()))? {
                names.extend(entry?.file_name().to_str().and_then(unescaped));
            }
            names.sort();
            Ok(names)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.during(|| "listing the image store".into()),
        }
    }

    fn path(&self, kind: NoteKind, name: &str) -> PathBuf {
        self.root.join(kind.folder()).join(escaped(name))
    }

    fn place(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut draft = tempfile::NamedTempFile::new_in(self.root.join("drafts"))?;
        draft.write_all(bytes)?;
        draft.persist(path)?;
        Ok(())
    }
}

/// A name as one word of a path.
pub(super) fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            // A name of dots alone would be a folder.
            b'.' if !out.is_empty() => out.push('.'),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// The name that a word of a path stands for.
pub(super) fn unescaped(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let (high, low) = (char::from(rest.next()?), char::from(rest.next()?));
                bytes.push(u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Sums of bytes that are made as the bytes come.
pub trait Sums {
    /// Adds bytes at the end.
    fn add(&mut self, bytes: &[u8]);
}

impl Sums for Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// A file in the making: what is written to it is counted and summed up.
pub struct Draft<'s, S = Sum> {
    store: &'s Store,
    file: tempfile::NamedTempFile,
    sums: S,
    size: u64,
}

impl<S> Draft<'_, S> {
    /// The file, its sums and its size, for what is no blob.
    pub fn into_parts(self) -> (tempfile::NamedTempFile, S, u64) {
        (self.file, self.sums, self.size)
    }
}

impl Draft<'_> {
    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives it its place; answers with digest and size.
    pub fn keep(mut self) -> Result<(String, u64)> {
        let kept = |error: io::Error| -> Result<()> { Err(error).during(|| "keeping a blob".into()) };
        if let Err(error) = self.file.flush() {
            kept(error)?;
        }
        let digest = self.sums.finish();
        let Some(path) = self.store.blob(&digest) else {
            return refused("keeping a blob", "it has no digest");
        };
        if !path.exists()
            && let Err(error) = self.file.persist(&path)
        {
            kept(error.error)?;
        }
        Ok((digest, self.size))
    }
}

impl<S: Sums> Write for Draft<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.sums.add(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_its_digest_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("s"));
        let digest = store.put(b"abc").unwrap();
        assert_eq!(digest, crate::registry::digest::of(b"abc"));
        assert_eq!(store.read(&digest).unwrap(), b"abc");
        assert!(!store.has(&crate::registry::digest::of(b"abd")));
        for none in ["sha256:../../etc/passwd", "sha256:", "", "md5:00"] {
            assert!(store.blob(none).is_none(), "{none}");
        }
        fs::write(store.blob(&digest).unwrap(), b"abd").unwrap();
        assert!(store.read(&digest).is_err(), "what was changed on the disk is no more that blob");
    }

    #[test]
    fn any_name_is_one_word_of_a_path() {
        for name in ["localhost:5000/a/b:1.2", "..", ".", "a%b", "a/../b", "é"] {
            let word = escaped(name);
            assert!(!word.contains('/') && word != ".." && word != ".", "{word}");
            assert_eq!(unescaped(&word).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_owned());
        let mut draft = store.draft().unwrap();
        draft.write_all(b"half").unwrap();
        drop(draft);
        assert_eq!(fs::read_dir(folder.path().join("drafts")).unwrap().count(), 0);
    }

    #[test]
    fn nobody_collects_while_somebody_builds() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Store::at(folder.path().to_owned()), Store::at(folder.path().to_owned()));
        let building = one.hold(false).unwrap();
        assert!(other.hold(false).unwrap().is_some());
        assert!(other.hold(true).unwrap().is_none());
        drop(building);
        assert!(other.hold(true).unwrap().is_some());
    }
}
