//! The real side against a server whose answers a test writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::server::{Reply, Seen, Server, reply, reset};
use super::*;
use crate::patience::Patience;
use crate::registry::document::{self, INDEX, MANIFEST};
use crate::registry::{Retry, Stop, by_digest, digest};
use crate::state::folder::StateFolder;
use crate::syntax::reference;

mod auth;
mod mirrors;
mod optional;
mod writing;

/// Waits that no test notices.
fn quick() -> Options {
    Options {
        retry: Retry { tries: 4, first: Duration::from_millis(1), longest: Duration::from_millis(20) },
        certificates: "/nonexistent".into(),
        credentials: crate::credentials::Credentials {
            config_folder: Some("/nonexistent".into()),
            ..Default::default()
        },
        ..Options::default()
    }
}

fn registry() -> OciRegistry {
    OciRegistry::new(quick())
}

/// A name at a server: `app:1`.
fn at(server: &Server, name: &str) -> Reference {
    reference::parse(&format!("{}/{name}", server.host())).unwrap()
}

/// A manifest without layers; the text makes it different from others.
fn manifest(text: &str) -> Vec<u8> {
    format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":[],"annotations":{{"text":"{text}"}}}}"#)
        .into()
}

/// The answer with a document.
fn found(bytes: &[u8], media_type: &str) -> Reply {
    reply(200, bytes).with("content-type", media_type).with("docker-content-digest", digest::of(bytes))
}

fn unknown() -> Reply {
    reply(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
}

#[test]
fn a_tag_is_asked_about_without_fetching_it() {
    let server = Server::start(|_, _| found(&manifest("a"), MANIFEST));
    let head = registry().head(&at(&server, "app:1")).unwrap().unwrap();
    let bytes = manifest("a");
    assert_eq!(
        head,
        Descriptor { media_type: MANIFEST.into(), digest: digest::of(&bytes), size: bytes.len() as u64 }
    );
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"]);
    assert!(server.seen()[0].header("accept").contains(INDEX));
}

#[test]
fn a_missing_tag_is_none_and_a_missing_page_is_an_error() {
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/v2/app/manifests/page" => reply(404, "<html>nginx</html>"),
        _ => unknown(),
    });
    let registry = registry();
    assert_eq!(registry.head(&at(&server, "app:1")), Ok(None));
    assert_eq!(registry.manifest(&at(&server, "app:1")), Ok(None));
    let error = registry.manifest(&at(&server, "app:page")).unwrap_err();
    assert!(matches!(error, RegistryError::Refused { .. }), "{error:?}");
    assert_eq!(server.lines().len(), 3, "what is not there is not asked for again");
}

#[test]
fn a_registry_that_says_too_little_to_head_is_asked_for_the_whole() {
    let server = Server::start(|seen, _| match seen.method.as_str() {
        "HEAD" => reply(200, ""),
        _ => reply(200, manifest("a")).with("content-type", format!("{MANIFEST}; charset=utf-8")),
    });
    let head = registry().head(&at(&server, "app:1")).unwrap().unwrap();
    assert_eq!((head.media_type.as_str(), head.digest), (MANIFEST, digest::of(&manifest("a"))));
}

