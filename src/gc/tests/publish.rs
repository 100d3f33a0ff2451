//! Several machines that share a registry: each has an engine, a state folder and a copy of the files.

use std::io::Cursor;

use serde_json::{Value, json};

use super::*;
use crate::build::publish::{self, INPUTS, Publication, Pulled};
use crate::engine::EngineError;
use crate::engine::fake::ImageStore;
use crate::explain::{diff, published_builds};
use crate::plan::{ready, verdicts};
use crate::registry::document::{self, Document};
use crate::registry::fake::FakeFault;
use crate::registry::{Descriptor, Manifest, Registry, digest};
use crate::syntax::reference::{self, Reference};

const SHARED: &str = r#"
//- Imagefile.ron
(prefix: "r.example/", images: {"base": (), "api": (tags: ["1", "latest"]), "web": ()})
//- base/Dockerfile
FROM scratch
COPY file /
//- base/file
1
//- api/Dockerfile
FROM base
COPY file /
//- api/file
1
//- web/Dockerfile
FROM base
COPY file /
//- web/file
web
"#;

/// The registry as an engine sees it.
pub(super) struct Wire(pub Arc<FakeRegistry>);

fn trouble(error: impl ToString) -> EngineError {
    EngineError::Refused { what: "speaking to the registry".into(), why: error.to_string() }
}

impl ImageStore for Wire {
    fn put(&self, name: &str, image: &ImageInfo) -> Result<String, EngineError> {
        let name = reference::parse(name).map_err(trouble)?;
        let content: Value = serde_json::from_str(&image.content).map_err(trouble)?;
        let configuration = json!({"config": content["config"], "rootfs": {"diff_ids": content["layers"]}});
        let bytes = configuration.to_string().into_bytes();
        let config = Descriptor {
            media_type: "application/vnd.docker.container.image.v1+json".into(),
            digest: digest::of(&bytes),
            size: bytes.len() as u64,
        };
        self.0.upload(&name, &config.digest, &mut Cursor::new(bytes)).map_err(trouble)?;
        let manifest = Manifest::new(document::DOCKER_MANIFEST, document::image(&config, &[]));
        self.0.put_manifest(&name, &manifest).map_err(trouble)?;
        Ok(manifest.digest)
    }

    fn get(&self, name: &str) -> Result<Option<ImageInfo>, EngineError> {
        let name = reference::parse(name).map_err(trouble)?;
        let Some(manifest) = self.0.manifest(&name).map_err(trouble)? else { return Ok(None) };
        let document: Document = serde_json::from_slice(&manifest.bytes).map_err(trouble)?;
        let id = document.config.unwrap().digest;
        let bytes = self.0.blob(&name, &id).map_err(trouble)?;
        Ok(Some(ImageInfo {
            id: ImageId(id),
            platform: "linux/amd64".into(),
            repo_digests: vec![],
            tags: vec![],
            onbuild: vec![],
            environment: BTreeMap::new(),
            own_bases: None,
            size_bytes: 0,
            manifest: None,
            content: crate::model::content::of_configuration(&bytes).unwrap(),
        }))
    }
}

/// A machine beside others at one registry.
pub(super) fn machine(registry: &Arc<FakeRegistry>) -> Lab {
    let lab = Lab { registry: Arc::clone(registry), ..Lab::new(SHARED) };
    lab.engine.connect(Arc::new(Wire(Arc::clone(registry))));
    lab
}

pub(super) fn push(lab: &Lab, words: &str) -> Outcome {
    lab.run_with(words, &BuildOptions { push: true, ..BuildOptions::default() }, true)
}

fn content_tag(lab: &Lab, image: &str) -> Reference {
    let mut session = lab.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    let key = verdicts::plan(&session, &synced, false).results[image].key;
    session.executor.remote_cache.content_tag(image, &key).unwrap()
}

#[test]
fn a_second_machine_builds_nothing_and_fetches_nothing() {
    let registry = Arc::new(FakeRegistry::new());
    let first = machine(&registry);
    push(&first, "");
    let second = machine(&registry);
    let mut session = second.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    assert!(verdicts::plan(&session, &synced, false).is_fresh());
    drop(session);
    let outcome = second.builds("");
    assert!(outcome.summary.endings.values().all(|ending| *ending == Ending::AlreadyPublished));
    assert_eq!(second.engine.pulls(), [""; 0]);
    registry.clear_record();
    let outcome = second.builds("");
    assert!(outcome.summary.endings.values().all(|ending| *ending == Ending::Fresh));
    assert!(registry.questions().is_empty(), "a no-op asks nobody: {:?}", registry.questions());
}

