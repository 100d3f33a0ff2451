//! A layout's folder: its index, and the blobs that it has by digest.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::engine::Blob;
use crate::registry::digest;
use crate::registry::digest::Sum;
use crate::registry::document::Document;
use crate::source::disk::DiskTree;
use crate::source::tree::SourceTree;
use crate::state::folder::StateFolder;
use crate::syntax::layout_source::LayoutSource;

/// No document of a layout is longer, as none of a registry is: a longer one is a trap.
const DOCUMENT: u64 = 4 << 20;

/// Why a layout does not have an image: a sentence, and how to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutError {
    /// Why, without a full stop.
    pub why: String,
    /// A hint.
    pub hint: String,
}

impl LayoutError {
    pub(super) fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why: why.into(), hint: hint.into() }
    }

    /// Of a layout that contradicts itself.
    pub(super) fn unsound(why: impl Into<String>) -> Self {
        Self::new(why, "the layout is damaged, or was made to be: write it anew")
    }
}

/// A folder that may be an OCI layout.
#[derive(Clone)]
pub struct Layout {
    tree: Arc<dyn SourceTree>,
    folder: String,
    shown: String,
}

impl Layout {
    /// The layout that a name leads to: below the root of `tree`, or anywhere on the machine where its path is absolute.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn of(source: &LayoutSource, tree: &Arc<dyn SourceTree>) -> Result<Self, LayoutError> {
        let shown = if source.path.is_empty() { ".".to_owned() } else { source.path.clone() };
        if !source.path.starts_with('/') {
            let folder = if source.path == "." { String::new() } else { source.path.clone() };
            return Ok(Self { tree: Arc::clone(tree), folder, shown });
        }
        let state = StateFolder::nowhere("a layout is only read");
        match DiskTree::open(Path::new(&source.path), &state) {
            Ok(tree) => Ok(Self { tree: Arc::new(tree), folder: String::new(), shown }),
            Err(error) => Err(LayoutError::new(
                format!("the folder `{shown}` cannot be opened: {}", error.why),
                "is the path right?",
            )),
        }
    }

    /// The layout's folder, for messages.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The index at its top.
    pub(super) fn index(&self) -> Result<Document, LayoutError> {
        let absent = || {
            LayoutError::new(
                format!("there is no OCI layout in `{}`: it has no `index.json`", self.shown),
                "`skopeo copy docker://NAME oci:DIR` writes one, and so does `imk -o type=oci,tar=false,dest=DIR`",
            )
        };
        let bytes = self.document("index.json")?.ok_or_else(absent)?;
        Document::parse(&bytes)
            .map_err(|why| LayoutError::unsound(format!("`{}/index.json`: {why}", self.shown)))
    }

    /// A document by its digest, compared with it, and with the size that is told of it.
    pub(super) fn by_digest(&self, digest: &str, size: Option<u64>) -> Result<Vec<u8>, LayoutError> {
        let path = path_of(digest).map_err(LayoutError::unsound)?;
        let bytes = self.document(&path)?.ok_or_else(|| {
            LayoutError::new(
                format!("the layout `{}` has no `{path}`, which it names", self.shown),
                "copy all of it, or write it anew",
            )
        })?;
        if !digest::is(digest, &bytes) || size.is_some_and(|size| size != bytes.len() as u64) {
            let why = format!("`{}/{path}` is not what its digest and its size say", self.shown);
            return Err(LayoutError::unsound(why));
        }
        Ok(bytes)
    }

    fn document(&self, path: &str) -> Result<Option<Vec<u8>>, LayoutError> {
        let failed = |why: String| {
            LayoutError::new(
                format!("cannot read `{}/{path}`: {why}", self.shown),
                "imk must be able to read it",
            )
        };
        let Some(file) = self.open(path).map_err(failed)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(DOCUMENT + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
        match bytes.len() as u64 <= DOCUMENT {
            true => Ok(Some(bytes)),
            false => {
                Err(LayoutError::unsound(format!("`{}/{path}` is longer than any such document", self.shown)))
            }
        }
    }

    /// A blob by its digest, not compared with it.
    pub(super) fn blob(&self, digest: &str) -> Result<Option<Box<dyn Blob>>, String> {
        self.open(&path_of(digest)?)
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>, String> {
        let path = crate::model::name::join(&self.folder, path);
        let file = self.tree.seekable(&path).map_err(|error| error.why)?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Blob>))
    }
}

/// The file of a digest, in a layout's folder. A digest that is none names no file.
fn path_of(digest: &str) -> Result<String, String> {
    let known = crate::syntax::reference::is_digest(digest) && Sum::like(digest).is_some();
    match digest.split_once(':') {
        Some((kind, hex)) if known => Ok(format!("blobs/{kind}/{hex}")),
        _ => Err(format!(
            "`{}` is no digest",
            digest.chars().filter(|c| !c.is_control()).take(80).collect::<String>()
        )),
    }
}
