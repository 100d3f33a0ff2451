//! One build by BuildKit, over a session of our own.
//!
//! `POST /session` turns a connection around: after it, we are the gRPC server
//! and the engine asks for files, secrets and logins. `POST /build` then
//! refers to the session by its id and streams progress. Only files the
//! engine lacks travel. Dropping the connections cancels the build.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::health::health_server::HealthServer;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tonic::service::Routes;

use super::endpoint::Endpoint;
use super::progress::Progress;
use super::sending::Traffic;
use super::transport::{self, Closing, Link, Reply};
use super::{BuildEvent, BuildRequest, Cancel, EngineError, ImageId};
use crate::credentials::Credentials;
use crate::model::error_chain::error_chain;
use crate::model::hash::FieldHasher;
use crate::model::sandbox::Sandbox;

mod agents;
mod content;
mod services;
mod sync;

/// How often a running build looks whether it should stop.
const TICK: Duration = Duration::from_millis(50);
/// Begins the refusal of an engine that has no such thing as a session.
const NO_SESSIONS: &str = "the engine knows no sessions";
/// The methods that we serve. Others are not asked for.
const METHODS: [&str; 9] = [
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
    "/grpc.health.v1.Health/Check",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Write",
];

/// Builds through a session.
pub(super) async fn build(
    link: Link<'_>,
    credentials: &Credentials,
    request: &BuildRequest,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<ImageId, EngineError> {
    let endpoint = link.endpoint;
    let traffic = Arc::new(Traffic::default());
    let work = async {
        let id = session_id();
        let _session = open(endpoint, credentials, request, &id, &traffic).await?;
        let mut query = common_query(request);
        query.extend([
            ("version", "2".to_owned()),
            ("remote", "client-session".to_owned()),
            ("session", id.clone()),
            ("buildid", id),
            ("dockerfile", "Dockerfile".to_owned()),
        ]);
        let post = Request::post(format!("/build?{}", query_string(&query)))
            .body(Empty::<Bytes>::new())
            .map_err(|error| refused(request, error.to_string()))?;
        let reply = transport::send(endpoint, post).await?;
        read_answer(reply, request, &traffic, events).await
    };
    supervise(link, work, &traffic, events, cancel).await
}

/// Runs a build until it ends, fails to send its files, is asked to stop, or the engine falls silent.
/// Dropping `work` closes its connections, and the engine kills what runs.
pub(super) async fn supervise<T>(
    link: Link<'_>,
    work: impl Future<Output = Result<T, EngineError>>,
    traffic: &Traffic,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<T, EngineError> {
    let mut told = None;
    let mut tell = || {
        let sent = traffic.sent();
        if sent != told {
            told.clone_from(&sent);
            sent.into_iter().for_each(events);
        }
    };
    let watch = async {
        while !cancel.is_cancelled() {
            tell();
            tokio::time::sleep(TICK).await;
        }
    };
    let result = tokio::select! {
        biased;
        error = traffic.failed() => Err(error),
        () = watch => Err(EngineError::Interrupted),
        result = work => result,
        silent = transport::silence(link, traffic) => Err(silent),
    };
    tell();
    // The engine's own words for a file that changed under our hands are about its connection.
    match (result, traffic.failure()) {
        (Err(_), Some(error)) => Err(error),
        (result, _) => result,
    }
}

/// Reads a build's answer to its end: errors come inside a stream that began with 200.
pub(super) async fn read_answer(
    reply: Reply,
    request: &BuildRequest,
    traffic: &Traffic,
    events: &(dyn Fn(BuildEvent) + Sync),
) -> Result<ImageId, EngineError> {
    let status = reply.response.status();
    let mut body = reply.response.into_body();
    if status != StatusCode::OK {
        let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let why = transport::explain_text(&message_of(&bytes));
        return Err(refused(request, why));
    }
    let logins = request.cache.logins();
    let mut progress = Progress::new(&request.image, request.secrets.values().chain(&logins));
    let mut line = Vec::new();
    let mut broken = None;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let Some(data) = frame.data_ref() else { continue };
                traffic.heard();
                for &byte in data {
                    if byte == b'\n' {
                        progress.line(&line, events);
                        line.clear();
                    } else {
                        line.push(byte);
                    }
                }
            }
            Err(error) => {
                broken = Some(error_chain(&error));
                break;
            }
        }
    }
    progress.line(&line, events);
    progress.finish(broken)
}

