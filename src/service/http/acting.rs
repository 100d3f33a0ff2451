//! A form of somebody who may act: the one place where the right to act is asked for.
//!
//! A handler that takes [`Acting`] runs for whoever showed the token, or sent the form from a page of ours, and for nobody else.

use std::sync::Arc;

use axum::extract::{Form, FromRequest, FromRequestParts as _, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::{led_to, said};
use super::asker::{Asker, Denied};
use crate::service::model::JobId;
use crate::service::shared::Shared;

/// A form with the key that only a page of ours can have put into it; a program has none.
pub trait Keyed: DeserializeOwned + Send {
    /// The key, or nothing.
    fn key(&self) -> &str;
}

/// A form that names nothing.
#[derive(Deserialize)]
pub struct Plain {
    #[serde(default)]
    key: String,
}

/// A form about a job.
#[derive(Deserialize)]
pub struct OfJob {
    /// The job.
    pub job: JobId,
    #[serde(default)]
    key: String,
}

/// A form about a repository.
#[derive(Deserialize)]
pub struct OfRepository {
    /// Its name, as somebody wrote it.
    pub repository: String,
    #[serde(default)]
    key: String,
}

impl Keyed for Plain {
    fn key(&self) -> &str {
        &self.key
    }
}

impl Keyed for OfJob {
    fn key(&self) -> &str {
        &self.key
    }
}

impl Keyed for OfRepository {
    fn key(&self) -> &str {
        &self.key
    }
}

/// Somebody who may act, and the form.
pub struct Acting<F> {
    /// The one who acts.
    pub asker: Asker,
    /// The form.
    pub form: F,
}

impl<F: Keyed> FromRequest<Arc<Shared>> for Acting<F> {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let asker =
            Asker::from_request_parts(&mut parts, shared).await.map_err(IntoResponse::into_response)?;
        let headers = parts.headers.clone();
        let form = Form::<F>::from_request(Request::from_parts(parts, body), shared).await;
        let key = form.as_ref().map(|Form(form)| form.key()).unwrap_or_default();
        // Whoever may not act is not told what was wrong with the form either.
        if let Err(why) = asker.may_act(shared, &headers, key) {
            return Err(denied(Arc::clone(shared), asker, &headers, why).await);
        }
        let Form(form) = form.map_err(IntoResponse::into_response)?;
        Ok(Self { asker, form })
    }
}

/// The answer to whoever may not act.
pub async fn denied(shared: Arc<Shared>, asker: Asker, headers: &HeaderMap, why: Denied) -> Response {
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
