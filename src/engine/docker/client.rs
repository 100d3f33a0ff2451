//! The connection to Docker, made on the first question and not before, and its errors in our words.
//!
//! Knows nothing of what is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bollard::{BollardRequest, ClientVersion, Docker};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::known::{Builder, Known};
use crate::credentials::Credentials;
use crate::engine::api::SeenImages;
use crate::engine::endpoint::Endpoint;
use crate::engine::transport::Link;
use crate::engine::{BuildRequest, Environment, ImageId, proxies};
use crate::engine::{EngineError, sending, transport};
use crate::model::error_chain::error_chain;
use crate::patience::Patience;
use crate::runtime;

/// Seconds a small question may take to an engine that is busy and answers pings. Builds do not come this way and have
/// no limit.
const ANSWER_TIMEOUT: u64 = 120;

/// An engine that speaks Docker's API.
pub struct DockerEngine {
    pub(super) endpoint: Endpoint,
    pub(super) builder: Builder,
    pub(super) credentials: Credentials,
    pub(super) patience: Patience,
    /// Build arguments that docker's configuration adds to every build.
    proxies: BTreeMap<String, String>,
    runtime: OnceLock<Runtime>,
    /// The facts that do not change while we look: asked once. A failure is asked again.
    pub(super) known: Mutex<Option<Known>>,
    /// Images that it was found to have, on a store where it costs much to ask.
    pub(super) seen: Mutex<Option<SeenImages>>,
    /// Images that were made or named since then.
    pub(super) touched: Mutex<BTreeSet<ImageId>>,
}

impl DockerEngine {
    /// Promises an engine; nothing is connected yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with_builder(endpoint, Builder::default())
    }

    /// As [`DockerEngine::new`], with a builder of one's choice.
    pub fn with_builder(endpoint: Endpoint, builder: Builder) -> Self {
        let (credentials, patience) = (Credentials::default(), Patience::default());
        let runtime = OnceLock::new();
        let (known, seen, touched) = (Mutex::default(), Mutex::default(), Mutex::default());
        let proxies = BTreeMap::new();
        Self { endpoint, builder, credentials, patience, proxies, runtime, known, seen, touched }
    }

    /// Finds logins for registries there.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Gives its builds the proxies of docker's configuration.
    pub fn with_proxies_of(mut self, environment: &Environment) -> Self {
        self.proxies = proxies::of(environment, &self.endpoint.address);
        self
    }

    /// The request with the proxies; one of its own comes first, in whichever spelling: a builder that is given two
    /// takes either.
    pub(super) fn with_proxies(&self, request: &BuildRequest) -> BuildRequest {
        let is_given = |name: &String| request.args.keys().any(|own| own.eq_ignore_ascii_case(name));
        let proxies = self.proxies.clone().into_iter().filter(|(name, _)| !is_given(name));
        let args = proxies.chain(request.args.clone()).collect();
        BuildRequest { args, ..request.clone() }
    }

    /// Waits for the engine as a run waits for everybody.
    pub fn with_patience(mut self, patience: &Patience) -> Self {
        self.patience = patience.clone();
        self
    }

    /// The author of a checkout names this engine, and the user did not: it gets no login and no secret.
    pub fn chosen_by_the_checkout(mut self) -> Self {
        self.credentials = Credentials::none();
        self
    }

    /// Where this engine is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn runtime(&self) -> Result<&Runtime, EngineError> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let made = runtime::start().map_err(|error| EngineError::Refused {
            what: "starting the threads that speak to the engine".into(),
            why: error.to_string(),
        })?;
        Ok(self.runtime.get_or_init(|| made))
    }

    pub(super) fn link(&self) -> Link<'_> {
        Link { endpoint: &self.endpoint, patience: &self.patience }
    }

    pub(super) fn docker(&self) -> Result<Docker, EngineError> {
        client(&self.endpoint, &self.patience)
    }

    pub(super) fn error(&self, what: &str, error: bollard::errors::Error) -> EngineError {
        refused(&self.endpoint, what, error)
    }
}

/// A client of the API at an endpoint. Nothing is connected yet.
///
/// # Errors
/// When bollard refuses to be one.
pub(crate) fn client(endpoint: &Endpoint, patience: &Patience) -> Result<Docker, EngineError> {
    let (there, patience) = (endpoint.clone(), patience.clone());
    let transport = move |request: BollardRequest| {
        let (endpoint, patience) = (there.clone(), patience.clone());
        async move {
            let reply = transport::ask(&endpoint, &patience, request).await;
            let reply = reply.map_err(std::io::Error::other)?;
            // The connection lives as long as bollard reads from it.
            reply.connection.detach();
            Ok(reply.response)
        }
    };
    // bollard sends unversioned paths whatever is said here, which suits every engine.
    let version = ClientVersion { major_version: 1, minor_version: 41 };
    Docker::connect_with_custom_transport(transport, Some("http://docker"), ANSWER_TIMEOUT, &version)
        .map_err(|error| refused(endpoint, "preparing to ask the engine", error))
}

/// bollard's error in our words; `what` was attempted.
pub(crate) fn refused(endpoint: &Endpoint, what: &str, error: bollard::errors::Error) -> EngineError {
    use bollard::errors::Error;
    match &error {
        Error::IOError { err } => {
            if let Some(inner) = sending::engine_error(err) {
                return inner;
            }
        }
        Error::DockerResponseServerError { message, .. } => {
            let why = transport::explain_text(message);
            return if why == *message {
                EngineError::Refused { what: what.to_owned(), why }
            } else {
                transport::unreachable(endpoint, why)
            };
        }
        Error::RequestTimeoutError => {
            let why = format!("no answer within {ANSWER_TIMEOUT} seconds while {what}");
            return transport::unreachable(endpoint, why);
        }
        _ => {}
    }
    EngineError::Refused { what: what.to_owned(), why: error_chain(&error) }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        // A reader that hangs in a dead network share must not hold up the program's end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
