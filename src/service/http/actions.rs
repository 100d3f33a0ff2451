//! Everything that changes something by HTTP: signing in and out, trying a job again, building now.
//!
//! Each asks for the token first, of whoever calls and from wherever: see `asker`. A browser is led back to a page, a program
//! gets JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Drawn, page};
use super::asker::{Asker, COOKIE, Denied, is_from_here, token};
use crate::model::time::UnixSeconds;
use crate::service::model::{JobId, Occasion, RepositoryName};
use crate::service::page::parts::{job_path, repository_path};
use crate::service::page::sign_in;
use crate::service::secrets::Secrets;
use crate::service::shared::Shared;
use crate::service::token::SESSION;

/// An old secret of a hook counts for so long beside a new one.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// All of them.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/-/sign-in", get(form).post(sign_in))
        .route("/-/sign-out", post(sign_out))
        .route("/-/retry", post(retry))
        .route("/-/build", post(build))
        .route("/-/rotate", post(rotate))
}

async fn form(State(shared): State<Arc<Shared>>, asker: Asker) -> Response {
    page(shared, asker, |_, _| Ok(Drawn::new("Sign in", sign_in::sign_in(false)))).await
}

#[derive(Deserialize)]
struct Shown {
    token: String,
}

async fn sign_in(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(shown): Form<Shown>,
) -> Response {
    if !is_from_here(&headers, shared.settings.public_url.as_deref()) {
        return denied(shared, Asker::Reader, &headers, Denied::Elsewhere).await;
    }
    let Ok(token) = token(&shared) else {
        let words = "The file of the token cannot be read at the moment.";
        return said(shared, Asker::Reader, StatusCode::SERVICE_UNAVAILABLE, "Not signed in", words).await;
    };
    if !token.admits(shown.token.trim()) {
        return page(shared, Asker::Reader, |_, _| {
            let drawn = Drawn::new("Sign in", sign_in::sign_in(true));
            Ok(Drawn { status: StatusCode::FORBIDDEN, ..drawn })
        })
        .await;
    }
    let session = token.session(UnixSeconds::now());
    led_to("/", Some(cookie(&shared, &session, SESSION.as_secs())))
}

async fn sign_out(
    State(shared): State<Arc<Shared>>,
    asker: Asker,
    headers: HeaderMap,
    Form(keyed): Form<Keyed>,
) -> Response {
    if let Err(why) = asker.may_act(&shared, &headers, &keyed.key) {
        return denied(shared, asker, &headers, why).await;
    }
    led_to("/", Some(cookie(&shared, "", 0)))
}