#[test]
fn an_engine_that_does_not_tell_what_it_pushed_publishes_too() {
    let registry = Arc::new(FakeRegistry::new());
    let first = machine(&registry);
    first.engine.push_silently();
    let outcome = push(&first, "");
    assert!(outcome.summary.unpublished.is_empty(), "{:?}", outcome.summary.unpublished);
    machine(&registry).builds("");
}

#[test]
fn only_the_base_that_a_build_needs_is_fetched() {
    let registry = Arc::new(FakeRegistry::new());
    push(&machine(&registry), "");
    let second = machine(&registry);
    second.write("web/file", "2");
    second.builds("web");
    let pulls = second.engine.pulls();
    assert_eq!(pulls.len(), 1);
    assert!(pulls[0].starts_with("r.example/base@sha256:"), "{pulls:?}");
    let sent = &second.engine.builds()[0].dockerfile;
    assert!(sent.starts_with("FROM imk.invalid/base:"), "on exactly that image: {sent}");
}

#[test]
fn targets_are_fetched_when_that_is_asked_for() {
    let registry = Arc::new(FakeRegistry::new());
    push(&machine(&registry), "");
    let second = machine(&registry);
    let options = BuildOptions { load: true, ..BuildOptions::default() };
    let outcome = second.run_with("api", &options, true);
    assert!(outcome.built.is_empty());
    let tags: Vec<String> = second.engine.tags().into_keys().filter(|tag| !tag.contains('@')).collect();
    let content = content_tag(&second, "api").to_string();
    assert_eq!(tags, ["r.example/api:1".to_owned(), content, "r.example/api:latest".into()]);
    second.builds("");
}

#[test]
fn a_pull_fetches_what_there_is_and_tells_what_there_is_not() {
    let registry = Arc::new(FakeRegistry::new());
    push(&machine(&registry), "api");
    let second = machine(&registry);
    let mut session = second.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    let pulled = publish::pull(&mut session, &synced);
    assert_eq!(
        (&pulled["api"], &pulled["base"], &pulled["web"]),
        (&Pulled::Fetched, &Pulled::Fetched, &Pulled::Nowhere)
    );
    assert!(second.engine.built().is_empty());
}

#[test]
fn a_fresh_image_is_only_given_its_tags() {
    let registry = Arc::new(FakeRegistry::new());
    let lab = machine(&registry);
    push(&lab, "");
    let digest = registry.digest("r.example/api:1").unwrap();
    lab.write(
        "Imagefile.ron",
        r#"(prefix: "r.example/", images: {"base": (), "api": (tags: ["2"]), "web": ()})"#,
    );
    registry.clear_record();
    let outcome = push(&lab, "api");
    assert!(outcome.built.is_empty());
    let Publication::Done { moved, .. } = &outcome.summary.publications["api"] else { panic!() };
    assert_eq!(moved, &["r.example/api:2"]);
    assert_eq!(registry.digest("r.example/api:2"), Some(digest));
    assert_eq!(
        (registry.count("upload"), registry.count("put_manifest")),
        (0, 1),
        "{:?}",
        registry.questions()
    );
}

#[test]
fn a_revert_moves_the_tag_back() {
    let registry = Arc::new(FakeRegistry::new());
    let lab = machine(&registry);
    push(&lab, "");
    let first = registry.digest("r.example/api:latest");
    lab.write("api/file", "2");
    push(&lab, "");
    assert_ne!(registry.digest("r.example/api:latest"), first);
    lab.write("api/file", "1\n");
    let outcome = push(&lab, "");
    assert!(outcome.built.is_empty(), "{:?}", outcome.summary.endings);
    assert_eq!(registry.digest("r.example/api:latest"), first);
}

#[test]
fn two_machines_that_race_end_on_one_artifact() {
    let registry = Arc::new(FakeRegistry::new());
    let (first, second) = (machine(&registry), machine(&registry));
    // The same inputs come out different: a clock, a random number.
    second.engine.salt("base", "another moment");
    first.run("");
    second.run("");
    push(&first, "");
    let outcome = push(&second, "");
    let base = registry.digest("r.example/base:latest");
    // On the other's base, which the registry has images on already.
    assert_eq!(
        (&outcome.summary.endings["base"], &outcome.summary.endings["api"]),
        (&Ending::AlreadyPublished, &Ending::AlreadyPublished)
    );
    for lab in [&first, &second] {
        assert!(
            matches!(&push(lab, "").summary.publications["base"], Publication::Done { moved, .. } if moved.is_empty())
        );
        lab.builds("");
    }
    assert_eq!(registry.digest("r.example/base:latest"), base);
    assert_eq!(registry.digest(&content_tag(&second, "base").to_string()), base);
}

