//! The engine of the tests behaves as the real one where tests rely on it.

use std::sync::Arc;

use super::*;
use crate::model::file::{UsedFile, UsedFiles};

struct Text(UsedFiles, Vec<u8>);

impl super::super::ContextFiles for Text {
    fn list(&self) -> &UsedFiles {
        &self.0
    }

    fn open(&self, _: &UsedFile) -> Result<Box<dyn Read + Send>, String> {
        Ok(Box::new(std::io::Cursor::new(self.1.clone())))
    }
}

fn request(image: &str, dockerfile: &str, content: &str) -> BuildRequest {
    let file = UsedFile {
        counts: true,
        path: "f".into(),
        kind: FileKind::File,
        mode: 0o644,
        size_bytes: content.len() as u64,
        mtime_ns: 0,
        hash: ContentHash::of(content.as_bytes()),
        target: String::new(),
    };
    BuildRequest {
        layouts: Default::default(),
        image: image.into(),
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
        cache: Default::default(),
        repository: None,
        share: String::new(),
        files: Arc::new(Text(UsedFiles { files: vec![file] }, content.into())),
        contexts: Default::default(),
    }
}

fn build(engine: &FakeEngine, request: &BuildRequest) -> Result<ImageId, EngineError> {
    engine.build(request, &|_| {}, &Cancel::default())
}

#[test]
fn ids_follow_files_unless_told_otherwise() {
    let engine = FakeEngine::new();
    let one = build(&engine, &request("a", "FROM scratch", "1")).unwrap();
    assert_eq!(build(&engine, &request("a", "FROM scratch", "1")).unwrap(), one);
    assert_ne!(build(&engine, &request("a", "FROM scratch", "2")).unwrap(), one);
    engine.ignore_files("a");
    let same = build(&engine, &request("a", "FROM scratch", "1")).unwrap();
    assert_eq!(build(&engine, &request("a", "FROM scratch", "2")).unwrap(), same);
    assert_eq!(engine.built().len(), 5);
}

#[test]
fn a_base_counts_by_what_its_name_stands_for() {
    let engine = FakeEngine::new();
    let base = |content| build(&engine, &request("base", "FROM scratch", content)).unwrap();
    engine.tag(&base("1"), "base").unwrap();
    let first = build(&engine, &request("app", "FROM base", "x")).unwrap();
    engine.tag(&base("2"), "base:latest").unwrap();
    assert_ne!(build(&engine, &request("app", "FROM base", "x")).unwrap(), first);
}

#[test]
fn failures_run_out_and_forgotten_images_are_gone() {
    let engine = FakeEngine::new();
    engine.fail("a", Failures::Times(1));
    assert!(build(&engine, &request("a", "FROM scratch", "1")).is_err());
    let id = build(&engine, &request("a", "FROM scratch", "1")).unwrap();
    let ids = BTreeSet::from([id.clone()]);
    assert_eq!(engine.inventory(&ids).unwrap().into_keys().collect::<BTreeSet<_>>(), ids);
    engine.forget(&id);
    assert!(engine.inventory(&ids).unwrap().is_empty());
}

#[test]
fn a_delayed_build_heeds_its_cancel() {
    let engine = FakeEngine::new();
    engine.delay("a", Duration::from_secs(60));
    let cancel = Cancel::default();
    let result = std::thread::scope(|scope| {
        let building = scope.spawn(|| engine.build(&request("a", "FROM scratch", "1"), &|_| {}, &cancel));
        cancel.cancel();
        building.join().unwrap()
    });
    assert_eq!(result, Err(EngineError::Interrupted));
}

#[test]
fn the_most_builds_at_once_are_counted() {
    let engine = FakeEngine::new();
    engine.delay("a", Duration::from_millis(100));
    std::thread::scope(|scope| {
        for content in ["1", "2"] {
            let engine = &engine;
            scope.spawn(move || build(engine, &request("a", "FROM scratch", content)));
        }
    });
    assert_eq!(engine.most_at_once(), 2);
    assert!(engine.builds().iter().all(|build| build.end.is_some()));
}

#[test]
#[should_panic(expected = "without FROM was sent for `a`")]
fn a_dockerfile_without_from_is_a_bug() {
    let _ = build(&FakeEngine::new(), &request("a", "RUN true", "1"));
}
