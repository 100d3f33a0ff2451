//! Reading: manifests and small blobs, from mirrors first.
//!
//! Every document is checked against the digest it was asked by, and against
//! the one the registry claims for it. Writes nothing.

use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};

use super::base::Base;
use super::client::Client;
use super::wire::{Answer, Ask, header};
use super::words;
use crate::registry::document::{self, Document};
use crate::registry::{Descriptor, Manifest, RegistryError, by_digest, digest, pointer};
use crate::syntax::reference::Reference;

/// No manifest is larger, by the distribution specification.
pub(super) const MANIFEST: usize = 4 << 20;
/// No blob that is held in memory is larger.
pub(super) const BLOB: usize = 16 << 20;
/// Entries of nested indexes that are looked at for one question.
const ENTRIES: usize = 64;
/// The header with a manifest's digest.
pub(super) const DIGEST: &str = "docker-content-digest";
impl Client {
    pub(super) async fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        let look = self.read(reference, async |base| self.head_at(base, reference).await);
        self.heads.join(reference.to_string(), look).await
    }

    pub(super) async fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>, RegistryError> {
        let get = self.read(reference, async |base| self.manifest_at(base, reference).await);
        self.manifests.join(reference.to_string(), get).await
    }

    pub(super) async fn platform(
        &self,
        reference: &Reference,
        platform: &str,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let choose = async {
            let Some(head) = self.head(reference).await? else { return Ok(None) };
            if !document::is_index(&head.media_type) {
                return Ok(Some(head));
            }
            self.choose(reference, &head.digest, platform).await.map(Some)
        };
        self.platforms.join(format!("{platform} {reference}"), choose).await
    }

    /// The manifest of a platform in an index. Entries may be indexes themselves, may say nothing of their
    /// platform, which their configuration knows then, and nothing of their type.
    async fn choose(
        &self,
        reference: &Reference,
        digest: &str,
        platform: &str,
    ) -> Result<Descriptor, RegistryError> {
        let what = format!("the question for platform {platform}");
        let (mut open, mut there) = (vec![digest.to_owned()], Vec::new());
        let mut looked_at = 0;
        while let Some(digest) = open.pop() {
            let bytes = self.index(&by_digest(reference, &digest), &digest).await?;
            let document =
                Document::parse(&bytes).map_err(|why| RegistryError::corrupt(reference, &what, why))?;
            there.extend(document.platforms());
            let named = document.named(platform);
            if let Some(entry) = named.filter(|entry| document::is_known(&entry.media_type))
                && !document::is_index(&entry.media_type)
            {
                return Ok(entry.descriptor());
            }
            let unnamed = document.unnamed().filter(|_| named.is_none());
            for entry in named.into_iter().chain(unnamed) {
                looked_at += 1;
                if looked_at > ENTRIES {
                    return Err(RegistryError::corrupt(reference, &what, "its index has no end"));
                }
                let Some(manifest) = self.manifest(&by_digest(reference, &entry.digest)).await? else {
                    continue;
                };
                if document::is_index(&manifest.media_type) {
                    open.push(entry.digest.clone());
                } else if named.is_some() || self.is_for(reference, &manifest, platform).await? {
                    return Ok(manifest.descriptor());
                }
            }
        }
        Err(RegistryError::refused(reference, what, document::has(&there)))
    }

    /// Whether the configuration of an image says that it is for such a machine.
    async fn is_for(
        &self,
        reference: &Reference,
        manifest: &Manifest,
        platform: &str,
    ) -> Result<bool, RegistryError> {
        let document = Document::parse(&manifest.bytes).unwrap_or_default();
        let Some(config) = document.config else { return Ok(false) };
        let bytes = self.blob(reference, &config.digest).await?;
        let made: Option<document::Platform> = serde_json::from_slice(&bytes).ok();
        Ok(made.is_some_and(|made| document::fits(&made, platform)))
    }

    /// An index by its digest, remembered.
    async fn index(&self, at: &Reference, digest: &str) -> Result<Vec<u8>, RegistryError> {
        if let Some(bytes) = self.cache.get(digest) {
            return Ok(bytes);
        }
        let manifest = self.manifest(at).await?.ok_or_else(|| {
            RegistryError::corrupt(
                at,
                "the question for an index",
                "it was there a moment ago, and is not now",
            )
        })?;
        self.cache.put(digest, &manifest.bytes);
        Ok(manifest.bytes)
    }

    pub(super) async fn blob(&self, repository: &Reference, digest: &str) -> Result<Vec<u8>, RegistryError> {
        let get = async {
            let what = format!("the question for blob {digest}");
            let found = self.read(repository, async |base| {
                let ask = self.blob_question(base, repository, digest, &what);
                let answer = self.wire.fetch(base, &ask, BLOB).await?;
                match answer.status {
                    StatusCode::OK if digest::is(digest, &answer.bytes) => Ok(Some(answer.bytes)),
                    StatusCode::OK => {
                        Err(RegistryError::corrupt(repository, &what, "what came has another digest"))
                    }
                    StatusCode::NOT_FOUND if words::is_absence(&answer.bytes) => Ok(None),
                    _ => Err(self.wire.refusal(&ask, &answer)),
                }
            });
            let absent = || RegistryError::refused(repository, &what, "it has no such blob");
            found.await?.ok_or_else(absent)
        };
        self.blobs.join(format!("{} {digest}", repository.name()), get).await
    }

    pub(super) fn blob_question<'a>(
        &self,
        base: &Base,
        repository: &'a Reference,
        digest: &str,
        what: &'a str,
    ) -> Ask<'a> {
        let url = base.of_repository(&repository.repository, &format!("blobs/{digest}"));
        self.patience(base, self.wire.question(repository, what, Method::GET, url))
    }

    /// Whether the registry itself has a blob: what a mirror has does not count when something is written.
    pub(super) async fn has_blob(&self, repository: &Reference, digest: &str) -> Result<bool, RegistryError> {
        let base = self.wire.base(repository).await?;
        let what = format!("the question for blob {digest}");
        let mut ask = self.blob_question(&base, repository, digest, &what);
        ask.method = Method::HEAD;
        let response = self.wire.ask(&base, &ask).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => Err(RegistryError::refused(repository, &what, format!("HTTP {status}"))),
        }
    }

    /// Asks the mirrors, then the registry itself. Whatever a mirror says but "here it is", the registry has the last word.
    pub(super) async fn read<T>(
        &self,
        about: &Reference,
        ask: impl AsyncFn(&Base) -> Result<Option<T>, RegistryError>,
    ) -> Result<Option<T>, RegistryError> {
        let options = &self.wire.options;
        for address in options.mirrors.get(&about.registry).into_iter().flatten() {
            let base = Base::mirror(address, &options.insecure).map_err(|why| {
                RegistryError::unreachable(about, format!("its mirror `{address}` is no address: {why}"))
            })?;
            if self.mirrors.rests(&base) {
                continue;
            }
            match ask(&base).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Err(RegistryError::Unreachable { .. }) => self.mirrors.rest(&base),
                Ok(None) | Err(_) => {}
            }
        }
        ask(&self.wire.base(about).await?).await
    }

    /// A mirror is asked once; there is always somebody else.
    fn patience<'a>(&self, base: &Base, mut ask: Ask<'a>) -> Ask<'a> {
        if base.mirror {
            ask.tries = 1;
        }
        ask
    }

    pub(super) async fn head_at(
        &self,
        base: &Base,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let what = format!("the question for `{}`", pointer(reference));
        let mut ask = self.manifest_question(base, reference, &what);
        ask.method = Method::HEAD;
        let response = self.wire.ask(base, &ask).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            // Without a body there are no words either; the same question with one has them.
            _ => return Ok(self.manifest_at(base, reference).await?.map(|manifest| manifest.descriptor())),
        }
        let headers = response.headers();
        let is_packed = headers.contains_key(CONTENT_ENCODING);
        let size = header(headers, CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
        let media_type = header(headers, CONTENT_TYPE.as_str()).map(plain_type);
        let media_type = media_type.filter(|it| document::is_known(it) && !is_packed);
        let (Some(digest), Some(size), Some(media_type)) = (header(headers, DIGEST), size, media_type) else {
            // Some registries say less than they should, or tell the length of what is packed for the way.
            return Ok(self.manifest_at(base, reference).await?.map(|manifest| manifest.descriptor()));
        };
        if let Some(wanted) = &reference.digest
            && wanted != digest
        {
            return Err(RegistryError::corrupt(reference, &what, format!("it speaks of {digest}")));
        }
        if !is_digest(digest) {
            return Err(RegistryError::corrupt(reference, &what, "its digest is none"));
        }
        Ok(Some(Descriptor { media_type, digest: digest.to_owned(), size }))
    }

    pub(super) async fn manifest_at(
        &self,
        base: &Base,
        reference: &Reference,
    ) -> Result<Option<Manifest>, RegistryError> {
        let what = format!("the question for `{}`", pointer(reference));
        let ask = self.manifest_question(base, reference, &what);
        let answer = self.wire.fetch(base, &ask, MANIFEST).await?;
        match answer.status {
            StatusCode::OK => checked(reference, &what, answer).map(Some),
            StatusCode::NOT_FOUND if words::is_absence(&answer.bytes) => Ok(None),
            _ => Err(self.wire.refusal(&ask, &answer)),
        }
    }

    fn manifest_question<'a>(&self, base: &Base, reference: &'a Reference, what: &'a str) -> Ask<'a> {
        let url = base.of_repository(&reference.repository, &format!("manifests/{}", pointer(reference)));
        let mut ask = self.wire.question(reference, what, Method::GET, url);
        ask.headers.push((ACCEPT, HeaderValue::from_static(document::ACCEPT)));
        self.patience(base, ask)
    }
}

