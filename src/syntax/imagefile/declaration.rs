//! The words for what an Imagefile declares, each with its place where errors may point at it.
//!
//! Reads no text.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RenamedKey;
use crate::model::layer_cache::LayerCache;
use crate::model::output::Outputs;
use crate::model::sandbox::Sandbox;
use crate::syntax::container::Profile;
use crate::syntax::container::suite::Test;
use crate::syntax::error::Span;
use crate::syntax::git_source::GitSource;
use crate::syntax::on_publish::OnPublish;
use crate::syntax::tag::{TagRule, When};

/// An Imagefile after variables, defaults and templates are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imagefile {
    /// Put before an image's name to make the name it is tagged with.
    pub prefix: String,
    /// The beginning of the tags that stand for action keys.
    pub content_tag: Option<String>,
    /// The repository of a registry that keeps the log of releases.
    pub releases: Option<Word>,
    /// Receipts of tests that stand beside published images count.
    pub believes_registry: bool,
    /// Commands and notices around a publication.
    pub on_publish: OnPublish,
    /// The words that bare `imk` builds; every image when empty.
    pub default: Vec<Word>,
    /// Names for several images: selectors by group.
    pub groups: BTreeMap<String, Vec<Word>>,
    /// Engines beside the one that docker's own rules lead to, by name.
    pub engines: BTreeMap<String, DeclaredEngine>,
    /// The variables, in the order of the text.
    pub vars: Vec<String>,
    /// The images in the order of their names.
    pub images: Vec<Declaration>,
    /// Patterns of settings that met no image.
    pub unmet_settings: Vec<String>,
    /// Keys written by names they no longer have, in the order of the text.
    pub renamed_keys: Vec<RenamedKey>,
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
    /// Its name as the person calls it, and where.
    pub name: Word,
    /// The choice of its matrix that it is, by the names that texts use for the values; empty where no matrix makes it.
    pub choice: BTreeMap<String, String>,
    /// The Dockerfile; `Dockerfile` or `Containerfile` in the context when `None`.
    /// Of a context from git, a path below that.
    pub dockerfile: Option<Word>,
    /// The Dockerfile's text, where it stands in the Imagefile.
    pub dockerfile_inline: Option<String>,
    /// The context folder, `""` for the Imagefile's own; of one from git its address, as docker writes it.
    pub context: Word,
    /// The repository that the context is from, if it is from another.
    pub git: Option<GitSource>,
    /// Overlays of the context, by path.
    pub overlays: Vec<DeclaredOverlay>,
    /// The meanings of names in its Dockerfile, by name as docker shortens it.
    pub contexts: BTreeMap<String, DeclaredContext>,
    /// The stage to build; the last when `None`.
    pub target: Option<Word>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The platforms, such as `linux/arm64`, in their order; the engine's own when there are none.
    pub platforms: Vec<String>,
    /// Labels on the image.
    pub labels: BTreeMap<String, String>,
    /// Tags it is given, without the name; `latest` when none is declared.
    pub tags: Vec<TagRule>,
    /// Whether any tag of its name means this image where it is a base.
    pub any_tag: bool,
    /// Which builds may be published, one rule being enough; every build when `None`.
    pub publish: Option<Vec<When>>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The network of `RUN` steps: `none`, `host` or the engine's default.
    pub network: Option<String>,
    /// How its bases outside the repository are followed.
    pub upstream: Policy,
    /// Labels that an engine must have to build it.
    pub engine_labels: Vec<Word>,
    /// Layer caches.
    pub cache: DeclaredCaches,
    /// Files and folders written beside it.
    pub outputs: Outputs,
    /// Agents and keys for its steps, by id: paths of sockets or keys, none for the caller's own agent.
    pub ssh: BTreeMap<String, Vec<String>>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// Annotations of the index, where it is for several platforms.
    pub index_annotations: BTreeMap<String, String>,
    /// Stages of which an engine's cache is not used.
    pub no_cache_filter: Vec<String>,
    /// Rights of its steps beyond the usual ones.
    pub entitlements: Vec<Word>,
    /// The surroundings of its `RUN` steps.
    pub sandbox: Sandbox,
    /// How its containers are run.
    pub run: Profile,
    /// Its tests, by name.
    pub tests: BTreeMap<String, Test>,
    /// One sentence for `imk list`.
    pub description: Option<String>,
}

/// When a name outside the repository, of an image or a git branch, is asked for anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// The digest in Imagefile.lock; a name it does not have floats.
    #[default]
    LockedIfAny,
    /// The digest in Imagefile.lock; a name it does not have is a mistake.
    Locked,
    /// The digest that its registry has now.
    Float,
    /// The digest that its registry had first in the current period of this length, counted from 1970.
    Every(Duration),
}

/// A side put at a path of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredOverlay {
    /// The path below the context, cleaned, never empty.
    pub at: String,
    /// The side that is put there.
    pub from: OverlaySource,
    /// The place of its path in the Imagefile.
    pub span: Span,
}

/// A named context, as an image's Dockerfile can use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredContext {
    /// Its meaning.
    pub stands_for: StandsFor,
    /// The image itself says so, not a template or the defaults.
    pub own: bool,
    /// The place of its name in the Imagefile.
    pub span: Span,
}

/// The meaning of a named context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandsFor {
    /// An image: the name of one here, or the reference of one outside.
    Image(String),
    /// Files of a folder or of a repository.
    Files(OverlaySource),
}

/// The side that an overlay is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverlaySource {
    /// A folder or file below the Imagefile's folder.
    Path(String),
    /// A tree of a repository.
    Git(GitSource),
}

impl OverlaySource {
    /// The repository, where it is one.
    pub fn git(&self) -> Option<&GitSource> {
        match self {
            Self::Git(source) => Some(source),
            Self::Path(_) => None,
        }
    }
}

/// Where a secret's value comes from. The value itself never stands in an Imagefile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file, below the Imagefile's folder or absolute.
    File(String),
}

/// The layer caches of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredCaches {
    /// Images in registries whose layers may serve.
    pub from: Vec<String>,
    /// The image carries what another engine needs to take its layers.
    pub inline: bool,
    /// Caches of other kinds whose layers may serve.
    pub other_from: Vec<LayerCache>,
    /// Caches that layers are left in.
    pub to: Vec<LayerCache>,
}

/// An engine as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredEngine {
    /// How it is reached.
    pub address: EngineAddress,
    /// Its labels: abilities that images may ask for.
    pub labels: Vec<String>,
    /// The platforms that it builds and no others; when empty, its own platform first.
    pub platforms: Vec<String>,
    /// How many images at once, at the most.
    pub jobs: Option<usize>,
}

/// Where an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    /// As DOCKER_HOST says it.
    Host(String),
    /// A docker context.
    Context(String),
}
