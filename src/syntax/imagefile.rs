//! Imagefile.ron: what a person declares about the images of a repository.
//!
//! Text in, declarations out, all mistakes together and each with its place.
//! Opens no file: whether a Dockerfile exists is for the floors above.

mod caches;
mod decode;
mod engines;
pub mod format;
mod inherit;
pub mod kinds;
mod overlays;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{Span, SyntaxError};
use super::git_source::GitSource;
use super::tag::TagRule;
pub use caches::{DeclaredCaches, source as cache_source, target as cache_target};
pub use engines::{DeclaredEngine, EngineAddress};

/// An Imagefile after variables, defaults and templates are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imagefile {
    /// Put before an image's name to make the name it is tagged with.
    pub prefix: String,
    /// What the tags begin with that stand for action keys.
    pub content_tag: Option<String>,
    /// What bare `imk` builds; every image when empty.
    pub default: Vec<Word>,
    /// Names for several images: selectors by group.
    pub groups: BTreeMap<String, Vec<Word>>,
    /// Engines beside the one that docker's own rules lead to, by name.
    pub engines: BTreeMap<String, DeclaredEngine>,
    /// The images in the order of their names.
    pub images: Vec<Declaration>,
}

/// A word of the Imagefile with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The text, variables filled in.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// One image as declared. Paths are below the Imagefile's folder, cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// What the person calls it, and where.
    pub name: Word,
    /// The Dockerfile; `Dockerfile` or `Containerfile` in the context when `None`.
    /// Of a context from git, a path below that.
    pub dockerfile: Option<Word>,
    /// The context folder, `""` for the Imagefile's own; of one from git its address, as docker writes it.
    pub context: Word,
    /// The repository that the context is from, if it is from another.
    pub git: Option<GitSource>,
    /// What is put over the context, by path.
    pub overlays: Vec<DeclaredOverlay>,
    /// The stage to build; the last when `None`.
    pub target: Option<Word>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Such as `linux/arm64`; the engine's own when `None`.
    pub platform: Option<String>,
    /// Labels on the image.
    pub labels: BTreeMap<String, String>,
    /// Tags it is given, without the name; `latest` when none is declared.
    pub tags: Vec<TagRule>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The network of `RUN` steps: `none`, `host` or the engine's default.
    pub network: Option<String>,
    /// How its bases outside the repository are followed.
    pub upstream: Policy,
    /// Labels that an engine must have to build it.
    pub needs: Vec<Word>,
    /// Layer caches.
    pub cache: DeclaredCaches,
    /// One sentence for `imk list`.
    pub description: Option<String>,
}

/// When a name outside the repository, of an image or a git branch, is asked for anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// What Imagefile.lock says; a name it does not have floats.
    #[default]
    LockedIfAny,
    /// What Imagefile.lock says; a name it does not have is a mistake.
    Locked,
    /// What its registry says now.
    Float,
    /// What its registry said first in the current period of so many seconds, counted from 1970.
    Every(u64),
}

/// Something at a path of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredOverlay {
    /// The path below the context, cleaned, never empty.
    pub at: String,
    /// What is put there.
    pub from: OverlaySource,
    /// The place of its path in the Imagefile.
    pub span: Span,
}

/// What an overlay is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverlaySource {
    /// A folder or file below the Imagefile's folder.
    Path(String),
    /// A tree of a repository.
    Git(GitSource),
}

/// Where a secret's value comes from. The value itself never stands in an Imagefile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file, below the Imagefile's folder or absolute.
    File(String),
}

/// Every key an Imagefile can hold, with its meaning: what is accepted, what
/// is suggested and what `imk help imagefile` explains come from this one table.
pub const TOP_KEYS: &[(&str, &str)] = &[
    ("prefix", "put before every image's name to make its tag, such as \"registry.example/team/\""),
    (
        "content_tag",
        "what the tags in the registry begin with that stand for all inputs of an image; else \"imk-\"",
    ),
    ("vars", "variables with their defaults, used as {NAME}; set by IMK_VAR_NAME or --var NAME=VALUE"),
    ("default", "what bare `imk` builds: names, globs, groups; every image when absent"),
    ("defaults", "what every image inherits; any key of an image"),
    ("templates", "named sets of image keys that an image takes over with `like`"),
    ("groups", "names for several images: {\"apps\": [\"web\", \"svc-*\"]}"),
    (
        "engines",
        "engines beside docker's own: {\"big\": (host: \"ssh://me@big\", labels: [\"gpu\"], platforms: [\"linux/arm64\"], jobs: 4)}",
    ),
    ("images", "the images: {\"web\": (context: \"web\")}"),
];