/// The message in an error's body: `{"message": …}`, or plain text.
pub(super) fn message_of(bytes: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let message = json.as_ref().and_then(|json| json.get("message")?.as_str());
    message.map_or_else(|| String::from_utf8_lossy(bytes).trim().to_owned(), str::to_owned)
}

pub(super) fn refused(request: &BuildRequest, why: String) -> EngineError {
    EngineError::Refused { what: format!("building `{}`", request.image), why }
}

/// Refuses secrets and agents to an engine that a checkout names.
pub(super) fn withheld(credentials: &Credentials, request: &BuildRequest) -> Result<(), EngineError> {
    let has_logins = !request.cache.logins().is_empty();
    if !credentials.withheld || (request.secrets.is_empty() && request.ssh.is_empty() && !has_logins) {
        return Ok(());
    }
    let why = "the Imagefile names this engine, so it gets no secrets, no ssh agents and no logins of caches; `--engine NAME`, or a line in your own config.ron, is your word that it may";
    Err(refused(request, why.into()))
}

/// Opens the session and serves it until the returned guard is dropped.
async fn open(
    endpoint: &Endpoint,
    credentials: &Credentials,
    request: &BuildRequest,
    id: &str,
    traffic: &Arc<Traffic>,
) -> Result<Closing, EngineError> {
    let routes = routes(credentials, request, traffic).await?;
    let mut post = Request::post("/session").header("connection", "Upgrade").header("upgrade", "h2c");
    for (name, value) in headers(request, id) {
        post = post.header(name, value);
    }
    let post = post.body(Empty::<Bytes>::new()).map_err(|error| refused(request, error.to_string()))?;
    let Reply { response, connection } = transport::send(endpoint, post).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let is_gone = [StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::NOT_IMPLEMENTED]
            .contains(&response.status());
        let bytes = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let why = if is_gone { NO_SESSIONS } else { "the engine opens no session" };
        return Err(refused(request, format!("{why}: {}", message_of(&bytes))));
    }
    let upgraded = hyper::upgrade::on(response).await;
    let upgraded = upgraded.map_err(|error| refused(request, error_chain(&error)))?;
    let serving = tokio::spawn(async move {
        let _connection = connection;
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        // The engine ends this connection when it likes; a build that suffers from it says so.
        let _ = server.serve_connection(upgraded, TowerToHyperService::new(routes)).await;
    });
    Ok(Closing::new(serving))
}

/// Whether an engine has no such thing as a session.
pub(super) fn has_none(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { why, .. } if why.starts_with(NO_SESSIONS))
}

/// The headers that introduce a session.
pub(super) fn headers(request: &BuildRequest, id: &str) -> Vec<(&'static str, String)> {
    // Under this key BuildKit keeps what it was sent, and a second build sends only what differs.
    let mut modes = sync::folder_modes(request.files.list());
    for (name, files) in &request.contexts {
        modes.push_str(&format!("\n{name} {}", sync::folder_modes(files.list())));
    }
    let share = share_key(&request.share, &modes);
    let mut headers = vec![
        ("x-docker-expose-session-uuid", id.to_owned()),
        ("x-docker-expose-session-name", "imk".to_owned()),
        ("x-docker-expose-session-sharedkey", share),
    ];
    headers.extend(METHODS.map(|method| ("x-docker-expose-session-grpc-method", method.to_owned())));
    headers
}

/// The folder by which BuildKit asks for the files of a named context: any text can be a name, and few are a folder's.
pub(super) fn folder_of(context: &str) -> String {
    format!("context-{}", FieldHasher::new("imk context v1").field(context).finish().short(16))
}

