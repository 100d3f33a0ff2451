//! Faults between us and a server, and whether asking again may help.
//!
//! Turns errors of the libraries into sentences without addresses: those hold
//! signatures and upload tokens. Knows nothing of registries.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;

use crate::model::error_chain::error_chain;

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The cause.
    pub why: String,
    /// Whether the next try may go better.
    pub passing: bool,
    /// Whether there was not even a connection.
    pub no_connection: bool,
}

impl Fault {
    /// Trouble that the next try would meet again: a host that is away, an answer that is none.
    pub(super) fn wrong(why: String) -> Self {
        Self { why, passing: false, no_connection: false }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        let no_connection = error.is_connect();
        let error = error.without_url();
        if let Some(tls) = find::<rustls::Error>(&error) {
            return Self { why: tls_trouble(tls), passing: false, no_connection };
        }
        if no_connection && error.is_dns() {
            return Self { why: "its name is unknown here".into(), passing: false, no_connection };
        }
        if find::<io::Error>(&error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return Self { why: "nobody listens at its address".into(), passing: false, no_connection };
        }
        if no_connection && error.is_timeout() {
            return Self { why: "no connection in time".into(), passing: true, no_connection };
        }
        Self { why: error_chain(&error), passing: !error.is_redirect(), no_connection }
    }
}

/// The first cause of a kind. An `io::Error` hides what it was made of.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref::<E>() {
        return Some(found);
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = inner.and_then(|inner| find::<E>(inner));
    inner.or_else(|| find::<E>(error.source()?))
}

fn tls_trouble(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "an authority that is unknown here signed its certificate; put that authority's as ca.crt into the registry's folder below /etc/docker/certs.d".into()
        }
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired".into()
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS; if that is meant so, list it as insecure".into(),
        other => format!("no TLS: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_inside_of_others() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(tls.clone()));
        assert_eq!(find::<rustls::Error>(&wrapped), Some(&tls));
        assert!(tls_trouble(&tls).contains("certs.d"));
        assert_eq!(find::<rustls::Error>(&io::Error::other("no")), None);
    }
}
