//! Answers that are pages: drawn away from the threads that answer, with headers that let a browser do nothing else.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::Markup;
use serde_json::json;

use super::asker::Asker;
use crate::service::page::frame::{Frame, Place, Renewal, document};
use crate::service::page::sign_in::told;
use crate::service::queue::QueueError;
use crate::service::shared::Shared;

/// All that pages need is of this service: its stylesheet, its script, its answers. Nothing may frame them.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page, but for what is around it.
pub struct Drawn {
    /// Its name.
    pub title: String,
    /// Its place.
    pub place: Place,
    /// Its changes while it is looked at.
    pub renewal: Renewal,
    /// Its content.
    pub main: Markup,
    /// The status of the answer.
    pub status: StatusCode,
}

impl Drawn {
    /// A page that is well, somewhere below the menu.
    pub fn new(title: impl Into<String>, main: Markup) -> Self {
        Self {
            title: title.into(),
            place: Place::Elsewhere,
            renewal: Renewal::Never,
            main,
            status: StatusCode::OK,
        }
    }

    /// At a place of the menu.
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// One that changes.
    pub fn renewed(self, renewal: Renewal) -> Self {
        Self { renewal, ..self }
    }

    /// A page that says one thing.
    pub fn told(status: StatusCode, title: &str, words: &str) -> Self {
        let is_bad = !status.is_success();
        Self { status, ..Self::new(title, told(title, words, is_bad)) }
    }
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such thing.
    NotFound(String),
    /// The queue did not answer.
    Queue(QueueError),
    /// Something of the file system.
    Other(String),
}

impl From<QueueError> for Trouble {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}

impl Trouble {
    /// For programs.
    pub fn json(&self) -> Response {
        let (status, words) = match self {
            Self::NotFound(words) => (StatusCode::NOT_FOUND, words.clone()),
            Self::Queue(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            Self::Other(words) => (StatusCode::INTERNAL_SERVER_ERROR, words.clone()),
        };
        (status, Json(json!({ "error": words }))).into_response()
    }

    fn drawn(&self) -> Drawn {
        match self {
            Self::NotFound(of) => Drawn::told(StatusCode::NOT_FOUND, "Not found", of),
            Self::Queue(error) => {
                Drawn::told(StatusCode::SERVICE_UNAVAILABLE, "The queue does not answer", &error.to_string())
            }
            Self::Other(error) => {
                Drawn::told(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", error)
            }
        }
    }
}

/// Draws a page with what is around it. `draw` may block.
pub async fn page(
    shared: Arc<Shared>,
    asker: Asker,
    draw: impl FnOnce(&Shared, Option<&str>) -> Result<Drawn, Trouble> + Send + 'static,
) -> Response {
    let drawn = shared.blocking(move |shared| {
        let key = asker.form_key();
        let drawn = draw(shared, key).unwrap_or_else(|trouble| trouble.drawn());
        let dead = shared.queue.counts().map_or(0, |counts| counts.dead);
        let frame = Frame {
            title: &drawn.title,
            place: drawn.place,
            renewal: drawn.renewal,
            dead: usize::try_from(dead).unwrap_or(usize::MAX),
            key,
        };
        (drawn.status, document(&frame, &drawn.main).into_string())
    });
    match drawn.await {
        Ok((status, page)) => (
            status,
            [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")],
            page,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// An answer in words, for whichever it is that asks.
pub async fn said(
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

/// Leads a browser on, by a GET.
pub fn led_to(path: &str, cookie: Option<String>) -> Response {
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

/// Puts on every answer what keeps a browser from doing anything else with it.
pub async fn harden(request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