/// The keys of one image, as [`TOP_KEYS`].
pub const IMAGE_KEYS: &[(&str, &str)] = &[
    ("like", "a template, or a list of them, to take keys from; the later one wins"),
    ("dockerfile", "path below the Imagefile's folder; else Dockerfile or Containerfile in the context"),
    (
        "context",
        "folder whose files the Dockerfile can copy; else the Dockerfile's folder, else one named like the image; or a git repository, as an overlay",
    ),
    (
        "overlays",
        "put over the context: {\"vendor/lib\": \"shared/lib\"} a folder or file of this repository, {\"src\": Git(url: \"https://…\", branch: \"main\", subdir: \"src\")} a tree of another",
    ),
    ("target", "the stage to build; else the last"),
    ("args", "build arguments: {\"VERSION\": \"1\"}"),
    ("platform", "such as \"linux/arm64\"; else the engine's own"),
    ("labels", "labels on the image; keep them stable, each value makes another image"),
    (
        "tags",
        "tags it is given, such as [\"{git.sha:12}\", When(branch: \"main\", tag: \"latest\")]; else [\"latest\"]",
    ),
    ("secrets", "{\"token\": Env(\"TOKEN\")} or File(\"path\"): for RUN --mount=type=secret,id=token"),
    ("network", "network of RUN steps: \"none\", \"host\"; else the engine's default"),
    (
        "upstream",
        "how bases outside the repository are followed: Locked, Float or Every(\"7d\"); else Imagefile.lock where it has them",
    ),
    ("needs", "labels that an engine must have to build it: [\"gpu\"]; they never count"),
    (
        "cache_from",
        "images in registries whose layers may serve: [\"registry.example/web:cache\"]; only saves time, never counts",
    ),
    (
        "cache_to",
        "[\"type=inline\"]: the image carries what another engine needs to take its layers; never counts",
    ),
    ("description", "one sentence for `imk list`"),
];

/// The keys of an engine, as [`TOP_KEYS`].
pub const ENGINE_KEYS: &[(&str, &str)] = &[
    (
        "host",
        "unix://PATH, tcp://HOST:PORT (with TLS as DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say) or ssh://USER@HOST",
    ),
    ("context", "or a docker context by its name, with its certificates"),
    ("labels", "what it is good for, as `needs` of images says it: [\"jdk17\", \"gpu\"]"),
    (
        "platforms",
        "what it builds, and nothing else; when absent, its own platform first, others by emulation",
    ),
    ("jobs", "how many images at once, at the most; when absent, what -j allows"),
];

/// The keys of `Git(…)`, as [`TOP_KEYS`].
pub const GIT_KEYS: &[(&str, &str)] = &[
    ("url", "https, ssh, git or a local path; relative ones start at the Imagefile's folder"),
    ("branch", "follow this branch; else what the repository's HEAD points to"),
    ("tag", "take what this tag points to"),
    ("commit", "take this commit: all forty digits of its id"),
    ("subdir", "take this folder of the repository only"),
];

/// Reads an Imagefile. `vars` override the variables it declares.
///
/// # Errors
/// Every mistake in the text, in the order of their places.
///
/// # Examples
///
/// ```
/// use imk::syntax::imagefile::read;
///
/// let text = r#"(prefix: "team/", vars: {"V": "1"}, images: {"web": (tags: ["{V}"]), "db": ()})"#;
/// let file = read(text, &Default::default()).expect("no mistakes");
/// assert_eq!(file.prefix, "team/");
/// assert_eq!(file.images.len(), 2);
///
/// // An unknown key is a mistake, with the nearest one that there is.
/// let mistakes = read(r#"(images: {"web": (dockrfile: "D")})"#, &Default::default()).unwrap_err();
/// assert_eq!(mistakes.len(), 1);
/// ```
pub fn read(text: &str, vars: &BTreeMap<String, String>) -> Result<Imagefile, Vec<SyntaxError>> {
    let (raw, mut errors) = decode::decode(text);
    let imagefile = inherit::inherit(raw, vars, &mut errors);
    if errors.is_empty() {
        return Ok(imagefile);
    }
    errors.sort_by_key(|error| (error.span, error.message.clone()));
    errors.dedup();
    Err(errors)
}

/// The names of images and groups, as far as the text can be read: for completion.
pub fn names(text: &str) -> Vec<String> {
    let (raw, _) = decode::decode(text);
    let groups = raw.groups.into_iter().map(|(name, _)| name.text);
    raw.images.into_iter().map(|(name, _)| name.text).chain(groups).collect()
}

#[cfg(test)]
mod tests;
