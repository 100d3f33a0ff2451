//! An Imagefile as it was written: every key with its place, nothing inherited and nothing filled in.

use super::{Policy, RenamedKey, SecretSource, Word};
use crate::syntax::error::Span;

/// Pairs in the order of the text, with the place of each key.
pub(super) type Pairs<V> = Vec<(Word, V)>;

/// An Imagefile as written.
#[derive(Default)]
pub(super) struct RawFile {
    pub prefix: Option<Word>,
    pub content_tag: Option<Word>,
    pub releases: Option<Word>,
    pub vars: Pairs<Word>,
    pub default: Vec<Word>,
    pub defaults: RawImage,
    pub templates: Pairs<RawImage>,
    pub groups: Pairs<Vec<Word>>,
    pub engines: Pairs<RawEngine>,
    pub images: Pairs<RawImage>,
    pub renamed_keys: Vec<RenamedKey>,
}

/// The keys of one image, of a template or of the defaults, as written.
#[derive(Clone, Default)]
pub(super) struct RawImage {
    pub like: Vec<Word>,
    pub dockerfile: Option<Word>,
    pub context: Option<RawSource>,
    pub overlays: Pairs<RawSource>,
    pub contexts: Pairs<Word>,
    pub target: Option<Word>,
    pub args: Pairs<Word>,
    pub platform: Option<Word>,
    pub labels: Pairs<Word>,
    pub tags: Option<Vec<RawTag>>,
    pub any_tag: Option<bool>,
    pub publish: Option<Vec<RawWhen>>,
    pub secrets: Pairs<SecretSource>,
    pub network: Option<Word>,
    pub upstream: Option<Policy>,
    pub engine_labels: Option<Vec<Word>>,
    pub cache_from: Option<Vec<Word>>,
    pub cache_to: Option<Vec<Word>>,
    pub description: Option<Word>,
}

/// Where files come from, as written: a text, or a repository.
#[derive(Clone)]
pub(super) enum RawSource {
    Text(Word),
    Git(RawGit),
}

/// `Git(…)` as written.
#[derive(Clone, Default)]
pub(super) struct RawGit {
    pub span: Span,
    pub url: Option<Word>,
    pub branch: Option<Word>,
    pub tag: Option<Word>,
    pub commit: Option<Word>,
    pub subdir: Option<Word>,
}

/// A tag as written, and when it is given.
#[derive(Clone)]
pub(super) struct RawTag {
    pub text: Word,
    pub when: Option<RawWhen>,
}

/// The globs of a rule.
#[derive(Clone, Default)]
pub(super) struct RawWhen {
    pub branch: Option<Vec<Word>>,
    pub git_tag: Option<Vec<Word>>,
}

/// An engine as written.
#[derive(Clone, Default)]
pub(super) struct RawEngine {
    pub span: Span,
    pub host: Option<Word>,
    pub context: Option<Word>,
    pub labels: Vec<Word>,
    pub platforms: Vec<Word>,
    pub jobs: Option<usize>,
}
