//! The socket that a server listens at: bound, or handed over by systemd; and its certificate.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::cli::failure::Failure;
use crate::service::address::fingerprint;
use crate::service::logins::Logins;
use crate::service::run::bind;
use crate::source::outside;
use crate::syntax::serve::Tls;

/// The first descriptor that is handed over, by systemd's protocol.
const FIRST: i32 = 3;

/// The socket for a `listen` of the settings.
///
/// # Errors
/// When it cannot be had, and what to do then.
pub fn listener(listen: &str) -> Result<TcpListener, Failure> {
    if listen != "systemd" {
        let hint = "`listen` in serve.ron or --listen names another address";
        return bind(listen).map_err(|why| Failure::with_hint(why, hint));
    }
    handed_over().map_err(|why| {
        Failure::with_hint(
            format!("no socket was handed over: {why}"),
            "`listen: \"systemd\"` is for a unit with a socket unit beside it: docs/serve.md",
        )
    })
}

fn handed_over() -> Result<TcpListener, String> {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let is_ours = variable("LISTEN_PID").is_none_or(|id| id == std::process::id());
    match variable("LISTEN_FDS") {
        Some(1) if is_ours => {}
        Some(_) if !is_ours => return Err("LISTEN_PID is another process".into()),
        Some(other) => return Err(format!("one is expected, and {other} were")),
        None => return Err("LISTEN_FDS is not set".into()),
    }
    // A number is made a descriptor of ours by asking the kernel for it, as one may of any process of one's own.
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| error.to_string())?;
    let socket: OwnedFd =
        pidfd_getfd(own, FIRST, PidfdGetfdFlags::empty()).map_err(|error| error.to_string())?;
    Ok(TcpListener::from(socket))
}

/// TLS as a service speaks it.
pub struct Secured {
    /// Accepts connections.
    pub acceptor: TlsAcceptor,
    /// SHA-256 of the certificate that is shown.
    pub certificate: String,
}

/// TLS by a certificate and its key.
///
/// # Errors
/// When a file cannot be read, or certificate and key are none, or not of each other.
pub fn tls(tls: &Tls, logins: &Logins) -> Result<Secured, Failure> {
    let read = |path: &std::path::Path| {
        let path = logins.root.join(path);
        outside::read(&path)
            .map_err(|error| Failure::error(format!("cannot read `{}`: {}", path.display(), error.why)))
    };
    let wrong = |path: &std::path::Path, why: &dyn std::fmt::Display| {
        let message = format!("`{}` cannot be used for TLS: {why}", path.display());
        Failure::with_hint(message, "both files are PEM, and the key is that of the first certificate")
    };
    let chain = read(&tls.certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|error| wrong(&tls.certificate, &error))?;
    let Some(first) = chain.first() else {
        return Err(wrong(&tls.certificate, &"no certificate is in it"));
    };
    let certificate = fingerprint(first);
    let key = PrivateKeyDer::from_pem_slice(&read(&tls.key)?).map_err(|error| wrong(&tls.key, &error))?;
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&tls.certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&tls.certificate, &error))?;
    Ok(Secured { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
}
