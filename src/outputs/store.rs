//! A folder of blobs that a builder reads and leaves layers in: a local cache, as docker's own client keeps it.
//!
//! It is an OCI image layout, whose index says which manifest was left last under which name. Below the folder no link
//! is followed. Whether a blob is what its digest says is the caller's to see to.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::layout::OCI_FILES;
use super::place::{Place, beneath};
use crate::engine::stores::{Blob, ContentStore, Draft, is_digest};
use crate::model::output::Form;

/// Annotations that name a manifest: containerd's for a whole name, OCI's for a tag.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
/// Bytes that a list of names may have.
const INDEX_MAX: u64 = 16 << 20;
/// Begins the names of files that are not whole yet.
const DRAFT: &str = ".imk-draft-";

/// A folder of blobs.
#[derive(Clone, Debug)]
pub struct FolderStore {
    place: Place,
    writable: bool,
}

impl FolderStore {
    /// One that is only read.
    pub fn to_read(place: Place) -> Self {
        Self { place, writable: false }
    }

    /// One that layers are left in as well. It is made when the first comes.
    pub fn to_write(place: Place) -> Self {
        Self { place, writable: true }
    }

    /// Why nothing can be left there, if nothing can. Nothing is made.
    ///
    /// # Errors
    /// The reason, as a sentence.
    pub fn check(place: &Place) -> Result<(), String> {
        place.check(Form::OciFolder)?;
        let Ok(folder) = place.folder() else { return Ok(()) };
        let entries =
            rustix::fs::Dir::read_from(&folder).map_err(|error| io::Error::from(error).to_string())?;
        let mut other = None;
        for entry in entries {
            let name = entry.map_err(|error| io::Error::from(error).to_string())?;
            let name = name.file_name().to_string_lossy().into_owned();
            match name.as_str() {
                "." | ".." => {}
                "blobs" | "index.json" => return Ok(()),
                _ => other = Some(name),
            }
        }
        match other {
            None => Ok(()),
            Some(name) => Err(format!(
                "`{}` has other things in it, such as `{name}`, and is no cache",
                place.path().display()
            )),
        }
    }

