//! Writing manifests, and giving a repository a blob that its neighbour has.
//!
//! Mirrors are never asked: what is written goes to the registry itself.

use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::base::Base;
use super::client::Client;
use super::read::{DIGEST, MANIFEST};
use super::wire::{Answer, Ask, header};
use super::{retry, words};
use crate::registry::{Manifest, RegistryError, digest};
use crate::syntax::reference::Reference;

/// How often a manifest is put of which a blob is said to be missing.
const BLOB_TRIES: u32 = 4;

/// The scope that a token must have to write.
pub(super) fn push_scope(repository: &Reference) -> String {
    format!("repository:{}:pull,push", repository.repository)
}

impl Client {
    /// A question that writes.
    pub(super) fn order<'a>(&self, about: &'a Reference, what: &'a str, method: Method, url: Url) -> Ask<'a> {
        let mut ask = self.wire.question(about, what, method, url);
        ask.scopes = vec![push_scope(about)];
        ask.patience = self.wire.options.upload_timeout;
        ask
    }

    /// Puts a manifest and gives the registry's answer. A tag that stands for it already is a success, even where tags cannot be given twice.
    pub(super) async fn put(
        &self,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<Answer, RegistryError> {
        let pointer = reference.tag.as_deref().unwrap_or(&manifest.digest);
        let what = format!("putting `{pointer}`");
        let wrong = |why: &str| RegistryError::refused(reference, &what, why);
        if !digest::is(&manifest.digest, &manifest.bytes) {
            return Err(wrong("the manifest is not what its digest says"));
        }
        if reference.digest.as_ref().is_some_and(|digest| *digest != manifest.digest) {
            return Err(wrong("the manifest is not the one that the name asks for"));
        }
        let media_type =
            HeaderValue::from_str(&manifest.media_type).map_err(|_| wrong("its media type is none"))?;
        let base = self.wire.base(reference).await?;
        let url = base.of_repository(&reference.repository, &format!("manifests/{pointer}"));
        let mut ask = self.order(reference, &what, Method::PUT, url);
        ask.headers.push((CONTENT_TYPE, media_type));
        ask.body = manifest.bytes.clone().into();
        let mut answer = self.wire.fetch(&base, &ask, MANIFEST).await?;
        for tries in 1..BLOB_TRIES {
            if !words::lacks_a_blob(&answer.bytes) {
                break;
            }
            // Docker's registry has none of a blob for the moment in which somebody uploads it once more.
            tokio::time::sleep(retry::pause(&self.wire.options.retry, tries)).await;
            answer = self.wire.fetch(&base, &ask, MANIFEST).await?;
        }
        if !answer.status.is_success() {
            let mut at = reference.clone();
            at.digest = at.tag.is_none().then(|| manifest.digest.clone());
            let there = self.head_at(&base, &at).await;
            return match there {
                Ok(Some(there)) if there.digest == manifest.digest => Ok(answer),
                _ => Err(self.wire.refusal(&ask, &answer)),
            };
        }
        match answer.header(DIGEST) {
            Some(kept) if kept != manifest.digest && kept.starts_with("sha256:") => {
                Err(RegistryError::corrupt(
                    reference,
                    &what,
                    format!("it keeps {kept} instead of {}", manifest.digest),
                ))
            }
            _ => Ok(answer),
        }
    }

    /// Takes a tag away (the distribution specification's "Deleting tags").
    pub(super) async fn untag(&self, tag: &Reference) -> Result<bool, RegistryError> {
        let Some(pointer) = tag.tag.as_deref().filter(|_| tag.digest.is_none()) else { return Ok(false) };
        let what = format!("taking the tag `{pointer}` away");
        let base = self.wire.base(tag).await?;
        let url = base.of_repository(&tag.repository, &format!("manifests/{pointer}"));
        let mut ask = self.order(tag, &what, Method::DELETE, url);
        ask.scopes = vec![format!("repository:{}:pull,push,delete", tag.repository)];
        match self.wire.fetch(&base, &ask, MANIFEST).await {
            Ok(answer) if answer.status.is_success() => Ok(true),
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => Ok(words::is_absence(&answer.bytes)),
            // 405 where tags are never taken away, 400 where only a digest will do.
            Ok(answer) if answer.status.is_client_error() => Ok(false),
            Ok(answer) => Err(self.wire.refusal(&ask, &answer)),
            // Who may write may not always delete.
            Err(RegistryError::Denied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn mount(
        &self,
        to: &Reference,
        digest: &str,
        from: &Reference,
    ) -> Result<bool, RegistryError> {
        if to.registry != from.registry {
            return Ok(false);
        }
        let base = self.wire.base(to).await?;
        let what = format!("taking blob {digest} from `{}`", from.repository);
        let mut url = base.of_repository(&to.repository, "blobs/uploads/");
        url.query_pairs_mut().append_pair("mount", digest).append_pair("from", &from.repository);
        let mut ask = self.order(to, &what, Method::POST, url);
        ask.scopes.push(format!("repository:{}:pull", from.repository));
        let response = self.wire.ask(&base, &ask).await?;
        match response.status() {
            StatusCode::CREATED => Ok(true),
            // It began an upload instead, which we end: who uploads begins anew.
            StatusCode::ACCEPTED => {
                if let Some(url) = location(&base, response.headers()) {
                    let mut end = self.order(to, &what, Method::DELETE, url);
                    end.tries = 1;
                    // Registries forget unfinished uploads by themselves.
                    let _ = self.wire.ask(&base, &end).await;
                }
                Ok(false)
            }
            // The neighbour lacks it, or the registry does not know how.
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            status => Err(RegistryError::refused(to, &what, format!("HTTP {status}"))),
        }
    }
}

/// Where an upload goes on; may be below another path, or at another server.
pub(super) fn location(base: &Base, headers: &reqwest::header::HeaderMap) -> Option<Url> {
    base.url.join(header(headers, LOCATION.as_str())?).ok()
}
