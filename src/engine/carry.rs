//! Images that travel between an engine and a registry: push and pull.
//!
//! The engine does the work: it sends only layers the registry lacks, mounts
//! what another repository has, and tries again what broke off. We speak to it
//! without bollard, whose login header uses an alphabet that engines do not read,
//! and which drops the digest of what was pushed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::sending::Traffic;
use super::session::{message_of, query_string, supervise};
use super::transport::{self, Link, Reply};
use super::{Cancel, EngineError};
use crate::credentials::{Credentials, Login};
use crate::model::error_chain::error_chain;
use crate::model::hub::{HUB_LOGIN, is_hub};
use crate::syntax::reference::{self, Reference};

/// Pushes what bears this tag and answers with the digest of its manifest, where the engine tells it.
pub(super) async fn push(
    link: Link<'_>,
    podman: bool,
    credentials: &Credentials,
    name: &str,
    cancel: &Cancel,
) -> Result<Option<String>, EngineError> {
    let what = format!("pushing `{name}`");
    let (name, tag) = parts(name, &what)?;
    let mut query = vec![("tag", tag)];
    query.extend(plain_http(podman, &name));
    let path = format!("/images/{}/push?{}", name.name(), query_string(&query));
    Ok(travel(link, credentials, &name, &path, &what, cancel).await?.digest)
}