    /// The open folder; `None` where there is none.
    fn folder(&self) -> io::Result<Option<OwnedFd>> {
        match self.place.folder() {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The open folder, made where there is none.
    fn made(&self) -> io::Result<OwnedFd> {
        if !self.writable {
            let why = format!("`{}` is only read", self.place.path().display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        self.place.make(Form::OciFolder)?;
        self.place.folder()
    }
}

impl ContentStore for FolderStore {
    fn open(&self, digest: &str) -> io::Result<Option<Box<dyn Blob>>> {
        let hex = digest.strip_prefix("sha256:").filter(|_| is_digest(digest));
        let (Some(hex), Some(folder)) = (hex, self.folder()?) else { return Ok(None) };
        let file = opened(&folder, &format!("blobs/sha256/{hex}"))?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Blob>))
    }

    fn draft(&self) -> io::Result<Box<dyn Draft>> {
        let folder = self.made()?;
        sweep(&folder);
        let (name, file) = begin(&folder)?;
        Ok(Box::new(FolderDraft { folder, name, file, kept: false }))
    }

    fn named(&self, names: &[&str]) -> io::Result<Option<String>> {
        let Some(folder) = self.folder()? else { return Ok(None) };
        let index = index(&folder)?;
        let manifests = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bears = |manifest: &Value, name: &str| {
            NAMES.iter().any(|key| manifest["annotations"][key].as_str() == Some(name))
        };
        let found = names.iter().find_map(|name| manifests.iter().find(|manifest| bears(manifest, name)));
        let digest = found.and_then(|manifest| manifest["digest"].as_str());
        Ok(digest.filter(|digest| is_digest(digest)).map(str::to_owned))
    }

    fn name(&self, descriptor: &Value, names: &[&str]) -> io::Result<()> {
        let folder = self.made()?;
        // Several images may share a folder, and several processes; it is let go with the handle.
        rustix::fs::flock(&folder, FlockOperation::LockExclusive)?;
        let mut index = index(&folder)?;
        let own = |manifest: &Value| {
            let name = manifest["annotations"][NAMES[1]].as_str();
            name.is_some_and(|name| names.contains(&name)) && manifest["annotations"][NAMES[0]].is_null()
        };
        let mut manifests: Vec<Value> = index["manifests"].as_array().cloned().unwrap_or_default();
        manifests.retain(|manifest| !own(manifest));
        for name in names {
            let mut named = descriptor.clone();
            named["annotations"][NAMES[1]] = json!(name);
            manifests.push(named);
        }
        index["schemaVersion"] = json!(2);
        index["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
        index["manifests"] = Value::Array(manifests);
        put(&folder, OCI_FILES[0], br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        put(&folder, OCI_FILES[1], index.to_string().as_bytes())
    }
}

/// Opens a file below a folder.
fn opened(folder: &OwnedFd, path: &str) -> io::Result<Option<File>> {
    match beneath(folder.as_fd(), path.as_bytes(), OFlags::RDONLY) {
        Ok(fd) => {
            let file = File::from(fd);
            Ok(file.metadata()?.is_file().then_some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The list of names; an empty one where there is none.
fn index(folder: &OwnedFd) -> io::Result<Value> {
    let Some(file) = opened(folder, OCI_FILES[1])? else { return Ok(json!({})) };
    let mut bytes = Vec::new();
    file.take(INDEX_MAX).read_to_end(&mut bytes)?;
    let index: Result<Value, _> = serde_json::from_slice(&bytes);
    let index = index.ok().filter(Value::is_object);
    index.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its `index.json` is no index"))
}

/// Begins a file whose holder is known by its lock.
fn begin(folder: &OwnedFd) -> io::Result<(String, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let name = format!("{DRAFT}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        match rustix::fs::openat(folder, name.as_str(), flags, Mode::from_raw_mode(0o644)) {
            Ok(fd) => {
                rustix::fs::flock(&fd, FlockOperation::LockExclusive)?;
                // Another may have taken it for one of the dead before it was locked.
                if rustix::fs::fstat(&fd)?.st_nlink > 0 {
                    return Ok((name, File::from(fd)));
                }
            }
            // Left by a process of that number that died.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes away what those left who died while they wrote. What cannot be taken away takes room and does no harm.
fn sweep(folder: &OwnedFd) {
    let Ok(entries) = rustix::fs::Dir::read_from(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_bytes().starts_with(DRAFT.as_bytes()))
    {
        let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(folder, entry.file_name(), open, Mode::empty()) else { continue };
        if rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = rustix::fs::unlinkat(folder, entry.file_name(), AtFlags::empty());
        }
    }
}

/// Puts a small file in its place, whole.
fn put(folder: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (draft, mut file) = begin(folder)?;
    file.write_all(bytes)?;
    Ok(rustix::fs::renameat(folder, draft.as_str(), folder, name)?)
}

/// A blob that is not whole yet.
struct FolderDraft {
    folder: OwnedFd,
    name: String,
    file: File,
    kept: bool,
}

impl Write for FolderDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Draft for FolderDraft {
    fn keep(mut self: Box<Self>, digest: &str) -> io::Result<()> {
        let hex = digest.strip_prefix("sha256:").filter(|_| is_digest(digest));
        let hex = hex.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no digest"))?;
        let mut made = String::new();
        for part in ["blobs", "sha256"] {
            let above = beneath(self.folder.as_fd(), made.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)?;
            match rustix::fs::mkdirat(&above, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            made = if made.is_empty() { part.to_owned() } else { format!("{made}/{part}") };
        }
        let blobs = beneath(self.folder.as_fd(), made.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)?;
        rustix::fs::renameat(&self.folder, self.name.as_str(), &blobs, hex)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for FolderDraft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = rustix::fs::unlinkat(&self.folder, self.name.as_str(), AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn store(root: &std::path::Path) -> FolderStore {
        FolderStore::to_write(Place::of(root, "cache").unwrap())
    }

    fn left(store: &FolderStore) {
        let mut draft = store.draft().unwrap();
        draft.write_all(b"hello").unwrap();
        draft.keep(DIGEST).unwrap();
    }

    #[test]
    fn what_was_left_is_found_by_digest_and_by_name() {
        let root = tempfile::tempdir().unwrap();
        let store = store(root.path());
        assert_eq!(store.named(&["web", "latest"]).unwrap(), None);
        assert!(store.open(DIGEST).unwrap().is_none());
        left(&store);
        store.name(&json!({"digest": DIGEST, "size": 5}), &["web", "latest"]).unwrap();
        store.name(&json!({"digest": DIGEST.replace("2cf", "000"), "size": 5}), &["api", "latest"]).unwrap();
        let mut text = String::new();
        store.open(DIGEST).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(store.named(&["web", "latest"]).unwrap().as_deref(), Some(DIGEST));
        assert_eq!(store.named(&["new", "latest"]).unwrap(), Some(DIGEST.replace("2cf", "000")));
        let names: Vec<_> = fs::read_dir(root.path().join("cache")).unwrap().collect();
        assert_eq!(names.len(), 3, "blobs, index and layout: {names:?}");
    }

    #[test]
    fn what_is_not_kept_is_gone_and_so_is_what_the_dead_left() {
        let root = tempfile::tempdir().unwrap();
        let store = store(root.path());
        drop(store.draft().unwrap());
        fs::write(root.path().join("cache/.imk-draft-1-1"), "half").unwrap();
        left(&store);
        assert_eq!(fs::read_dir(root.path().join("cache")).unwrap().count(), 1);
    }

    #[test]
    fn no_link_is_followed_and_no_other_folder_is_written() {
        let root = tempfile::tempdir().unwrap();
        let store = store(root.path());
        fs::create_dir_all(root.path().join("cache")).unwrap();
        fs::create_dir(root.path().join("elsewhere")).unwrap();
        fs::os::unix::fs::symlink("../elsewhere", root.path().join("cache/blobs")).unwrap();
        let mut draft = store.draft().unwrap();
        draft.write_all(b"hello").unwrap();
        assert!(draft.keep(DIGEST).is_err());
        assert!(store.open(DIGEST).is_err());
        assert_eq!(fs::read_dir(root.path().join("elsewhere")).unwrap().count(), 0);
        let check = |dest: &str| FolderStore::check(&Place::of(root.path(), dest).unwrap());
        fs::write(root.path().join("elsewhere/main.rs"), "").unwrap();
        assert!(check("elsewhere").unwrap_err().contains("`main.rs`"));
        assert_eq!(check("new/cache"), Ok(()));
    }

    #[test]
    fn one_that_is_only_read_takes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::to_read(Place::of(root.path(), "cache").unwrap());
        assert!(store.draft().is_err() && store.name(&json!({}), &["x"]).is_err());
        assert!(!root.path().join("cache").exists());
    }
}
