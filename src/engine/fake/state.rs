//! The state of the tests' engine: its images, and what it is to fail, delay and forget. Answers nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::{EngineError, EngineIdentity, ImageId, ImageInfo};

/// How often an image fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    /// The next so many builds.
    Times(usize),
    /// Every build.
    Always,
}

/// One build that was asked for.
#[derive(Clone, Debug)]
pub struct FakeBuild {
    /// The image's name in the request.
    pub image: String,
    /// The Dockerfile as it was sent.
    pub dockerfile: String,
    /// When it began.
    pub start: Instant,
    /// When it ended; `None` while it runs.
    pub end: Option<Instant>,
    /// Its result; `None` while it runs.
    pub result: Option<Result<ImageId, EngineError>>,
}

/// A registry as an engine of the tests sees it.
pub trait ImageStore: Send + Sync {
    /// Takes an image under a name and gives its digest.
    fn put(&self, reference: &str, image: &ImageInfo) -> Result<String, EngineError>;
    /// The image of a name, if there is one.
    fn get(&self, reference: &str) -> Result<Option<ImageInfo>, EngineError>;
}

/// Everything that the engine has, was asked and is told to do.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) identity: Option<EngineIdentity>,
    pub(super) images: BTreeMap<ImageId, ImageInfo>,
    pub(super) tags: BTreeMap<String, ImageId>,
    pub(super) failures: BTreeMap<String, Failures>,
    pub(super) delays: BTreeMap<String, Duration>,
    pub(super) ignores_files: BTreeSet<String>,
    pub(super) salts: BTreeMap<String, String>,
    pub(super) unreachable: bool,
    pub(super) deadly: BTreeSet<String>,
    pub(super) asked: usize,
    pub(super) builds: Vec<FakeBuild>,
    pub(super) pulls: Vec<String>,
    pub(super) running: usize,
    pub(super) most_at_once: usize,
    pub(super) store: Option<Arc<dyn ImageStore>>,
    pub(super) containers: BTreeMap<ImageId, BTreeSet<String>>,
    /// Tags that begin so are moved by somebody else before so many pushes.
    pub(super) crossed: Option<(String, usize)>,
    /// It tells no digest of what it pushed.
    pub(super) silent_pushes: bool,
}

/// A name as engines keep it: with a tag.
pub(super) fn full_name(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}
