//! Asking a server: once, and again when that may help.
//!
//! Waits and repeats; says what an answer
//! means only where every question would read it the same way (no answer, too
//! many requests, not allowed). Knows nothing of manifests and blobs.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use tokio::sync::OnceCell;
use tokio::time::sleep;
use tokio_rustls::rustls::RootCertStore;

use super::authorizations::Auth;
use super::base::{Base, is_loopback};
use super::body::Body;
use super::fault::Fault;
use super::tls::{self, Redirects, Way};
use super::{retry, words};
use crate::registry::RegistryError;
use crate::registry::options::Options;
use crate::syntax::reference::Reference;

/// No word of an error is longer than this.
const WORDS: usize = 64 << 10;

/// One question.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    /// The reference that errors name.
    pub about: &'a Reference,
    /// For errors: `the question for tag `1``.
    pub what: &'a str,
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    /// `repository:app:pull`, what a token must allow.
    pub scopes: Vec<String>,
    /// How often it is asked when there is no answer.
    pub tries: u32,
    /// How long an answer may take to begin.
    pub patience: Duration,
}

/// The host that a question goes to, and how it is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host<'a> {
    /// `r.example:5000`
    pub name: &'a str,
    /// How often it is asked when there is no answer worth reading.
    pub tries: u32,
    /// How long an answer may take to begin.
    pub patience: Duration,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// A header as text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Clients, addresses and authorizations of all hosts.
pub(super) struct Wire {
    pub options: Options,
    pub auth: Auth,
    clients: Mutex<BTreeMap<String, Client>>,
    authorities: OnceLock<RootCertStore>,
    bases: Mutex<BTreeMap<String, Arc<OnceCell<Base>>>>,
}

impl Wire {
    pub(super) fn new(options: Options) -> Self {
        let auth = Auth::new(options.credentials.clone());
        Self {
            options,
            auth,
            clients: Mutex::default(),
            authorities: OnceLock::new(),
            bases: Mutex::default(),
        }
    }

