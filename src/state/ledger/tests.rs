//! The ledger under accidents: order, lines cut off, other writers.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::removed_images::health;
use super::*;
use crate::model::reason::Reason;
use crate::model::time::UnixSeconds;

fn open(path: &Path) -> std::io::Result<Ledger> {
    Ledger::open(&StateFolder::at(path.parent().unwrap()))
}

fn record(image: &str, key: u8, id: &str) -> Record {
    Record {
        key: ContentHash::of(&[key]),
        image: image.into(),
        engine: "e".into(),
        id: id.into(),
        content: ContentHash::of(id.as_bytes()),
        at: UnixSeconds(1),
        took_ms: 2,
        reasons: vec![],
        published: None,
        same: false,
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    (folder, path)
}

fn history(ledger: &Ledger, image: &str) -> Vec<Record> {
    ledger.history(&BTreeSet::from([image.to_owned()]))
}

#[test]
fn two_builds_of_one_second_keep_their_order() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    for (image, key) in [("web", 1), ("db", 2), ("web", 3)] {
        let reasons = vec![Reason::forced()];
        ledger.record(Record { reasons, ..record(image, key, &format!("sha256:{key}")) }).unwrap();
    }
    let ids: Vec<String> = history(&ledger, "web").into_iter().map(|record| record.id).collect();
    assert_eq!(ids, ["sha256:3", "sha256:1"], "the newest in front");
    let (at, newest) = ledger.last_build("web", usize::MAX).unwrap();
    assert_eq!((at, newest.id.as_str()), (2, "sha256:3"));
    let (at, before) = ledger.last_build("web", at).unwrap();
    assert_eq!((at, before.id.as_str()), (0, "sha256:1"));
    assert_eq!(ledger.last_build("web", at), None);
}

#[test]
fn what_was_recorded_is_found_by_the_next_process() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    ledger.record(record("web", 1, "sha256:a")).unwrap();
    ledger.record(record("web", 2, "sha256:b")).unwrap();
    drop(ledger);
    let ledger = open(&path).unwrap();
    assert_eq!(ledger.lookup(&ContentHash::of(&[1]), "e").unwrap().id, "sha256:a");
    assert_eq!(ledger.lookup(&ContentHash::of(&[1]), "other engine"), None);
    assert_eq!(ledger.latest("web", "e").unwrap().id, "sha256:b");
    assert_eq!(ledger.with_content(&ContentHash::of(b"sha256:a"))[0].id, "sha256:a");
}

#[test]
fn a_ledger_cut_at_any_byte_keeps_every_whole_line() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    for n in 0..3 {
        ledger.record(record("web", n, "sha256:a")).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        let ledger = open(&path).unwrap();
        // The last line may be whole but for its line end.
        let found = history(&ledger, "web").len();
        assert!(found == lines || found == lines + 1, "{found} of {lines} at {length}");
        ledger.record(record("db", 9, "sha256:z")).unwrap();
        let again = open(&path).unwrap();
        assert_eq!(history(&again, "web").len(), found, "a torn line must not swallow the next");
        assert_eq!(history(&again, "db").len(), 1);
    }
}

#[test]
fn a_plan_beside_a_build_leaves_a_torn_ledger_as_it_is() {
    let (_folder, path) = folder();
    open(&path).unwrap().record(record("web", 1, "sha256:1")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"key\":");
    fs::write(&path, &bytes).unwrap();
    let looked = Ledger::open_read_only(&StateFolder::at(path.parent().unwrap())).unwrap();
    assert_eq!(history(&looked, "web").len(), 1);
    assert_eq!(fs::read(&path).unwrap(), bytes, "a builder may be in the middle of this line");
}

#[test]
fn recent_keys_are_those_of_the_last_builds_of_each_image() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    for (image, key) in [("web", 1), ("db", 2), ("web", 3), ("web", 4)] {
        ledger.record(record(image, key, "sha256:a")).unwrap();
    }
    let recent: Vec<_> = [1, 2, 3, 4].map(|key| ledger.recent(2).contains(&ContentHash::of(&[key]))).into();
    assert_eq!(recent, [false, true, true, true]);
}

