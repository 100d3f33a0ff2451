//! Layouts as tables: what a name finds in one, and what a hostile one is told.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Layout, LayoutError};
use crate::engine::LayoutImage;
use crate::registry::digest;
use crate::registry::document::{INDEX, MANIFEST};
use crate::source::memory::MemoryTree;
use crate::source::tree::SourceTree;
use crate::syntax::layout_source;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A layout in the making, in the folder `os`.
struct Maker(MemoryTree);

impl Maker {
    fn new() -> Self {
        Self(MemoryTree::new(""))
    }

    /// Puts a document there; its descriptor.
    fn put(&mut self, kind: &str, document: &Value) -> Value {
        let bytes = document.to_string();
        let digest = digest::of(bytes.as_bytes());
        self.0.write(&format!("os/blobs/{}", digest.replace(':', "/")), bytes.as_bytes());
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    /// An image for an architecture; `word` tells it from others.
    fn image(&mut self, architecture: &str, word: &str) -> Value {
        let config = json!({"architecture": architecture, "os": "linux", "config": {"Env": [format!("WORD={word}")]},
            "rootfs": {"type": "layers", "diff_ids": []}});
        let config = self.put(CONFIG, &config);
        self.put(
            MANIFEST,
            &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}),
        )
    }

    fn index(&mut self, entries: &[Value]) -> Value {
        self.put(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    }

    fn top(&mut self, entries: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
        self.0.write("os/index.json", index.as_bytes());
    }

    fn find(self, name: &str, platform: &str) -> Result<String, LayoutError> {
        let tree: Arc<dyn SourceTree> = Arc::new(self.0);
        let source = layout_source::parse(name).unwrap();
        let image = Layout::of(&source, &tree)?.image(&source, platform)?;
        let config: Value = serde_json::from_slice(&image.configuration()?).unwrap();
        assert!(image.blob(image.digest()).unwrap().is_some());
        Ok(config["config"]["Env"][0].as_str().unwrap().trim_start_matches("WORD=").to_owned())
    }
}

fn named(entry: &Value, name: &str) -> Value {
    let mut entry = entry.clone();
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    entry
}

fn on(entry: &Value, platform: &str) -> Value {
    let (os, architecture) = platform.split_once('/').unwrap();
    let mut entry = entry.clone();
    entry["platform"] = json!({"os": os, "architecture": architecture});
    entry
}

/// Compares the image that each name finds in the layout that `make` makes, or the words for why it finds none.
#[track_caller]
fn check(make: impl Fn(&mut Maker), rows: &[(&str, &str)]) {
    for (name, wanted) in rows {
        let (name, platform) = name.split_once(' ').unwrap_or((name, "linux/amd64"));
        let mut maker = Maker::new();
        make(&mut maker);
        let found = maker.find(name, platform).unwrap_or_else(|error| error.why);
        assert!(
            found == *wanted || (wanted.len() > 3 && found.contains(wanted)),
            "{name} {platform}: {found}"
        );
    }
}

#[test]
fn a_tag_is_the_name_that_the_index_has_and_latest_without_one() {
    let two = |maker: &mut Maker| {
        let (a, b) = (maker.image("amd64", "a"), maker.image("amd64", "b"));
        maker.top(&[named(&a, "1"), named(&b, "latest"), named(&a, "docker.io/library/os:1")]);
    };
    check(
        two,
        &[
            ("oci-layout://os", "b"),
            ("oci-layout://os:latest", "b"),
            ("oci-layout://os:1", "a"),
            ("oci-layout://os:docker.io/library/os:1", "a"),
            ("oci-layout://os:2", "has no image named `2`; it has `1`, `docker.io/library/os:1`, `latest`"),
            ("oci-layout://o", "there is no OCI layout in `o`"),
        ],
    );
    let one = |maker: &mut Maker| {
        let a = maker.image("arm64", "a");
        maker.top(&[named(&a, "7")]);
    };
    // The only image is the one that is meant, whatever it was made for; one that is named must have that name.
    check(one, &[("oci-layout://os", "a"), ("oci-layout://os:8", "has no image named `8`; it has `7`")]);
    let several = |maker: &mut Maker| {
        let (a, b) = (maker.image("amd64", "a"), maker.image("amd64", "b"));
        maker.top(&[named(&a, "1"), named(&b, "2")]);
    };
    check(several, &[("oci-layout://os", "has no image named `latest`; it has `1`, `2`")]);
    check(|maker| maker.top(&[]), &[("oci-layout://os", "it has no images")]);
}

