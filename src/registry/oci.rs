//! Registries that speak the OCI distribution specification, over HTTP.
//!
//! `reqwest` was chosen over `oci-client`, which hides `Retry-After`, knows no
//! mirrors, cannot go on with an upload that broke off, and attaches nothing:
//! what it takes off us is less than what had to be built around it. reqwest
//! pools connections and follows redirects and proxies. One runtime and one set
//! of clients serve all threads; both are made by the first question.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::options::Options;
use super::{Content, Descriptor, Manifest, Registry, RegistryError, place_of};
use crate::runtime;
use crate::syntax::reference::Reference;

mod ask;
mod attach;
mod auth;
mod authorizations;
mod base;
mod body;
mod cache;
mod challenge;
mod client;
mod copy;
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod mirrors;
mod ping;
mod read;
mod retry;
mod singleflight;
mod source;
mod tags;
mod tls;
mod upload;
mod web;
mod wire;
mod words;
mod write;

use client::Client;
pub use ping::Ping;

/// How often a running question looks whether it should stop.
const TICK: Duration = Duration::from_millis(50);

/// The real registries, all hosts in one.
pub struct OciRegistry {
    client: Client,
    runtime: OnceLock<Runtime>,
}

impl OciRegistry {
    /// Connects to nothing and reads nothing until the first question.
    pub fn new(options: Options) -> Self {
        Self { client: Client::new(options), runtime: OnceLock::new() }
    }

    /// Asks a registry whether it answers at all: the distribution specification's first question.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ping(&self, host: &str) -> Result<Ping, RegistryError> {
        let about = Reference { registry: host.into(), repository: String::new(), tag: None, digest: None };
        self.wait(&about, self.client.ping(&about))
    }

    /// Waits for an answer, or until somebody asks to stop; the question is dropped then, and its connection with it.
    fn wait<T>(
        &self,
        about: &Reference,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let stop = &self.client.wire.options.stop;
        if stop.is_asked() {
            return Err(RegistryError::Interrupted);
        }
        let stopped = async {
            while !stop.is_asked() {
                tokio::time::sleep(TICK).await;
            }
        };
        self.runtime(about)?.block_on(async {
            tokio::select! {
                biased;
                result = work => result,
                () = stopped => Err(RegistryError::Interrupted),
            }
        })
    }

    fn runtime(&self, about: &Reference) -> Result<&Runtime, RegistryError> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let made = runtime::start().map_err(|error| {
            RegistryError::unreachable(about, format!("this system gives no threads for it ({error})"))
        })?;
        // Two threads may have made one each; the second goes without a sound.
        if let Err(second) = self.runtime.set(made) {
            second.shutdown_background();
        }
        self.runtime.get().ok_or_else(|| RegistryError::unreachable(about, "there are no threads for it"))
    }
}

impl Drop for OciRegistry {
    fn drop(&mut self) {
        // A credential helper that hangs must not hold up the end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Registry for OciRegistry {
    fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        self.wait(reference, self.client.head(reference))
    }

    fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>, RegistryError> {
        self.wait(reference, self.client.manifest(reference))
    }

    fn platform(&self, reference: &Reference, platform: &str) -> Result<Option<Descriptor>, RegistryError> {
        self.wait(reference, self.client.platform(reference, platform))
    }

    fn web(&self, url: &str) -> Result<Option<String>, RegistryError> {
        let about = place_of(url);
        self.wait(&about, self.client.web(&about, url))
    }

    fn post(
        &self,
        url: &str,
        headers: &BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> Result<u16, RegistryError> {
        let about = Reference { repository: String::new(), ..place_of(url) };
        self.wait(&about, self.client.post(&about, url, headers, body))
    }

    fn blob(&self, repository: &Reference, digest: &str) -> Result<Vec<u8>, RegistryError> {
        self.wait(repository, self.client.blob(repository, digest))
    }

    fn download(
        &self,
        repository: &Reference,
        digest: &str,
        into: &mut dyn Write,
    ) -> Result<(), RegistryError> {
        self.wait(repository, self.client.download(repository, digest, into))
    }

    fn fetch(&self, url: &str, into: &mut dyn Write) -> Result<bool, RegistryError> {
        let about = place_of(url);
        self.wait(&about, self.client.fetch(&about, url, into))
    }

    fn has_blob(&self, repository: &Reference, digest: &str) -> Result<bool, RegistryError> {
        self.wait(repository, self.client.has_blob(repository, digest))
    }

    fn mount(&self, to: &Reference, digest: &str, from: &Reference) -> Result<bool, RegistryError> {
        self.wait(to, self.client.mount(to, digest, from))
    }

    fn upload(&self, to: &Reference, digest: &str, content: &mut dyn Content) -> Result<(), RegistryError> {
        self.wait(to, self.client.upload(to, digest, source::Source::Content(content)))
    }

    fn put_manifest(&self, reference: &Reference, manifest: &Manifest) -> Result<(), RegistryError> {
        self.wait(reference, async { self.client.put(reference, manifest).await.map(drop) })
    }

    fn untag(&self, tag: &Reference) -> Result<bool, RegistryError> {
        self.wait(tag, self.client.untag(tag))
    }

    fn copy(&self, from: &Reference, to: &Reference) -> Result<Descriptor, RegistryError> {
        self.wait(to, self.client.copy(from, to))
    }

    fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        self.wait(repository, self.client.tags(repository))
    }

    fn attach(
        &self,
        subject: &Reference,
        artifact_type: &str,
        annotations: &BTreeMap<String, String>,
        media_type: &str,
        payload: &[u8],
    ) -> Result<String, RegistryError> {
        let document = attach::Attachment { artifact_type, annotations, media_type, payload };
        self.wait(subject, self.client.attach(subject, &document))
    }

    fn attached(&self, subject: &Reference, artifact_type: &str) -> Result<Vec<Vec<u8>>, RegistryError> {
        self.wait(subject, self.client.attached(subject, artifact_type))
    }
}

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;
