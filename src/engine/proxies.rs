//! Proxies of docker's configuration: its client hands them to every build, and so does imk.
//!
//! `proxies` of `config.json` has a set for an engine's address, and a default. They reach the steps of a build as the
//! arguments that every builder knows without a declaration, and never count. Knows no engine.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::endpoint::{Address, Environment};

/// A set of proxies, as docker spells it.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Set {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    proxies: BTreeMap<String, Set>,
}

/// The arguments that docker's client would add to a build on this engine, in both spellings. A file that cannot be
/// read is told where it is asked for logins and contexts, and has no proxies.
pub(super) fn of(environment: &Environment, address: &Address) -> BTreeMap<String, String> {
    arguments(&environment.config().unwrap_or_default(), &address.to_string())
}

fn arguments(config: &[u8], address: &str) -> BTreeMap<String, String> {
    let config: Config = serde_json::from_slice(config).unwrap_or_default();
    let Some(set) = config.proxies.get(address).or_else(|| config.proxies.get("default")) else {
        return BTreeMap::new();
    };
    let values = [
        ("HTTP_PROXY", &set.http_proxy),
        ("HTTPS_PROXY", &set.https_proxy),
        ("NO_PROXY", &set.no_proxy),
        ("FTP_PROXY", &set.ftp_proxy),
        ("ALL_PROXY", &set.all_proxy),
    ];
    let given = values.into_iter().filter(|(_, value)| !value.is_empty());
    given
        .flat_map(|(name, value)| [name.to_owned(), name.to_lowercase()].map(|name| (name, value.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_has_its_own_proxies_or_the_default_ones() {
        let config = br#"{"auths": {}, "proxies": {
            "default": {"httpProxy": "http://p:1", "noProxy": "localhost"},
            "tcp://far:2375": {"httpsProxy": "http://q:2"}
        }}"#;
        let shown = |address: &str| {
            let found = arguments(config, address);
            found.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            shown("unix:///run/docker.sock"),
            "HTTP_PROXY=http://p:1 NO_PROXY=localhost http_proxy=http://p:1 no_proxy=localhost"
        );
        assert_eq!(shown("tcp://far:2375"), "HTTPS_PROXY=http://q:2 https_proxy=http://q:2");
        assert_eq!(arguments(b"", "x"), BTreeMap::new());
        assert_eq!(arguments(b"{", "x"), BTreeMap::new());
    }
}
