//! Attaching small documents to manifests, and finding them again.
//!
//! A document is an artifact with a `subject`. A registry that knows what that
//! means lists it by itself and says so; for any other we keep the list, under
//! the tag that the distribution specification gives it.

use std::collections::BTreeMap;
use std::io::Cursor;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::base::Base;
use super::client::Client;
use super::read;
use super::source::Source;
use super::tags::following;
use super::wire::header;
use crate::registry::document::{self, CREATED, Document, EMPTY_BYTES, Entry};
use crate::registry::{Descriptor, Manifest, RegistryError, by_digest, by_tag, digest};
use crate::syntax::reference::Reference;

/// How often a list is written that others write at the same time.
const RACES: u32 = 8;

/// An attachment.
pub(super) struct Attachment<'a> {
    pub artifact_type: &'a str,
    pub annotations: &'a BTreeMap<String, String>,
    pub media_type: &'a str,
    pub payload: &'a [u8],
}

impl Client {
    pub(super) async fn attach(
        &self,
        subject: &Reference,
        document: &Attachment<'_>,
    ) -> Result<String, RegistryError> {
        let what = "attaching a document";
        let base = self.wire.base(subject).await?;
        let found = self.head_at(&base, subject).await?;
        let found =
            found.ok_or_else(|| RegistryError::refused(subject, what, "there is no such manifest"))?;
        for bytes in [document.payload, EMPTY_BYTES] {
            let digest = digest::of(bytes);
            if self.has_blob(subject, &digest).await? {
                continue;
            }
            // What several have in common is uploaded once: a registry may lack a blob while it arrives again.
            let _alone = self.attaching.lock().await;
            if !self.has_blob(subject, &digest).await? {
                self.upload(subject, &digest, Source::Content(&mut Cursor::new(bytes))).await?;
            }
        }
        let mut annotations = document.annotations.clone();
        annotations.entry(CREATED.to_owned()).or_insert_with(|| jiff::Timestamp::now().to_string());
        let blob = Descriptor {
            media_type: document.media_type.to_owned(),
            digest: digest::of(document.payload),
            size: document.payload.len() as u64,
        };
        let bytes = document::artifact(Some(&found), document.artifact_type, &annotations, &blob);
        let artifact = Manifest::new(document::MANIFEST, bytes);
        let answer = self.put(&by_digest(subject, &artifact.digest), &artifact).await?;
        if answer.header("oci-subject").is_none() {
            let mut entry = document::entry(&artifact.descriptor());
            entry["artifactType"] = json!(document.artifact_type);
            entry["annotations"] = json!(annotations);
            self.list(&base, &by_tag(subject, &document::fallback_tag(&found.digest)), &entry).await?;
        }
        Ok(artifact.digest)
    }

    /// Puts an entry on the list under a tag. Others may write it between our reading and
    /// writing, so it is read again afterwards.
    async fn list(&self, base: &Base, at: &Reference, entry: &Value) -> Result<(), RegistryError> {
        let _alone = self.attaching.lock().await;
        for _ in 0..RACES {
            let mut entries = match self.manifest_at(base, at).await? {
                Some(list) => entries(at, &list.bytes)?,
                None => Vec::new(),
            };
            if entries.iter().any(|other| other["digest"] == entry["digest"]) {
                return Ok(());
            }
            entries.push(entry.clone());
            self.put(at, &Manifest::new(document::INDEX, document::index(&entries))).await?;
        }
        let why = "others change the list of what is attached all the time; try again";
        Err(RegistryError::refused(at, "attaching a document", why))
    }

    pub(super) async fn attached(
        &self,
        subject: &Reference,
        artifact_type: &str,
    ) -> Result<Vec<Vec<u8>>, RegistryError> {
        let base = self.wire.base(subject).await?;
        let digest = match &subject.digest {
            Some(digest) => digest.clone(),
            None => match self.head_at(&base, subject).await? {
                Some(head) => head.digest,
                None => return Ok(Vec::new()),
            },
        };
        let mut entries = match self.referrers(&base, subject, &digest, artifact_type).await? {
            Some(entries) => entries,
            None => {
                let tag = by_tag(subject, &document::fallback_tag(&digest));
                let list = self.manifest_at(&base, &tag).await?;
                list.map_or(Ok(Vec::new()), |list| known(&tag, &list.bytes))?
            }
        };
        entries.retain(|entry| entry.artifact_type.as_deref() == Some(artifact_type));
        document::newest_first(&mut entries);
        let payloads = stream::iter(&entries).map(|entry| self.payload(subject, entry));
        let payloads: Vec<Option<Vec<u8>>> =
            payloads.buffered(self.wire.options.at_once.max(1)).try_collect().await?;
        Ok(payloads.into_iter().flatten().collect())
    }

    /// The registry's own list of what is attached; `None` when it does not know such questions.
    async fn referrers(
        &self,
        base: &Base,
        subject: &Reference,
        digest: &str,
        artifact_type: &str,
    ) -> Result<Option<Vec<Entry>>, RegistryError> {
        let mut url = base.of_repository(&subject.repository, &format!("referrers/{digest}"));
        url.query_pairs_mut().append_pair("artifactType", artifact_type);
        let mut entries = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut next = Some(url);
        while let Some(url) = next.filter(|url| seen.insert(url.to_string())) {
            let ask = self.wire.question(subject, "the question for what is attached", Method::GET, url);
            let answer = self.wire.fetch(base, &ask, read::MANIFEST).await?;
            let is_index = header(&answer.headers, CONTENT_TYPE.as_str())
                .is_some_and(|kind| kind.starts_with(document::INDEX));
            match answer.status {
                StatusCode::OK if is_index => {}
                // A page for browsers is the answer of a server that does not know the question.
                StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => return Ok(None),
                _ => return Err(self.wire.refusal(&ask, &answer)),
            }
            entries.extend(known(subject, &answer.bytes)?);
            next = following(base, &ask.url, &answer);
        }
        Ok(Some(entries))
    }

    /// The document in an artifact; `None` when the list outlived it.
    async fn payload(&self, subject: &Reference, entry: &Entry) -> Result<Option<Vec<u8>>, RegistryError> {
        let at = by_digest(subject, &entry.digest);
        let Some(artifact) = self.manifest(&at).await? else { return Ok(None) };
        let document = Document::parse(&artifact.bytes)
            .map_err(|why| RegistryError::corrupt(&at, "the question for what is attached", why))?;
        let Some(layer) = document.layers.first() else { return Ok(None) };
        self.blob(subject, &layer.digest).await.map(Some)
    }
}

/// The entries of an index as they are: what we do not know of them is kept.
fn entries(at: &Reference, bytes: &[u8]) -> Result<Vec<Value>, RegistryError> {
    let index: Option<Value> = serde_json::from_slice(bytes).ok();
    let entries = index.and_then(|mut index| Some(index.get_mut("manifests")?.as_array_mut()?.split_off(0)));
    entries.ok_or_else(|| {
        let why =
            format!("the tag `{}` is no list of attached documents", at.tag.as_deref().unwrap_or_default());
        RegistryError::corrupt(at, "the question for what is attached", why)
    })
}

/// The entries of an index, as far as we know them.
fn known(at: &Reference, bytes: &[u8]) -> Result<Vec<Entry>, RegistryError> {
    let document = Document::parse(bytes)
        .map_err(|why| RegistryError::corrupt(at, "the question for what is attached", why))?;
    Ok(document.manifests)
}