/// Pulls a name by its tag or digest. `false` when its registry has no such image.
pub(super) async fn pull(
    link: Link<'_>,
    podman: bool,
    credentials: &Credentials,
    name: &str,
    cancel: &Cancel,
) -> Result<bool, EngineError> {
    let what = format!("pulling `{name}`");
    let (name, tag) = parts(name, &what)?;
    let path = match podman {
        false => format!("/images/create?{}", query_string(&[("fromImage", name.name()), ("tag", tag)])),
        // Only in its own way of asking it can be told of a registry without TLS.
        true => {
            let by = if name.digest.is_some() { '@' } else { ':' };
            let mut query = vec![("reference", format!("{}{by}{tag}", name.name()))];
            query.extend(plain_http(podman, &name));
            format!("/v4.0.0/libpod/images/pull?{}", query_string(&query))
        }
    };
    match travel(link, credentials, &name, &path, &what, cancel).await {
        Ok(_) => Ok(true),
        Err(EngineError::Refused { why, .. }) if is_absence(&why) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Docker takes a registry on its own machine without TLS; Podman has to be told.
fn plain_http(podman: bool, name: &Reference) -> Option<(&'static str, String)> {
    (podman && name.is_on_this_machine()).then(|| ("tlsVerify", "false".to_owned()))
}

/// The engine hands on what the registry said. Only these words mean that there is no such image:
/// a repository that one may not see is "denied" on the Hub, which is no absence.
fn is_absence(why: &str) -> bool {
    let why = why.to_lowercase();
    ["manifest unknown", "name unknown", "not found: manifest"].iter().any(|word| why.contains(word))
        || (why.contains("manifest for") && why.contains("not found"))
        || (why.contains("repository name not known"))
}

fn parts(name: &str, what: &str) -> Result<(Reference, String), EngineError> {
    let name = reference::parse(name).map_err(|why| refused(what, why))?;
    let tag = name.digest.clone().or_else(|| name.tag.clone()).unwrap_or_default();
    Ok((name, tag))
}

fn refused(what: &str, why: String) -> EngineError {
    EngineError::Refused { what: what.to_owned(), why }
}

/// The end of a stream of the engine's.
#[derive(Default)]
struct End {
    digest: Option<String>,
    error: Option<String>,
}

async fn travel(
    link: Link<'_>,
    credentials: &Credentials,
    name: &Reference,
    path: &str,
    what: &str,
    cancel: &Cancel,
) -> Result<End, EngineError> {
    let mut tries = 0;
    loop {
        let login =
            login_header(credentials, &name.registry, tries).await.map_err(|why| refused(what, why))?;
        let traffic = Traffic::default();
        let work = once(link.endpoint, &login.header, path, what, &traffic);
        let end = supervise(link, work, &traffic, &|_| {}, cancel).await?;
        match end.error {
            None => return Ok(end),
            // A helper that printed an expired token prints a new one when it is asked again.
            Some(why) if login.more && is_refusal(&why) => tries += 1,
            Some(why) => return Err(refused(what, transport::explain_text(&why))),
        }
    }
}

fn is_refusal(why: &str) -> bool {
    let why = why.to_lowercase();
    ["unauthorized", "denied", "authentication", "no basic auth", "expired"]
        .iter()
        .any(|word| why.contains(word))
}

async fn once(
    endpoint: &Endpoint,
    login: &str,
    path: &str,
    what: &str,
    traffic: &Traffic,
) -> Result<End, EngineError> {
    let post = Request::post(path)
        .header("x-registry-auth", login)
        .body(Empty::<Bytes>::new())
        .map_err(|error| refused(what, error.to_string()))?;
    let Reply { response, connection: _connection } = transport::send(endpoint, post).await?;
    let status = response.status();
    let mut body = response.into_body();
    if status != StatusCode::OK {
        let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        return Ok(End { error: Some(message_of(&bytes)), ..End::default() });
    }
    let (mut end, mut line) = (End::default(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| transport::unreachable(endpoint, error_chain(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        traffic.heard();
        for &byte in data {
            if byte == b'\n' {
                read(&line, &mut end);
                line.clear();
            } else {
                line.push(byte);
            }
        }
    }
    read(&line, &mut end);
    Ok(end)
}

/// One line of the answer. Errors come inside a stream that began with 200.
fn read(line: &[u8], end: &mut End) {
    let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
    if let Some(error) = line["errorDetail"]["message"].as_str().or_else(|| line["error"].as_str()) {
        end.error = Some(error.to_owned());
    }
    let told = line["aux"]["Digest"].as_str().or_else(|| line["status"].as_str().and_then(digest_of));
    if let Some(digest) = told {
        end.digest = Some(digest.to_owned());
    }
}

/// The digest in `TAG: digest: sha256:… size: N`. An engine with the containerd image store (seen on Docker
/// 28.5 and 29.7) says it in this line alone; the older store has an object beside it.
fn digest_of(status: &str) -> Option<&str> {
    let (_, rest) = status.split_once("digest: ")?;
    let digest = rest.split_whitespace().next()?;
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
}

/// The header `X-Registry-Auth`, and whether another try could carry another one.
struct LoginHeader {
    header: String,
    more: bool,
}

/// A login as the engine's API takes it; an empty one is none.
#[derive(Default, Serialize)]
struct AuthConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identitytoken: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serveraddress: Option<&'a str>,
}

async fn login_header(credentials: &Credentials, host: &str, refused: usize) -> Result<LoginHeader, String> {
    let (credentials, host) = (credentials.clone(), host.to_owned());
    // A helper is a program; it may take its time.
    let asked = tokio::task::spawn_blocking(move || {
        let found = credentials.login(&host, refused)?;
        let more = found.is_some();
        let server = if is_hub(&host) { HUB_LOGIN.to_owned() } else { host };
        let login = found.map(|found| found.login);
        let login = match &login {
            None => AuthConfig::default(),
            Some(Login::Password { user, password }) => AuthConfig {
                username: Some(user),
                password: Some(password.reveal()),
                serveraddress: Some(&server),
                ..AuthConfig::default()
            },
            Some(Login::Identity(token)) => AuthConfig {
                identitytoken: Some(token.reveal()),
                serveraddress: Some(&server),
                ..AuthConfig::default()
            },
        };
        let login = serde_json::to_vec(&login).map_err(|error| error.to_string())?;
        Ok(LoginHeader { header: URL_SAFE.encode(login), more })
    });
    asked.await.map_err(|_| "the search for a login broke off".to_owned())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_image_is_an_absence() {
        for absent in [
            "manifest for localhost:5000/x@sha256:1 not found: manifest unknown: manifest unknown",
            "name unknown: repository name not known to registry",
        ] {
            assert!(is_absence(absent), "{absent}");
        }
        for trouble in [
            "pull access denied for x, repository does not exist or may require 'docker login'",
            "Get \"http://localhost:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
            "toomanyrequests: You have reached your pull rate limit",
            "received unexpected HTTP status: 503 Service Unavailable",
        ] {
            assert!(!is_absence(trouble), "{trouble}");
        }
    }

    #[test]
    fn the_digest_and_the_error_are_found_among_the_lines() {
        let mut end = End::default();
        read(br#"{"progressDetail":{},"aux":{"Tag":"1","Digest":"sha256:aa","Size":5}}"#, &mut end);
        read(br#"{"errorDetail":{"message":"denied"},"error":"denied"}"#, &mut end);
        read(b"not json", &mut end);
        assert_eq!((end.digest.as_deref(), end.error.as_deref()), (Some("sha256:aa"), Some("denied")));
    }

    #[test]
    fn a_push_out_of_the_containerd_store_tells_its_digest_in_words_alone() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let mut end = End::default();
        read(br#"{"status":"Pushing","id":"0a0a"}"#, &mut end);
        read(format!(r#"{{"status":"1.2: digest: {digest} size: 525"}}"#).as_bytes(), &mut end);
        read(br#"{"status":"latest: digest: sha256:short size: 5"}"#, &mut end);
        assert_eq!(end.digest, Some(digest));
    }
}
