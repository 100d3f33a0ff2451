//! Uploads that break, copies that must be whole, and lists of attached documents.

use std::io::Cursor;

use parking_lot::Mutex;

use super::*;

/// Options with uploads in pieces of four bytes.
fn pieces() -> Options {
    Options { piece: 4, ..quick() }
}

/// The bytes that a registry keeps of one upload.
#[derive(Default)]
struct Store(Mutex<Vec<u8>>);

impl Store {
    /// Takes pieces as a registry does, in order only.
    fn answer(&self, seen: &Seen) -> Reply {
        let mut bytes = self.0.lock();
        match seen.method.as_str() {
            "POST" => {
                bytes.clear();
                reply(202, "").with("location", "/v2/app/blobs/uploads/u?state=x")
            }
            "PATCH" => {
                let start = seen.header("content-range").split('-').next().unwrap().parse::<usize>().unwrap();
                if start != bytes.len() {
                    return reply(416, "").with("location", "/v2/app/blobs/uploads/u");
                }
                bytes.extend(&seen.body);
                reply(202, "").with("location", "/v2/app/blobs/uploads/u")
            }
            "GET" => {
                let last = bytes.len().saturating_sub(1);
                reply(204, "").with("range", format!("0-{last}")).with("location", "/v2/app/blobs/uploads/u")
            }
            "PUT" => {
                bytes.extend(&seen.body);
                let digest = seen.target.split("digest=").nth(1).unwrap().replace("%3A", ":");
                if digest::is(&digest, &bytes) { reply(201, "") } else { reply(400, "digest invalid") }
            }
            _ => reply(404, ""),
        }
    }
}

fn upload(server: &Server, bytes: &[u8], options: Options) -> Result<(), RegistryError> {
    OciRegistry::new(options).upload(&at(server, "app"), &digest::of(bytes), &mut Cursor::new(bytes.to_vec()))
}

#[test]
fn a_small_blob_goes_in_one_piece() {
    let store = Store::default();
    let server = Server::start(move |seen, _| store.answer(seen));
    upload(&server, b"abc", quick()).unwrap();
    let digest = digest::of(b"abc").replace(':', "%3A");
    let expected = [
        "POST /v2/app/blobs/uploads/".to_owned(),
        format!("PUT /v2/app/blobs/uploads/u?state=x&digest={digest}"),
    ];
    assert_eq!(server.lines(), expected);
}

#[test]
fn a_large_blob_goes_piece_by_piece() {
    let store = Store::default();
    let server = Server::start(move |seen, _| store.answer(seen));
    upload(&server, b"abcdefghij", pieces()).unwrap();
    let ranges: Vec<String> = server
        .seen()
        .iter()
        .filter(|seen| seen.method == "PATCH")
        .map(|seen| seen.header("content-range").to_owned())
        .collect();
    assert_eq!(ranges, ["0-3", "4-7", "8-9"]);
}

#[test]
fn a_registry_may_want_larger_pieces() {
    let store = Store::default();
    let server = Server::start(move |seen, _| store.answer(seen).with("oci-chunk-min-length", "6"));
    upload(&server, b"abcdefghijklm", pieces()).unwrap();
    let ranges: Vec<String> = server
        .seen()
        .iter()
        .filter(|seen| seen.method == "PATCH")
        .map(|seen| seen.header("content-range").to_owned())
        .collect();
    assert_eq!(ranges, ["0-5", "6-11", "12-12"]);
}

#[test]
fn an_upload_goes_on_where_it_broke_off() {
    let store = Store::default();
    let server = Server::start(move |seen, _| {
        if seen.header("content-range") == "4-7" {
            // Two of four bytes arrive, and the answer does not.
            store.0.lock().extend(&seen.body[..2]);
            return reset();
        }
        store.answer(seen)
    });
    upload(&server, b"abcdefghij", pieces()).unwrap();
    let seen = server.seen();
    let bodies: Vec<&[u8]> =
        seen.iter().filter(|seen| seen.method == "PATCH").map(|seen| seen.body.as_slice()).collect();
    assert_eq!(bodies, [b"abcd".as_slice(), b"efgh", b"gh", b"ij"]);
    assert_eq!(server.count("POST"), 1);
}

