//! Answers that the specifications of images and of their distribution allow, and those that proxies change.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::*;
use crate::registry::document::DOCKER_LIST;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Documents by their digest, and the one that has the tag `1`; told as these types.
fn serve(tagged: Vec<u8>, others: Vec<Vec<u8>>, media_type: &'static str) -> Server {
    Server::start(move |seen, _| {
        let wanted = seen.target.rsplit('/').next().unwrap_or_default();
        let mut all = others.iter().chain([&tagged]);
        let found_there = match wanted {
            "1" => Some(&tagged),
            digest => all.find(|bytes| digest::of(bytes) == digest),
        };
        found_there.map_or_else(unknown, |bytes| found(bytes, media_type))
    })
}

fn entry(bytes: &[u8], more: Value) -> Value {
    let mut entry = json!({"mediaType": MANIFEST, "digest": digest::of(bytes), "size": bytes.len()});
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

fn image_for(architecture: &str) -> (Vec<u8>, Vec<u8>) {
    let config = json!({"os": "linux", "architecture": architecture, "rootfs": {}}).to_string().into_bytes();
    let image = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest::of(&config), "size": config.len()},
        "layers": [],
    });
    (image.to_string().into_bytes(), config)
}

#[test]
fn an_entry_of_an_index_without_a_platform_is_for_whom_its_configuration_says() {
    let ((amd, amd_config), (arm, arm_config)) = (image_for("amd64"), image_for("arm64"));
    let nothing = json!({});
    let empty = json!({"platform": {"os": "", "architecture": ""}});
    for more in [nothing, empty, json!({"platform": null})] {
        let index = json!({"schemaVersion": 2, "manifests": [entry(&amd, more.clone()), entry(&arm, more)]});
        let index = index.to_string().into_bytes();
        let others = vec![amd.clone(), arm.clone(), amd_config.clone(), arm_config.clone()];
        let server = serve(index, others, "application/json");
        for (architecture, image) in [("amd64", &amd), ("arm64", &arm)] {
            let found = registry().platform(&at(&server, "app:1"), &format!("linux/{architecture}"));
            assert_eq!(found.unwrap().unwrap().digest, digest::of(image));
        }
        let error = registry().platform(&at(&server, "app:1"), "linux/s390x").unwrap_err().to_string();
        assert!(error.contains("it names no platforms"), "{error}");
    }
}

#[test]
fn an_index_may_hold_indexes_and_one_that_holds_itself_ends() {
    let amd = manifest("amd");
    let platform = json!({"platform": {"os": "linux", "architecture": "amd64"}});
    for (inner_type, media_type) in [(INDEX, INDEX), (DOCKER_LIST, DOCKER_LIST), ("", "text/plain")] {
        let inner = json!({"schemaVersion": 2, "manifests": [entry(&amd, platform.clone())]});
        let inner = inner.to_string().into_bytes();
        let outer = json!({"schemaVersion": 2, "manifests": [
            {"mediaType": inner_type, "digest": digest::of(&inner), "size": inner.len()}
        ]});
        let server = serve(outer.to_string().into_bytes(), vec![inner, amd.clone()], media_type);
        let found = registry().platform(&at(&server, "app:1"), "linux/amd64").unwrap().unwrap();
        assert_eq!(found.digest, digest::of(&amd));
    }
}

#[test]
fn a_document_that_says_no_type_is_what_it_holds() {
    let plain = br#"{"schemaVersion":2,"config":{"digest":"sha256:c"},"layers":[]}"#.to_vec();
    let list = br#"{"schemaVersion":2,"manifests":[{"digest":"sha256:c"}]}"#.to_vec();
    for told in ["application/json", "application/octet-stream", "text/plain; charset=utf-8", ""] {
        for (document, kind) in [(&plain, MANIFEST), (&list, INDEX)] {
            let server = serve(document.clone(), Vec::new(), told);
            let head = registry().head(&at(&server, "app:1")).unwrap().unwrap();
            assert_eq!((head.media_type.as_str(), head.size), (kind, document.len() as u64), "{told:?}");
        }
    }
}

