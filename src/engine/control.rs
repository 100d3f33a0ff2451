//! One build through BuildKit's own service, `Control`: one connection over which the build is asked for, watched, and
//! served with files, secrets and logins.
//!
//! `POST /build` knows fewer words than BuildKit itself: stages whose cache is not used, entitlements and exported caches
//! go this way. Only the dial differs between engines: an upgrade at `/grpc`, else HTTP/2 at once.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    BytesMessage, CacheOptions, CacheOptionsEntry, Exporter, SolveRequest, StatusRequest,
};
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

use super::progress::Progress;
use super::sending::Traffic;
use super::session::{self, message_of, refused, supervise};
use super::transport::{self, Closing, Link, Reply, Wire};
use super::{BuildEvent, BuildRequest, Cancel, EngineError, ImageId};
use crate::credentials::Credentials;
use crate::model::error_chain::error_chain;
use crate::model::layer_cache::LayerCache;

/// The exporter that leaves an image in a Docker engine.
const EXPORTER: &str = "moby";
/// The answer's key for the image's id.
const ID: &str = "containerimage.digest";
/// Bytes of one message: a Dockerfile's text comes back with errors.
const MESSAGE_MAX: usize = 64 << 20;
/// Bytes that wait between our server and the stream.
const PIPE: usize = 256 << 10;
/// Messages that may wait for the engine.
const QUEUE: usize = 16;
/// How long the last words of a build may take once its end is known.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often a build is asked for that the engine has not begun yet, and the pause between.
const WATCH_TRIES: u32 = 200;
const WATCH_PAUSE: Duration = Duration::from_millis(50);

/// Whether a request has something that only this service knows.
pub(super) fn is_needed(request: &BuildRequest) -> bool {
    !request.no_cache_stages.is_empty()
        || !request.entitlements.is_empty()
        || !request.cache.to.is_empty()
        || !request.cache.other_from.is_empty()
}

