//! One build through BuildKit's own service, `Control`: one connection over which the build is asked for, watched, and
//! served with files, secrets and logins.
//!
//! `POST /build` knows fewer words than BuildKit itself: stages whose cache is not used, entitlements and exported caches
//! go this way. Only the dial differs between engines: an upgrade at `/grpc`, else HTTP/2 at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    CacheOptions, CacheOptionsEntry, Exporter, InfoRequest, ListWorkersRequest, SolveRequest, StatusRequest,
};
use bollard_buildkit_proto::pb::Platform;
use tonic::transport::Channel;

use super::progress::Progress;
use super::sending::Traffic;
use super::session::{self, refused, supervise};
use super::stores;
use super::transport::{self, Link};
use super::{BuildEvent, BuildRequest, Cancel, EngineError, ImageId};
use crate::credentials::Credentials;
use crate::model::error_chain::error_chain;
use crate::model::layer_cache::LayerCache;

mod attributes;
mod channel;
mod checks;

use attributes::attributes;
use channel::{Dialled, MESSAGE_MAX, dial, serve};
pub(super) use checks::checks;

/// The exporter that leaves an image in a Docker engine.
const EXPORTER: &str = "moby";
/// The answer's key for the image's id.
const ID: &str = "containerimage.digest";
/// The answer's key for the manifest of the layers that were left.
const LEFT: &str = "cache.manifest";
/// Begins the refusal of one that opens no session, as what takes no HTTP/2 at all shows itself.
const NO_SESSION: &str = "BuildKit opens no session";
/// How long the last words of a build may take once its end is known.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often a build is asked for that the engine has not begun yet, and the pause between.
const WATCH_TRIES: u32 = 200;
const WATCH_PAUSE: Duration = Duration::from_millis(50);

/// How long layouts are served on once their build has ended, while this process lives: BuildKit makes one step of two
/// builds' equal ones, and reads a layout's layers, when it comes to them, of the build that asked first.
const LAYOUTS_STAY: Duration = Duration::from_secs(600);

/// The first thing of a request that only this service knows, by the Imagefile's word for it.
pub(super) fn need(request: &BuildRequest) -> Option<&'static str> {
    let needs = [
        (!request.no_cache_stages.is_empty(), "no_cache_filter"),
        (!request.entitlements.is_empty(), "entitlements"),
        (!request.contexts.is_empty() || !request.layouts.is_empty(), "contexts"),
        (!request.cache.to.is_empty(), "cache_to"),
        (!request.cache.other_from.is_empty(), "cache_from"),
    ];
    needs.into_iter().find(|(is_there, _)| *is_there).map(|(_, word)| word)
}

/// The builder of a BuildKit, as it introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Stable over restarts.
    pub id: String,
    /// The version of BuildKit; empty where it does not say.
    pub version: String,
    /// The platforms that it runs, its own in front.
    pub platforms: Vec<String>,
}

/// Whether an engine has no such service.
pub(super) fn has_none(error: &EngineError) -> bool {
    let EngineError::Refused { why, .. } = error else { return false };
    [channel::NOBODY, NO_SESSION].iter().any(|refusal| why.starts_with(refusal))
}

/// The end that a result comes to.
pub(super) struct Export {
    pub kind: &'static str,
    pub attributes: HashMap<String, String>,
}

impl Export {
    /// The image stays with the Docker engine around the service.
    pub fn to_engine() -> Self {
        Self { kind: EXPORTER, attributes: HashMap::new() }
    }
}

/// Builds through the service.
pub(super) async fn build(
    link: Link<'_>,
    credentials: &Credentials,
    request: &BuildRequest,
    export: &Export,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<ImageId, EngineError> {
    let traffic = Arc::new(Traffic::default());
    let work = async {
        let what = format!("building `{}`", request.image);
        let Dialled { channel, _connection } = dial(link, &what).await?;
        let client = ControlClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
        let id = session::session_id();
        let routes = session::routes(credentials, request, &traffic).await?;
        let session = serve(client.clone(), routes, &session::headers(request, &id)).await;
        let session = session.map_err(|why| refused(request, format!("{NO_SESSION}: {why}")))?;
        let built = solve(client, link, (request, export), &id, &traffic, events).await;
        if !request.layouts.is_empty() {
            tokio::spawn(async move {
                tokio::time::sleep(LAYOUTS_STAY).await;
                drop((session, _connection));
            });
        }
        built
    };
    supervise(link, work, &traffic, events, cancel).await
}

/// Asks for the build and hears how it goes.
async fn solve(
    client: ControlClient<Channel>,
    link: Link<'_>,
    (request, export): (&BuildRequest, &Export),
    session: &str,
    traffic: &Traffic,
    events: &(dyn Fn(BuildEvent) + Sync),
) -> Result<ImageId, EngineError> {
    let logins = request.cache.logins();
    let mut progress = Progress::new(&request.image, request.secrets.values().chain(&logins));
    let reference = session::session_id();
    let mut asking = client.clone();
    let wanted = solve_request(request, export, &reference, session);
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
            let told = answer.into_inner().exporter_response;
            if let Some(id) = told.get(ID) {
                progress.take_id(id);
            }
            if let Some(descriptor) = told.get(LEFT) {
                name_caches(request, descriptor).map_err(|why| refused(request, why))?;
            }
        }
        Err(status) => match broken(link, &status) {
            Some(error) => return Err(error),
            None => progress.take_error(status.message(), status.details()),
        },
    }
    progress.finish(None)
}

