//! The connection to an engine's containers, and its errors in our words.
//!
//! Knows nothing of what is asked.

use bollard::Docker;
use tokio::runtime::Runtime;

use crate::engine::EngineError;
use crate::engine::docker;
use crate::engine::endpoint::Endpoint;
use crate::engine::hijack::Link;
use crate::patience::Patience;
use crate::runtime;

/// Containers of the engine at an endpoint.
pub struct DockerContainers {
    pub(super) endpoint: Endpoint,
    patience: Patience,
    pub(super) docker: Docker,
    runtime: Option<Runtime>,
}

impl DockerContainers {
    /// Promises them; nothing is connected yet.
    ///
    /// # Errors
    /// When the machine gives no threads to speak to an engine with.
    pub fn new(endpoint: Endpoint, patience: &Patience) -> Result<Self, EngineError> {
        let docker = docker::client(&endpoint, patience)?;
        let runtime = runtime::start().map_err(|error| EngineError::Refused {
            what: "starting the threads that speak to the engine".into(),
            why: error.to_string(),
        })?;
        Ok(Self { endpoint, patience: patience.clone(), docker, runtime: Some(runtime) })
    }

    /// Where the engine is, and how long it may say nothing.
    pub(super) fn link(&self) -> Link<'_> {
        Link { endpoint: &self.endpoint, patience: &self.patience }
    }

    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        // It is there until the value is dropped.
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => unreachable!("the threads end with the value"),
        }
    }

    pub(super) fn error(&self, what: &str, error: bollard::errors::Error) -> EngineError {
        docker::refused(&self.endpoint, what, error)
    }
}

/// Whether the engine said that there is no such thing.
pub(super) fn is_absence(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}

impl Drop for DockerContainers {
    fn drop(&mut self) {
        // A conversation that hangs must not hold up the program's end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