#[test]
fn of_an_index_the_manifest_of_the_platform_is_meant() {
    let index = |maker: &mut Maker| {
        let (a, b) = (maker.image("amd64", "a"), maker.image("arm64", "b"));
        let note = on(&maker.image("amd64", "no image"), "unknown/unknown");
        let index = maker.index(&[note, on(&a, "linux/amd64"), on(&b, "linux/arm64")]);
        maker.top(&[named(&index, "1")]);
    };
    let rows = [
        ("oci-layout://os:1", "a"),
        ("oci-layout://os linux/arm64/v8", "b"),
        ("oci-layout://os linux/s390x", "no such image for linux/s390x; it has linux/amd64, linux/arm64"),
    ];
    check(index, &rows);
    // Several manifests under one name, as some tools leave them, and without any word for whom they are.
    check(
        |maker| {
            let (a, b) = (maker.image("amd64", "a"), maker.image("arm64", "b"));
            maker.top(&[on(&a, "linux/amd64"), on(&b, "linux/arm64")]);
        },
        &rows[1..],
    );
    check(
        |maker| {
            let (a, b) = (maker.image("amd64", "a"), maker.image("arm64", "b"));
            let below = maker.index(&[b]);
            let index = maker.index(&[a, below]);
            maker.top(&[index]);
        },
        &[("oci-layout://os", "a"), ("oci-layout://os linux/arm64", "b")],
    );
}

#[test]
fn a_digest_is_that_document_whatever_the_index_says() {
    let mut maker = Maker::new();
    let (a, b) = (maker.image("amd64", "a"), maker.image("arm64", "b"));
    let index = maker.index(&[on(&a, "linux/amd64"), on(&b, "linux/arm64")]);
    let digest = |entry: &Value| entry["digest"].as_str().unwrap().to_owned();
    let (manifest, index) = (digest(&b), digest(&index));
    let found = |name: &str| {
        let mut again = Maker::new();
        let (a, b) = (again.image("amd64", "a"), again.image("arm64", "b"));
        again.index(&[on(&a, "linux/amd64"), on(&b, "linux/arm64")]);
        again.find(name, "linux/amd64").unwrap_or_else(|error| error.why)
    };
    assert_eq!(found(&format!("oci-layout://os@{manifest}")), "b");
    assert_eq!(found(&format!("oci-layout://os:any@{index}")), "a");
    let gone = format!("oci-layout://os@sha256:{}", "0".repeat(64));
    assert!(found(&gone).contains("has no `blobs/sha256/000"), "{}", found(&gone));
}

#[test]
fn a_layout_that_contradicts_itself_is_refused() {
    let change = |change: &dyn Fn(&mut Value)| {
        let mut maker = Maker::new();
        let mut a = maker.image("amd64", "a");
        change(&mut a);
        maker.top(&[a]);
        maker.find("oci-layout://os", "linux/amd64").unwrap_err().why
    };
    assert!(change(&|entry| entry["size"] = json!(5)).contains("is not what its digest and its size say"));
    assert!(change(&|entry| entry["size"] = Value::Null).contains("it is no manifest"));
    for digest in ["sha256:../../../../etc/passwd", "../x", "md5:00", "sha256:", "sha256:AB\u{1b}[0m"] {
        let told = change(&|entry| entry["digest"] = json!(digest));
        assert!(told.contains("is no digest") && !told.contains('\u{1b}'), "{told}");
    }
    // Another document under the digest.
    let mut maker = Maker::new();
    let a = maker.image("amd64", "a");
    let path = format!("os/blobs/{}", a["digest"].as_str().unwrap().replace(':', "/"));
    maker.0.write(&path, b"{}");
    maker.top(&[a]);
    assert!(maker.find("oci-layout://os", "linux/amd64").unwrap_err().why.contains("is not what"));
    for (text, wanted) in [
        ("[", "it is no manifest"),
        ("{}", "it has no images"),
        (&"[".repeat(100_000), "it is no manifest"),
        (&" ".repeat(5 << 20), "is longer than any such document"),
    ] {
        let mut maker = Maker::new();
        maker.0.write("os/index.json", text.as_bytes());
        let told = maker.find("oci-layout://os", "linux/amd64").unwrap_err().why;
        assert!(told.contains(wanted), "{told}");
    }
    // Indexes without end, beside each other and below each other.
    let mut maker = Maker::new();
    let mut entries: Vec<Value> =
        (0..100).map(|n| maker.index(&[json!({"mediaType": n.to_string()})])).collect();
    for _ in 0..3 {
        let one = maker.index(&entries);
        entries.push(one);
    }
    maker.top(&entries);
    let told = maker.find("oci-layout://os", "linux/amd64").unwrap_err().why;
    assert!(told.contains("has no end") || told.contains("is no digest"), "{told}");
}
