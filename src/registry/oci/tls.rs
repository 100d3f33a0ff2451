//! HTTP clients, and whom they trust.
//!
//! The system's authorities (`SSL_CERT_FILE` replaces them), those docker is
//! told of in `/etc/docker/certs.d/HOST/*.crt`, and for lenient hosts anybody.
//! Knows nothing of registries. The provider is named here and never
//! installed for the process, where two of them would make rustls panic.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Client, Url, redirect};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::rustls;

use super::base::is_loopback;
use crate::model::error_chain::error_chain;
use crate::registry::options::Options;

/// Files for one host, as docker keeps them in its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// `*.crt`: authorities.
    pub authorities: Vec<PathBuf>,
    /// `x.cert` with its `x.key`: what we show.
    pub ours: Option<(PathBuf, PathBuf)>,
}

/// How a client gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By the proxy that the environment names, if it names one.
    Proxy,
    /// Without one: no proxy knows the way to this machine's own ports.
    Direct,
}

/// The rule for redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// Goes there; a header with a login stays behind at another host, a body does not.
    Follow,
    /// Stays: its body is for the server that was asked and for no other.
    Refuse,
}

impl Files {
    /// The files for a host (`r.example:5000`); none without its folder.
    pub(super) fn of(folder: &Path, host: &str) -> Self {
        let Ok(entries) = fs_err::read_dir(folder.join(host)) else { return Self::default() };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let ends = |path: &PathBuf, with: &str| path.extension().is_some_and(|extension| extension == with);
        let pair = |path: &PathBuf| {
            Some((path.clone(), path.with_extension("key"))).filter(|(_, key)| key.is_file())
        };
        Self {
            authorities: paths.iter().filter(|path| ends(path, "crt")).cloned().collect(),
            ours: paths.iter().filter(|path| ends(path, "cert")).find_map(pair),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The system's authorities. Takes milliseconds, so it is done once and late.
pub(super) fn system_authorities() -> RootCertStore {
    let mut store = RootCertStore::empty();
    // A machine may have none and still reach a registry whose authority is in its folder.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

/// A client that trusts these authorities and those in the files.
pub(super) fn client(
    options: &Options,
    system: &RootCertStore,
    files: &Files,
    (way, redirects): (Way, Redirects),
) -> Result<Client, String> {
    let mut store = system.clone();
    for file in &files.authorities {
        for certificate in certificates(file)? {
            store.add(certificate).map_err(|error| format!("`{}`: {error}", file.display()))?;
        }
    }
    let builder = builder()?.with_root_certificates(store);
    let config = match &files.ours {
        None => builder.with_no_client_auth(),
        Some((ours, key)) => {
            let bytes = read(key)?;
            let bad = |error: &dyn std::fmt::Display| format!("`{}`: {error}", key.display());
            let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| bad(&error))?;
            builder.with_client_auth_cert(certificates(ours)?, key).map_err(|error| bad(&error))?
        }
    };
    finish(options, config, way, redirects)
}

/// A client that takes any certificate.
pub(super) fn lenient_client(
    options: &Options,
    (way, redirects): (Way, Redirects),
) -> Result<Client, String> {
    let verifier = Arc::new(Anybody(ring::default_provider()));
    let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    finish(options, config, way, redirects)
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// Why a redirect is not followed, if so: `before` are the addresses so far.
fn wrong_way(before: &[Url], next: &Url) -> Option<&'static str> {
    let first = before.first()?;
    let here = |url: &Url| url.host_str().is_some_and(is_loopback);
    match () {
        () if before.len() > 10 => Some("it sends us round in circles"),
        () if first.scheme() == "https" && next.scheme() != "https" => {
            Some("it sends us from https to plain http")
        }
        // What listens here listens to this machine's own, and no stranger may speak through us.
        () if here(next) && !here(first) => Some("it sends us from elsewhere to this machine itself"),
        () => None,
    }
}

fn finish(
    options: &Options,
    mut config: ClientConfig,
    way: Way,
    redirects: Redirects,
) -> Result<Client, String> {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let follow = redirect::Policy::custom(|attempt| match wrong_way(attempt.previous(), attempt.url()) {
        Some(why) => attempt.error(why),
        None => attempt.follow(),
    });
    let builder = match way {
        Way::Proxy => Client::builder(),
        Way::Direct => Client::builder().no_proxy(),
    };
    builder
        .tls_backend_preconfigured(config)
        .redirect(match redirects {
            Redirects::Follow => follow,
            Redirects::Refuse => redirect::Policy::none(),
        })
        // An address may hold a token in its query, which is not for where a redirect leads.
        .referer(false)
        .connect_timeout(options.connect_timeout)
        .user_agent(concat!("imk/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error_chain(&error))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs_err::read(file).map_err(|error| error.to_string())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    found.map_err(|error| format!("`{}` holds no certificate: {error}", file.display()))
}

/// Checks that whoever answers has the key of the certificate shown, and not whose it is.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_sends_us_neither_to_this_machine_nor_to_plain_http() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let way = |from: &str, to: &str| wrong_way(&[url(from)], &url(to));
        for (from, to) in [
            ("https://r.example/v2/a/blobs/x", "https://cdn.example/x"),
            ("http://r.example/x", "https://r.example/x"),
            ("http://127.0.0.1:5000/x", "http://localhost:5001/x"),
            ("http://localhost/x", "http://cdn.example/x"),
        ] {
            assert_eq!(way(from, to), None, "{from} {to}");
        }
        for (from, to) in [
            ("https://r.example/x", "http://r.example/x"),
            ("http://r.example/x", "http://127.0.0.1:2375/containers/json"),
            ("https://r.example/x", "https://[::1]/x"),
            ("http://r.example/x", "http://LOCALHOST:80/x"),
        ] {
            assert!(way(from, to).is_some(), "{from} {to}");
        }
        assert!(wrong_way(&vec![url("http://r.example/"); 11], &url("http://r.example/")).is_some());
    }

    #[test]
    fn dockers_folder_of_a_host_is_read_as_docker_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("r.example:5000");
        fs_err::create_dir(&host).unwrap();
        for name in ["ca.crt", "b.crt", "client.cert", "client.key", "lonely.cert", "readme"] {
            fs_err::write(host.join(name), "").unwrap();
        }
        let files = Files::of(folder.path(), "r.example:5000");
        assert_eq!(files.authorities, [host.join("b.crt"), host.join("ca.crt")]);
        assert_eq!(files.ours, Some((host.join("client.cert"), host.join("client.key"))));
        assert!(Files::of(folder.path(), "r.example").is_empty());
    }

    #[test]
    fn a_broken_authority_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        fs_err::write(&file, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        let files = Files { authorities: vec![file], ours: None };
        let text =
            client(&Options::default(), &RootCertStore::empty(), &files, (Way::Proxy, Redirects::Follow))
                .unwrap_err();
        assert!(text.contains("ca.crt"), "{text}");
    }

    #[test]
    fn clients_are_made_without_a_provider_for_the_process() {
        client(
            &Options::default(),
            &RootCertStore::empty(),
            &Files::default(),
            (Way::Proxy, Redirects::Follow),
        )
        .unwrap();
        lenient_client(&Options::default(), (Way::Direct, Redirects::Follow)).unwrap();
    }
}
