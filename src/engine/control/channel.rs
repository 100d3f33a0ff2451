//! A connection to BuildKit's service, and a session that is served on it.
//!
//! Knows how it is reached, and nothing of what is asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::engine::EngineError;
use crate::engine::session::message_of;
use crate::engine::transport::{self, Closing, Link, Reply, Wire};
use crate::model::error_chain::error_chain;

/// Bytes of one message: a Dockerfile's text comes back with errors.
pub(super) const MESSAGE_MAX: usize = 64 << 20;
/// Begins the refusal of an engine that has no such service.
pub(super) const NOBODY: &str = "the engine lets nobody speak with its BuildKit";
/// Bytes that wait between our server and the stream.
const PIPE: usize = 256 << 10;
/// Messages that may wait for the engine.
const QUEUE: usize = 16;

/// Serves a session over a stream of the service, until the guard is dropped.
pub(super) async fn serve(
    mut client: ControlClient<Channel>,
    routes: Routes,
    headers: &[(&'static str, String)],
) -> Result<Closing, String> {
    let (messages, outgoing) = mpsc::channel(QUEUE);
    let mut call = tonic::Request::new(ReceiverStream::new(outgoing));
    for (key, value) in headers {
        let value = value.parse().map_err(|_| format!("`{key}` is no header"))?;
        call.metadata_mut().append(*key, value);
    }
    let incoming = client.session(call).await.map_err(|status| status.message().to_owned())?;
    let mut incoming = incoming.into_inner();
    let (near, far) = tokio::io::duplex(PIPE);
    let (mut from_us, mut to_us) = tokio::io::split(far);
    let sending = async move {
        let mut buffer = vec![0; 32 << 10];
        while let Ok(count @ 1..) = from_us.read(&mut buffer).await {
            if messages.send(BytesMessage { data: buffer[..count].to_vec() }).await.is_err() {
                return;
            }
        }
    };
    let receiving = async move {
        while let Ok(Some(BytesMessage { data })) = incoming.message().await {
            if to_us.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = to_us.shutdown().await;
    };
    let serving = async move {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        // The engine ends this connection when it likes; a build that suffers from it says so.
        let _ = server.serve_connection(TokioIo::new(near), TowerToHyperService::new(routes)).await;
    };
    Ok(Closing::new(tokio::spawn(async move {
        tokio::join!(sending, receiving, serving);
    })))
}

/// An open connection to the service.
pub(super) struct Dialled {
    pub channel: Channel,
    pub _connection: Option<Closing>,
}

/// Climbs the ladder: an upgrade at `/grpc`, which engines know since 18.09; else HTTP/2 at once, as newer ones take
/// it. A BuildKit of its own takes nothing else.
pub(super) async fn dial(link: Link<'_>, what: &str) -> Result<Dialled, EngineError> {
    let refused = |why: String| EngineError::Refused { what: what.to_owned(), why };
    if link.endpoint.buildkitd {
        let wire = transport::wire(link.endpoint).await?;
        let channel = channel(wire, Some(link.patience.limit())).await;
        let channel = channel.map_err(|why| transport::unreachable(link.endpoint, why))?;
        return Ok(Dialled { channel, _connection: None });
    }
    let post = Request::post("/grpc").header("connection", "Upgrade").header("upgrade", "h2c");
    let post = post.body(Empty::<Bytes>::new()).map_err(|error| refused(error.to_string()))?;
    match transport::send(link.endpoint, post).await {
        Ok(Reply { response, connection }) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let upgraded = hyper::upgrade::on(response).await;
            let upgraded = upgraded.map_err(|error| refused(error_chain(&error)))?;
            let channel = channel(Box::new(TokioIo::new(upgraded)), None).await;
            let channel = channel.map_err(|why| refused(format!("BuildKit does not answer: {why}")))?;
            Ok(Dialled { channel, _connection: Some(connection) })
        }
        refusal => {
            let said = match refusal {
                Ok(Reply { response, .. }) => {
                    let bytes = response.into_body().collect().await.map(|body| body.to_bytes());
                    message_of(&bytes.unwrap_or_default())
                }
                Err(error) => error.to_string(),
            };
            let wire = transport::wire(link.endpoint).await?;
            let channel =
                channel(wire, None).await.map_err(|why| refused(format!("{NOBODY}: {said}; {why}")))?;
            Ok(Dialled { channel, _connection: None })
        }
    }
}

/// A channel over one connection. With a limit, the other side is asked for a sign of life where nothing passes.
async fn channel(wire: Wire, limit: Option<Duration>) -> Result<Channel, String> {
    let once = Once(Arc::new(Mutex::new(Some(wire))));
    let mut endpoint = tonic::transport::Endpoint::from_static("http://docker");
    if let Some(limit) = limit {
        endpoint = endpoint
            .http2_keep_alive_interval(limit)
            .keep_alive_timeout(limit * 2)
            .keep_alive_while_idle(true);
    }
    endpoint.connect_with_connector(once).await.map_err(|error| error_chain(&error))
}

/// Hands out the one connection that there is.
#[derive(Clone)]
struct Once(Arc<Mutex<Option<Wire>>>);

impl Service<Uri> for Once {
    type Response = TokioIo<Wire>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let wire = self.0.lock().take();
        Box::pin(async move {
            wire.map(TokioIo::new).ok_or_else(|| std::io::Error::other("the connection to the engine broke"))
        })
    }
}
