//! Questions with an authorization where one is wanted, and whole answers.
//!
//! Stands on `wire`, which sends, and on `auth`, which gets authorizations. Knows nothing of manifests and blobs.

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, Response, StatusCode};
use tokio::time::sleep;

use super::base::Base;
use super::retry;
use super::wire::{Answer, Ask, Host, Wire};
use crate::registry::RegistryError;

impl Wire {
    /// Asks, with an authorization where one is wanted. What comes back is an answer to the
    /// question: not a challenge, not trouble.
    pub(super) async fn ask(&self, base: &Base, ask: &Ask<'_>) -> Result<Response, RegistryError> {
        let client = self.client(&base.host, base.lenient);
        let client = client.map_err(|why| RegistryError::unreachable(ask.about, why))?;
        // An upload may continue at another server, which gets no authorization of this one.
        let at_home = base.is_home_of(&ask.url);
        let mut authorization = if at_home { self.authorization(base, ask).await? } else { None };
        let mut refused = 0;
        loop {
            let build = || {
                let mut request = client.request(ask.method.clone(), ask.url.clone());
                if !matches!(ask.method, Method::GET | Method::HEAD) {
                    request = request.body(ask.body.clone());
                }
                for (name, value) in &ask.headers {
                    request = request.header(name, value);
                }
                match &authorization {
                    Some(authorization) => request.header(AUTHORIZATION, authorization.header()),
                    None => request,
                }
            };
            let host = Host { name: &base.host, tries: ask.tries, patience: ask.patience };
            let response = self.patient(ask.about, host, build).await?;
            let status = response.status();
            if !base.is_home_of(response.url()) {
                return behind(ask, response);
            }
            let denied = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
            if !denied {
                return Ok(response);
            }
            authorization = Some(self.renew(base, ask, response, authorization, &mut refused).await?);
        }
    }

    /// Asks for a whole answer, no longer than `limit`. One that breaks off is asked for again.
    pub(super) async fn fetch(
        &self,
        base: &Base,
        ask: &Ask<'_>,
        limit: usize,
    ) -> Result<Answer, RegistryError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let response = self.ask(base, ask).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            match self.body(&base.host, response, limit).await {
                Ok(bytes) => return Ok(Answer { status, headers, bytes }),
                Err(None) => {
                    let why = format!("the answer is longer than {limit} bytes");
                    return Err(RegistryError::corrupt(ask.about, ask.what, why));
                }
                Err(Some(fault)) if tried >= ask.tries || !fault.passing => {
                    return Err(RegistryError::unreachable(ask.about, fault.why));
                }
                Err(Some(_)) => sleep(retry::pause(&self.options.retry, tried)).await,
            }
        }
    }
}

/// A registry may keep its blobs elsewhere. What is refused there says nothing of what the registry has.
fn behind(ask: &Ask<'_>, response: Response) -> Result<Response, RegistryError> {
    if !response.status().is_client_error() {
        return Ok(response);
    }
    let place = response.url().host_str().unwrap_or_default();
    let why = format!("its storage at `{place}` answers HTTP {}", response.status());
    Err(RegistryError::refused(ask.about, ask.what, why))
}