#[test]
fn what_a_proxy_packed_is_unpacked() {
    let config = br#"{"os":"linux","architecture":"amd64"}"#.to_vec();
    let kept = config.clone();
    let server = Server::start(move |seen, _| {
        let bytes = if seen.target.contains("/blobs/") { kept.clone() } else { manifest("a") };
        let digest = digest::of(&bytes);
        reply(200, gzip(&bytes))
            .with("content-type", MANIFEST)
            .with("content-encoding", "gzip")
            .with("docker-content-digest", digest)
    });
    let name = at(&server, "app:1");
    assert_eq!(registry().manifest(&name).unwrap().unwrap().bytes, manifest("a"));
    assert_eq!(registry().head(&name).unwrap().unwrap().size, manifest("a").len() as u64);
    assert_eq!(registry().blob(&name, &digest::of(&config)).unwrap(), config);
    let mut written = Vec::new();
    registry().download(&name, &digest::of(&config), &mut written).unwrap();
    assert_eq!(written, config);
}

#[test]
fn a_packed_answer_beyond_all_measure_or_cut_off_is_an_error() {
    let big = gzip(&vec![b' '; read::MANIFEST + 1]);
    let server = Server::start(move |seen, _| match seen.target.contains("/big/") {
        true => reply(200, &big).with("content-encoding", "gzip"),
        false => {
            let packed = gzip(&manifest("a"));
            reply(200, &packed[..packed.len() - 9]).with("content-encoding", "gzip")
        }
    });
    let text = registry().manifest(&at(&server, "big:1")).unwrap_err().to_string();
    assert!(text.contains("longer than"), "{text}");
    assert!(registry().manifest(&at(&server, "cut:1")).is_err());
}

#[test]
fn links_to_further_pages_may_have_commas_and_another_scheme() {
    let server = Server::start(|seen, _| {
        let host = seen.header("host").to_owned();
        match seen.target.as_str() {
            "/v2/app/tags/list?n=1000" => reply(200, r#"{"tags":["a"]}"#)
                .with("link", r#"</v2/app/tags/list?last=a,b&n=1>; rel="next""#),
            "/v2/app/tags/list?last=a,b&n=1" => reply(200, r#"{"tags":["b"]}"#)
                .with("link", format!(r#"<https://{host}/v2/app/tags/list?last=c>; rel="next""#)),
            "/v2/app/tags/list?last=c" => reply(200, r#"{"tags":["c"]}"#)
                .with("link", r#"<http://elsewhere.example/v2/app/tags/list?last=d>; rel="next""#),
            _ => reply(404, ""),
        }
    });
    assert_eq!(registry().tags(&at(&server, "app")).unwrap(), ["a", "b", "c"]);
}

/// The state of a file whose server says this of it, before and after its content changed.
fn states(headers: &[(&'static str, &'static str)]) -> (Option<String>, Option<String>) {
    let headers = headers.to_vec();
    let server = Server::start(move |seen, _| {
        let body = if seen.target == "/new" { "new" } else { "old" };
        headers.iter().fold(reply(200, body), |reply, (name, value)| reply.with(name, *value))
    });
    let state = |path: &str| registry().web(&format!("http://{}{path}", server.host())).unwrap();
    (state("/old"), state("/new"))
}

#[test]
fn only_a_strong_validator_stands_for_a_file() {
    let date = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    for weak in
        [vec![], vec![date], vec![date, ("etag", "W/\"1\"")], vec![("etag", "1")], vec![("etag", "\"\"")]]
    {
        let (old, new) = states(&weak);
        assert!(old.is_some() && old != new, "{weak:?}: {old:?}");
    }
    let (old, new) = states(&[date, ("etag", "\"1\"")]);
    assert_eq!((old.as_deref(), new.as_deref()), (Some("etag \"1\""), Some("etag \"1\"")));
}

#[test]
fn a_file_that_is_not_there_is_absent_and_one_that_a_server_refuses_is_not() {
    let server = Server::start(|seen, _| match (seen.method.as_str(), seen.target.as_str()) {
        (_, "/gone") => reply(410, ""),
        (_, "/none") | ("HEAD", "/get-only") => reply(404, ""),
        (_, "/get-only") => reply(200, "x"),
        _ => reply(403, ""),
    });
    let state = |path: &str| registry().web(&format!("http://{}{path}", server.host()));
    assert_eq!((state("/gone").unwrap(), state("/none").unwrap()), (None, None));
    assert!(state("/get-only").unwrap().is_some(), "a server that knows no HEAD");
    assert!(matches!(state("/closed").unwrap_err(), RegistryError::Refused { .. }));
}
