//! A BuildKit of its own, without a Docker engine around it: what it says of itself, and one build there.
//!
//! It keeps no images: a result is pushed by its digest to a repository, and known by that. Knows the service, and
//! neither registries nor what becomes of a result.

use std::collections::HashMap;
use std::sync::OnceLock;

use tokio::runtime::Runtime;

pub use super::control::Worker;
use super::control::{self, Export};
use super::endpoint::Endpoint;
use super::session;
use super::transport::Link;
use super::{BuildEvent, BuildRequest, Cancel, CheckFinding, EngineError, ImageId};
use crate::credentials::Credentials;
use crate::patience::Patience;
use crate::runtime;

/// A BuildKit of its own.
pub struct Buildkitd {
    endpoint: Endpoint,
    credentials: Credentials,
    patience: Patience,
    runtime: OnceLock<Runtime>,
    worker: OnceLock<Worker>,
}

impl Buildkitd {
    /// The one at an address. Nothing is connected yet.
    pub fn new(endpoint: Endpoint, credentials: Credentials, patience: &Patience) -> Self {
        Self {
            endpoint,
            credentials,
            patience: patience.clone(),
            runtime: OnceLock::new(),
            worker: OnceLock::new(),
        }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its builder, asked once.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn worker(&self) -> Result<Worker, EngineError> {
        if let Some(worker) = self.worker.get() {
            return Ok(worker.clone());
        }
        let worker = self.ask()?;
        Ok(self.worker.get_or_init(|| worker).clone())
    }

    /// The same, asked anew.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self) -> Result<Worker, EngineError> {
        self.runtime()?.block_on(control::worker(self.link()))
    }

    /// Builds one image and pushes it to a repository; answers with the digest of its manifest.
    ///
    /// # Errors
    /// When it refuses, a step fails, or the repository does not take the image.
    pub fn build(
        &self,
        request: &BuildRequest,
        repository: &str,
        events: &(dyn Fn(BuildEvent) + Sync),
        cancel: &Cancel,
    ) -> Result<ImageId, EngineError> {
        session::withheld(&self.credentials, request)?;
        let said = [("name", repository), ("push", "true"), ("push-by-digest", "true")];
        let attributes: HashMap<_, _> = said.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let export = Export { kind: "image", attributes };
        let built = control::build(self.link(), &self.credentials, request, &export, events, cancel);
        self.runtime()?.block_on(built)
    }

    /// Has its checks look at a Dockerfile.
    ///
    /// # Errors
    /// When it refuses.
    pub fn checks(
        &self,
        request: &BuildRequest,
        cancel: &Cancel,
    ) -> Result<Option<Vec<CheckFinding>>, EngineError> {
        self.runtime()?.block_on(control::checks(self.link(), &self.credentials, request, cancel))
    }

    fn link(&self) -> Link<'_> {
        Link { endpoint: &self.endpoint, patience: &self.patience }
    }

    fn runtime(&self) -> Result<&Runtime, EngineError> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let made = runtime::start().map_err(|error| EngineError::Refused {
            what: "starting the threads that speak to BuildKit".into(),
            why: error.to_string(),
        })?;
        Ok(self.runtime.get_or_init(|| made))
    }
}

impl Drop for Buildkitd {
    fn drop(&mut self) {
        // A reader that hangs in a dead network share must not hold up the program's end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
