//! The seam: a registry as the rest of imk sees it, and the words for what goes in and comes out.
//!
//! Knows no registry of any kind, and no HTTP.

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};

use serde::{Deserialize, Serialize};

use super::digest;
use super::error::RegistryError;
use crate::syntax::reference::Reference;

/// A manifest as a registry describes it, without the manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Descriptor {
    /// `application/vnd.oci.image.index.v1+json` and the like.
    pub media_type: String,
    /// `sha256:…` of its bytes.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// A manifest as it is kept: its digest is that of exactly these bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// `sha256:…` of `bytes`.
    pub digest: String,
    /// The document, byte for byte.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// A manifest of these bytes, its digest taken from them.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.to_owned(), digest: digest::of(&bytes), bytes }
    }

    /// The descriptor that a registry would give.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
        }
    }
}

/// Bytes to upload. An upload that broke off goes on where the registry says, so they can be wound back.
pub trait Content: Read + Seek + Send {}

impl<T: Read + Seek + Send> Content for T {}

/// The other side. Every method blocks its thread and may be called from many threads at once.
///
/// A reference with a digest means that digest whatever its tag says, except
/// where a manifest is written. `Ok(None)` is an answer: the registry said that it
/// has no such thing. Whatever else is not a success is an error, never an absence.
pub trait Registry: Send + Sync {
    /// The manifest that a tag or digest stands for; `None` when the registry knows no such manifest or repository.
    fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError>;

    /// The manifest of a tag or digest, checked against its digest.
    fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>, RegistryError>;

    /// The manifest of one platform (`linux/amd64`, `linux/arm/v7`). A reference to a
    /// single manifest is answered with that one, whatever it was made for: only its
    /// configuration knows. An index that lacks the platform is [`RegistryError::Refused`], which names those it has.
    fn platform(&self, reference: &Reference, platform: &str) -> Result<Option<Descriptor>, RegistryError>;

    /// A small blob, such as an image's configuration, checked against its digest. A missing one is an error.
    fn blob(&self, repository: &Reference, digest: &str) -> Result<Vec<u8>, RegistryError>;

    /// Writes a blob of any size into `into` as it comes, and fails in the end when its digest is another
    /// one: what was written is worth something only after that. A missing one is an error.
    fn download(
        &self,
        repository: &Reference,
        digest: &str,
        into: &mut dyn Write,
    ) -> Result<(), RegistryError>;

    /// Whether a repository has a blob.
    fn has_blob(&self, repository: &Reference, digest: &str) -> Result<bool, RegistryError>;

    /// Gives `to` a blob that `from`, a repository of the same registry, has. `false` when the registry would rather have it uploaded.
    fn mount(&self, to: &Reference, digest: &str, from: &Reference) -> Result<bool, RegistryError>;

    /// Uploads a blob. Does not ask whether it is there already.
    fn upload(&self, to: &Reference, digest: &str, content: &mut dyn Content) -> Result<(), RegistryError>;

    /// Puts a manifest under the reference's tag, or under its digest when it has no tag. What the manifest names must be there.
    fn put_manifest(&self, reference: &Reference, manifest: &Manifest) -> Result<(), RegistryError>;

    /// Takes a tag away, and nothing but the tag. `false` when the registry does not do that, or not for us; a tag that is not there is taken away.
    fn untag(&self, tag: &Reference) -> Result<bool, RegistryError>;

    /// Copies a manifest and all it names to another name, an index with its manifests,
    /// and says what the new name stands for. Blobs the target has are not sent; the
    /// manifest comes last. A target that already stands for the same is left alone.
    fn copy(&self, from: &Reference, to: &Reference) -> Result<Descriptor, RegistryError>;

    /// Validators of a file on the web, which tell its state from every other; the hash of its content
    /// where the server gives none. `None` when there is no such file. No registry's business, but
    /// one door to the network is enough.
    fn web(&self, url: &str) -> Result<Option<String>, RegistryError>;

    /// Sends a body to an address, and says the status of the answer. Asked once and followed nowhere: a second
    /// message might be a second deed. Errors name the host and no more of the address.
    fn post(
        &self,
        url: &str,
        headers: &BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> Result<u16, RegistryError>;

    /// Writes a file of the web into `into`. `false` when there is no such file.
    fn fetch(&self, url: &str, into: &mut dyn Write) -> Result<bool, RegistryError>;

    /// All tags of a repository, sorted; none for a repository the registry does not know.
    fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError>;

    /// Attaches a small document to a manifest that is there (`subject` bears its digest), as
    /// an OCI artifact of that type. `org.opencontainers.image.created` is added to the
    /// annotations unless given. Answers with the artifact's digest.
    fn attach(
        &self,
        subject: &Reference,
        artifact_type: &str,
        annotations: &BTreeMap<String, String>,
        media_type: &str,
        payload: &[u8],
    ) -> Result<String, RegistryError>;

    /// The documents of that type attached to a manifest, newest first; none when nothing is attached.
    fn attached(&self, subject: &Reference, artifact_type: &str) -> Result<Vec<Vec<u8>>, RegistryError>;
}

/// The part of a reference that points inside its repository: its digest, else its tag, else `latest`.
pub fn pointer(reference: &Reference) -> &str {
    reference.digest.as_deref().or(reference.tag.as_deref()).unwrap_or("latest")
}

/// The place that errors name when a file on the web is asked about.
pub(crate) fn place_of(url: &str) -> Reference {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    // A name and a password may stand before the host.
    let host = host.rsplit('@').next().unwrap_or(host);
    Reference { registry: host.to_owned(), repository: path.to_owned(), tag: None, digest: None }
}

/// The same repository by a digest.
pub fn by_digest(repository: &Reference, digest: &str) -> Reference {
    Reference { tag: None, digest: Some(digest.to_owned()), ..repository.clone() }
}

/// The same repository by a tag.
pub fn by_tag(repository: &Reference, tag: &str) -> Reference {
    Reference { tag: Some(tag.to_owned()), digest: None, ..repository.clone() }
}
