//! The registry that only pretends, held to what real ones answer.

use std::io::Cursor;

use super::*;

fn name(text: &str) -> Reference {
    parsed(text)
}

#[test]
fn an_image_is_found_by_tag_and_by_digest_and_nothing_else_is() {
    let fake = FakeRegistry::new();
    let digest = fake.add_image("r.example/app:1", "one");
    let head = fake.head(&name("r.example/app:1")).unwrap().unwrap();
    assert_eq!(head.digest, digest);
    assert_eq!(fake.head(&name(&format!("r.example/app@{digest}"))).unwrap(), Some(head));
    assert_eq!(fake.head(&name("r.example/app:2")).unwrap(), None);
    assert_eq!(fake.head(&name("r.example/other:1")).unwrap(), None);
    assert_eq!(fake.count("head"), 4);
}

#[test]
fn trouble_is_an_error_and_passes() {
    let fake = FakeRegistry::new();
    fake.add_image("r.example/app:1", "one");
    fake.fail_times("r.example", 1, FakeFault::Throttled(Some(7)));
    let error = fake.head(&name("r.example/app:1")).unwrap_err();
    assert_eq!(
        error,
        RegistryError::Throttled { host: "r.example".into(), repository: "app".into(), wait: Some(7) }
    );
    assert!(fake.head(&name("r.example/app:1")).unwrap().is_some());
    fake.fail("r.example", FakeFault::Denied);
    assert!(matches!(fake.head(&name("r.example/app:1")), Err(RegistryError::Denied { .. })));
    assert!(fake.head(&name("other.example/app:1")).unwrap().is_none());
    fake.mend("r.example");
    assert!(fake.head(&name("r.example/app:1")).unwrap().is_some());
}

#[test]
fn an_index_gives_each_platform_its_manifest() {
    let fake = FakeRegistry::new();
    let index = fake.add_index("r.example/app:1", &[("linux/amd64", "a"), ("linux/arm/v7", "b")]);
    let amd = fake.platform(&name("r.example/app:1"), "linux/amd64").unwrap().unwrap();
    let arm = fake.platform(&name("r.example/app:1"), "linux/arm").unwrap().unwrap();
    assert!(amd.digest != arm.digest && amd.digest != index);
    let error = fake.platform(&name("r.example/app:1"), "linux/s390x").unwrap_err().to_string();
    assert!(error.contains("linux/amd64, linux/arm/v7"), "{error}");
}

#[test]
fn a_copy_brings_everything_and_a_manifest_without_its_blobs_is_refused() {
    let fake = FakeRegistry::new();
    let index = fake.add_index("r.example/app:1", &[("linux/amd64", "a"), ("linux/arm64", "b")]);
    let manifest = fake.manifest(&name("r.example/app:1")).unwrap().unwrap();
    assert!(fake.put_manifest(&name("s.example/app:1"), &manifest).is_err());
    assert_eq!(fake.copy(&name("r.example/app:1"), &name("s.example/app:1")).unwrap().digest, index);
    assert_eq!(fake.digest("s.example/app:1"), Some(index));
    assert!(fake.platform(&name("s.example/app:1"), "linux/arm64").unwrap().is_some());
}

#[test]
fn an_immutable_tag_is_given_once() {
    let fake = FakeRegistry::new();
    fake.add_image("r.example/app:1", "one");
    fake.add_image("r.example/app:2", "two");
    fake.make_immutable("r.example");
    let error = fake.copy(&name("r.example/app:2"), &name("r.example/app:1")).unwrap_err();
    assert!(error.to_string().contains("immutable"), "{error}");
    fake.copy(&name("r.example/app:1"), &name("r.example/app:1")).unwrap();
}

#[test]
fn blobs_are_checked_mounted_and_given_back() {
    let fake = FakeRegistry::new();
    let digest = digest::of(b"abc");
    let (app, other) = (name("r.example/app"), name("r.example/other"));
    assert!(fake.upload(&app, &digest, &mut Cursor::new(b"abd")).is_err());
    assert!(!fake.mount(&other, &digest, &app).unwrap());
    fake.upload(&app, &digest, &mut Cursor::new(b"abc")).unwrap();
    assert!(fake.mount(&other, &digest, &app).unwrap());
    assert!(fake.has_blob(&other, &digest).unwrap());
    assert_eq!(fake.blob(&other, &digest).unwrap(), b"abc");
}

#[test]
fn attached_documents_come_newest_first_and_by_type() {
    let fake = FakeRegistry::new();
    let digest = fake.add_image("r.example/app:1", "one");
    let subject = name(&format!("r.example/app@{digest}"));
    let attach = |kind: &str, text: &str| {
        fake.attach(&subject, kind, &BTreeMap::new(), "text/plain", text.as_bytes()).unwrap()
    };
    let first = attach("a/b", "first");
    assert_ne!(first, attach("a/b", "second"));
    attach("c/d", "other");
    assert_eq!(fake.attached(&subject, "a/b").unwrap(), [b"second".to_vec(), b"first".to_vec()]);
    assert!(fake.manifest(&name(&format!("r.example/app@{first}"))).unwrap().is_some());
}
