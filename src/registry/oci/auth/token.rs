//! Getting a token from the server that a challenge names.
//!
//! A login is shown in a GET with the password, an identity token in a form
//! (`oauth2`), nobody in a GET without either.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::super::authorizations::{Authorization, MARGIN};
use super::super::base::{Base, authority, is_lenient, is_private};
use super::super::tls::Redirects;
use super::super::wire::{Ask, Host, Wire};
use super::super::words;
use crate::credentials::{Found, Login, Secret};
use crate::registry::RegistryError;

/// More than this is no token.
const TOKEN: usize = 1 << 20;
/// How long a token lives that does not say so, by the specification of tokens.
const SHORT_LIFE: u64 = 60;

/// The token that a challenge asks for.
pub(super) struct Wanted<'a> {
    pub realm: &'a str,
    pub service: Option<&'a str>,
    pub scope: Option<&'a str>,
}

#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Wire {
    /// A token for a login, or for nobody. The inner error is a refusal, in words.
    pub(super) async fn token(
        &self,
        base: &Base,
        ask: &Ask<'_>,
        wanted: &Wanted<'_>,
        found: Option<&Found>,
    ) -> Result<Result<Authorization, String>, RegistryError> {
        let wrong = |why: String| RegistryError::unreachable(ask.about, why);
        let url = base.url.join(wanted.realm).map_err(|_| {
            RegistryError::corrupt(ask.about, "the question for a token's address", "it is no address")
        })?;
        // The server of tokens may be another (the Hub's is), as docker and containerd have it: the
        // registry that names it is the one whose login it is, and could pass it on anyway. But only
        // over a way on which nobody reads along.
        if found.is_some() && !is_private(&url) {
            return Ok(Err("it wants the login sent in plain words to another server".into()));
        }
        let host = authority(&url).unwrap_or_default();
        let in_a_form = matches!(found.map(|found| &found.login), Some(Login::Identity(_)));
        // A 307 or 308 has the form said again wherever it points.
        let redirects = if in_a_form { Redirects::Refuse } else { Redirects::Follow };
        let lenient = is_lenient(&host, &self.options.insecure);
        let client = self.client_that(redirects, &host, lenient).map_err(wrong)?;
        let question =
            Question::of(url, scopes(ask, wanted), wanted.service, found.map(|found| &found.login));
        let build = || {
            let Question { method, url, form } = &question;
            let request = client.request(method.clone(), url.clone()).body(form.clone());
            match found.map(|found| &found.login) {
                Some(Login::Password { user, password }) => request.basic_auth(user, Some(password.reveal())),
                Some(Login::Identity(_)) => request.header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
                None => request,
            }
        };
        let asked = Host { name: &host, tries: ask.tries, patience: self.options.patience.limit() };
        let response = self.patient(ask.about, asked, build).await?;
        let status = response.status();
        if in_a_form && status.is_redirection() {
            return Ok(Err("its server of tokens sends the login on, and it is not taken there".into()));
        }
        let bytes = self.body(&host, response, TOKEN).await;
        let bytes =
            bytes.map_err(|fault| wrong(fault.map_or("its token is too long".into(), |fault| fault.why)))?;
        if status != StatusCode::OK {
            return Ok(Err(self.auth.scrub(&words::of(status, &bytes))));
        }
        granted(ask, &bytes, found).map(Ok)
    }
}

/// The authorization in a server's answer.
fn granted(ask: &Ask<'_>, bytes: &[u8], found: Option<&Found>) -> Result<Authorization, RegistryError> {
    let nonsense = |why: &str| RegistryError::corrupt(ask.about, "the question for a token", why);
    let granted: Granted = serde_json::from_slice(bytes).map_err(|_| nonsense("it is no JSON"))?;
    let token = granted.token.or(granted.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| nonsense("there is no token in it"))?;
    let life = Duration::from_secs(granted.expires_in.filter(|life| *life > 0).unwrap_or(SHORT_LIFE));
    Ok(Authorization {
        value: Secret::new(format!("Bearer {token}")),
        until: Instant::now().checked_add(life.saturating_sub(MARGIN)),
        login: found.map(|found| found.source.clone()),
    })
}

/// The request for a token, but for a password, which stands in a header.
struct Question {
    method: Method,
    url: Url,
    /// Empty where all is in the address.
    form: Bytes,
}

impl Question {
    fn of(mut url: Url, scopes: Vec<String>, service: Option<&str>, login: Option<&Login>) -> Self {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        let Some(Login::Identity(token)) = login else {
            pairs.extend(scopes.into_iter().map(|scope| ("scope", scope)));
            pairs.extend(service.map(|service| ("service", service.to_owned())));
            if let Some(Login::Password { user, .. }) = login {
                pairs.push(("account", user.clone()));
            }
            url.query_pairs_mut().extend_pairs(&pairs);
            return Self { method: Method::GET, url, form: Bytes::new() };
        };
        pairs.extend(service.map(|service| ("service", service.to_owned())));
        // The form's scopes are one value.
        pairs.push(("scope", scopes.join(" ")));
        pairs.push(("grant_type", "refresh_token".to_owned()));
        pairs.push(("client_id", "imk".to_owned()));
        pairs.push(("refresh_token", token.reveal().to_owned()));
        // A form is written as the query of an address.
        let mut encoded = url.clone();
        encoded.query_pairs_mut().clear().extend_pairs(&pairs);
        let form = Bytes::from(encoded.query().unwrap_or_default().to_owned());
        Self { method: Method::POST, url, form }
    }
}

/// The scopes that we need, and those that the registry says we need, each once.
fn scopes(ask: &Ask<'_>, wanted: &Wanted<'_>) -> Vec<String> {
    let mut scopes = ask.scopes.clone();
    for scope in wanted.scope.unwrap_or_default().split_whitespace() {
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}
