//! Where a registry is: from the host in a name to the address that is asked.
//!
//! Knows docker's names and rules for hosts; asks nobody.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use reqwest::Url;

use crate::model::hub::{HUB_SERVER, is_hub};

/// An address that answers for a registry: its own, or that of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// Ends with `/`; `v2/…` comes behind it.
    pub url: Url,
    /// `r.example:5000`, under which logins and certificates are kept.
    pub host: String,
    /// May speak plain HTTP and show any certificate.
    pub lenient: bool,
    /// Answers in another's place, so its word counts less.
    pub mirror: bool,
}

impl Base {
    /// A registry's own address, over `https` or `http`.
    pub(super) fn of(host: &str, scheme: &str, insecure: &BTreeSet<String>) -> Result<Self, String> {
        let place = if is_hub(host) { HUB_SERVER } else { host };
        let url = Url::parse(&format!("{scheme}://{place}/")).map_err(|error| error.to_string())?;
        Ok(Self { url, host: host.to_owned(), lenient: is_lenient(host, insecure), mirror: false })
    }

    /// A mirror's address, as the user wrote it.
    pub(super) fn mirror(address: &str, insecure: &BTreeSet<String>) -> Result<Self, String> {
        let address = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let mut url = Url::parse(&address).map_err(|error| error.to_string())?;
        let host = authority(&url).filter(|_| matches!(url.scheme(), "http" | "https"));
        let host = host.ok_or("it is neither https:// nor http:// with a host")?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let lenient = is_lenient(&host, insecure);
        Ok(Self { url, host, lenient, mirror: true })
    }

    /// The address of something in a repository: `manifests/latest`, `blobs/uploads/`.
    pub(super) fn of_repository(&self, repository: &str, rest: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}v2/{repository}/{rest}", self.url.path()));
        url
    }

    /// The address that every registry has.
    pub(super) fn ping_url(&self) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}v2/", self.url.path()));
        url
    }

    /// Whether an address belongs to the same server, so that it may see our passes.
    pub(super) fn is_home_of(&self, url: &Url) -> bool {
        url.origin() == self.url.origin()
    }
}

/// `host` or `host:port` of an address.
pub(super) fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// This machine itself, or listed. Docker's rule for `127.0.0.0/8`, and for the names of it.
pub(super) fn is_lenient(host: &str, insecure: &BTreeSet<String>) -> bool {
    insecure.contains(host) || is_loopback(host)
}

/// Whether nobody on the way can read along: TLS, or this machine itself.
pub(super) fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || url.host_str().is_some_and(is_loopback)
}

/// Whether a host is this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #[test]
    fn nobody_reads_along_over_tls_or_on_this_machine() {
        let private = |text: &str| super::is_private(&super::Url::parse(text).unwrap());
        assert!(
            private("https://r.example/") && private("http://127.0.0.1:5000/") && private("http://[::1]:1/")
        );
        assert!(
            !private("http://r.example/")
                && !private("http://10.0.0.1/")
                && !private("http://127.0.0.1.nip.io/")
        );
    }

    use super::*;

    #[test]
    fn the_hub_answers_elsewhere() {
        let base = Base::of("docker.io", "https", &BTreeSet::new()).unwrap();
        let url = base.of_repository("library/alpine", "manifests/3.20");
        assert_eq!(url.as_str(), "https://registry-1.docker.io/v2/library/alpine/manifests/3.20");
        assert_eq!((base.host.as_str(), base.lenient), ("docker.io", false));
    }

    #[test]
    fn this_machine_and_listed_hosts_may_speak_plainly() {
        let listed = BTreeSet::from(["r.example:5000".to_owned()]);
        let yes = [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "a.localhost:1",
            "r.example:5000",
        ];
        for host in yes {
            assert!(is_lenient(host, &listed), "{host}");
        }
        for host in
            ["docker.io", "r.example", "128.0.0.1", "[::2]:5000", "localhost.example", "127.0.0.1.example"]
        {
            assert!(!is_lenient(host, &listed), "{host}");
        }
    }

    #[test]
    fn a_mirror_may_have_a_path() {
        let mirror = |address: &str| Base::mirror(address, &BTreeSet::new());
        let base = mirror("https://m.example:8443/hub").unwrap();
        let url = base.of_repository("library/alpine", "tags/list");
        assert_eq!(url.as_str(), "https://m.example:8443/hub/v2/library/alpine/tags/list");
        assert_eq!(base.host, "m.example:8443");
        assert_eq!(mirror("m.example").unwrap().url.as_str(), "https://m.example/");
        assert!(mirror("ftp://m.example").is_err());
    }

    #[test]
    fn another_port_is_another_home() {
        let base = Base::of("r.example", "https", &BTreeSet::new()).unwrap();
        assert!(base.is_home_of(&Url::parse("https://r.example:443/x").unwrap()));
        assert!(!base.is_home_of(&Url::parse("https://r.example:444/x").unwrap()));
        assert!(!base.is_home_of(&Url::parse("http://r.example/x").unwrap()));
    }
}
