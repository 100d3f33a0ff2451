//! Requests to Podman, and refusals.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use super::*;
use crate::engine::{Caches, ContextFiles, SecretValue};
use crate::model::file::{FileKind, UsedFile, UsedFiles};
use crate::model::hash::ContentHash;

struct Listed(UsedFiles);

impl ContextFiles for Listed {
    fn list(&self) -> &UsedFiles {
        &self.0
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn Read + Send>, String> {
        Err(format!("`{}` is not opened here", file.path))
    }
}

fn request(dockerfile: &str, files: &[&str]) -> BuildRequest {
    let file = |path: &&str| UsedFile {
        counts: true,
        path: (*path).to_owned(),
        kind: FileKind::File,
        mode: 0o644,
        size_bytes: 0,
        mtime_ns: 0,
        hash: ContentHash::of(b""),
        target: String::new(),
    };
    let files = UsedFiles { files: files.iter().map(file).collect() };
    BuildRequest {
        layouts: BTreeMap::new(),
        image: "web".into(),
        dockerfile: dockerfile.into(),
        target: None,
        args: BTreeMap::new(),
        labels: BTreeMap::new(),
        platform: None,
        network: None,
        secrets: BTreeMap::new(),
        ssh: BTreeMap::new(),
        sandbox: Default::default(),
        no_cache_stages: Vec::new(),
        entitlements: Default::default(),
        no_cache: false,
        share: String::new(),
        cache: Caches::default(),
        repository: None,
        files: Arc::new(Listed(files)),
        contexts: Default::default(),
    }
}

/// A request of nothing special.
pub(in crate::engine) fn plain() -> BuildRequest {
    request("FROM scratch\n", &[])
}

fn refusal(version: &str, dockerfile: &str) -> String {
    Podman::of(version).refusal(&request(dockerfile, &[])).unwrap_or_default()
}

#[test]
fn a_podman_that_cannot_read_a_text_in_a_dockerfile_says_so_with_the_line() {
    for text in ["FROM scratch\nRUN <<EOF\ntrue\nEOF\n", "FROM scratch\nCOPY <<EOF /x\nx\nEOF\n"] {
        let old = refusal("4.3.1", text);
        assert!(old.contains("<<EOF") && old.contains("(line 2)") && old.contains("4.8"), "{old}");
        assert_eq!(refusal("5.8.6", text), "");
    }
}

#[test]
fn each_thing_that_podman_would_do_otherwise_is_refused_by_name() {
    for (version, text, name) in [
        ("5.8.6", "FROM scratch\nCOPY --exclude=*.md . /\n", "--exclude"),
        ("4.3.1", "FROM scratch\nADD https://git.example/x.git /x\n", "git"),
        ("5.8.6", "FROM scratch\nRUN --security=insecure true\n", "--security"),
        ("5.8.6", "# syntax=example.org/own:1\nFROM scratch\n", "# syntax=example.org/own:1"),
    ] {
        assert!(refusal(version, text).contains(name), "{text}: {}", refusal(version, text));
    }
    let usual = "# syntax=docker/dockerfile:1\nFROM scratch\nCOPY --link a /\nRUN --mount=type=cache,target=/c true\n";
    assert_eq!(refusal("5.8.6", usual), "");
}

#[test]
fn what_a_request_asks_beside_its_dockerfile_is_refused_by_name_too() {
    let podman = Podman::of("5.8.6");
    let plain = || request("FROM scratch\nCOPY a /\n", &["a"]);
    let secret = BTreeMap::from([("s".to_owned(), SecretValue(b"x".to_vec()))]);
    let inline = Caches { inline: true, ..Caches::default() };
    for (asked, name) in [
        (BuildRequest { secrets: secret, ..plain() }, "secrets"),
        (BuildRequest { cache: inline, ..plain() }, "cache"),
        (BuildRequest { network: Some("mine".into()), ..plain() }, "`mine`"),
        (request("FROM scratch\nCOPY . /\n", &[IGNORE]), IGNORE),
    ] {
        let why = podman.refusal(&asked).unwrap_or_default();
        assert!(why.contains(name), "{name}: {why}");
    }
    assert_eq!(podman.refusal(&plain()), None);
}

#[test]
fn no_network_is_asked_for_in_podmans_own_word() {
    let asked = |network: &str| {
        let request = BuildRequest { network: Some(network.into()), ..request("FROM scratch\n", &[]) };
        Podman::of("5.8.6").query(&request).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(asked("none"), ["layers", "outputformat", "networkmode"]);
    assert_eq!(asked("host"), ["layers", "outputformat", "nsoptions"]);
}

#[test]
fn an_old_podman_forgets_its_cache_where_files_are_mounted() {
    let forgets = |version: &str, text: &str| {
        let query = Podman::of(version).query(&request(text, &[]));
        query.iter().any(|(key, _)| *key == "nocache")
    };
    for mounted in ["target=/s", "type=bind,source=s,target=/s", "from=b,target=/s"] {
        let text = format!("FROM scratch\nRUN --mount={mounted} true\n");
        assert!(forgets("4.3.1", &text), "{text}");
        assert!(!forgets("5.8.6", &text), "{text}");
    }
    assert!(!forgets("4.3.1", "FROM scratch\nRUN --mount=type=cache,target=/c true\n"));
}

#[test]
fn exact_bases_are_found_wherever_they_stand() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let text = format!(
        "FROM r.example/a@{digest} AS a\nCOPY --from=r.example/b@{digest} /x /\nRUN --mount=from=r.example/c@{digest} true\nFROM a\nFROM scratch\n"
    );
    let names: Vec<String> = exact_bases(&text).into_iter().collect();
    assert_eq!(names, ["a", "b", "c"].map(|name| format!("r.example/{name}@{digest}")));
}
