//! Lines of the ledger: a build, where its result was published, a result of an image that is removed.
//!
//! Knows how a line is written and read, not which lines there are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::hash::ContentHash;
use crate::model::reason::Reason;
use crate::model::time::UnixSeconds;
use crate::state::seal;

/// One finished build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The action key: everything that could change the image.
    pub key: ContentHash,
    /// The image's name at the time. Explains, never decides.
    pub image: String,
    /// The engine that has the result; ids mean nothing elsewhere.
    pub engine: String,
    /// The image id on that engine.
    pub id: String,
    /// The content that dependents are keyed on: the image's file-system layers and
    /// configuration without dates, so that the same image built twice is the same.
    pub content: ContentHash,
    /// The end of the build.
    pub at: UnixSeconds,
    /// Milliseconds the engine took.
    pub took_ms: u64,
    /// Why it was built, the first cause in front. Empty when an older result served again.
    pub reasons: Vec<Reason>,
    /// The exact name under which a registry has it, if it was published or found there:
    /// `r.example/team/app@sha256:…`. The engine need not have it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// It came out with the content of the build before: who uses the image was left alone.
    /// Ledgers of older imk do not say.
    #[serde(default)]
    pub same: bool,
}

impl Record {
    /// A result that no engine of ours built just now: found in a registry, fetched, or serving again.
    pub fn fetched(
        key: ContentHash,
        image: &str,
        engine: String,
        id: String,
        content: ContentHash,
        published: Option<String>,
    ) -> Self {
        let (image, reasons) = (image.to_owned(), Vec::new());
        Self {
            key,
            image,
            engine,
            id,
            content,
            at: UnixSeconds::now(),
            took_ms: 0,
            reasons,
            published,
            same: false,
        }
    }

    /// The same result, but built just now: how long it took, why, and whether its content is the old one.
    pub fn built(self, took: Duration, reasons: Vec<Reason>, same: bool) -> Self {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self { took_ms, reasons, same, ..self }
    }
}

/// The ledger's name in the state folder.
pub(super) const FILE: &str = "ledger";

/// A later word on a result: it was published.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Publication {
    pub key: ContentHash,
    pub engine: String,
    pub published: String,
}

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    Built(Record),
    Published(Publication),
    Removed(RemovedImage),
}

impl Line {
    /// A line without its end; `None` when it is torn, damaged or of another version. `unsealed` says that
    /// the whole ledger is of an imk that wrote no checks.
    pub(super) fn read(line: &[u8], unsealed: bool) -> Option<Self> {
        if unsealed || seal::is_whole(line) { serde_json::from_slice(line).ok() } else { None }
    }
}

/// A result of an image that is gone, as a line of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RemovedImage {
    /// The image's name at the time. A line is known by this word.
    #[serde(rename = "gone")]
    image: String,
    key: ContentHash,
    engine: String,
    id: String,
    content: ContentHash,
    at: UnixSeconds,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published: Option<String>,
}

impl From<&Record> for RemovedImage {
    fn from(record: &Record) -> Self {
        Self {
            image: record.image.clone(),
            key: record.key,
            engine: record.engine.clone(),
            id: record.id.clone(),
            content: record.content,
            at: record.at,
            published: record.published.clone(),
        }
    }
}

impl From<RemovedImage> for Record {
    fn from(removed: RemovedImage) -> Self {
        Self {
            key: removed.key,
            image: removed.image,
            engine: removed.engine,
            id: removed.id,
            content: removed.content,
            at: removed.at,
            took_ms: 0,
            reasons: Vec::new(),
            published: removed.published,
            same: false,
        }
    }
}
