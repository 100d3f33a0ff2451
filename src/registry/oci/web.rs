//! Files on the web, as `ADD` fetches them: what tells one state of a file from another.
//!
//! A server's own word counts first (RFC 9110, 8.8: `ETag`, else
//! `Last-Modified` with the length); a server that says neither makes us read the file.
//! BuildKit asks for the same before every build. No login is sent anywhere.

use std::io::Write;

use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, LAST_MODIFIED};
use reqwest::{Method, StatusCode, Url};

use super::base::is_loopback;
use super::client::Client;
use super::wire::header;
use crate::model::hash::ContentHash;
use crate::registry::RegistryError;
use crate::syntax::reference::Reference;

impl Client {
    pub(super) async fn web(&self, about: &Reference, url: &str) -> Result<Option<String>, RegistryError> {
        let no = |why: String| RegistryError::refused(about, "asking for a file", why);
        let url: Url = url.parse().map_err(|error| no(format!("`{url}` is no address: {error}")))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = self.wire.client(&host, is_loopback(&host)).map_err(no)?;
        let options = &self.wire.options;
        for method in [Method::HEAD, Method::GET] {
            let build = || client.request(method.clone(), url.clone());
            let answer = self.wire.patient(about, options.retry.tries, options.answer_timeout, build).await?;
            match answer.status() {
                StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
                // Some servers answer a HEAD with anything but the truth.
                status if !status.is_success() && method == Method::HEAD => continue,
                status if !status.is_success() => return Err(no(format!("the server says {status}"))),
                _ => {}
            }
            if let Some(validators) = validators(answer.headers()) {
                return Ok(Some(validators));
            }
            if method == Method::GET {
                return self.read_through(about, answer).await.map(Some);
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
        let no = |why: String| RegistryError::refused(about, "fetching a file", why);
        let url: Url = url.parse().map_err(|error| no(format!("`{url}` is no address: {error}")))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = self.wire.client(&host, is_loopback(&host)).map_err(no)?;
        let options = &self.wire.options;
        let build = || client.get(url.clone());
        let mut answer = self.wire.patient(about, options.retry.tries, options.answer_timeout, build).await?;
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(false),
            status if !status.is_success() => return Err(no(format!("the server says {status}"))),
            _ => {}
        }
        loop {
            let piece = tokio::time::timeout(options.answer_timeout, answer.chunk()).await;
            let piece = piece.map_err(|_| RegistryError::unreachable(about, "the file stops coming"))?;
            match piece.map_err(|error| RegistryError::unreachable(about, error.without_url().to_string()))? {
                Some(bytes) => {
                    into.write_all(&bytes).map_err(|error| no(format!("it cannot be kept: {error}")))?
                }
                None => return Ok(true),
            }
        }
    }

    async fn read_through(
        &self,
        about: &Reference,
        mut answer: reqwest::Response,
    ) -> Result<String, RegistryError> {
        let mut hasher = blake3::Hasher::new();
        let patience = self.wire.options.answer_timeout;
        loop {
            let piece = tokio::time::timeout(patience, answer.chunk()).await;
            let piece = piece.map_err(|_| RegistryError::unreachable(about, "the file stops coming"))?;
            match piece.map_err(|error| RegistryError::unreachable(about, error.without_url().to_string()))? {
                Some(bytes) => drop(hasher.update(&bytes)),
                None => return Ok(format!("content {}", ContentHash(*hasher.finalize().as_bytes()))),
            }
        }
    }
}

fn validators(headers: &HeaderMap) -> Option<String> {
    if let Some(tag) = header(headers, ETAG.as_str()) {
        return Some(format!("etag {tag}"));
    }
    let modified = header(headers, LAST_MODIFIED.as_str())?;
    let length = header(headers, CONTENT_LENGTH.as_str()).unwrap_or("unknown");
    Some(format!("modified {modified}, {length} bytes"))
}
