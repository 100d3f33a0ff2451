//! State after an accident: whatever became of the bytes, what is read of them was written by somebody.
//!
//! The seeds are sound files with a known content. A target takes any bytes and holds that what is read
//! is a part of that content, and the same when it is read again. Knows nothing of how files are opened.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::model::file::{FileKind, UsedFile, UsedFiles};
use crate::model::hash::ContentHash;
use crate::model::part::Part;
use crate::model::reason::{Code, Reason};
use crate::model::time::UnixSeconds;
use crate::query::snapshot;
use crate::state::evidence::document::Document;
use crate::state::evidence::{Evidence, EvidenceStore};
use crate::state::folder::StateFolder;
use crate::state::ledger::{Ledger, Record};
use crate::state::seal;

/// A folder that is there as long as the process is: making one for each input would cost more than reading it.
fn folder() -> &'static std::path::Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("there is a place for temporary files")).path()
}

fn records() -> Vec<Record> {
    let record = |image: &str, number: u8, published: Option<&str>| Record {
        key: ContentHash::of(&[number]),
        image: image.into(),
        engine: "7TJE:52AS".into(),
        id: format!("sha256:{}", ContentHash::of(&[number, 1])),
        content: ContentHash::of(&[number, 2]),
        at: UnixSeconds(1_700_000_000 + u64::from(number)),
        took_ms: 1200,
        reasons: if number == 1 { vec![] } else { vec![Reason::forced()] },
        published: published.map(str::to_owned),
        same: number == 3,
    };
    vec![
        record("web", 1, None),
        record("db", 2, Some("r.example/team/db@sha256:00")),
        record("web", 3, None),
        record("old", 4, None),
    ]
}

fn write_ledger() -> Vec<u8> {
    let place = StateFolder::at(folder()).sub("seed");
    place.remove("ledger").expect("the old one can go");
    let write = || -> std::io::Result<Vec<u8>> {
        let ledger = Ledger::open(&place)?;
        for record in records() {
            ledger.record(record)?;
        }
        ledger.published(&ContentHash::of(&[3]), "7TJE:52AS", "r.example/team/web@sha256:11")?;
        ledger.forget(&BTreeSet::from(["old".to_owned()]))?;
        Ok(place.read("ledger").unwrap_or_default())
    };
    write().expect("a ledger can be written")
}

/// A ledger of three builds, of which one was published later, and a result that was left.
pub fn ledger_seeds() -> Vec<Vec<u8>> {
    vec![write_ledger()]
}

/// Records are those that were written, if their lines are whole; and opening twice finds the same.
pub fn ledger(bytes: &[u8]) {
    let place = StateFolder::at(folder());
    place.replace("ledger", bytes).expect("the file can be written");
    let ledger = Ledger::open(&place).expect("damage is no error");
    // What a line leaves out, or a later line adds, is no other build.
    let bare = |record: &Record| Record {
        published: None,
        took_ms: 0,
        reasons: vec![],
        same: false,
        ..record.clone()
    };
    let written: Vec<Record> = records().iter().map(bare).collect();
    for found in ledger.records().iter().chain(&ledger.left()) {
        assert!(written.contains(&bare(found)), "nobody wrote {found:?}");
    }
    let (records, left) = (ledger.records(), ledger.left());
    let again = Ledger::open(&place).expect("damage is no error");
    assert_eq!((again.records(), again.left()), (records, left));
}

fn files() -> UsedFiles {
    let file = |path: &str, kind, content: &str| UsedFile {
        path: path.into(),
        kind,
        mode: 0o644,
        size_bytes: content.len() as u64,
        mtime_ns: 0,
        hash: ContentHash::of(content.as_bytes()),
        target: String::new(),
        counts: true,
    };
    let files = vec![
        file("src", FileKind::Folder, ""),
        file("src/a.txt", FileKind::File, "a"),
        file("src/b.txt", FileKind::File, "b"),
    ];
    UsedFiles { files }
}

fn parts() -> Vec<Part> {
    vec![Part::new(Code::Arg, "A", "1"), Part::new(Code::Dockerfile, "", "COPY [\"src\",\"/\"]")]
}

fn key() -> ContentHash {
    ContentHash::of(b"key")
}

/// The evidence of a build of three files.
pub fn evidence_seeds() -> Vec<Vec<u8>> {
    let place = StateFolder::at(folder()).sub("seed-evidence");
    let store = EvidenceStore::new(place.clone());
    store.save(&key(), &Evidence::new(parts(), &files())).expect("evidence can be written");
    vec![place.read(&key().to_string()).expect("it was written")]
}

/// Evidence is what was kept, or none.
pub fn evidence(bytes: &[u8]) {
    let place = StateFolder::at(folder()).sub("evidence");
    place.replace(&key().to_string(), bytes).expect("the file can be written");
    if let Some(found) = EvidenceStore::new(place).load(&key()) {
        assert_eq!(found, Evidence::new(parts(), &files()));
    }
}

const PAYLOAD: &[u8] = b"\x08\0\0\0\0\0\0\0what salsa made of it";

/// An envelope of this build, which no other build opens.
pub fn snapshot_seeds() -> Vec<Vec<u8>> {
    vec![snapshot::envelope(PAYLOAD)]
}

/// An envelope holds what was put into it, or nothing.
pub fn snapshot(bytes: &[u8]) {
    if let Some(found) = snapshot::unwrap_envelope(bytes) {
        assert_eq!(found, PAYLOAD);
    }
}

const SEALED: &[u8] = br#"{"bases":{"docker.io/library/alpine:3 linux/amd64":{"digest":"sha256:1","at":7}}}"#;

/// A sealed file, as `upstream`, `git/heads` and `images` are.
pub fn sealed_seeds() -> Vec<Vec<u8>> {
    vec![seal::seal(SEALED.to_vec())]
}

/// A seal holds what was sealed, or nothing.
pub fn sealed(bytes: &[u8]) {
    if let Some(found) = seal::open(bytes) {
        assert_eq!(found, SEALED);
    }
}

/// A document as it is attached to an image in a registry.
pub fn document_seeds() -> Vec<Vec<u8>> {
    let document = Document::new("web", key(), ContentHash::of(b"content"), parts(), &files());
    vec![document.text().into_bytes()]
}

/// A document is read the same from what it writes. It comes from a registry, which checks it by its digest.
pub fn document(bytes: &[u8]) {
    if let Some(document) = Document::read(bytes) {
        assert_eq!(Document::read(document.text().as_bytes()).as_ref(), Some(&document));
        let _ = document.evidence();
    }
}