#[test]
fn a_long_ledger_is_compacted_and_loses_no_current_result() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    ledger.record(record("other", 200, "sha256:o")).unwrap();
    let line = serde_json::to_vec(&record("web", 1, "sha256:a")).unwrap();
    let line = String::from_utf8(seal::seal_line(&line)).unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap() + &line.repeat(3000)).unwrap();
    let ledger = open(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().lines().count() < 100);
    assert!(ledger.lookup(&ContentHash::of(&[1]), "e").is_some());
    assert!(ledger.lookup(&ContentHash::of(&[200]), "e").is_some());
}

#[test]
fn a_gone_image_keeps_its_results_and_loses_its_history() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    ledger.record(record("web", 1, "sha256:a")).unwrap();
    ledger.record(record("db", 2, "sha256:b")).unwrap();
    ledger.forget(&BTreeSet::from(["web".to_owned()])).unwrap();
    for ledger in [ledger, open(&path).unwrap()] {
        assert_eq!(ledger.lookup(&ContentHash::of(&[1]), "e").unwrap().id, "sha256:a");
        assert_eq!(history(&ledger, "web"), []);
        assert_eq!(ledger.latest("web", "e"), None);
        assert_eq!(ledger.left().len(), 1);
        assert_eq!(history(&ledger, "db").len(), 1);
    }
    let ledger = open(&path).unwrap();
    ledger.drop_records(|record| record.id == "sha256:a").unwrap();
    assert_eq!(open(&path).unwrap().lookup(&ContentHash::of(&[1]), "e"), None);
    assert_eq!(health(&StateFolder::at(path.parent().unwrap())).unwrap(), (1, 0));
}

#[test]
fn a_renamed_image_takes_its_history_along() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    ledger.record(record("web", 1, "sha256:a")).unwrap();
    ledger.rename("web", "site").unwrap();
    let ledger = open(&path).unwrap();
    assert_eq!(history(&ledger, "site").len(), 1);
    assert_eq!(ledger.images(), BTreeSet::from(["site".to_owned()]));
}

#[test]
fn a_ledger_of_an_older_imk_is_read() {
    let (_folder, path) = folder();
    let line = serde_json::to_string(&record("web", 1, "sha256:a")).unwrap();
    fs::write(&path, line.replace(",\"same\":false", "") + "\n").unwrap();
    assert_eq!(open(&path).unwrap().builds("web"), [record("web", 1, "sha256:a")]);
}

#[test]
fn a_digit_that_flipped_on_the_disk_is_not_believed() {
    let (_folder, path) = folder();
    let ledger = open(&path).unwrap();
    ledger.record(record("web", 1, "sha256:1234")).unwrap();
    ledger.record(record("db", 2, "sha256:5678")).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    for (old, new) in [("sha256:1234", "sha256:1235"), ("\"took_ms\":2", "\"took_ms\":3"), ("web", "wep")] {
        fs::write(&path, text.replacen(old, new, 1)).unwrap();
        let ledger = open(&path).unwrap();
        assert_eq!(ledger.records(), [record("db", 2, "sha256:5678")], "{old} became {new}");
        assert_eq!(health(&StateFolder::at(path.parent().unwrap())).unwrap(), (2, 1));
    }
}

#[test]
fn an_older_ledger_gets_its_checks_when_it_is_read() {
    let (_folder, path) = folder();
    let line = serde_json::to_string(&record("web", 1, "sha256:a")).unwrap();
    fs::write(&path, format!("{line}\n")).unwrap();
    let ledger = open(&path).unwrap();
    ledger.record(record("db", 2, "sha256:b")).unwrap();
    let both = [record("web", 1, "sha256:a"), record("db", 2, "sha256:b")];
    assert_eq!(open(&path).unwrap().records(), both);
    assert_eq!(health(&StateFolder::at(path.parent().unwrap())).unwrap(), (2, 0));
}
