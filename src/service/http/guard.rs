//! The guard before every route: whose name the request calls, and how long it may take.
//!
//! A page elsewhere can have a browser call a service on loopback by a name that leads there (DNS rebinding); such a name is
//! not one of ours. Addresses in digits cannot be made to lead elsewhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::syntax::serve::Settings;

/// The guard's rules.
pub(super) struct Guard {
    hosts: Vec<String>,
    time: Duration,
}

impl Guard {
    /// By the settings.
    pub fn new(settings: &Settings, time: Duration) -> Self {
        let public = settings.public_url.as_deref().and_then(|url| url.split("://").nth(1));
        let public = public.map(|rest| host(rest.split('/').next().unwrap_or_default()));
        let hosts = settings.hosts.iter().map(|name| name.to_ascii_lowercase());
        Self { hosts: hosts.chain(public).chain(["localhost".into()]).collect(), time }
    }

    /// Whether a `Host` is a name of this service.
    pub fn admits(&self, authority: &str) -> bool {
        let host = host(authority);
        let digits = host.trim_start_matches('[').trim_end_matches(']');
        digits.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
    }
}

/// The host of `HOST[:PORT]`, in small letters and without a dot at its end.
fn host(authority: &str) -> String {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Hands a request on, if it may pass and for as long as it may take.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let named = named.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    if !named.is_some_and(|name| guard.admits(name)) {
        let why = "this service does not go by that name: set `public_url` or `hosts` in serve.ron\n";
        return (StatusCode::MISDIRECTED_REQUEST, why).into_response();
    }
    match tokio::time::timeout(guard.time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "it took too long\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_goes_by_its_own_names_and_by_addresses() {
        let settings = Settings {
            public_url: Some("https://imk.example.com/x".into()),
            hosts: vec!["ci.lan".into()],
            ..Settings::default()
        };
        let guard = Guard::new(&settings, Duration::ZERO);
        for good in [
            "imk.example.com",
            "IMK.example.com.:443",
            "ci.lan:8737",
            "localhost",
            "127.0.0.1:1",
            "[::1]:8737",
            "10.0.0.7",
        ] {
            assert!(guard.admits(good), "{good}");
        }
        for bad in [
            "",
            "evil.example.com",
            "imk.example.com.evil.org",
            "127.0.0.1.evil.org",
            "localhost.evil.org:8737",
        ] {
            assert!(!guard.admits(bad), "{bad}");
        }
    }
}
