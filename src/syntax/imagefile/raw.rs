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
    pub receipts: Option<Word>,
    pub on_publish: RawOnPublish,
    pub vars: Pairs<Word>,
    pub default: Vec<Word>,
    pub defaults: RawImage,
    pub templates: Pairs<RawImage>,
    pub groups: Pairs<Vec<Word>>,
    pub engines: Pairs<RawEngine>,
    pub images: Pairs<RawImage>,
    pub renamed_keys: Vec<RenamedKey>,
}

/// Commands and notices around a publication, as written.
#[derive(Default)]
pub(super) struct RawOnPublish {
    pub before: Vec<Word>,
    pub after: Vec<Word>,
    pub notify: Pairs<RawNotice>,
}

/// A notice, as written.
#[derive(Default)]
pub(super) struct RawNotice {
    pub url: Option<Word>,
    pub secrets: Vec<Word>,
    pub headers: Pairs<Word>,
    pub body: Option<Word>,
    pub slack: Option<bool>,
    pub on: Option<Word>,
}

/// The keys of one image, of a template or of the defaults, as written.
#[derive(Clone, Default)]
pub(super) struct RawImage {
    pub like: Vec<Word>,
    pub dockerfile: Option<Word>,
    pub dockerfile_inline: Option<Word>,
    pub context: Option<RawSource>,
    pub overlays: Pairs<RawSource>,
    pub contexts: Pairs<RawSource>,
    pub target: Option<Word>,
    pub args: Pairs<Word>,
    pub matrix: Pairs<Vec<RawValue>>,
    pub exclude: Option<Vec<Pairs<Word>>>,
    /// Of `platform` or `platforms`, whichever is written.
    pub platforms: Option<Vec<Word>>,
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
    pub output: Option<Vec<Word>>,
    pub ssh: Option<Vec<Word>>,
    pub no_cache_filter: Option<Vec<Word>>,
    pub entitlements: Option<Vec<Word>>,
    pub annotations: Pairs<Word>,
    pub extra_hosts: Pairs<Word>,
    pub shm_size: Option<Word>,
    pub ulimits: Option<Vec<Word>>,
    /// Layers of `run`, the later over the earlier.
    pub run: Vec<RawRun>,
    pub tests: Pairs<RawTest>,
    pub description: Option<Word>,
}

/// A value of an axis of a matrix, as written: a text, or several that belong together.
#[derive(Clone)]
pub(super) enum RawValue {
    Text(Word),
    Set(Pairs<Word>),
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

/// `run` as written, and each of its commands and variants.
#[derive(Clone, Default)]
pub(super) struct RawRun {
    pub span: Span,
    pub env: Pairs<Word>,
    pub env_file: Vec<Word>,
    pub volumes: Vec<Word>,
    pub tmpfs: Vec<Word>,
    pub ports: Vec<Word>,
    pub workdir: Option<Word>,
    pub user: Option<Word>,
    pub timezone: Option<Word>,
    pub network: Option<Word>,
    pub hostname: Option<Word>,
    pub name: Option<Word>,
    pub hosts: Vec<Word>,
    pub labels: Pairs<Word>,
    pub entrypoint: Option<Vec<Word>>,
    pub command: Option<Vec<Word>>,
    pub init: Option<bool>,
    pub read_only: Option<bool>,
    pub memory: Option<Word>,
    pub cpus: Option<Word>,
    pub shm_size: Option<Word>,
    pub ulimits: Vec<Word>,
    pub gpus: Option<Word>,
    pub devices: Vec<Word>,
    pub cap_add: Vec<Word>,
    pub folders: Option<Word>,
    pub source: Option<Word>,
    pub source_dir: Option<Word>,
    pub script_dir: Option<Word>,
    pub log: Option<RawLog>,
    pub timeout: Option<Word>,
    pub variant: Option<Word>,
    pub variants: Pairs<Self>,
    pub commands: Pairs<Self>,
}

/// `log` of a run as written.
#[derive(Clone, Default)]
pub(super) struct RawLog {
    pub size: Option<Word>,
    pub count: Option<usize>,
}

/// A test as written.
#[derive(Clone, Default)]
pub(super) struct RawTest {
    pub span: Span,
    pub steps: Vec<RawCheck>,
    pub env: Pairs<Word>,
    pub volumes: Pairs<Word>,
    pub ports: Vec<u16>,
    pub services: Pairs<RawService>,
    pub files: Vec<Word>,
    pub timeout: Option<Word>,
    pub tries: Option<usize>,
    pub max_age: Option<Word>,
    pub probe: Option<Word>,
}

/// A service of a test as written.
#[derive(Clone, Default)]
pub(super) struct RawService {
    pub span: Span,
    pub image: Option<Word>,
    pub env: Pairs<Word>,
    pub command: Option<Vec<Word>>,
    pub ready: Option<u16>,
}

/// A step of a test as written: its kind, and the keys that any kind has.
#[derive(Clone, Default)]
pub(super) struct RawCheck {
    pub kind: &'static str,
    pub span: Span,
    pub command: Option<Vec<Word>>,
    pub entrypoint: Option<Vec<Word>>,
    pub args: Vec<Word>,
    pub env: Pairs<Word>,
    pub labels: Pairs<Word>,
    pub user: Option<Word>,
    pub workdir: Option<Word>,
    pub status: Option<i64>,
    pub out: Vec<Word>,
    pub err: Vec<Word>,
    pub never: Vec<Word>,
    pub ports: Vec<u16>,
    pub closed_ports: Vec<u16>,
    pub path: Option<Word>,
    pub yes: Option<bool>,
    pub mode: Option<Word>,
    pub volumes: Vec<Word>,
    pub size_below: Option<Word>,
    pub no_shell: bool,
    pub inside: Option<Word>,
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
