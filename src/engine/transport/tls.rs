//! TLS with an engine: whom we trust, and what says who we are.
//!
//! Reads the files that an endpoint names; connects to nothing.

use std::io;
use std::sync::Once;

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::engine::endpoint::Tls;

/// Chooses rustls's cryptography once for the process. Trap: bollard brings
/// ring and a registry client may bring aws-lc; with both in one program and
/// none chosen, the first TLS connection panics.
fn choose_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails when somebody chose before us, which is as good.
        let _ = crypto::ring::default_provider().install_default();
    });
}

pub(super) fn config(tls: &Tls) -> io::Result<ClientConfig> {
    choose_cryptography();
    let unreadable = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |error: tokio_rustls::rustls::pki_types::pem::Error| {
            io::Error::other(format!("cannot use `{path}`: {error}"))
        }
    };
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable(path))? {
                roots.add(certificate.map_err(unreadable(path))?).map_err(io::Error::other)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert)
                .map_err(unreadable(cert))?
                .collect::<Result<Vec<_>, _>>()
                .map_err(unreadable(cert))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
            config.with_client_auth_cert(chain, key).map_err(io::Error::other)
        }
        _ => Ok(config.with_no_client_auth()),
    }
}
