//! Hooks over HTTP: which repository is meant, the body within its limits, the work offered, the answer at once.
//!
//! | address | from |
//! |---|---|
//! | `POST /hook/NAME?labels=a+b` | a forge, of the repository of that name |
//! | `POST /registry/SECRET/NAME` | a registry, which shows a secret and signs nothing |
//! | `POST /` and `POST /LABEL+LABEL` | a forge; the repository is the one whose address the payload names |
//!
//! Whoever does not know the secret learns nothing: neither which repositories there are, nor what was wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::limits::BODY;
use crate::service::hooks::{
    Delivery, Fault, Headers, HookSecret, Proposal, Push, Received, Terms, receive, receive_images,
};
use crate::service::model::{Labels, Occasion, RepositoryName, Work};
use crate::service::queue::{Offered, QueueError};
use crate::service::secrets::Secrets;
use crate::service::shared::Shared;
use crate::syntax::serve::names::labels;
use crate::syntax::serve::{Forks, Repository};

/// Kilobytes of bodies that are held at once: a body comes before anybody knows whose it is.
const HELD: usize = 128 << 10;

static ROOM: Semaphore = Semaphore::const_new(HELD);
/// Tried in the place of a secret that there is none of, so that the answer takes as long.
static NOBODYS: LazyLock<Vec<HookSecret>> = LazyLock::new(|| HookSecret::random().into_iter().collect());

/// The routes of hooks.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/hook/{*name}", post(named))
        .route("/registry/{secret}/{*name}", post(registry))
        .route("/", post(unnamed))
        .route("/{labels}", post(labelled).fallback(nothing))
}

/// The answer to whoever asks for an address that there is not.
pub(super) async fn nothing() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "there is nothing here: the pages begin at /\n")
}

type Answered = Result<Response, No>;

/// An answer that says no, in a few words or in none.
struct No {
    status: StatusCode,
    why: String,
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let text = if self.why.is_empty() { String::new() } else { format!("{}\n", self.why) };
        match self.status {
            // Whoever was not heard is to come again.
            StatusCode::SERVICE_UNAVAILABLE => {
                (self.status, [(header::RETRY_AFTER, "10")], text).into_response()
            }
            status => (status, text).into_response(),
        }
    }
}
type Words = Query<BTreeMap<String, String>>;

async fn named(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(words): Words,
    headers: HeaderMap,
    body: Body,
) -> Answered {
    let hints = words.get("labels").map(String::as_str).unwrap_or_default().to_owned();
    let body = whole(body).await?;
    answered(shared, move |shared| {
        let name = RepositoryName::new(&name).ok();
        signed(shared, name.as_slice(), &hints, &headers, &body)
    })
    .await
}

