//! Commands and notices around a publication: run and sent with its facts, and told when they fail.
//!
//! A value of a secret stands in no error. Knows nothing of tags and registries' logs, and decides nothing: what
//! fails here undoes no publication.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::containers::api::{Limit, Output};
use crate::containers::suite::host::{Host, Repository};
use crate::engine::Cancel;
use crate::registry::Registry;
use crate::syntax::on_publish::{Notice, filled};

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(15 * 60);
/// The shell that reads a line.
const SHELL: &str = "/bin/sh";
/// Shorter values blot out too much.
const SHORTEST_SECRET: usize = 4;

/// The facts of a publication, by the names that commands and texts know them by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `publishing`, `published` or `failed`.
    pub result: &'static str,
    /// `publish` or `rollback`.
    pub kind: &'static str,
    /// The id of the release.
    pub release: String,
    /// The commit.
    pub commit: String,
    /// The images.
    pub images: Vec<String>,
    /// The tags that are moved, in full.
    pub tags: Vec<String>,
    /// All of it in a sentence.
    pub message: String,
}

impl Facts {
    /// As variables.
    pub fn variables(&self) -> Vec<(String, String)> {
        [
            ("IMK_RESULT", self.result.to_owned()),
            ("IMK_KIND", self.kind.to_owned()),
            ("IMK_RELEASE", self.release.clone()),
            ("IMK_COMMIT", self.commit.clone()),
            ("IMK_IMAGES", self.images.join(" ")),
            ("IMK_TAGS", self.tags.join(" ")),
            ("IMK_MESSAGE", self.message.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// As the body of a notice that has none of its own.
    fn document(&self) -> String {
        json!({
            "result": self.result, "kind": self.kind, "release": self.release, "commit": self.commit,
            "images": self.images, "tags": self.tags, "message": self.message,
        })
        .to_string()
    }
}

/// Runs a line in a shell, in the repository's folder, with the facts in its environment.
///
/// # Errors
/// A sentence, with the end of what it printed, when it ends with another status than 0 or takes too long.
pub fn command(root: &Path, line: &str, facts: &Facts, cancel: &Cancel) -> Result<Output, String> {
    let limit = Limit { until: Instant::now() + COMMAND, cancel: cancel.clone() };
    // Whoever wants hooks has said so.
    let host = Repository { root: root.to_owned(), variable: |_| None, is_strangers: false };
    let output = host.run(SHELL, &["-c".to_owned(), line.to_owned()], &facts.variables(), &limit)?;
    match output.status {
        0 => Ok(output),
        status => Err(format!(
            "it ended with status {status}\n{}",
            crate::containers::suite::captured::tail(&output)
        )),
    }
}

/// Sends a notice. `variable` is the environment.
///
/// # Errors
/// A sentence that holds no value of a secret.
pub fn send(
    registry: &dyn Registry,
    notice: &Notice,
    facts: &Facts,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let mut secrets = BTreeMap::new();
    for name in &notice.secrets {
        let value = variable(name).filter(|value| !value.is_empty());
        secrets.insert(name.clone(), value.ok_or_else(|| format!("the variable {name} is not set"))?);
    }
    sent(registry, notice, facts, &secrets).map_err(|why| blotted(&why, &secrets))
}

fn sent(
    registry: &dyn Registry,
    notice: &Notice,
    facts: &Facts,
    secrets: &BTreeMap<String, String>,
) -> Result<(), String> {
    let variables: BTreeMap<String, String> = facts.variables().into_iter().collect();
    let with = |text: &str, form: fn(&str) -> String| {
        let value = |name: &str| match secrets.get(name) {
            Some(secret) => Some(secret.clone()),
            None => variables.get(name).map(|value| form(value)),
        };
        filled(text, value).map_err(|name| format!("there is no fact `${name}`"))
    };
    let url = with(&notice.url, in_url)?;
    if !secrets.is_empty() && !is_private(&url) {
        return Err("its address is plain http, and it bears a secret: write https".into());
    }
    let (body, kind) = match (&notice.body, notice.slack) {
        (_, true) => (json!({ "text": facts.message }).to_string(), "application/json"),
        (None, false) => (facts.document(), "application/json"),
        (Some(body), false) if body.trim_start().starts_with(['{', '[']) => {
            (with(body, in_json)?, "application/json")
        }
        (Some(body), false) => (with(body, in_url)?, "application/x-www-form-urlencoded"),
    };
    let mut headers = BTreeMap::from([("content-type".to_owned(), kind.to_owned())]);
    for (name, text) in &notice.headers {
        headers.insert(name.to_lowercase(), with(text, one_line)?);
    }
    match registry.post(&url, &headers, body.into_bytes()) {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(format!("the server says {status}")),
        Err(why) => Err(why.to_string()),
    }
}

/// Whether nobody on the way reads it.
fn is_private(url: &str) -> bool {
    let host = |url: &str| {
        let rest = url.strip_prefix("http://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit('@').next()?;
        Some(host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned())
    };
    url.starts_with("https://")
        || host(url).is_some_and(|host| matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]"))
}

fn in_json(value: &str) -> String {
    let quoted = json!(value).to_string();
    quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
}

fn in_url(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn one_line(value: &str) -> String {
    value.replace(char::is_control, " ")
}

fn blotted(text: &str, secrets: &BTreeMap<String, String>) -> String {
    // An address that is a secret is told by its parts as well.
    let parts = secrets.values().flat_map(|value| {
        let rest = value.split_once("://").map(|(_, rest)| rest);
        let path = rest.and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
        [Some(value.as_str()), rest, path].into_iter().flatten()
    });
    let long = parts.filter(|value| value.len() >= SHORTEST_SECRET);
    long.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::fake::{FakeFault, FakeRegistry};

    fn facts() -> Facts {
        Facts {
            result: "published",
            kind: "publish",
            release: "20261126T150211Z-0a1b2c3d".into(),
            images: vec!["api".into(), "web".into()],
            tags: vec!["r.example/web:latest".into()],
            message: "say \"hi\" & go".into(),
            ..Facts::default()
        }
    }

    fn environment(name: &str) -> Option<String> {
        Some(match name {
            "HOOK" => "https://hooks.example/services/T0/B0/s3cr3t".into(),
            "TOKEN" => "t0ken".into(),
            _ => return None,
        })
    }

    fn notice(url: &str) -> Notice {
        Notice { url: url.into(), secrets: vec!["HOOK".into(), "TOKEN".into()], ..Notice::default() }
    }

    /// The one message that was sent: address, headers, body.
    fn message(notice: &Notice) -> (String, String, String) {
        let registry = FakeRegistry::new();
        send(&registry, notice, &facts(), &environment).unwrap();
        let [(url, headers, body)] = registry.posted().try_into().unwrap();
        let headers: Vec<String> =
            headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        (url, headers.join("; "), String::from_utf8(body).unwrap())
    }

    #[test]
    fn slack_gets_a_text() {
        let (url, headers, body) = message(&Notice { slack: true, ..notice("$HOOK") });
        assert_eq!(url, "https://hooks.example/services/T0/B0/s3cr3t");
        assert_eq!(headers, "content-type: application/json");
        assert_eq!(body, r#"{"text":"say \"hi\" & go"}"#);
    }

    #[test]
    fn values_stand_in_a_body_as_its_form_wants_them() {
        let body = |text: &str| {
            let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer $TOKEN".to_owned())]);
            message(&Notice { body: Some(text.into()), headers, ..notice("https://ci.example/$IMK_KIND") })
        };
        let (url, headers, json) = body(r#"{"m": "$IMK_MESSAGE", "i": "${IMK_IMAGES}"}"#);
        assert_eq!(url, "https://ci.example/publish");
        assert_eq!(headers, "authorization: Bearer t0ken; content-type: application/json");
        assert_eq!(json, r#"{"m": "say \"hi\" & go", "i": "api web"}"#);
        let (_, headers, form) = body("token=$TOKEN&variables[M]=$IMK_MESSAGE");
        assert!(headers.ends_with("content-type: application/x-www-form-urlencoded"), "{headers}");
        assert_eq!(form, "token=t0ken&variables[M]=say%20%22hi%22%20%26%20go");
        let (_, _, whole) = message(&notice("https://x.example/"));
        assert!(whole.contains("\"tags\":[\"r.example/web:latest\"]"), "{whole}");
    }

    #[test]
    fn an_error_tells_no_secret() {
        let registry = FakeRegistry::new();
        registry.fail(
            "hooks.example",
            FakeFault::Refused("no s3cr3t and no https://hooks.example/services/T0/B0/s3cr3t".into()),
        );
        let why = send(&registry, &notice("$HOOK"), &facts(), &environment).unwrap_err();
        assert!(!why.contains("services"), "{why}");
        let plain = send(&registry, &notice("http://x.example/$TOKEN"), &facts(), &environment).unwrap_err();
        assert!(plain.contains("write https"), "{plain}");
        let unset = Notice { secrets: vec!["NONE".into()], ..notice("$HOOK") };
        let why = send(&registry, &unset, &facts(), &environment).unwrap_err();
        assert_eq!(why, "the variable NONE is not set");
        for local in ["http://127.0.0.1:80/x", "http://localhost/x"] {
            assert!(is_private(local) && !is_private("http://localhost.evil.example/"), "{local}");
        }
    }
}
