//! Everything that changes something by HTTP: signing in and out, trying a job again, building now.
//!
//! Each asks for the token first, of whoever calls and from wherever: see `acting`. A browser is led back to a page, a program
//! gets JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::acting::{Acting, OfJob, OfRepository, Plain, denied};
use super::answer::{Drawn, led_to, page, said};
use super::asker::{Asker, COOKIE, Denied, is_from_here, token};
use crate::model::time::UnixSeconds;
use crate::service::model::{Occasion, RepositoryName};
use crate::service::page::parts::{job_path, repository_path};
use crate::service::page::shown::line;
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

async fn sign_out(State(shared): State<Arc<Shared>>, _: Acting<Plain>) -> Response {
    led_to("/", Some(cookie(&shared, "", 0)))
}

/// The session's cookie: for this host alone, for no script, and over TLS alone where that is how one comes here.
fn cookie(shared: &Shared, session: &str, seconds: u64) -> String {
    let is_tls = shared.settings.tls.is_some()
        || shared.settings.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

async fn retry(State(shared): State<Arc<Shared>>, Acting { asker, form }: Acting<OfJob>) -> Response {
    let retried = Arc::clone(&shared).blocking(move |shared| shared.queue.retry(form.job)).await;
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

/// The repository that a form names.
async fn meant(shared: &Arc<Shared>, asker: &Asker, form: &OfRepository) -> Result<RepositoryName, Response> {
    let name = RepositoryName::new(&form.repository).ok();
    match name.filter(|name| shared.settings.repositories.contains_key(name)) {
        Some(name) => Ok(name),
        None => {
            let (shared, asker) = (Arc::clone(shared), asker.clone());
            let words = format!("serve.ron has no repository `{}`", line(&form.repository));
            Err(said(shared, asker, StatusCode::NOT_FOUND, "No such repository", &words).await)
        }
    }
}

/// Has a repository looked at now, and its branches done whether they moved or not.
async fn build(State(shared): State<Arc<Shared>>, Acting { asker, form }: Acting<OfRepository>) -> Response {
    let name = match meant(&shared, &asker, &form).await {
        Ok(name) => name,
        Err(response) => return response,
    };
    shared.wishes.wish(&name, Occasion::Asked);
    done(&asker, &repository_path(name.as_str()), &json!({ "repository": name, "asked": true }))
}

/// Makes a new secret for a repository's hook. It is shown to whoever asked, once.
async fn rotate(State(shared): State<Arc<Shared>>, Acting { asker, form }: Acting<OfRepository>) -> Response {
    let name = match meant(&shared, &asker, &form).await {
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
fn done(asker: &Asker, path: &str, value: &Value) -> Response {
    match asker {
        Asker::Program => (StatusCode::ACCEPTED, Json(value)).into_response(),
        Asker::Browser { .. } | Asker::Reader => led_to(path, None),
    }
}