async fn unnamed(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Answered {
    by_payload(shared, String::new(), headers, body).await
}

async fn labelled(
    State(shared): State<Arc<Shared>>,
    Path(hints): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answered {
    by_payload(shared, hints, headers, body).await
}

async fn by_payload(shared: Arc<Shared>, hints: String, headers: HeaderMap, body: Body) -> Answered {
    let body = whole(body).await?;
    answered(shared, move |shared| {
        let names = meant(shared, &body);
        signed(shared, &names, &hints, &headers, &body)
    })
    .await
}

async fn registry(
    State(shared): State<Arc<Shared>>,
    Path((secret, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answered {
    let body = whole(body).await?;
    answered(shared, move |shared| {
        let name = RepositoryName::new(&name).ok();
        let found = name.as_ref().and_then(|name| Some((name, shared.settings.repositories.get(name)?)));
        let now = Timestamp::now();
        let secrets = match found {
            Some((name, _)) => Secrets::at(&shared.state).of(name.as_str(), now).map_err(unready)?.path,
            None => NOBODYS.clone(),
        };
        let delivery = receive_images(&read(&headers), &body, &secret, &secrets).map_err(refused)?;
        let (name, repository) = found.ok_or_else(|| refused(Fault::Refused))?;
        settled(shared, name, repository, &Labels::new(), delivery)
    })
    .await
}

/// Reads a body as it comes, within the limit of one and of all.
async fn whole(mut body: Body) -> Result<Bytes, No> {
    let mut held = Vec::new();
    let mut room = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| said(StatusCode::BAD_REQUEST, "the body breaks off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if held.len() + data.len() > BODY {
            return Err(said(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
        }
        let more = u32::try_from(data.len() / 1024 + 1).unwrap_or(u32::MAX);
        let more = ROOM.try_acquire_many(more).map_err(|_| busy("too many bodies at once"))?;
        match &mut room {
            None => room = Some(more),
            Some(room) => room.merge(more),
        }
        held.extend_from_slice(&data);
    }
    // From here on the answer takes milliseconds; the room is for bodies that still come.
    Ok(held.into())
}

/// Answers away from the threads that read, since secrets and queue are on a disk.
async fn answered(
    shared: Arc<Shared>,
    answer: impl FnOnce(&Shared) -> Answered + Send + 'static,
) -> Answered {
    shared.blocking(answer).await.unwrap_or_else(|_| Err(said(StatusCode::INTERNAL_SERVER_ERROR, "")))
}

fn read(headers: &HeaderMap) -> Headers {
    Headers::new(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// The repositories that a payload may be of, by their addresses. Nothing else of it is believed yet.
fn meant(shared: &Shared, body: &[u8]) -> Vec<RepositoryName> {
    let Ok(payload) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let texts =
        |key: &str, field: &str| payload.get(key).and_then(|it| it.get(field)).and_then(Value::as_str);
    let path = texts("repository", "full_name").or_else(|| texts("project", "path_with_namespace"));
    let Some(path) = path.filter(|path| path.contains('/')) else { return Vec::new() };
    let is_of = |url: &str| {
        let url = url.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase();
        let before = url.strip_suffix(&path.to_ascii_lowercase());
        before.is_some_and(|before| before.ends_with(['/', ':']))
    };
    let all = shared.settings.repositories.iter();
    all.filter(|(_, repository)| is_of(&repository.url)).map(|(name, _)| name.clone()).take(8).collect()
}

/// A request of a forge, of one of these repositories.
fn signed(
    shared: &Shared,
    names: &[RepositoryName],
    hints: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Answered {
    let (headers, now) = (read(headers), Timestamp::now());
    let found: Vec<_> =
        names.iter().filter_map(|name| Some((name, shared.settings.repositories.get(name)?))).collect();
    for (name, repository) in &found {
        let secrets = Secrets::at(&shared.state).of(name.as_str(), now).map_err(unready)?.hook;
        // Bitbucket does not say which branch is the repository's own; the last look at it does.
        let known = shared.look(name).and_then(|look| look.heads.default);
        let terms = Terms {
            lists: &|branch, own| repository.admits(branch, own.or(known.as_deref())),
            checks_forks: repository.forks == Forks::Check,
            allows_sha1: repository.sha1,
        };
        match receive(&headers, body, &secrets, &terms, now) {
            Err(Fault::Refused) => {}
            Err(fault) => return Err(refused(fault)),
            Ok(delivery) => {
                let hints = labels(hints).map_err(|why| said(StatusCode::BAD_REQUEST, &why))?;
                return settled(shared, name, repository, &hints, delivery);
            }
        }
    }
    if found.is_empty() {
        let terms = Terms { lists: &|_, _| false, checks_forks: false, allows_sha1: false };
        let _ = receive(&headers, body, &NOBODYS, &terms, now);
    }
    Err(refused(Fault::Refused))
}

/// Offers the work of a message, or says why there is none.
fn settled(
    shared: &Shared,
    name: &RepositoryName,
    repository: &Repository,
    hints: &Labels,
    delivery: Delivery,
) -> Answered {
    let hints: Labels = hints.union(&repository.labels).cloned().collect();
    let works = match delivery.received {
        Received::Ping => return Ok(told(StatusCode::OK, &json!({"pong": true}))),
        Received::Ignored(why) => return Ok(told(StatusCode::OK, &json!({"ignored": why}))),
        Received::Images(images) => {
            let images: Vec<String> = images.iter().map(ToString::to_string).collect();
            let fresh = shared.queue.remember_delivery(&delivery.id).map_err(|error| full(&error))?;
            if fresh {
                shared.wishes.wish(name, Occasion::Registry);
            }
            return Ok(told(StatusCode::ACCEPTED, &json!({"images": images, "duplicate": !fresh})));
        }
        Received::Pushes(pushes) => pushes.into_iter().map(|push| of_push(name, push, &hints)).collect(),
        Received::Proposal(proposal) => vec![of_proposal(name, proposal, &hints)],
    };
    can_be_done(shared, &hints)?;
    let several = works.len() > 1;
    let mut offers = Vec::new();
    for (number, mut work) in works.into_iter().enumerate() {
        let id = if several { format!("{} {number}", delivery.id) } else { delivery.id.clone() };
        work.delivery = Some(format!("{name} {id}"));
        let offered = shared.queue.offer(&work, repository.running).map_err(|error| full(&error))?;
        offers.push(offer(&work, offered));
    }
    Ok(told(StatusCode::ACCEPTED, &json!({ "jobs": offers })))
}

fn of_push(name: &RepositoryName, push: Push, hints: &Labels) -> Work {
    Work {
        repository: name.clone(),
        branch: push.branch,
        commit: push.commit,
        message: push.message,
        occasion: Occasion::Push,
        hints: hints.clone(),
        delivery: None,
        pull_request: None,
    }
}

fn of_proposal(name: &RepositoryName, proposal: Proposal, hints: &Labels) -> Work {
    let push = Push { branch: proposal.onto, commit: proposal.commit, message: proposal.title };
    Work { pull_request: Some(proposal.reference), ..of_push(name, push, hints) }
}

/// Some worker has all the labels.
fn can_be_done(shared: &Shared, hints: &Labels) -> Result<(), No> {
    match shared.can_do(hints).map_err(|error| full(&error))? {
        true => Ok(()),
        false => {
            let names: Vec<&str> = hints.iter().map(|label| label.as_str()).collect();
            Err(said(StatusCode::FORBIDDEN, &format!("no worker has all of {}", names.join("+"))))
        }
    }
}

fn offer(work: &Work, offered: Offered) -> Value {
    let note = match offered {
        Offered::New { .. } => "queued",
        Offered::Joined { .. } => "nothing to do: a job has this commit already",
        Offered::Replaced { .. } => "queued in the place of an older commit",
        Offered::Duplicate => "nothing to do: this delivery was here before",
    };
    json!({ "job": offered.job(), "branch": work.branch, "commit": work.commit, "note": note })
}

fn told(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

fn said(status: StatusCode, why: &str) -> No {
    No { status, why: why.to_owned() }
}

fn refused(fault: Fault) -> No {
    match fault {
        Fault::Refused => said(StatusCode::UNAUTHORIZED, ""),
        Fault::Unreadable(why) => said(StatusCode::BAD_REQUEST, &why),
    }
}

fn busy(why: &str) -> No {
    said(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// The queue's own words may name addresses, which are the operator's.
fn full(_: &QueueError) -> No {
    busy("the queue takes nothing at the moment")
}

fn unready(_: std::io::Error) -> No {
    busy("the secrets cannot be read at the moment")
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
