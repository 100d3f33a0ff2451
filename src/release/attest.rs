//! Receipts beside images: what passed, as in-toto statements attached to what is published, for others to read.
//!
//! The statement is a `test-result` (<https://in-toto.io/attestation/test-result/v0.1>). A test that passed at a
//! later try than the first is a warned one. Each test has an entry in `configuration`, whose digest is the key of its
//! receipt: everything that it rests on. Knows nothing of how a test is run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::containers::suite::plan::Planned;
use crate::model::hash::ContentHash;
use crate::query::effect::Built;
use crate::registry::{Registry, RegistryError};
use crate::session::open::Session;
use crate::state::receipts::{Receipt, Receipts};
use crate::syntax::reference::Reference;

/// The type of an in-toto document, of the artifact as of its blob.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The annotation by which tools find statements of a kind.
const PREDICATE_ANNOTATION: &str = "in-toto.io/predicate-type";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The kind of statement.
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// The name under which the key of a receipt stands among digests.
const KEY: &str = "blake3";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: TestResult,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestResult {
    result: String,
    configuration: Vec<Configuration>,
    #[serde(default)]
    passed_tests: Vec<String>,
    #[serde(default)]
    warned_tests: Vec<String>,
    #[serde(default)]
    failed_tests: Vec<String>,
}

/// A test, as a descriptor of a resource.
#[derive(Serialize, Deserialize)]
struct Configuration {
    #[serde(default)]
    name: String,
    #[serde(default)]
    digest: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Notes,
}

/// The rest of a receipt.
#[derive(Default, Serialize, Deserialize)]
struct Notes {
    #[serde(rename = "imk.image", default)]
    image: String,
    #[serde(rename = "imk.passed", default)]
    passed: String,
    #[serde(rename = "imk.took_ms", default)]
    took_ms: u64,
    #[serde(rename = "imk.tries", default)]
    tries: u32,
}

/// The statement that these tests of one image passed.
fn statement(at: &Reference, receipts: &[Receipt]) -> Vec<u8> {
    let digest = at.digest.as_deref().and_then(|digest| digest.split_once(':'));
    let (algorithm, hex) = digest.unwrap_or_default();
    let names = |is_wanted: fn(&&Receipt) -> bool| {
        receipts.iter().filter(is_wanted).map(|receipt| receipt.test.clone()).collect::<Vec<_>>()
    };
    let warned_tests = names(|receipt| receipt.tries > 1);
    let result = if warned_tests.is_empty() { "PASSED" } else { "WARNED" };
    let configuration = receipts.iter().map(|receipt| Configuration {
        name: receipt.test.clone(),
        digest: BTreeMap::from([(KEY.to_owned(), receipt.key.to_string())]),
        annotations: Notes {
            image: receipt.image.clone(),
            passed: time(receipt.at).map(|time| time.to_string()).unwrap_or_default(),
            took_ms: receipt.took_ms,
            tries: receipt.tries,
        },
    });
    let statement = Statement {
        kind: STATEMENT.to_owned(),
        subject: vec![Subject {
            name: at.name(),
            digest: BTreeMap::from([(algorithm.to_owned(), hex.to_owned())]),
        }],
        predicate_type: TEST_RESULT.to_owned(),
        predicate: TestResult {
            result: result.to_owned(),
            configuration: configuration.collect(),
            passed_tests: names(|receipt| receipt.tries <= 1),
            warned_tests,
            failed_tests: Vec::new(),
        },
    };
    // Keys are texts and values have forms of JSON, so nothing is refused.
    serde_json::to_vec(&statement).unwrap_or_default()
}

