//! The address of a service: where it listens, and by which certificate it is known there.
//!
//! A service writes it into its folder when it listens, so that whoever has the folder finds it: also behind a socket that was handed
//! over, or at a port that the system chose. It stays when the service ends, for a socket may outlive it.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::net::IpAddr;
use std::path::Path;

use fs_err as fs;
use reqwest::Url;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// The name of its file.
const FILE: &str = "address";

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// It speaks TLS.
    pub tls: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// SHA-256 of the certificate that the service shows, in hexadecimal digits; of one elsewhere none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

impl Address {
    /// The address that somebody typed: `https://HOST[:PORT]`.
    ///
    /// # Errors
    /// A sentence, when it is none, or one at which the token could be overheard.
    pub fn typed(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(format!("`{text}`: a service speaks http or https, not `{other}`")),
        };
        if url.path() != "/"
            || url.query().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(format!("`{text}`: only scheme, host and port are meant here"));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if !tls && !is_loopback(&host) {
            return Err(format!(
                "`{text}` is plain http to another machine, and the token goes with each question: write https"
            ));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        Ok(Self { tls, host, port, certificate: None })
    }

    /// The address at which a service of this machine listens: `HOST:PORT`, as `--listen` has it. One that means all of the machine's
    /// is asked at loopback.
    pub fn listened(listen: &str, tls: bool, certificate: Option<String>) -> Option<Self> {
        let (host, port) = listen.rsplit_once(':')?;
        let host = match host.trim_matches(['[', ']']) {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            other => other,
        };
        Some(Self { tls, host: host.to_owned(), port: port.parse().ok()?, certificate })
    }

    /// The address of the service that has a folder; none where none has listened yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(state: &Path) -> io::Result<Option<Self>> {
        match fs::read(state.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it into a service's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, state: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(state)?;
        serde_json::to_writer(&mut file, self).map_err(io::Error::other)?;
        file.flush()?;
        file.persist(state.join(FILE)).map(drop).map_err(|error| error.error)
    }

    /// Host and port, as a `Host` header has them.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

/// SHA-256 of a certificate, in hexadecimal digits.
pub fn fingerprint(certificate: &[u8]) -> String {
    hex::encode(digest(&SHA256, certificate))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_typed_found_and_shown() {
        let shown = |text: &str| Address::typed(text).map(|address| address.to_string());
        assert_eq!(shown("https://imk.example.com").unwrap(), "https://imk.example.com:443");
        assert_eq!(shown("http://127.0.0.1:8737/").unwrap(), "http://127.0.0.1:8737");
        assert_eq!(shown("http://[::1]:8737").unwrap(), "http://[::1]:8737");
        for (bad, why) in [
            ("127.0.0.1:8737", "is no address"),
            ("ftp://imk.example.com", "not `ftp`"),
            ("https://imk.example.com/imk", "only scheme"),
            ("https://me:secret@imk.example.com", "only scheme"),
            ("http://imk.example.com", "write https"),
            ("http://127.0.0.1.example.com", "write https"),
        ] {
            assert!(shown(bad).unwrap_err().contains(why), "{bad}: {:?}", shown(bad));
        }
        let listened = |text: &str| Address::listened(text, true, None).map(|address| address.to_string());
        assert_eq!(listened("0.0.0.0:443").unwrap(), "https://127.0.0.1:443");
        assert_eq!(listened("[::]:443").unwrap(), "https://[::1]:443");
        assert_eq!(listened("systemd"), None);
    }

    #[test]
    fn whoever_has_the_folder_finds_the_service() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Address::read(folder.path()).unwrap(), None);
        let address = Address::listened("127.0.0.1:1", true, Some("ab".into())).unwrap();
        address.write(folder.path()).unwrap();
        assert_eq!(Address::read(folder.path()).unwrap(), Some(address));
    }
}