#[test]
fn an_upload_that_was_forgotten_begins_anew() {
    let store = Store::default();
    let broken = AtomicBool::new(false);
    let server = Server::start(move |seen, _| {
        let first = seen.header("content-range") == "4-7" && !broken.swap(true, Ordering::SeqCst);
        if first { reply(404, "") } else { store.answer(seen) }
    });
    upload(&server, b"abcdefghij", pieces()).unwrap();
    assert_eq!((server.count("POST"), server.count("PATCH")), (2, 5));
}

#[test]
fn an_upload_whose_last_answer_was_lost_is_there() {
    let store = Store::default();
    let server = Server::start(move |seen, _| match seen.method.as_str() {
        "PUT" => {
            store.answer(seen);
            reset()
        }
        "HEAD" => reply(200, ""),
        _ => store.answer(seen),
    });
    upload(&server, b"abc", quick()).unwrap();
    assert_eq!(server.count("POST"), 1);
}

#[test]
fn a_registry_that_always_breaks_gets_no_manifest() {
    let bytes = document::image(
        &Descriptor { media_type: "config".into(), digest: digest::of(b"abc"), size: 3 },
        &[],
    );
    let source = Server::start(move |seen, _| match seen.target.contains("/blobs/") {
        true => reply(200, "abc"),
        false => found(&bytes, MANIFEST),
    });
    let target = Server::start(|seen, _| match seen.method.as_str() {
        "HEAD" => reply(404, ""),
        _ => reset(),
    });
    let error = registry().copy(&at(&source, "app:1"), &at(&target, "app:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    assert_eq!(target.count("PUT /v2/app/manifests/"), 0);
}

#[test]
fn a_blob_that_changes_on_the_way_is_not_finished() {
    let bytes = document::image(
        &Descriptor { media_type: "config".into(), digest: digest::of(b"abc"), size: 3 },
        &[],
    );
    let source = Server::start(move |seen, _| match seen.target.contains("/blobs/") {
        true => reply(200, "abd"),
        false => found(&bytes, MANIFEST),
    });
    let target = Server::start(|_, _| reply(404, ""));
    let error = registry().copy(&at(&source, "app:1"), &at(&target, "app:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Corrupt { .. }), "{error:?}");
    assert_eq!(target.count("PUT"), 0);
}

#[test]
fn a_tag_that_is_there_already_is_not_put_again() {
    let server = Server::start(|_, _| found(&manifest("a"), MANIFEST));
    let copied = registry().copy(&at(&server, "app:1"), &at(&server, "app:2")).unwrap();
    assert_eq!(copied.digest, digest::of(&manifest("a")));
    assert_eq!(server.lines(), ["GET /v2/app/manifests/1", "HEAD /v2/app/manifests/2"]);
}

#[test]
fn an_immutable_tag_that_stands_for_the_same_is_a_success() {
    let server = Server::start(|seen, _| match seen.method.as_str() {
        "PUT" => reply(400, r#"{"errors":[{"code":"TAG_INVALID","message":"tag invalid: immutable"}]}"#),
        _ => found(&manifest("a"), MANIFEST),
    });
    let name = at(&server, "app:1");
    registry().put_manifest(&name, &Manifest::new(MANIFEST, manifest("a"))).unwrap();
    let text =
        registry().put_manifest(&name, &Manifest::new(MANIFEST, manifest("b"))).unwrap_err().to_string();
    assert!(text.contains("refused putting `1` of `app`: tag invalid: immutable"), "{text}");
}

#[test]
fn a_blob_of_a_neighbour_is_taken_over_or_uploaded() {
    let server = Server::start(|seen, _| match seen.method.as_str() {
        "DELETE" => reply(204, ""),
        _ if seen.target.contains("from=good") => reply(201, ""),
        _ => reply(202, "").with("location", "/v2/app/blobs/uploads/u"),
    });
    let registry = registry();
    let mount =
        |from: &str| registry.mount(&at(&server, "app"), &digest::of(b"a"), &at(&server, from)).unwrap();
    assert!(mount("good"));
    assert!(!mount("other"));
    assert_eq!(server.lines().last().unwrap(), "DELETE /v2/app/blobs/uploads/u");
}

/// A registry for attached documents: keeps whatever is put, and says whether it knows subjects.
fn fake_registry(subjects: bool) -> Server {
    let kept: Mutex<std::collections::BTreeMap<String, Vec<u8>>> = Mutex::default();
    kept.lock().insert("/v2/app/manifests/1".into(), manifest("a"));
    Server::start(move |seen, _| {
        let mut kept = kept.lock();
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        match seen.method.as_str() {
            "POST" => reply(202, "").with("location", "/v2/app/blobs/uploads/u"),
            "PUT" if path.ends_with("/u") => {
                let digest = query.trim_start_matches("digest=").replace("%3A", ":");
                kept.insert(format!("/v2/app/blobs/{digest}"), seen.body.clone());
                reply(201, "")
            }
            "PUT" => {
                kept.insert(path.to_owned(), seen.body.clone());
                let answer = reply(201, "");
                if subjects { answer.with("oci-subject", "sha256:x") } else { answer }
            }
            _ if subjects && path.contains("/referrers/") => {
                let artifacts = kept.values().filter_map(|bytes| {
                    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
                    json.get("subject")?.get("digest")?.as_str().filter(|digest| path.ends_with(digest))?;
                    Some(serde_json::json!({
                        "mediaType": MANIFEST, "digest": digest::of(bytes), "size": bytes.len(),
                        "artifactType": json["artifactType"], "annotations": json["annotations"],
                    }))
                });
                let list: Vec<_> = artifacts.collect();
                reply(200, document::index(&list)).with("content-type", INDEX)
            }
            _ => match kept.get(path) {
                Some(bytes) => found(bytes, MANIFEST),
                None => reply(404, ""),
            },
        }
    })
}

fn attach_twice_and_look(server: &Server) {
    let registry = registry();
    let subject = by_digest(&at(server, "app"), &digest::of(&manifest("a")));
    registry.put_manifest(&subject, &Manifest::new(MANIFEST, manifest("a"))).unwrap();
    let dated = |date: &str| BTreeMap::from([(document::CREATED.to_owned(), date.to_owned())]);
    let attach = |kind: &str, date: &str, text: &[u8]| {
        registry.attach(&subject, kind, &dated(date), "text/plain", text).unwrap()
    };
    attach("a/b", "2024-01-02T00:00:00Z", b"newer");
    attach("a/b", "2024-01-01T00:00:00Z", b"older");
    attach("c/d", "2024-01-03T00:00:00Z", b"other");
    let again = attach("a/b", "2024-01-02T00:00:00Z", b"newer");
    assert!(again.starts_with("sha256:"));
    assert_eq!(registry.attached(&subject, "a/b").unwrap(), [b"newer".to_vec(), b"older".to_vec()]);
    assert_eq!(registry.attached(&subject, "e/f").unwrap(), [b""; 0]);
    let stranger = by_digest(&subject, &digest::of(b"stranger"));
    assert_eq!(registry.attached(&stranger, "a/b").unwrap(), [b""; 0]);
    let nothing = registry.attach(&stranger, "a/b", &BTreeMap::new(), "text/plain", b"x").unwrap_err();
    assert!(nothing.to_string().contains("there is no such manifest"), "{nothing}");
}

#[test]
fn documents_are_found_where_the_registry_lists_them() {
    let server = fake_registry(true);
    attach_twice_and_look(&server);
    assert_eq!(server.count("PUT /v2/app/manifests/sha256-"), 0);
}

#[test]
fn documents_are_found_where_we_keep_the_list() {
    let server = fake_registry(false);
    attach_twice_and_look(&server);
    assert_eq!(
        server.count("PUT /v2/app/manifests/sha256-"),
        3,
        "what is on the list is not put there again"
    );
}

#[test]
fn a_list_that_somebody_else_wrote_meanwhile_is_written_again() {
    let ours = Mutex::new(Vec::new());
    let theirs = document::index(&[serde_json::json!({"digest": "sha256:theirs", "note": "kept"})]);
    let server = Server::start(move |seen, before| {
        let mut list = ours.lock();
        match (seen.method.as_str(), seen.target.contains("/manifests/sha256-")) {
            ("PUT", true) => {
                // The first is overwritten at once.
                *list = if before == 0 { theirs.clone() } else { seen.body.clone() };
                reply(201, "")
            }
            ("GET", true) if list.is_empty() => reply(404, ""),
            ("GET", true) => found(&list, INDEX),
            ("PUT", false) => reply(201, ""),
            _ => found(&manifest("a"), MANIFEST),
        }
    });
    let subject = at(&server, "app:1");
    registry().attach(&subject, "a/b", &BTreeMap::new(), "text/plain", b"x").unwrap();
    let seen = server.seen();
    let last = seen.iter().rev().find(|seen| seen.method == "PUT").unwrap();
    let text = String::from_utf8(last.body.clone()).unwrap();
    assert!(text.contains("sha256:theirs") && text.contains("kept") && text.contains("a/b"), "{text}");
}