    /// A question with the patience of the options.
    pub(super) fn question<'a>(
        &self,
        about: &'a Reference,
        what: &'a str,
        method: Method,
        url: Url,
    ) -> Ask<'a> {
        Ask {
            about,
            what,
            method,
            url,
            headers: Vec::new(),
            body: Bytes::new(),
            scopes: vec![format!("repository:{}:pull", about.repository)],
            tries: self.options.retry.tries.max(1),
            patience: self.options.patience.limit(),
        }
    }

    /// The client for a host. Hosts that need nothing of their own share one, and its connections.
    pub(super) fn client(&self, host: &str, lenient: bool) -> Result<Client, String> {
        self.client_that(Redirects::Follow, host, lenient)
    }

    /// As [`Self::client`], for one that follows redirects or does not.
    pub(super) fn client_that(
        &self,
        redirects: Redirects,
        host: &str,
        lenient: bool,
    ) -> Result<Client, String> {
        let mut clients = self.clients.lock();
        let own = format!("host {host} {lenient} {redirects:?}");
        if let Some(client) = clients.get(&own) {
            return Ok(client.clone());
        }
        let way = if is_loopback(host) { Way::Direct } else { Way::Proxy };
        let files = tls::Files::of(&self.options.certificates, host);
        let shared = format!("{way:?} {lenient} {redirects:?}");
        let known = clients.get(&shared).filter(|_| files.is_empty()).cloned();
        let client = match known {
            Some(client) => client,
            None if lenient && files.is_empty() => tls::lenient_client(&self.options, (way, redirects))?,
            None => {
                let system = self.authorities.get_or_init(tls::system_authorities);
                tls::client(&self.options, system, &files, (way, redirects))?
            }
        };
        if files.is_empty() {
            clients.insert(shared, client.clone());
        }
        clients.insert(own, client.clone());
        Ok(client)
    }

    /// Where a registry answers. A lenient one is asked once whether it speaks TLS.
    pub(super) async fn base(&self, about: &Reference) -> Result<Base, RegistryError> {
        let cell = {
            let mut bases = self.bases.lock();
            Arc::clone(bases.entry(about.registry.clone()).or_default())
        };
        cell.get_or_try_init(|| self.find_base(about)).await.cloned()
    }

    async fn find_base(&self, about: &Reference) -> Result<Base, RegistryError> {
        let wrong = |why: String| RegistryError::unreachable(about, why);
        let base = |scheme: &str| Base::of(&about.registry, scheme, &self.options.insecure).map_err(wrong);
        let secure = base("https")?;
        if !secure.lenient {
            return Ok(secure);
        }
        let client = self.client(&secure.host, true).map_err(wrong)?;
        let waiting = self.options.patience.begin(&secure.host).map_err(wrong)?;
        let sent = waiting.on(client.get(secure.ping_url()).send()).await.map_err(wrong)?;
        drop(waiting);
        let Err(fault) = sent.map_err(Fault::from) else { return Ok(secure) };
        let plain = base("http")?;
        let asked = Host {
            name: &plain.host,
            tries: self.options.retry.tries,
            patience: self.options.patience.limit(),
        };
        let answer = self.patient(about, asked, || client.get(plain.ping_url())).await?;
        // What a server says to plain words where it wants TLS: then our trouble was with its TLS.
        if answer.status() == StatusCode::BAD_REQUEST { Err(wrong(fault.why)) } else { Ok(plain) }
    }

    /// Asks until there is an answer that is worth reading: neither trouble of the
    /// server (5xx) nor too many requests, unless these stay.
    pub(super) async fn patient(
        &self,
        about: &Reference,
        host: Host<'_>,
        build: impl Fn() -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let limits = &self.options.retry;
        let unreachable = |why| RegistryError::unreachable(about, why);
        let waiting = self.options.patience.begin_long(host.name, host.patience).map_err(unreachable)?;
        let mut tried = 0;
        loop {
            tried += 1;
            // A host that says nothing is not asked again: its time is over for all that ask it.
            let (error, told) =
                match waiting.on(build().send()).await.map_err(unreachable)?.map_err(Fault::from) {
                    Ok(response) if !is_trouble(response.status()) => {
                        waiting.heard();
                        return Ok(response);
                    }
                    Ok(response) => {
                        waiting.heard();
                        let told = retry::retry_after(response.headers());
                        (self.trouble(about, host.name, response, told).await, told)
                    }
                    Err(fault) if !fault.passing => return Err(unreachable(fault.why)),
                    Err(fault) => (unreachable(fault.why), None),
                };
            if tried >= host.tries || told.is_some_and(|told| told > limits.longest) {
                return Err(error);
            }
            let pause = retry::pause(limits, tried);
            sleep(told.map_or(pause, |told| told.max(pause))).await;
        }
    }

    async fn trouble(
        &self,
        about: &Reference,
        host: &str,
        response: Response,
        told: Option<Duration>,
    ) -> RegistryError {
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            return RegistryError::Throttled {
                host: about.registry.clone(),
                repository: about.repository.clone(),
                wait: told.map(|told| told.as_secs()),
            };
        }
        let said = self.body(host, response, WORDS).await.unwrap_or_default();
        let said = self.auth.scrub(&words::of(status, &said));
        RegistryError::unreachable(about, format!("it is in trouble itself ({said})"))
    }

    /// The body of an answer; `Err(None)` when it is longer than `limit`.
    pub(super) async fn body(
        &self,
        host: &str,
        response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, Option<Fault>> {
        let mut body = Body::of(response, host, &self.options.patience)?;
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await? {
            if bytes.len() + piece.len() > limit {
                return Err(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The error for an answer that is neither a success nor anything else the question knows.
    pub(super) fn refusal(&self, ask: &Ask<'_>, answer: &Answer) -> RegistryError {
        let said = self.auth.scrub(&words::of(answer.status, &answer.bytes));
        RegistryError::refused(ask.about, ask.what, said)
    }
}

/// Whether a server may answer better a little later.
fn is_trouble(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}