fn time(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

/// The receipts in a statement about a manifest. Other statements, and those about others, have none.
fn receipts_in(bytes: &[u8], digest: &str) -> Vec<Receipt> {
    let Ok(statement) = serde_json::from_slice::<Statement>(bytes) else { return Vec::new() };
    let is_about_it = statement
        .subject
        .iter()
        .any(|subject| subject.digest.iter().any(|(algorithm, hex)| format!("{algorithm}:{hex}") == digest));
    let has_failed = !statement.predicate.failed_tests.is_empty() || statement.predicate.result == "FAILED";
    if statement.predicate_type != TEST_RESULT || !is_about_it || has_failed {
        return Vec::new();
    }
    let receipt = |test: Configuration| {
        let passed: Timestamp = test.annotations.passed.parse().ok()?;
        Some(Receipt {
            key: test.digest.get(KEY)?.parse::<ContentHash>().ok()?,
            image: test.annotations.image,
            test: test.name,
            at: u64::try_from(passed.as_second()).ok()?,
            took_ms: test.annotations.took_ms,
            tries: test.annotations.tries.max(1),
        })
    };
    statement.predicate.configuration.into_iter().filter_map(receipt).collect()
}

/// The receipts beside a manifest.
///
/// # Errors
/// When the registry does not say.
pub fn beside(registry: &dyn Registry, at: &Reference) -> Result<Vec<Receipt>, RegistryError> {
    let digest = at.digest.as_deref().unwrap_or_default();
    let documents = registry.attached(at, IN_TOTO)?;
    Ok(documents.iter().flat_map(|bytes| receipts_in(bytes, digest)).collect())
}

/// Attaches receipts to a manifest, unless all of them are there, or later ones of the same.
///
/// # Errors
/// When the registry does not take it.
pub fn attach(registry: &dyn Registry, at: &Reference, receipts: &[Receipt]) -> Result<(), RegistryError> {
    if receipts.is_empty() {
        return Ok(());
    }
    let there = beside(registry, at)?;
    let is_there =
        |receipt: &Receipt| there.iter().any(|other| other.key == receipt.key && other.at >= receipt.at);
    if receipts.iter().all(is_there) {
        return Ok(());
    }
    let annotations = BTreeMap::from([(PREDICATE_ANNOTATION.to_owned(), TEST_RESULT.to_owned())]);
    registry.attach(at, IN_TOTO, &annotations, IN_TOTO, &statement(at, receipts)).map(drop)
}

/// Adds the receipts that stand beside the published images of some tests to those of this machine, for this run.
///
/// # Errors
/// When a registry does not say.
pub fn believe(
    session: &Session,
    tests: &[Planned],
    results: &BTreeMap<String, Built>,
    receipts: &mut Receipts,
) -> Result<(), RegistryError> {
    let cache = &session.executor.remote_cache;
    let lacks =
        |planned: &&Planned| planned.key.is_some_and(|key| receipts.of(&key, planned.test.max_age).is_none());
    let images: std::collections::BTreeSet<&String> =
        tests.iter().filter(lacks).map(|planned| &planned.job.image).collect();
    let mut found = Vec::new();
    for image in images {
        let Some(built) = results.get(image) else { continue };
        let Some(tag) = cache.content_tag(image, &built.key) else { continue };
        // One with another content is not what is tested, whatever its key.
        if let Some(there) = cache.look_up(&tag)?.filter(|there| there.content == built.content) {
            found.extend(beside(cache.registry(), &there.at)?);
        }
    }
    found.into_iter().for_each(|receipt| receipts.believe(receipt));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::by_digest;
    use crate::registry::fake::FakeRegistry;
    use crate::syntax::reference;

    fn receipt(test: &str, at: u64, tries: u32) -> Receipt {
        let key = ContentHash::of(test.as_bytes());
        Receipt { key, image: "web".into(), test: test.into(), at, took_ms: 5, tries }
    }

    fn published(registry: &FakeRegistry) -> Reference {
        let digest = registry.add_image("r.example/web:imk-1", "1");
        by_digest(&reference::parse("r.example/web").unwrap(), &digest)
    }

    #[test]
    fn receipts_are_read_back_as_they_were_attached_and_once() {
        let registry = FakeRegistry::new();
        let at = published(&registry);
        let all = [receipt("a", 1_700_000_000, 1), receipt("b", 1_700_000_001, 3)];
        attach(&registry, &at, &all).unwrap();
        attach(&registry, &at, &all[..1]).unwrap();
        assert_eq!(beside(&registry, &at).unwrap(), all);
        // A later pass of the same is told, an earlier one is not.
        attach(&registry, &at, &[receipt("a", 1_600_000_000, 1)]).unwrap();
        assert_eq!(beside(&registry, &at).unwrap().len(), 2);
        attach(&registry, &at, &[receipt("a", 1_800_000_000, 1)]).unwrap();
        assert_eq!(beside(&registry, &at).unwrap().len(), 3);
    }

    #[test]
    fn a_statement_has_the_form_that_other_tools_read() {
        let at = by_digest(&reference::parse("r.example/web").unwrap(), "sha256:12ab");
        let bytes = statement(&at, &[receipt("a", 1_700_000_000, 1), receipt("b", 1_700_000_001, 3)]);
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["_type"], STATEMENT);
        assert_eq!(json["subject"][0]["digest"]["sha256"], "12ab");
        assert_eq!(json["predicateType"], TEST_RESULT);
        assert_eq!(json["predicate"]["result"], "WARNED");
        assert_eq!(json["predicate"]["passedTests"], serde_json::json!(["a"]));
        assert_eq!(json["predicate"]["warnedTests"], serde_json::json!(["b"]));
        assert_eq!(
            json["predicate"]["configuration"][0]["annotations"]["imk.passed"],
            "2023-11-14T22:13:20Z"
        );
    }

    #[test]
    fn a_statement_about_another_manifest_or_of_a_failure_is_no_receipt() {
        let at = by_digest(&reference::parse("r.example/web").unwrap(), "sha256:12ab");
        let whole = String::from_utf8(statement(&at, &[receipt("a", 1_700_000_000, 1)])).unwrap();
        assert_eq!(receipts_in(whole.as_bytes(), "sha256:12ab").len(), 1);
        assert_eq!(receipts_in(whole.as_bytes(), "sha256:12ac"), []);
        for (from, to) in [
            ("\"PASSED\"", "\"FAILED\""),
            ("\"failedTests\":[]", "\"failedTests\":[\"a\"]"),
            ("test-result/v0.1", "test-result/v9"),
            ("\"blake3\"", "\"sha256\""),
            ("2023-11-14", "never"),
        ] {
            assert!(whole.contains(from), "{whole}");
            assert_eq!(receipts_in(whole.replace(from, to).as_bytes(), "sha256:12ab"), [], "{to}");
        }
        assert_eq!(receipts_in(b"{}", "sha256:12ab"), []);
    }
}