#[test]
fn a_server_in_trouble_is_asked_again_and_not_for_ever() {
    let server = Server::start(|seen, before| match (seen.target.as_str(), before) {
        ("/v2/soon/manifests/1", 3) => found(&manifest("a"), MANIFEST),
        ("/v2/soon/manifests/1", 0) => reset(),
        _ => reply(503, "<html>busy</html>"),
    });
    assert!(registry().head(&at(&server, "soon:1")).unwrap().is_some());
    let error = registry().head(&at(&server, "never:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    assert_eq!(server.count("HEAD /v2/never/"), 4);
}

#[test]
fn half_an_answer_is_no_answer() {
    let server = Server::start(|seen, before| match (seen.target.as_str(), before) {
        ("/v2/app/manifests/1", 0) | ("/v2/app/manifests/2", _) => found(&manifest("a"), MANIFEST).half(),
        _ => found(&manifest("a"), MANIFEST),
    });
    assert_eq!(registry().manifest(&at(&server, "app:1")).unwrap().unwrap().bytes, manifest("a"));
    let error = registry().manifest(&at(&server, "app:2")).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
}

#[test]
fn an_answer_that_does_not_come_is_an_error_with_the_name_in_it() {
    let server = Server::start(|_, _| found(&manifest("a"), MANIFEST).late(Duration::from_secs(60)));
    let mut options = quick();
    options.patience = Patience::new(Duration::from_millis(500), |_| {});
    options.retry.tries = 2;
    let text = OciRegistry::new(options).head(&at(&server, "team/app:1")).unwrap_err().to_string();
    assert!(
        text.contains(&server.host()) && text.contains("`team/app`") && text.contains("no answer"),
        "{text}"
    );
}

#[test]
fn nobody_there_is_told_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let name = reference::parse(&format!("{nobody}/app")).unwrap();
    let error = registry().head(&name).unwrap_err();
    assert!(error.to_string().contains("nobody listens"), "{error}");
}

#[test]
fn a_wait_that_is_asked_for_is_waited() {
    let server = Server::start(|_, before| match before {
        0 => reply(429, "slow down").with("retry-after", "1"),
        _ => found(&manifest("a"), MANIFEST),
    });
    let mut options = quick();
    options.retry.longest = Duration::from_secs(2);
    let start = Instant::now();
    assert!(OciRegistry::new(options).head(&at(&server, "app:1")).unwrap().is_some());
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_wait_that_is_too_long_is_told_instead() {
    let server = Server::start(|_, _| reply(429, "slow down").with("retry-after", "900"));
    let error = registry().head(&at(&server, "app:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Throttled { wait: Some(900), .. }), "{error:?}");
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn too_many_requests_without_a_time_end_after_some_tries() {
    let server = Server::start(|_, _| reply(429, ""));
    let error = registry().head(&at(&server, "app:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Throttled { wait: None, .. }), "{error:?}");
    assert_eq!(server.lines().len(), 4);
}

#[test]
fn another_document_than_the_one_asked_for_is_corrupt() {
    let server = Server::start(|_, _| found(&manifest("other"), MANIFEST));
    let wanted = by_digest(&at(&server, "app"), &digest::of(&manifest("a")));
    let corrupt = |error: RegistryError| assert!(matches!(error, RegistryError::Corrupt { .. }), "{error:?}");
    corrupt(registry().head(&wanted).unwrap_err());
    corrupt(registry().manifest(&wanted).unwrap_err());
    corrupt(registry().blob(&wanted, &digest::of(b"a")).unwrap_err());
}

#[test]
fn a_claimed_digest_that_is_not_that_of_the_bytes_is_corrupt() {
    let server = Server::start(|_, _| {
        reply(200, manifest("a"))
            .with("docker-content-digest", digest::of(b"else"))
            .with("content-type", MANIFEST)
    });
    let error = registry().manifest(&at(&server, "app:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_manifest_beyond_all_measure_is_not_taken_in() {
    let server = Server::start(|_, _| found(&vec![b' '; read::MANIFEST + 1], MANIFEST));
    let text = registry().manifest(&at(&server, "app:1")).unwrap_err().to_string();
    assert!(text.contains("longer than"), "{text}");
}

/// An index of two platforms.
fn index() -> Vec<u8> {
    let entry = |text: &str, architecture: &str| {
        let bytes = manifest(text);
        serde_json::json!({
            "mediaType": MANIFEST, "digest": digest::of(&bytes), "size": bytes.len(),
            "platform": { "os": "linux", "architecture": architecture },
        })
    };
    document::index(&[entry("amd", "amd64"), entry("arm", "arm64")])
}

#[test]
fn an_index_is_fetched_once_in_its_life() {
    let server = Server::start(|_, _| found(&index(), INDEX));
    let folder = tempfile::tempdir().unwrap();
    let mut options = quick();
    options.cache_folder = Some(StateFolder::at(folder.path()));
    let registry = OciRegistry::new(options.clone());
    let name = at(&server, "app:1");
    let arm = registry.platform(&name, "linux/arm64").unwrap().unwrap();
    assert_eq!(arm.digest, digest::of(&manifest("arm")));
    assert_eq!(
        registry.platform(&name, "linux/amd64").unwrap().unwrap().digest,
        digest::of(&manifest("amd"))
    );
    let other = OciRegistry::new(options);
    assert_eq!(other.platform(&name, "linux/arm64").unwrap(), Some(arm));
    assert_eq!((server.count("HEAD"), server.count("GET")), (3, 1));
    let text = other.platform(&name, "linux/s390x").unwrap_err().to_string();
    assert!(text.contains("it has linux/amd64, linux/arm64"), "{text}");
}

#[test]
fn a_single_manifest_is_its_own_platform() {
    let server = Server::start(|_, _| found(&manifest("a"), MANIFEST));
    let found = registry().platform(&at(&server, "app:1"), "linux/s390x").unwrap().unwrap();
    assert_eq!(found.digest, digest::of(&manifest("a")));
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"]);
}

#[test]
fn a_wait_ends_when_somebody_asks_to_stop() {
    let asked = Arc::new(AtomicBool::new(false));
    let (set, look) = (Arc::clone(&asked), Arc::clone(&asked));
    let server = Server::start(move |_, _| {
        set.store(true, Ordering::SeqCst);
        reply(200, "").late(Duration::from_secs(3600))
    });
    let mut options = quick();
    options.stop = Stop::when(move || look.load(Ordering::SeqCst));
    let registry = OciRegistry::new(options);
    assert_eq!(registry.head(&at(&server, "app:1")), Err(RegistryError::Interrupted));
    assert_eq!(registry.head(&at(&server, "app:1")), Err(RegistryError::Interrupted));
    assert_eq!(server.lines().len(), 1, "once stopped, nothing is asked");
}

#[test]
fn many_threads_ask_at_once() {
    let server = Server::start(|seen, _| match seen.target.contains("/app3/") {
        true => unknown(),
        false => found(&manifest(&seen.target), MANIFEST),
    });
    let registry = registry();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (registry, server) = (&registry, &server);
            scope.spawn(move || {
                let name = at(server, &format!("app{number}:1"));
                assert_eq!(registry.head(&name).unwrap().is_some(), number != 3);
            });
        }
    });
    assert_eq!(server.count("HEAD"), 16);
}

#[test]
fn tags_are_gathered_over_all_pages() {
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/v2/app/tags/list?n=1000" => reply(200, r#"{"name":"app","tags":["b","a"]}"#)
            .with("link", r#"</v2/app/tags/list?last=b&n=2>; rel="next""#),
        "/v2/app/tags/list?last=b&n=2" => reply(200, r#"{"name":"app","tags":["c"]}"#),
        "/v2/empty/tags/list?n=1000" => reply(200, r#"{"name":"empty","tags":null}"#),
        "/v2/round/tags/list?n=1000" => {
            reply(200, r#"{"tags":["a"]}"#).with("link", r#"<?n=1000>; rel="next""#)
        }
        _ => reply(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
    });
    let registry = registry();
    assert_eq!(registry.tags(&at(&server, "app")).unwrap(), ["a", "b", "c"]);
    assert_eq!(registry.tags(&at(&server, "empty")).unwrap(), [""; 0]);
    assert_eq!(registry.tags(&at(&server, "none")).unwrap(), [""; 0]);
    let error = registry.tags(&at(&server, "round")).unwrap_err();
    assert!(matches!(error, RegistryError::Corrupt { .. }), "{error:?}");
}