/// The services of a session: files, secrets, logins, agents.
pub(super) async fn routes(
    credentials: &Credentials,
    request: &BuildRequest,
    traffic: &Arc<Traffic>,
) -> Result<Routes, EngineError> {
    let agents = agents::Agents::start(&request.ssh).await.map_err(|why| refused(request, why))?;
    let folders = sync::Folders {
        dockerfile: Arc::new(sync::DockerfileOnly::new(&request.dockerfile)),
        context: Arc::clone(&request.files),
        named: request.contexts.iter().map(|(name, files)| (folder_of(name), Arc::clone(files))).collect(),
        traffic: Arc::clone(traffic),
    };
    Ok(Routes::new(FileSyncServer::new(folders))
        .add_service(SecretsServer::new(services::SecretsById(request.secrets.clone())))
        .add_service(AuthServer::new(services::Logins(credentials.clone())))
        .add_service(SshServer::new(agents))
        .add_service(content::Content::of(request, traffic))
        .add_service(HealthServer::new(services::Alive)))
}

/// A header may hold only plain characters; a share may be any text. Where the
/// modes of folders differ, another cache of sent files is used: see [`sync::folder_modes`].
fn share_key(share: &str, folder_modes: &str) -> String {
    let hash = FieldHasher::new("imk share key v1").field(share).field(folder_modes).finish();
    format!("imk-{}", hash.short(32))
}

/// Unique among all sessions of an engine. A `RandomState` is seeded by the system.
pub(super) fn session_id() -> String {
    let random =
        |salt: u64| RandomState::new().hash_one((salt, std::process::id(), std::time::Instant::now()));
    format!("imk{:016x}{:016x}", random(1), random(2))
}

/// The parameters that both builders understand. No tag: a name is given only when the build is recorded.
pub(super) fn common_query(request: &BuildRequest) -> Vec<(&'static str, String)> {
    let mut query = vec![("rm", "1".to_owned()), ("forcerm", "1".to_owned())];
    let json = |map: &BTreeMap<String, String>| serde_json::to_string(map).unwrap_or_default();
    let mut args = request.args.clone();
    if request.cache.inline {
        // How the engine's API is told; the builder takes it out again.
        args.insert("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned());
    }
    if !args.is_empty() {
        query.push(("buildargs", json(&args)));
    }
    if !request.cache.from.is_empty() {
        query.push(("cachefrom", serde_json::to_string(&request.cache.from).unwrap_or_default()));
    }
    query.extend(sandbox_query(&request.sandbox));
    if !request.labels.is_empty() {
        query.push(("labels", json(&request.labels)));
    }
    let texts =
        [("target", &request.target), ("platform", &request.platform), ("networkmode", &request.network)];
    for (key, value) in texts {
        query.extend(value.clone().map(|value| (key, value)));
    }
    if request.no_cache {
        query.push(("nocache", "1".to_owned()));
    }
    query
}

/// The surroundings of steps, as the engine's API spells them.
fn sandbox_query(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let hosts = sandbox.hosts.iter().map(|(host, address)| ("extrahosts", format!("{host}:{address}")));
    let mut query: Vec<_> = hosts.collect();
    query.extend(sandbox.shm_size_bytes.map(|bytes| ("shmsize", bytes.to_string())));
    if !sandbox.ulimits.is_empty() {
        let limit = |(name, (soft, hard)): (&String, &(i64, i64))| serde_json::json!({"Name": name, "Soft": soft, "Hard": hard});
        let limits: Vec<_> = sandbox.ulimits.iter().map(limit).collect();
        query.push(("ulimits", serde_json::Value::from(limits).to_string()));
    }
    query
}

/// `a=1&b=2`, everything but the plainest characters escaped.
pub(super) fn query_string(query: &[(&str, String)]) -> String {
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(byte.into());
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
            out
        })
    };
    query.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_any_text() {
        let query = [("a", "x y&z=ü".to_owned()), ("b", "1".to_owned())];
        assert_eq!(query_string(&query), "a=x%20y%26z%3D%C3%BC&b=1");
    }

    #[test]
    fn sessions_have_ids_of_their_own() {
        assert_ne!(session_id(), session_id());
    }

    #[test]
    fn a_share_is_a_plain_header_whatever_it_was() {
        assert!(share_key("/home/ü\n", "").bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(share_key("a", ""), share_key("a", ""));
        assert_ne!(share_key("a", ""), share_key("a", "d 700"));
    }

    #[test]
    fn an_engines_message_is_taken_out_of_its_json() {
        assert_eq!(message_of(br#"{"message":"no"}"#), "no");
        assert_eq!(message_of(b"plain\n"), "plain");
    }
}
