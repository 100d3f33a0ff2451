//! Names of images: what `FROM alpine` means in full.
//!
//! Follows `distribution/reference` (`ParseNormalizedNamed`, `TagNameOnly`). The
//! `oci-spec` crate was tried: it takes Unicode letters in tags, knows neither
//! IPv6 hosts nor hosts in capitals, and brings 30 crates. Asks no registry.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::hub::{HUB, OLD_HUB};

/// A name in full.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// `docker.io`, `localhost:5000`.
    pub registry: String,
    /// `library/alpine`.
    pub repository: String,
    /// `latest` where neither tag nor digest is given.
    pub tag: Option<String>,
    /// `sha256:…`
    pub digest: Option<String>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Reference {
    /// Without tag and digest: `docker.io/library/alpine`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Whether its registry is on the machine of whoever speaks to it: `localhost`, `127.0.0.1:5000`, `[::1]`.
    pub fn is_on_this_machine(&self) -> bool {
        let host = match self.registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => self.registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// As a person writes it: without `docker.io/library/` and without `:latest`.
    pub fn familiar(&self) -> String {
        let full = match (&self.tag, &self.digest) {
            (Some(tag), None) if tag == "latest" => self.name(),
            _ => self.to_string(),
        };
        let short = full.strip_prefix(HUB).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&full);
        match short.strip_prefix("library/") {
            Some(bare) if !bare.contains('/') => bare.to_owned(),
            _ => short.to_owned(),
        }
    }
}

/// Reads a name and completes it. The error is a sentence to show.
///
/// ```
/// use imk::syntax::reference::parse;
///
/// let alpine = parse("alpine")?;
/// assert_eq!(alpine.to_string(), "docker.io/library/alpine:latest");
/// assert_eq!(alpine.familiar(), "alpine");
/// // A name with a dot or a port begins with a registry, as docker reads it.
/// assert_eq!(parse("localhost:5000/team/api:1.0")?.registry, "localhost:5000");
/// assert!(parse("Team/API").is_err());
/// # Ok::<(), String>(())
/// ```
pub fn parse(name: &str) -> Result<Reference, String> {
    if name.is_empty() {
        return Err("the name of an image is empty".into());
    }
    if name.len() == 64 && name.bytes().all(|b| matches!(b, b'a'..=b'f' | b'0'..=b'9')) {
        return Err("64 hexadecimal digits are an id, not the name of an image".into());
    }
    let (registry, rest) = split_registry(name);
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (rest, None),
    };
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (rest, None),
    };
    let repository = match registry {
        HUB if !repository.contains('/') => format!("library/{repository}"),
        _ => repository.to_owned(),
    };
    if repository.to_lowercase() != repository {
        return Err("the name of an image must be in small letters".into());
    }
    let sound = is_host(registry)
        && repository.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && registry.len() + 1 + repository.len() <= 255;
    if !sound {
        return Err("this is not the name of an image".into());
    }
    if let Some(digest) = digest
        && !is_digest(digest)
    {
        return Err("the digest behind `@` is not well formed".into());
    }
    let tag = tag.or(if digest.is_none() { Some("latest") } else { None });
    Ok(Reference {
        registry: registry.to_owned(),
        repository,
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}

/// The same name in full, or the text as it is when it is no name.
pub fn normalized(name: &str) -> String {
    parse(name).map_or_else(|_| name.to_owned(), |reference| reference.to_string())
}

/// The name under which a named context is looked for (`dockerui.NamedContext`): as docker shortens the
/// reference. None for what is no name, and for `scratch` and `context`, which are never looked for.
pub fn context_name(name: &str) -> Option<String> {
    let never = ["scratch", "context"].iter().any(|word| name.eq_ignore_ascii_case(word));
    parse(name).ok().filter(|_| !never).map(|reference| reference.familiar())
}

/// `splitDockerDomain`: the first part is a host if it looks like one.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((HUB | OLD_HUB, rest)) => (HUB, rest),
        Some((host, rest))
            if host == "localhost" || host.contains(['.', ':']) || host.to_lowercase() != host =>
        {
            (host, rest)
        }
        _ => (HUB, name),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return !address.is_empty()
            && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    port.is_none_or(is_port)
        && name.split('.').all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Small letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_component(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    if !bytes.first().is_some_and(|b| alphanumeric(*b)) || !bytes.last().is_some_and(|b| alphanumeric(*b)) {
        return false;
    }
    part.split(|c: char| alphanumeric(c as u32 as u8) && c.is_ascii())
        .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Whether it is a digest as references have it: the name of a sum, and as many hexadecimal digits as that has.
pub(crate) fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'a'..=b'f' | b'0'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_on_this_machine_is_known_by_its_address() {
        for (name, here) in [
            ("localhost:5000/a", true),
            ("127.0.0.7/a", true),
            ("[::1]:5000/a", true),
            ("alpine", false),
            ("localhost.example/a", false),
            ("10.0.0.1:5000/a", false),
        ] {
            assert_eq!(parse(name).unwrap().is_on_this_machine(), here, "{name}");
        }
    }

    #[test]
    fn names_are_completed_as_docker_completes_them() {
        for (given, full, short) in [
            ("alpine", "docker.io/library/alpine:latest", "alpine"),
            ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
            ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine"),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest", "alpine"),
            ("library/alpine", "docker.io/library/alpine:latest", "alpine"),
            ("me/app", "docker.io/me/app:latest", "me/app"),
            ("localhost/app", "localhost/app:latest", "localhost/app"),
            ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
            ("ghcr.io/o/r:tag", "ghcr.io/o/r:tag", "ghcr.io/o/r:tag"),
            ("host:1/a/b/c", "host:1/a/b/c:latest", "host:1/a/b/c"),
            ("Foo/bar", "Foo/bar:latest", "Foo/bar"),
            ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app"),
            ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest", "a__b/c--d.e_f"),
            ("localhost", "docker.io/library/localhost:latest", "localhost"),
            ("0", "docker.io/library/0:latest", "0"),
        ] {
            let parsed = parse(given).unwrap_or_else(|error| panic!("{given}: {error}"));
            assert_eq!(parsed.to_string(), full, "{given}");
            assert_eq!(parsed.familiar(), short, "{given}");
            assert_eq!(parse(&parsed.to_string()), Ok(parsed.clone()), "{given}");
            assert_eq!(parse(&parsed.familiar()), Ok(parsed), "{given}");
        }
    }

    #[test]
    fn a_digest_makes_the_tag_unnecessary_but_keeps_one() {
        let hex = "a".repeat(64);
        assert_eq!(
            parse(&format!("a@sha256:{hex}")).map(|r| r.to_string()),
            Ok(format!("docker.io/library/a@sha256:{hex}"))
        );
        assert_eq!(
            parse(&format!("a:1@sha256:{hex}")).map(|r| r.to_string()),
            Ok(format!("docker.io/library/a:1@sha256:{hex}"))
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(256);
        let id = "0".repeat(64);
        for given in [
            "",
            "Alpine",
            "a/B",
            "a:",
            "a:é",
            "a:-x",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a//b",
            "a/",
            "/a",
            "a b",
            "a@sha256:12",
            "a@md5:00000000000000000000000000000000",
            "host:port/a",
            "[::1/a",
            "a:b:c",
            "sha256:x/é",
            &long,
            &id,
            "$X",
            "a@",
            "é",
        ] {
            assert!(parse(given).is_err(), "{given} was taken for a name");
        }
    }
}
