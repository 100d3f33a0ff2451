//! Requests whose answer is a conversation: attach, exec, and the wait for a container's end.
//!
//! bollard takes the first bytes of a terminal for the header of a frame, and does not say when an
//! engine has begun to wait. So these three are spoken directly. Knows no container.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::EngineError;
use super::sending::Traffic;
pub(crate) use super::transport::Link;
use super::transport::{self, Closing, Reply};
use crate::model::error_chain::error_chain;

/// Bytes in both directions, as the engine and a container's process exchange them.
pub(crate) type Stream = TokioIo<Upgraded>;

/// An answer whose headers have come and whose body is still to come.
pub(crate) struct Pending<'a> {
    link: Link<'a>,
    response: hyper::Response<hyper::body::Incoming>,
    /// Held for the connection's sake.
    _connection: Closing,
}

impl Pending<'_> {
    /// The body as JSON, whenever it comes.
    ///
    /// # Errors
    /// When the connection breaks before, the engine falls silent, or what comes is no JSON.
    pub(crate) async fn json(self, what: &str) -> Result<Value, EngineError> {
        let refused = |why: String| EngineError::Refused { what: what.to_owned(), why };
        // Until the end nothing passes here.
        let traffic = Traffic::default();
        let body = tokio::select! {
            biased;
            body = self.response.into_body().collect() => body,
            silent = transport::silence(self.link, &traffic) => return Err(silent),
        };
        let body = body.map_err(|error| refused(error_chain(&error)))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| refused(format!("the engine's answer: {error}")))
    }
}

/// Sends a request without a body, and returns as soon as the engine has begun to answer.
///
/// # Errors
/// When there is no engine, or it refuses.
pub(crate) async fn begin<'a>(link: Link<'a>, path: &str, what: &str) -> Result<Pending<'a>, EngineError> {
    let Reply { response, connection } = send(link, path, Bytes::new(), false, what).await?;
    Ok(Pending { link, response, _connection: connection })
}

/// Sends a request and takes the connection over.
///
/// # Errors
/// When there is no engine, or it refuses.
pub(crate) async fn hijack(
    link: Link<'_>,
    path: &str,
    body: &Value,
    what: &str,
) -> Result<Stream, EngineError> {
    // Podman takes a body that it has no use for as the first input of the container: nothing is no `null`.
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let Reply { response, connection } = send(link, path, body, true, what).await?;
    let upgraded = hyper::upgrade::on(response).await;
    // The task that drove the request hands the connection over and ends.
    connection.detach();
    let refused =
        |error: hyper::Error| EngineError::Refused { what: what.to_owned(), why: error_chain(&error) };
    Ok(TokioIo::new(upgraded.map_err(refused)?))
}

async fn send(
    link: Link<'_>,
    path: &str,
    body: Bytes,
    upgrade: bool,
    what: &str,
) -> Result<Reply, EngineError> {
    let refused = |why: String| EngineError::Refused { what: what.to_owned(), why };
    let mut request =
        Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, "application/json");
    if upgrade {
        request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
    }
    let request = request.body(Full::new(body)).map_err(|error| refused(error.to_string()))?;
    let reply = transport::ask(link.endpoint, link.patience, request).await?;
    let status = reply.response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS || status.is_success() {
        return Ok(reply);
    }
    let body = reply.response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let why = told["message"].as_str().map(str::to_owned);
    Err(refused(why.unwrap_or_else(|| format!("the engine answered {status}"))))
}