/// The session's cookie: for this host alone, for no script, and over TLS alone where that is how one comes here.
fn cookie(shared: &Shared, session: &str, seconds: u64) -> String {
    let is_tls = shared.settings.tls.is_some()
        || shared.settings.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[derive(Deserialize)]
struct Keyed {
    #[serde(default)]
    key: String,
}

#[derive(Deserialize)]
struct OfJob {
    job: JobId,
    #[serde(default)]
    key: String,
}

async fn retry(
    State(shared): State<Arc<Shared>>,
    asker: Asker,
    headers: HeaderMap,
    Form(of): Form<OfJob>,
) -> Response {
    if let Err(why) = asker.may_act(&shared, &headers, &of.key) {
        return denied(shared, asker, &headers, why).await;
    }
    let retried = Arc::clone(&shared).blocking(move |shared| shared.queue.retry(of.job)).await;
    match retried {
        Ok(Ok(Some(id))) => done(&asker, &job_path(&id.to_string()), &json!({ "job": id })),
        Ok(Ok(None)) => {
            let words = "There is no such job, or it has not ended.";
            said(shared, asker, StatusCode::CONFLICT, "Nothing to try again", words).await
        }
        Ok(Err(error)) => {
            let words = error.to_string();
            said(shared, asker, StatusCode::SERVICE_UNAVAILABLE, "The queue does not answer", &words).await
        }
        Err(error) => {
            said(shared, asker, StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", &error).await
        }
    }
}

#[derive(Deserialize)]
struct OfRepository {
    repository: String,
    #[serde(default)]
    key: String,
}

/// The repository that a form names, if whoever sent it may act.
async fn meant(
    shared: &Arc<Shared>,
    asker: &Asker,
    headers: &HeaderMap,
    of: &OfRepository,
) -> Result<RepositoryName, Response> {
    if let Err(why) = asker.may_act(shared, headers, &of.key) {
        return Err(denied(Arc::clone(shared), asker.clone(), headers, why).await);
    }
    let name = RepositoryName::new(&of.repository).ok();
    match name.filter(|name| shared.settings.repositories.contains_key(name)) {
        Some(name) => Ok(name),
        None => {
            let (shared, asker) = (Arc::clone(shared), asker.clone());
            let words = "serve.ron has no such repository.";
            Err(said(shared, asker, StatusCode::NOT_FOUND, "No such repository", words).await)
        }
    }
}

/// Has a repository looked at now, and its branches done whether they moved or not.
async fn build(
    State(shared): State<Arc<Shared>>,
    asker: Asker,
    headers: HeaderMap,
    Form(of): Form<OfRepository>,
) -> Response {
    let name = match meant(&shared, &asker, &headers, &of).await {
        Ok(name) => name,
        Err(response) => return response,
    };
    shared.wishes.wish(&name, Occasion::Asked);
    done(&asker, &repository_path(name.as_str()), &json!({ "repository": name, "asked": true }))
}

/// Makes a new secret for a repository's hook. It is shown to whoever asked, once.
async fn rotate(
    State(shared): State<Arc<Shared>>,
    asker: Asker,
    headers: HeaderMap,
    Form(of): Form<OfRepository>,
) -> Response {
    let name = match meant(&shared, &asker, &headers, &of).await {
        Ok(name) => name,
        Err(response) => return response,
    };
    let of = name.clone();
    let rotated = Arc::clone(&shared)
        .blocking(move |shared| Secrets::at(&shared.state).rotate(of.as_str(), OVERLAP, Timestamp::now()))
        .await;
    let secret = rotated.ok().and_then(Result::ok).and_then(|pair| pair.hook.into_iter().next());
    match secret {
        Some(secret) if asker == Asker::Program => {
            let value = json!({ "repository": name, "secret": secret.shown() });
            ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
        }
        Some(secret) => {
            page(shared, asker, move |_, _| {
                Ok(Drawn::new("A new secret", sign_in::secret(name.as_str(), secret.shown())))
            })
            .await
        }
        None => {
            let words = "The secrets cannot be written at the moment. The old one counts.";
            said(shared, asker, StatusCode::SERVICE_UNAVAILABLE, "Not done", words).await
        }
    }
}

/// The end of an action that went well.
pub(super) fn done(asker: &Asker, path: &str, value: &Value) -> Response {
    match asker {
        Asker::Program => (StatusCode::ACCEPTED, Json(value)).into_response(),
        Asker::Browser { .. } | Asker::Reader => led_to(path, None),
    }
}

/// An answer in words, for whichever it is that asks.
pub(super) async fn said(
    shared: Arc<Shared>,
    asker: Asker,
    status: StatusCode,
    title: &'static str,
    words: &str,
) -> Response {
    if asker == Asker::Program {
        return (status, Json(json!({ "error": words }))).into_response();
    }
    let words = words.to_owned();
    page(shared, asker, move |_, _| Ok(Drawn::told(status, title, &words))).await
}

/// The answer to whoever may not act.
pub(super) async fn denied(shared: Arc<Shared>, asker: Asker, headers: &HeaderMap, why: Denied) -> Response {
    let is_browser = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    match why {
        Denied::NoToken if is_browser => led_to("/-/sign-in", None),
        Denied::NoToken => {
            let words = "this needs the token, on this machine too: Authorization: Bearer TOKEN, where `imk serve token` prints TOKEN\n";
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], words).into_response()
        }
        Denied::Elsewhere => {
            let words = "This was not sent by a page of this service, or the page is an old one. Load the page again, and try once more.";
            said(shared, asker, StatusCode::FORBIDDEN, "Not done", words).await
        }
    }
}

/// Leads a browser on, by a GET.
fn led_to(path: &str, cookie: Option<String>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(path) {
        headers.insert(header::LOCATION, value);
    }
    if let Some(value) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        headers.insert(header::SET_COOKIE, value);
    }
    response
}