#[test]
fn who_builds_and_publishes_at_once_yields_before_anybody_builds_on_the_loser() {
    let registry = Arc::new(FakeRegistry::new());
    let (first, second) = (machine(&registry), machine(&registry));
    second.engine.salt("base", "another moment");
    push(&first, "");
    // It does not look before it builds, as when both begin at one moment.
    let options = BuildOptions { push: true, always: true, ..BuildOptions::default() };
    let outcome = second.run_with("base", &options, true);
    assert!(outcome.built.contains("base"));
    assert!(matches!(outcome.summary.publications["base"], Publication::Done { .. }));
    second.builds("");
    assert_eq!(second.engine.pulls().len(), 0);
}

#[test]
fn a_registry_that_does_not_answer_costs_a_build_and_no_more() {
    for trouble in [FakeFault::Unreachable, FakeFault::Denied, FakeFault::Throttled(None), FakeFault::Corrupt]
    {
        let registry = Arc::new(FakeRegistry::new());
        push(&machine(&registry), "");
        registry.fail("r.example", trouble.clone());
        let second = machine(&registry);
        second.builds("api base web");
        let mut session = second.open().unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        assert!(verdicts::plan(&session, &synced, false).is_fresh());
        let before = registry.digest("r.example/api:latest");
        drop(session);
        let outcome = push(&second, "");
        assert_eq!(outcome.summary.unpublished.len(), 3, "{trouble:?}");
        assert!(outcome.built.is_empty(), "what was built is kept");
        assert_eq!(registry.digest("r.example/api:latest"), before, "and nothing was overwritten");
        registry.mend("r.example");
        assert!(push(&second, "").summary.unpublished.is_empty());
    }
}

#[test]
fn what_was_published_and_is_gone_is_built_when_it_is_needed() {
    let registry = Arc::new(FakeRegistry::new());
    push(&machine(&registry), "");
    let second = machine(&registry);
    second.run("");
    let tag = content_tag(&second, "base");
    for name in [tag.to_string(), format!("{}@{}", tag.name(), registry.digest(&tag.to_string()).unwrap())] {
        registry.remove(&name);
    }
    second.write("web/file", "2");
    let outcome = second.run("");
    let endings = &outcome.summary.endings;
    assert!(matches!(endings["base"], Ending::Built { .. }), "{endings:?}");
    assert!(matches!(endings["web"], Ending::Built { .. }), "{endings:?}");
}

#[test]
fn a_published_image_carries_everything_that_counted() {
    let registry = Arc::new(FakeRegistry::new());
    let lab = machine(&registry);
    push(&lab, "");
    push(&lab, "");
    let at = content_tag(&lab, "api");
    let at = Reference { tag: None, digest: registry.digest(&at.to_string()), ..at };
    let documents = registry.attached(&at, INPUTS).unwrap();
    assert_eq!(documents.len(), 1, "and once is enough");
    let document: Value = serde_json::from_slice(&documents[0]).unwrap();
    assert_eq!(document["image"], "api");
    assert_eq!(document["files"][0]["path"], "file");
    assert!(document["parts"].as_array().unwrap().iter().any(|part| part["code"] == "BASE"));
    let again = machine(&registry);
    push(&again, "");
    assert_eq!(registry.attached(&at, INPUTS).unwrap(), documents, "the same key, the same text");
}

#[test]
fn an_image_whose_name_has_no_registry_is_told() {
    let lab = Lab::new(REPOSITORY);
    let outcome = lab.run_with("base", &BuildOptions { push: true, ..BuildOptions::default() }, true);
    assert_eq!(outcome.summary.publications["base"], Publication::NoRegistry);
    assert!(lab.registry.questions().is_empty());
}

#[test]
fn an_image_that_another_machine_built_is_explained_here() {
    let registry = Arc::new(FakeRegistry::new());
    push(&machine(&registry), "");
    let second = machine(&registry);
    second.write("api/file", "another");
    let mut session = second.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    let (tag, reasons) = published_builds::against_elsewhere(&session, &synced, "api").unwrap();
    assert_eq!(tag, "r.example/api:1");
    let told: Vec<_> = reasons.iter().map(|reason| (reason.code, reason.subject.as_str())).collect();
    assert_eq!(told, [(Code::File, "file")]);
    assert_eq!(published_builds::against_elsewhere(&session, &synced, "web"), None, "it is the same there");
    // And two of them can be compared, though neither was built here.
    let one = diff::build_named(&session, "r.example/api:1").unwrap();
    let web = diff::build_named(&session, "r.example/web:latest").unwrap();
    assert!(diff::between(&session, &one, &web).unwrap().iter().any(|reason| reason.code == Code::File));
}