/// Builds through the service.
pub(super) async fn build(
    link: Link<'_>,
    credentials: &Credentials,
    request: &BuildRequest,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<ImageId, EngineError> {
    let traffic = Arc::new(Traffic::default());
    let work = async {
        let Dialled { channel, _connection } = dial(link, request).await?;
        let client = ControlClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
        let id = session::session_id();
        let routes = session::routes(credentials, request, &traffic).await?;
        let session = serve(client.clone(), routes, &session::headers(request, &id)).await;
        let _session =
            session.map_err(|why| refused(request, format!("BuildKit opens no session: {why}")))?;
        solve(client, request, &id, &traffic, events).await
    };
    supervise(link, work, &traffic, events, cancel).await
}

/// Asks for the build and hears how it goes.
async fn solve(
    client: ControlClient<Channel>,
    request: &BuildRequest,
    session: &str,
    traffic: &Traffic,
    events: &(dyn Fn(BuildEvent) + Sync),
) -> Result<ImageId, EngineError> {
    let mut progress = Progress::new(&request.image, request.secrets.values());
    let reference = session::session_id();
    let mut asking = client.clone();
    let wanted = solve_request(request, &reference, session);
    let answer = {
        let solving = async move { asking.solve(wanted).await };
        let watching = watch(client, &reference, &mut progress, traffic, events);
        tokio::pin!(solving, watching);
        tokio::select! {
            answer = &mut solving => {
                // What was said until the end is still on its way; a build that never began says nothing.
                if answer.is_ok() || traffic.pulse() > 0 {
                    let _ = tokio::time::timeout(LAST_WORDS, watching).await;
                }
                answer
            }
            () = &mut watching => solving.await,
        }
    };
    match answer {
        Ok(answer) => {
            if let Some(id) = answer.into_inner().exporter_response.get(ID) {
                progress.take_id(id);
            }
        }
        Err(status) => progress.take_error(status.message()),
    }
    progress.finish(None)
}

/// Hears the status of a build to its end. BuildKit says that it knows no such job until it has begun.
async fn watch(
    mut client: ControlClient<Channel>,
    reference: &str,
    progress: &mut Progress,
    traffic: &Traffic,
    events: &(dyn Fn(BuildEvent) + Sync),
) {
    for _ in 0..WATCH_TRIES {
        let asked = client.status(StatusRequest { r#ref: reference.to_owned() }).await;
        let mut heard = false;
        if let Ok(stream) = asked {
            let mut stream = stream.into_inner();
            while let Ok(Some(status)) = stream.message().await {
                heard = true;
                traffic.heard();
                progress.status(status, events);
            }
        }
        if heard {
            return;
        }
        tokio::time::sleep(WATCH_PAUSE).await;
    }
}

fn solve_request(request: &BuildRequest, reference: &str, session: &str) -> SolveRequest {
    let entry = |cache: &LayerCache| CacheOptionsEntry {
        r#type: cache.kind.clone(),
        attrs: cache.attributes.clone().into_iter().collect(),
    };
    let image = |name: &String| CacheOptionsEntry {
        r#type: "registry".into(),
        attrs: [("ref".to_owned(), name.clone())].into(),
    };
    let inline = CacheOptionsEntry { r#type: "inline".into(), attrs: HashMap::new() };
    let exports = request.cache.to.iter().map(entry).chain(request.cache.inline.then_some(inline));
    let imports = request.cache.from.iter().map(image).chain(request.cache.other_from.iter().map(entry));
    let mut entitlements = request.entitlements.clone();
    // As docker's own client has it: the word on the network is the consent.
    entitlements
        .extend(request.network.as_ref().filter(|it| *it == "host").map(|_| "network.host".to_owned()));
    SolveRequest {
        r#ref: reference.to_owned(),
        frontend: "dockerfile.v0".into(),
        frontend_attrs: attributes(request),
        session: session.to_owned(),
        cache: Some(CacheOptions {
            exports: exports.collect(),
            imports: imports.collect(),
            ..CacheOptions::default()
        }),
        entitlements: entitlements.into_iter().collect(),
        // Older ones read the first two, newer ones the list.
        exporter_deprecated: EXPORTER.into(),
        exporters: vec![Exporter { r#type: EXPORTER.into(), attrs: HashMap::new() }],
        ..SolveRequest::default()
    }
}

/// The Dockerfile frontend's words for a request.
fn attributes(request: &BuildRequest) -> HashMap<String, String> {
    let mut attributes = HashMap::from([
        ("filename".to_owned(), "Dockerfile".to_owned()),
        ("image-resolve-mode".to_owned(), "local".to_owned()),
    ]);
    let texts = [
        ("target", &request.target),
        ("platform", &request.platform),
        ("force-network-mode", &request.network),
    ];
    let said = texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
    attributes.extend(said.filter(|(key, value)| key != "force-network-mode" || value != "default"));
    attributes.extend(request.args.iter().map(|(key, value)| (format!("build-arg:{key}"), value.clone())));
    attributes.extend(request.labels.iter().map(|(key, value)| (format!("label:{key}"), value.clone())));
    if request.no_cache {
        attributes.insert("no-cache".into(), String::new());
    } else if !request.no_cache_stages.is_empty() {
        attributes.insert("no-cache".into(), request.no_cache_stages.join(","));
    }
    let sandbox = &request.sandbox;
    if !sandbox.hosts.is_empty() {
        let hosts = sandbox.hosts.iter().map(|(host, address)| format!("{host}={address}"));
        attributes.insert("add-hosts".into(), hosts.collect::<Vec<_>>().join(","));
    }
    if let Some(bytes) = sandbox.shm_size_bytes {
        attributes.insert("shm-size".into(), bytes.to_string());
    }
    if !sandbox.ulimits.is_empty() {
        let limits = sandbox.ulimits.iter().map(|(name, (soft, hard))| format!("{name}={soft}:{hard}"));
        attributes.insert("ulimit".into(), limits.collect::<Vec<_>>().join(","));
    }
    if !request.cache.from.is_empty() {
        // For those that do not read the request's own list.
        attributes.insert("cache-from".into(), request.cache.from.join(","));
    }
    attributes
}

/// Serves a session over a stream of the service, until the guard is dropped.
async fn serve(
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
struct Dialled {
    channel: Channel,
    _connection: Option<Closing>,
}

/// Climbs the ladder: an upgrade at `/grpc`, which engines know since 18.09; else HTTP/2 at once, as newer ones and a
/// BuildKit of its own take it.
async fn dial(link: Link<'_>, request: &BuildRequest) -> Result<Dialled, EngineError> {
    let post = Request::post("/grpc").header("connection", "Upgrade").header("upgrade", "h2c");
    let post = post.body(Empty::<Bytes>::new()).map_err(|error| refused(request, error.to_string()))?;
    match transport::send(link.endpoint, post).await {
        Ok(Reply { response, connection }) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let upgraded = hyper::upgrade::on(response).await;
            let upgraded = upgraded.map_err(|error| refused(request, error_chain(&error)))?;
            let channel = channel(Box::new(TokioIo::new(upgraded))).await;
            let channel =
                channel.map_err(|why| refused(request, format!("BuildKit does not answer: {why}")))?;
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
            let channel = channel(wire).await.map_err(|why| {
                refused(request, format!("the engine lets nobody speak with its BuildKit: {said}; {why}"))
            })?;
            Ok(Dialled { channel, _connection: None })
        }
    }
}

async fn channel(wire: Wire) -> Result<Channel, String> {
    let once = Once(Arc::new(Mutex::new(Some(wire))));
    let endpoint = tonic::transport::Endpoint::from_static("http://docker");
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
