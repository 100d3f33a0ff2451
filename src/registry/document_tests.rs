//! Choosing a platform in an index, and documents that are none.

use super::*;

const LIST: &[u8] = br#"{
    "schemaVersion": 2,
    "manifests": [
        {"mediaType": "m", "digest": "sha256:a", "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
        {"mediaType": "m", "digest": "sha256:b", "size": 1, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {"mediaType": "m", "digest": "sha256:c", "size": 1, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
        {"mediaType": "m", "digest": "sha256:d", "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}}
    ]
}"#;

fn choose(platform: &str) -> Result<String, String> {
    Document::parse(LIST).unwrap().choose(platform).map(|entry| entry.digest.clone())
}

#[test]
fn a_platform_is_found_however_it_is_spelled() {
    assert_eq!(choose("linux/amd64").unwrap(), "sha256:a");
    assert_eq!(choose("linux/x86_64").unwrap(), "sha256:a");
    assert_eq!(choose("linux/arm64").unwrap(), "sha256:b");
    assert_eq!(choose("linux/arm64/v8").unwrap(), "sha256:b");
    assert_eq!(choose("linux/arm").unwrap(), "sha256:c");
    assert_eq!(choose("linux/arm/v7").unwrap(), "sha256:c");
}

#[test]
fn a_missing_platform_is_told_with_those_there_are() {
    assert_eq!(choose("linux/arm/v6").unwrap_err(), "it has linux/amd64, linux/arm64/v8, linux/arm/v7");
    assert_eq!(choose("windows/amd64").unwrap_err(), "it has linux/amd64, linux/arm64/v8, linux/arm/v7");
}

#[test]
fn a_machine_runs_what_lesser_ones_run() {
    let one = |os: &str, architecture: &str, variant: &str| {
        let platform = Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: Some(variant.to_owned()).filter(|variant| !variant.is_empty()),
        };
        Document {
            manifests: vec![Entry { platform: Some(platform), ..Entry::default() }],
            ..Document::default()
        }
    };
    for (there, wanted) in [
        (("linux", "arm", "v5"), "linux/arm/v7"),
        (("linux", "arm", "v7"), "linux/arm64"),
        (("linux", "386", ""), "linux/amd64"),
        (("linux", "amd64", ""), "linux/amd64/v3"),
        (("linux", "amd64", "v2"), "linux/amd64/v3"),
    ] {
        assert!(one(there.0, there.1, there.2).named(wanted).is_some(), "{there:?} on {wanted}");
    }
    for (there, wanted) in [
        (("linux", "arm", "v7"), "linux/arm/v6"),
        (("linux", "amd64", "v3"), "linux/amd64"),
        (("linux", "amd64", ""), "linux/386"),
        (("windows", "amd64", ""), "linux/amd64"),
    ] {
        assert!(one(there.0, there.1, there.2).named(wanted).is_none(), "{there:?} on {wanted}");
    }
}

#[test]
fn what_is_no_manifest_is_told_where() {
    let text = Document::parse(b"<html>").unwrap_err();
    assert_eq!(text, "it is no manifest: line 1, column 1 of its JSON");
}

#[test]
fn layers_kept_elsewhere_and_repeated_ones_are_not_sent() {
    let text = br#"{"config": {"digest": "sha256:c"}, "layers": [
        {"digest": "sha256:1"}, {"digest": "sha256:2", "urls": ["https://elsewhere.example/2"]}, {"digest": "sha256:1"}
    ]}"#;
    let document = Document::parse(text).unwrap();
    let digests: Vec<&str> = document.blobs().iter().map(|entry| entry.digest.as_str()).collect();
    assert_eq!(digests, ["sha256:c", "sha256:1"]);
}

#[test]
fn the_fallback_tag_is_the_one_of_the_distribution_specification() {
    assert_eq!(fallback_tag("sha256:abc"), "sha256-abc");
    let long = format!("sha512:{}", "f".repeat(128));
    assert_eq!(fallback_tag(&long), format!("sha512-{}", "f".repeat(64)));
    assert_eq!(
        fallback_tag(
            "test+algorithm+using+algorithm+separators+and+lots+of+characters:alsoSome=InTheEncodedSection"
        ),
        "test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSection"
    );
}

#[test]
fn the_newest_comes_first_and_what_has_no_date_comes_last() {
    let entry = |digest: &str, created: Option<&str>| Entry {
        digest: digest.into(),
        annotations: created.map(|time| (CREATED.to_owned(), time.to_owned())).into_iter().collect(),
        ..Entry::default()
    };
    let mut entries = vec![
        entry("undated", None),
        entry("old", Some("2024-01-01T00:00:00Z")),
        entry("new", Some("2024-01-01T03:00:00+02:00")),
        entry("undated, later", None),
    ];
    newest_first(&mut entries);
    let order: Vec<&str> = entries.iter().map(|entry| entry.digest.as_str()).collect();
    assert_eq!(order, ["new", "old", "undated, later", "undated"]);
}
