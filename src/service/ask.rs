//! A question to a service that runs, by whoever types on its machine.
//!
//! Knows no page: it sends a request with the service's token, and gives the answer as it came. The queue in a file belongs to
//! the service while that runs, so whoever wants to know of it has to ask.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::token::Token;

/// An answer has so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// A longer answer is none of ours.
const LONGEST: usize = 256 << 20;

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
}

/// Asks the service that listens at an address. A body makes it an action.
///
/// # Errors
/// When nobody answers there, or not in time.
pub fn ask(address: &str, token: &Token, path: &str, form: Option<String>) -> Result<Answer, String> {
    let runtime = crate::runtime::start().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        match tokio::time::timeout(PATIENCE, asked(address, token, path, form)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("it said nothing for {} s", PATIENCE.as_secs())),
        }
    })
}

async fn asked(address: &str, token: &Token, path: &str, form: Option<String>) -> Result<Answer, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let method = if form.is_some() { "POST" } else { "GET" };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("accept", "application/json")
        .header("authorization", format!("Bearer {}", token.shown()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form.unwrap_or_default())))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body =
        Limited::new(response.into_body(), LONGEST).collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    Ok(Answer { status, body: body.to_bytes() })
}
