//! Registries that speak the OCI distribution specification, over HTTP.
//!
//! `reqwest` was chosen over `oci-client`, which hides `Retry-After`, knows no
//! mirrors, cannot go on with an upload that broke off, and attaches nothing:
//! what it takes off us is less than what had to be built around it. reqwest
//! pools connections and follows redirects and proxies. One runtime and one set
//! of clients serve all threads; both are made by the first question.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::options::Options;
use super::{Content, Descriptor, Manifest, Registry, RegistryError, place_of};
use crate::syntax::reference::Reference;

mod attach;
mod auth;
mod base;
mod cache;
mod challenge;
mod copy;
mod door;
mod fault;
mod flights;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod read;
mod retry;
mod source;
mod tags;
mod tls;
mod upload;
mod web;
mod wire;
mod words;
mod write;

pub use door::Knock;

/// How often a running question looks whether it should stop.
const TICK: Duration = Duration::from_millis(50);

/// The real registries, all hosts in one.
pub struct OciRegistry {
    remote_cache: RemoteCache,
    runtime: OnceLock<Runtime>,
}

/// Everything but the runtime: what the questions are asked with, and what is remembered of answers.
struct RemoteCache {
    wire: wire::Wire,
    heads: flights::Flights<Option<Descriptor>>,
    manifests: flights::Flights<Option<Manifest>>,
    platforms: flights::Flights<Option<Descriptor>>,
    blobs: flights::Flights<Vec<u8>>,
    cache: cache::Cache,
    mirrors: read::Mirrors,
    /// One at a time changes the list of what is attached.
    attaching: tokio::sync::Mutex<()>,
}

impl OciRegistry {
    /// Connects to nothing and reads nothing until the first question.
    pub fn new(options: Options) -> Self {
        let remote_cache = RemoteCache {
            cache: cache::Cache::new(options.cache_folder.clone()),
            wire: wire::Wire::new(options),
            heads: flights::Flights::default(),
            manifests: flights::Flights::default(),
            platforms: flights::Flights::default(),
            blobs: flights::Flights::default(),
            mirrors: read::Mirrors::default(),
            attaching: tokio::sync::Mutex::default(),
        };
        Self { remote_cache, runtime: OnceLock::new() }
    }

    /// Waits for an answer, or until somebody asks to stop; the question is dropped then, and its connection with it.
    fn wait<T>(
        &self,
        about: &Reference,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let stop = &self.remote_cache.wire.options.stop;
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
        let made = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let made = made.map_err(|error| {
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
        self.wait(reference, self.remote_cache.head(reference))
    }

    fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>, RegistryError> {
        self.wait(reference, self.remote_cache.manifest(reference))
    }

    fn platform(&self, reference: &Reference, platform: &str) -> Result<Option<Descriptor>, RegistryError> {
        self.wait(reference, self.remote_cache.platform(reference, platform))
    }

    fn web(&self, url: &str) -> Result<Option<String>, RegistryError> {
        let about = place_of(url);
        self.wait(&about, self.remote_cache.web(&about, url))
    }

    fn blob(&self, repository: &Reference, digest: &str) -> Result<Vec<u8>, RegistryError> {
        self.wait(repository, self.remote_cache.blob(repository, digest))
    }

    fn has_blob(&self, repository: &Reference, digest: &str) -> Result<bool, RegistryError> {
        self.wait(repository, self.remote_cache.has_blob(repository, digest))
    }

    fn mount(&self, to: &Reference, digest: &str, from: &Reference) -> Result<bool, RegistryError> {
        self.wait(to, self.remote_cache.mount(to, digest, from))
    }

    fn upload(&self, to: &Reference, digest: &str, content: &mut dyn Content) -> Result<(), RegistryError> {
        self.wait(to, self.remote_cache.upload(to, digest, source::Source::Content(content)))
    }

    fn put_manifest(&self, reference: &Reference, manifest: &Manifest) -> Result<(), RegistryError> {
        self.wait(reference, async { self.remote_cache.put(reference, manifest).await.map(drop) })
    }

    fn copy(&self, from: &Reference, to: &Reference) -> Result<Descriptor, RegistryError> {
        self.wait(to, self.remote_cache.copy(from, to))
    }

    fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        self.wait(repository, self.remote_cache.tags(repository))
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
        self.wait(subject, self.remote_cache.attach(subject, &document))
    }

    fn attached(&self, subject: &Reference, artifact_type: &str) -> Result<Vec<Vec<u8>>, RegistryError> {
        self.wait(subject, self.remote_cache.attached(subject, artifact_type))
    }
}

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;
