//! Files on the web, as `ADD` fetches them: what tells one state of a file from another.
//!
//! A server's own word counts where it is a strong one (RFC 9110, 8.8.1): an `ETag` that is not weak. Else the
//! file is read and its content counts, since a date of one second and a length prove nothing. No
//! login is sent anywhere.

use std::collections::BTreeMap;
use std::io::Write;

use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

use super::base::{authority, is_loopback};
use super::body::Body;
use super::client::Client;
use super::fault::Fault;
use super::tls::Redirects;
use super::wire::{Host, header};
use crate::model::hash::ContentHash;
use crate::registry::RegistryError;
use crate::syntax::reference::Reference;

impl Client {
    pub(super) async fn web(&self, about: &Reference, url: &str) -> Result<Option<String>, RegistryError> {
        for method in [Method::HEAD, Method::GET] {
            let answer = self.ask_web(about, "asking for a file", method.clone(), url).await?;
            match answer.status() {
                // Some servers answer a HEAD with anything but the truth.
                status if !status.is_success() && method == Method::HEAD => continue,
                StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
                status if !status.is_success() => {
                    let why = format!("the server says {status}");
                    return Err(RegistryError::refused(about, "asking for a file", why));
                }
                _ => {}
            }
            if let Some(tag) = strong_tag(answer.headers()) {
                return Ok(Some(tag));
            }
            if method == Method::GET {
                let mut hasher = blake3::Hasher::new();
                self.each_piece(about, answer, |bytes| {
                    hasher.update(bytes);
                    Ok(())
                })
                .await?;
                return Ok(Some(format!("content {}", ContentHash(*hasher.finalize().as_bytes()))));
            }
        }
        Ok(None)
    }

    /// Writes a file into `into`. `false` when there is no such file.
    pub(super) async fn fetch(
        &self,
        about: &Reference,
        url: &str,
        into: &mut dyn Write,
    ) -> Result<bool, RegistryError> {
        const WHAT: &str = "fetching a file";
        let answer = self.ask_web(about, WHAT, Method::GET, url).await?;
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(false),
            status if !status.is_success() => {
                return Err(RegistryError::refused(about, WHAT, format!("the server says {status}")));
            }
            _ => {}
        }
        let kept = |bytes: &[u8]| {
            into.write_all(bytes)
                .map_err(|error| RegistryError::refused(about, WHAT, format!("it cannot be kept: {error}")))
        };
        self.each_piece(about, answer, kept).await?;
        Ok(true)
    }

    /// Sends a body, once and to no other address.
    pub(super) async fn post(
        &self,
        about: &Reference,
        url: &str,
        headers: &BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> Result<u16, RegistryError> {
        const WHAT: &str = "sending a message";
        let no = |why: &str| RegistryError::refused(about, WHAT, why);
        // The parser's error and the client's tell the whole address, which may be a secret.
        let url: Url = url.parse().map_err(|_| no("its `url` is no address"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = self.wire.client_that(Redirects::Refuse, &host, is_loopback(&host));
        let client = client.map_err(|why| no(&why))?;
        let mut request = client.post(url).body(body).timeout(self.wire.options.patience.limit());
        for (name, value) in headers {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| no("a header has no such name"))?;
            let value = HeaderValue::from_str(value).map_err(|_| no("a header has no such value"))?;
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) => Err(RegistryError::unreachable(about, Fault::from(error.without_url()).why)),
        }
    }

    async fn ask_web(
        &self,
        about: &Reference,
        what: &str,
        method: Method,
        url: &str,
    ) -> Result<Response, RegistryError> {
        let no = |why: String| RegistryError::refused(about, what, why);
        let url: Url = url.parse().map_err(|error| no(format!("`{url}` is no address: {error}")))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = self.wire.client(&host, is_loopback(&host)).map_err(no)?;
        let options = &self.wire.options;
        let name = authority(&url).unwrap_or_default();
        let host = Host { name: &name, tries: options.retry.tries, patience: options.patience.limit() };
        self.wire.patient(about, host, || client.request(method.clone(), url.clone())).await
    }

    async fn each_piece(
        &self,
        about: &Reference,
        answer: Response,
        mut take: impl FnMut(&[u8]) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let broken = |why: String| RegistryError::unreachable(about, why);
        let host = authority(answer.url()).unwrap_or_default();
        let mut body =
            Body::of(answer, &host, &self.wire.options.patience).map_err(|fault| broken(fault.why))?;
        while let Some(piece) = body.next().await.map_err(|fault| broken(fault.why))? {
            take(&piece)?;
        }
        Ok(())
    }
}

/// An `ETag` that tells every byte; a weak one (`W/"…"`) tells what a person would call the same.
fn strong_tag(headers: &HeaderMap) -> Option<String> {
    let tag = header(headers, ETAG.as_str())?.trim();
    let is_strong = tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"');
    is_strong.then(|| format!("etag {tag}"))
}