/// The error of a connection that broke: what BuildKit says itself has no cause on our side.
fn broken(link: Link<'_>, status: &tonic::Status) -> Option<EngineError> {
    std::error::Error::source(status)?;
    let why = match error_chain(status) {
        why if link.endpoint.buildkitd && (why.contains("cancel") || why.contains("closed")) => {
            format!("it closed the connection ({why}); over TCP it may want `cacert`, `cert` and `key`")
        }
        why => why,
    };
    Some(transport::unreachable(link.endpoint, why))
}

/// The builder of a BuildKit, as it introduces itself.
pub(super) async fn worker(link: Link<'_>) -> Result<Worker, EngineError> {
    let asked = async {
        let what = "asking BuildKit who it is";
        let refused = |status: tonic::Status| {
            let said = || EngineError::Refused { what: what.to_owned(), why: status.message().to_owned() };
            broken(link, &status).unwrap_or_else(said)
        };
        let Dialled { channel, _connection } = dial(link, what).await?;
        let mut client = ControlClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
        let workers = client.list_workers(ListWorkersRequest::default()).await.map_err(refused)?.into_inner();
        // Older ones have no such question.
        let info = client.info(InfoRequest {}).await.ok().and_then(|info| info.into_inner().buildkit_version);
        let Some(worker) = workers.record.into_iter().next() else {
            return Err(EngineError::Refused { what: what.to_owned(), why: "it has no worker".into() });
        };
        let spelled = |it: Platform| match it.variant.as_str() {
            "" => format!("{}/{}", it.os, it.architecture),
            variant => format!("{}/{}/{variant}", it.os, it.architecture),
        };
        Ok(Worker {
            id: worker.id,
            version: info.map(|info| info.version).unwrap_or_default(),
            platforms: worker.platforms.into_iter().map(spelled).collect(),
        })
    };
    let limit = link.patience.limit();
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| {
        let why = format!("no answer within {} seconds", limit.as_secs());
        Err(transport::unreachable(link.endpoint, why))
    })
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

/// Gives the layers that were left in folders their names, as docker's own client does, so that one who names none
/// finds what was left last; and the image's, for one folder of several images.
fn name_caches(request: &BuildRequest, descriptor: &str) -> Result<(), String> {
    let descriptor: serde_json::Value =
        serde_json::from_str(descriptor).map_err(|error| format!("BuildKit left no cache: {error}"))?;
    for cache in request.cache.to.iter().filter(|cache| cache.is_local()) {
        let dest = cache.attributes.get("dest").map(String::as_str).unwrap_or_default();
        let Some(store) = request.cache.stores.0.get(&stores::of_cache(dest)) else { continue };
        let named = match cache.attributes.get("tag") {
            Some(tag) => store.name(&descriptor, &[tag]),
            None => store.name(&descriptor, &[&request.image, "latest"]),
        };
        named.map_err(|error| format!("naming the layers in `{dest}`: {error}"))?;
    }
    Ok(())
}

fn solve_request(request: &BuildRequest, export: &Export, reference: &str, session: &str) -> SolveRequest {
    let entry = |cache: LayerCache| CacheOptionsEntry {
        r#type: cache.kind,
        attrs: cache.attributes.into_iter().collect(),
    };
    let inline = CacheOptionsEntry { r#type: "inline".into(), attrs: HashMap::new() };
    let exports = request.cache.to.iter().cloned().map(entry).chain(request.cache.inline.then_some(inline));
    let imports = attributes::imports(&request.cache).into_iter().map(entry);
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
        exporter_deprecated: export.kind.into(),
        exporter_attrs_deprecated: export.attributes.clone(),
        exporters: vec![Exporter { r#type: export.kind.into(), attrs: export.attributes.clone() }],
        ..SolveRequest::default()
    }
}