/// A manifest whose bytes are what was asked for and what the registry says they are.
fn checked(reference: &Reference, what: &str, answer: Answer) -> Result<Manifest, RegistryError> {
    let corrupt = |why: String| RegistryError::corrupt(reference, what, why);
    let claimed = answer.header(DIGEST).filter(|digest| is_digest(digest)).map(str::to_owned);
    let header_type = answer.header(CONTENT_TYPE.as_str()).map(plain_type);
    let digest = reference.digest.clone().or(claimed).unwrap_or_else(|| digest::of(&answer.bytes));
    if !digest::is(&digest, &answer.bytes) {
        return Err(corrupt(format!("what came is not {digest}")));
    }
    let document = Document::parse(&answer.bytes).map_err(corrupt)?;
    let said = document.media_type.clone().filter(|it| !it.is_empty());
    let known = header_type.as_ref().filter(|it| document::is_known(it)).cloned();
    let kind = document.kind().map(str::to_owned);
    let media_type = said.or(known).or(kind).or(header_type).unwrap_or_default();
    Ok(Manifest { media_type, digest, bytes: answer.bytes })
}

/// Without `; charset=utf-8`, which some registries add.
fn plain_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

/// `sha256:` with 64 small hexadecimal digits, or as many as its kind has.
fn is_digest(text: &str) -> bool {
    let digits = match text.split_once(':') {
        Some(("sha256", digits)) if digits.len() == 64 => digits,
        Some(("sha512", digits)) if digits.len() == 128 => digits,
        _ => return false,
    };
    digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
