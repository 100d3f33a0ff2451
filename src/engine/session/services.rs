//! Services that BuildKit may ask for besides files: secrets, logins, and whether we still live.
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
use futures_util::Stream;
use tonic::{Request, Response, Status};

use crate::credentials::{Credentials, Login};
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

/// Logins for registries.
pub(super) struct Logins(pub Credentials);

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let (credentials, host) = (self.0.clone(), request.into_inner().host);
        // A helper is a program; it may take its time.
        let found = tokio::task::spawn_blocking(move || login(&credentials, &host)).await;
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

fn login(credentials: &Credentials, host: &str) -> Result<CredentialsResponse, String> {
    Ok(match credentials.login(host, 0)?.map(|found| found.login) {
        None => CredentialsResponse::default(),
        Some(Login::Password { user, password }) => {
            CredentialsResponse { username: user, secret: password.reveal().to_owned() }
        }
        // BuildKit takes a secret without a name for an identity token.
        Some(Login::Identity(token)) => {
            CredentialsResponse { username: String::new(), secret: token.reveal().to_owned() }
        }
    })
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
