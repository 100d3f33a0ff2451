//! Folders of blobs that a builder reads and leaves layers in while it builds: local caches and OCI layouts.
//!
//! The seam alone: a builder asks for blobs by digest, and knows no folder.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

/// An image of an OCI layout, as a build is handed it: one manifest, for one platform, and the blobs beside it.
pub trait LayoutImage: Send + Sync {
    /// The digest of the manifest.
    fn digest(&self) -> &str;

    /// Opens a blob of the layout; `None` when it has none of that digest. Nobody has compared the bytes with the
    /// digest: whoever takes them does.
    ///
    /// # Errors
    /// Why it cannot be opened, as a sentence.
    fn blob(&self, digest: &str) -> Result<Option<Box<dyn Blob>>, String>;
}

/// A blob that can be read in parts.
pub trait Blob: std::io::Read + std::io::Seek + Send {}

impl<T: std::io::Read + std::io::Seek + Send + ?Sized> Blob for T {}

/// Blobs by digest, as an OCI image layout has them.
pub trait ContentStore: Send + Sync {
    /// Opens a blob; `None` where there is none of this digest.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(&self, digest: &str) -> io::Result<Option<Box<dyn Blob>>>;

    /// Begins a blob. What is not kept is gone with it.
    ///
    /// # Errors
    /// When nothing can be written there.
    fn draft(&self) -> io::Result<Box<dyn Draft>>;

    /// The digest of the manifest that was left last under one of these names, the first that has one.
    ///
    /// # Errors
    /// When the list of names cannot be read.
    fn named(&self, names: &[&str]) -> io::Result<Option<String>>;

    /// Gives a manifest, by its descriptor, these names.
    ///
    /// # Errors
    /// When the list of names cannot be written.
    fn name(&self, descriptor: &serde_json::Value, names: &[&str]) -> io::Result<()>;
}

/// A blob that is not whole yet.
pub trait Draft: io::Write + Send {
    /// Keeps what was written as the blob of this digest, which the caller has compared with it.
    ///
    /// # Errors
    /// When it cannot be put in its place.
    fn keep(self: Box<Self>, digest: &str) -> io::Result<()>;
}

/// A layout as a store that is only read.
pub struct LayoutStore(pub Arc<dyn LayoutImage>);

impl LayoutStore {
    fn refused<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "a layout is only read"))
    }
}

impl ContentStore for LayoutStore {
    fn open(&self, digest: &str) -> io::Result<Option<Box<dyn Blob>>> {
        self.0.blob(digest).map_err(io::Error::other)
    }

    fn draft(&self) -> io::Result<Box<dyn Draft>> {
        Self::refused()
    }

    fn named(&self, _: &[&str]) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn name(&self, _: &serde_json::Value, _: &[&str]) -> io::Result<()> {
        Self::refused()
    }
}

/// The stores of a build, by the ids that BuildKit asks for them with.
#[derive(Clone, Default)]
pub struct Stores(pub BTreeMap<String, Arc<dyn ContentStore>>);

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A store is known by its id.
impl PartialEq for Stores {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}

impl Eq for Stores {}

/// The id by which BuildKit asks for the folder of a local cache.
pub fn of_cache(path: &str) -> String {
    format!("local:{path}")
}

/// The name by which a build's Dockerfile reaches the store of a layout, of the image's digest. BuildKit asks for it
/// with [`of_layout`].
pub fn layout_name(digest: &str) -> String {
    let hex = digest.rsplit(':').next().unwrap_or(digest);
    format!("layout-{}", hex.get(..32).unwrap_or(hex))
}

/// The id by which BuildKit asks for the store of a layout.
pub fn of_layout(digest: &str) -> String {
    format!("oci:{}", layout_name(digest))
}

/// Whether a text is the only kind of digest that names a blob here. Nothing else becomes a part of a path.
pub fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
