//! What BuildKit may ask for besides files: secrets, logins, and whether we still live.
//!
//! Values pass through here and are never shown: an error names an id or a
//! registry, never what belongs to it.

use std::collections::BTreeMap;
use std::pin::Pin;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::Health;
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures_util::Stream;
use tonic::{Request, Response, Status};

use crate::engine::SecretValue;

/// The secrets of one build.
pub(super) struct SecretsById(pub BTreeMap<String, SecretValue>);

#[tonic::async_trait]
impl Secrets for SecretsById {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.0.get(&id) {
            Some(SecretValue(value)) => Ok(Response::new(GetSecretResponse { data: value.clone() })),
            // BuildKit knows this status: a secret that is not `required` may be missing.
            None => Err(Status::not_found(format!("secret `{id}` is not defined for this image"))),
        }
    }
}

/// Logins as docker keeps them.
pub(super) struct DockerLogins;

#[tonic::async_trait]
impl Auth for DockerLogins {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        // A helper is a program; it may take its time.
        let found = tokio::task::spawn_blocking(move || login(&host)).await;
        let response = found.map_err(|_| Status::internal("the search for a login broke off"))?;
        response.map(Response::new).map_err(Status::unavailable)
    }

    // Without the three below BuildKit fetches its tokens itself, with the credentials above.
    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("imk hands out credentials only"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("imk hands out credentials only"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("imk hands out credentials only"))
    }
}

fn login(host: &str) -> Result<CredentialsResponse, String> {
    // The Hub's logins are kept under a name of their own.
    let key = match host {
        "registry-1.docker.io" | "docker.io" => "https://index.docker.io/v1/",
        other => other,
    };
    as_response(host, docker_credential::get_credential(key))
}

fn as_response(
    host: &str,
    found: Result<DockerCredential, CredentialRetrievalError>,
) -> Result<CredentialsResponse, String> {
    use CredentialRetrievalError as Why;
    let failed = |what: &str| Err(format!("no login for `{host}`: {what}"));
    match found {
        Ok(DockerCredential::UsernamePassword(username, secret)) => {
            Ok(CredentialsResponse { username, secret })
        }
        Ok(DockerCredential::IdentityToken(secret)) => {
            Ok(CredentialsResponse { username: String::new(), secret })
        }
        // No file (which this crate also calls a read error), no entry: anonymous.
        Err(Why::ConfigNotFound | Why::ConfigReadError | Why::NoCredentialConfigured) => {
            Ok(CredentialsResponse::default())
        }
        // A helper without an entry fails with a sentence; it is anonymous all the same.
        Err(Why::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr].iter().any(|text| text.contains("credentials not found")) =>
        {
            Ok(CredentialsResponse::default())
        }
        // What a failed helper wrote may hold a secret, so only its name is told.
        Err(Why::HelperFailure { helper, .. }) => failed(&format!("credential helper `{helper}` failed")),
        Err(Why::HelperCommunicationError) => failed("its credential helper cannot be run"),
        Err(Why::MalformedHelperResponse) => failed("its credential helper answered nonsense"),
        Err(Why::CredentialDecodingError | Why::CredentialMismatchError) => {
            failed("the entry in docker's config.json is damaged; `docker login` writes a new one")
        }
    }
}

/// Says that we live. BuildKit ends a build whose client stops saying so.
pub(super) struct Alive;

fn alive() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving as i32 }
}

#[tonic::async_trait]
impl Health for Alive {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(alive()))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Ok(Response::new(HealthListResponse { statuses: [(String::new(), alive())].into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(alive())))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_without_an_entry_means_anonymous() {
        let failure = CredentialRetrievalError::HelperFailure {
            helper: "pass".into(),
            stdout: "credentials not found in native keychain\n".into(),
            stderr: String::new(),
        };
        assert_eq!(as_response("r.example", Err(failure)), Ok(CredentialsResponse::default()));
        let missing = CredentialRetrievalError::ConfigReadError;
        assert_eq!(as_response("r.example", Err(missing)), Ok(CredentialsResponse::default()));
    }

    #[test]
    fn a_failed_helper_is_named_and_its_output_is_not() {
        let failure = CredentialRetrievalError::HelperFailure {
            helper: "pass".into(),
            stdout: "hunter2".into(),
            stderr: "hunter2".into(),
        };
        let text = as_response("r.example", Err(failure)).unwrap_err();
        assert_eq!(text, "no login for `r.example`: credential helper `pass` failed");
    }
}
