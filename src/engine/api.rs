//! The seam: an engine as the rest of imk sees it, and the words for what goes in and comes out.
//!
//! Knows no engine of any kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::event::BuildEvent;
use super::stored::StoredImage;
use super::stores::{LayoutImage, Stores};
use crate::model::file::{UsedFile, UsedFiles};
use crate::model::layer_cache::LayerCache;
use crate::model::sandbox::Sandbox;

/// An image's identity on an engine: a digest of its configuration, or of its manifest where the engine
/// keeps images with containerd. Equal ids are the same image; engines with different stores
/// give one image different ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageId(pub String);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of an engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EngineIdentity {
    /// The engine's own id, stable over restarts.
    pub id: String,
    /// Its version, such as `20.10.24`.
    pub version: String,
    /// Which builder imk uses there, and how it keeps images: `buildkit/overlay2`, `classic/overlay2`, `buildkit/containerd`, `podman/overlay`. Part of every key.
    pub builder: String,
    /// `linux/amd64` and the like, what is built when no platform is asked for.
    pub platform: String,
}

/// The identity of an engine as one process found it, for the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedIdentity {
    /// Differs as soon as another engine may answer.
    pub mark: String,
    /// The identity.
    pub identity: EngineIdentity,
    /// About how many images it had: a power of two, so that it rarely changes.
    pub images: usize,
    /// Its clock is the one of this machine.
    #[serde(default)]
    pub same_clock: bool,
    /// Images that it was found to have, where it costs it much to say.
    #[serde(default)]
    pub seen: Option<SeenImages>,
}

/// Images as they were when an engine last told of them, and the newest of its events then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenImages {
    /// While the engine tells this event, it tells all that came after it.
    pub last: ImageEvent,
    /// The tags of each image that was asked for; `None` of one that was not there.
    pub images: BTreeMap<ImageId, Option<BTreeSet<String>>>,
}

/// Something that happened to an image of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageEvent {
    /// Nanoseconds since 1970, by the engine's clock.
    pub time: i64,
    /// `tag`, `untag`, `delete` and the like.
    pub action: String,
    /// The image, by its id; by its name where it is pulled or pushed.
    pub id: String,
    /// The name that it is about, if any.
    pub name: String,
}

/// Set once to stop everything that runs; asked often.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    asked: Arc<AtomicBool>,
    above: Option<Arc<Self>>,
}

impl Cancel {
    /// Asks everything to stop.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::SeqCst) || self.above.as_ref().is_some_and(|above| above.is_cancelled())
    }

    /// One for a part of the work, which stops with all of it and can be stopped alone.
    pub fn part(&self) -> Self {
        Self { asked: Arc::default(), above: Some(Arc::new(self.clone())) }
    }
}

/// The files sent with a build, opened one at a time.
pub trait ContextFiles: Send + Sync {
    /// The list; what is not in it does not exist for the engine.
    fn list(&self) -> &UsedFiles;

    /// Opens one file of the list. The engine hashes while it sends and
    /// fails the job when the content is not the one in the list.
    fn open(&self, file: &UsedFile) -> Result<Box<dyn std::io::Read + Send>, String>;

    /// The files of a git repository that an instruction adds, as of the commit in the key.
    ///
    /// # Errors
    /// Why they cannot be had, as a sentence.
    fn repository(&self, _: &AddedRepository<'_>) -> Result<Arc<dyn ContextFiles>, String> {
        Err("this build has no access to git repositories".into())
    }
}

/// A git repository as `ADD` names it.
#[derive(Clone, Copy, Debug)]
pub struct AddedRepository<'a> {
    /// `https://host/repo.git#ref:folder`, as written and expanded.
    pub address: &'a str,
    /// The commit that it must be, or the first digits of it; empty where nothing is said.
    pub checksum: &'a str,
    /// With a `.git` as a clone of that commit has it.
    pub keep_git_dir: bool,
}

/// A value that must reach neither key, log nor error message.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(pub Vec<u8>);

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// An agent for ssh. Its keys stay where they are: what a step has signed is all that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshSource {
    /// The socket of a running agent.
    Agent(PathBuf),
    /// Files of private keys.
    Keys(Vec<PathBuf>),
}

/// One image to build, with everything the engine needs and nothing it must look up by name.
#[derive(Clone)]
pub struct BuildRequest {
    /// The image's name in the Imagefile, for logs and for the engine's own cache of sent files.
    pub image: String,
    /// Text of the Dockerfile with the bases of the repository replaced by exact references, line for line.
    pub dockerfile: String,
    /// Stage to build; the last one when `None`.
    pub target: Option<String>,
    /// Build arguments, only those the Dockerfile declares.
    pub args: BTreeMap<String, String>,
    /// Labels on the result. Stable ones only: each value gives another image id.
    pub labels: BTreeMap<String, String>,
    /// `linux/arm64` and the like; the engine's own when `None`.
    pub platform: Option<String>,
    /// `--network` of docker build; the engine's default when `None`.
    pub network: Option<String>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, SecretValue>,
    /// Agents for `RUN --mount=type=ssh`, by id.
    pub ssh: BTreeMap<String, SshSource>,
    /// Surroundings of `RUN` steps.
    pub sandbox: Sandbox,
    /// Ask the engine to forget its own cache (`-B`, `--no-cache`).
    pub no_cache: bool,
    /// Stages of which the engine's cache is not used.
    pub no_cache_stages: Vec<String>,
    /// Rights beyond the usual ones, by BuildKit's words for them.
    pub entitlements: BTreeSet<String>,
    /// Stable for one image of one repository of one user: the engine keeps what it was sent under it.
    pub share: String,
    /// Layers that the engine may take from elsewhere, and whether it leaves its own.
    pub cache: Caches,
    /// The repository of its registry, for an engine that keeps no images: the result is put there.
    pub repository: Option<String>,
    /// The files.
    pub files: Arc<dyn ContextFiles>,
    /// The files of named contexts, by the names that the Dockerfile has for them.
    pub contexts: BTreeMap<String, Arc<dyn ContextFiles>>,
    /// Images of OCI layouts, by the names that stand for them in the Dockerfile.
    pub layouts: BTreeMap<String, Arc<dyn LayoutImage>>,
}

/// Layer caches that are passed through to the engine. They save time, and never count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caches {
    /// Images in registries whose layers may serve.
    pub from: Vec<String>,
    /// Write into the image what another engine needs to take its layers.
    pub inline: bool,
    /// Caches of other kinds whose layers may serve.
    pub other_from: Vec<LayerCache>,
    /// Caches that layers are left in.
    pub to: Vec<LayerCache>,
    /// The folders of those that are local.
    pub stores: Stores,
}

impl Caches {
    /// Logins in their settings, which nothing may show.
    pub fn logins(&self) -> Vec<SecretValue> {
        let caches = self.other_from.iter().chain(&self.to);
        caches.flat_map(LayerCache::logins).map(|value| SecretValue(value.as_bytes().to_vec())).collect()
    }
}

/// A finding of a builder's own checks on a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFinding {
    /// The rule, such as `FromAsCasing`.
    pub rule: String,
    /// The finding, as the builder says it.
    pub message: String,
    /// The page that explains the rule; empty where there is none.
    pub url: String,
    /// The line of the Dockerfile, from 1.
    pub line: Option<usize>,
}

/// Images an engine has, with their tags as it spells them.
pub type Inventory = BTreeMap<ImageId, BTreeSet<String>>;

/// An image on an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Its identity here.
    pub id: ImageId,
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// `name@sha256:…` under which registries know it.
    pub repo_digests: Vec<String>,
    /// Tags it has here, as the engine spells them.
    pub tags: Vec<String>,
    /// `ONBUILD` triggers in its configuration.
    pub onbuild: Vec<String>,
    /// The environment in its configuration.
    pub environment: BTreeMap<String, String>,
    /// imk's mark on a result that bears its base's name ([`crate::model::own_bases`]).
    pub own_bases: Option<String>,
    /// Bytes, as the engine counts them.
    pub size_bytes: u64,
    /// Digest of the manifest for its platform, where its id is that of an index: docker's own builds put a
    /// note of times beside the image, so the index is another with each.
    pub manifest: Option<String>,
    /// Layers (diff ids) and configuration without dates, as one text: two images with the same are the same file systems and settings.
    pub content: String,
}

/// An engine's own words on itself, beside its identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// How it is reached, and who said so.
    pub place: String,
    /// The version of its API, as `1.41`.
    pub api: String,
    /// Its clock, as RFC 3339; empty when it does not say.
    pub time: String,
    /// How many images it has.
    pub images: usize,
    /// Its storage driver.
    pub store: String,
}

/// Why an engine did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineError {
    /// No engine answered. `tried` says where and why there.
    Unreachable { tried: String, why: String },
    /// The engine said no, in its own words (`what` was attempted).
    Refused { what: String, why: String },
    /// A step of the build failed.
    Failed(BuildFailure),
    /// A file differed from the one in the key while it was sent.
    FileChanged { path: String },
    /// Somebody asked to stop.
    Interrupted,
}

/// A failed step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFailure {
    /// The engine's name of the step, such as `[2/3] RUN false`; empty when it named none.
    pub step: String,
    /// The engine's message.
    pub message: String,
    /// The status of the command, when it was one that failed.
    pub exit_code: Option<i64>,
    /// The first and last line of the Dockerfile that it is about, from 1, where the builder says so.
    #[serde(default)]
    pub lines: Option<(usize, usize)>,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { tried, why } => write!(f, "no engine at {tried}: {why}"),
            Self::Refused { what, why } => write!(f, "{what}: {why}"),
            Self::Failed(failure) if failure.step.is_empty() => f.write_str(&failure.message),
            Self::Failed(failure) => write!(f, "{}: {}", failure.step, failure.message),
            Self::FileChanged { path } => write!(f, "`{path}` changed while it was sent to the engine"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for EngineError {}

/// Writes an archive to whoever takes it.
pub type ArchiveWriter<'a> = dyn FnMut(&mut dyn std::io::Write) -> Result<(), EngineError> + Send + 'a;

/// The other side. One real one speaks to Docker; the fake one of the tests
/// can fail, delay and forget. Every method blocks its thread.
pub trait Engine: Send + Sync {
    /// Its identity.
    fn identity(&self) -> Result<EngineIdentity, EngineError>;

    /// Its own words on itself, asked anew.
    fn about(&self) -> Result<About, EngineError>;

    /// Takes the identity that an earlier process was told, as long as nothing speaks against it: then
    /// nobody need ask who answers.
    fn assume_identity(&self, _cached: &CachedIdentity) {}

    /// An identity that the next process can [assume](Self::assume_identity); none when another engine
    /// could answer there without showing it.
    fn cached_identity(&self) -> Option<CachedIdentity> {
        None
    }

    /// Whether a result stays with it. One that does not is known to this process, and found again in its registry alone.
    fn keeps_images(&self) -> bool {
        true
    }

    /// Which of these images the engine has, each with the tags it bears there.
    fn inventory(&self, ids: &BTreeSet<ImageId>) -> Result<Inventory, EngineError>;

    /// Every tag of these repositories, in full as the engine spells it, and the image it names.
    fn references(&self, repositories: &BTreeSet<String>) -> Result<BTreeMap<String, ImageId>, EngineError>;

    /// The image behind a tag, digest reference or id; `None` when the engine has no such image.
    fn inspect(&self, reference: &str) -> Result<Option<ImageInfo>, EngineError>;

    /// Builds one image without tagging it. Events come in order, from this thread or another.
    fn build(
        &self,
        request: &BuildRequest,
        events: &(dyn Fn(BuildEvent) + Sync),
        cancel: &Cancel,
    ) -> Result<ImageId, EngineError>;

    /// Gives an image a name, taking it from whatever had it.
    fn tag(&self, id: &ImageId, reference: &str) -> Result<(), EngineError>;

    /// Takes a name away. The image stays when something else needs it; no such name is no error.
    fn untag(&self, reference: &str) -> Result<(), EngineError>;

    /// Removes an image that bears no name. Nothing is forced: what a container or another image
    /// needs is refused. No such image is no error.
    fn remove(&self, id: &ImageId) -> Result<(), EngineError>;

    /// The names of all containers, running or not, by the image each was made of.
    fn containers(&self) -> Result<BTreeMap<ImageId, BTreeSet<String>>, EngineError>;

    /// Sends what bears this tag to the registry in its name, and answers with the digest of its
    /// manifest there; `None` from an engine that does not say (Podman). Layers that the registry has do not travel.
    fn push(&self, reference: &str, cancel: &Cancel) -> Result<Option<String>, EngineError>;

    /// Fetches an image from the registry in its name; `None` when the registry has no such image.
    fn pull(&self, reference: &str, cancel: &Cancel) -> Result<Option<ImageId>, EngineError>;

    /// Writes an image as `docker save` does: an archive with a `manifest.json` that names one configuration
    /// and its layers, lowest first, each an archive that may be packed.
    ///
    /// # Errors
    /// When the engine has no such image, or the archive cannot be written.
    fn save(&self, id: &ImageId, to: &mut dyn std::io::Write, cancel: &Cancel) -> Result<(), EngineError>;

    /// The files that an image lies in, of an engine that keeps images in files of this machine; `None` of every other.
    ///
    /// # Errors
    /// When it has no such image, or cannot open it.
    fn stored(&self, _id: &ImageId, _cancel: &Cancel) -> Result<Option<StoredImage>, EngineError> {
        Ok(None)
    }

    /// Takes an image in, of an archive as `docker save` writes it, and says which it is. `archive` writes it.
    ///
    /// # Errors
    /// When the engine does not take it, or the archive ends early.
    fn load(&self, _archive: &mut ArchiveWriter<'_>, _cancel: &Cancel) -> Result<ImageId, EngineError> {
        let why = "this engine takes no archives".to_owned();
        Err(EngineError::Refused { what: "loading an image".into(), why })
    }

    /// Whether a build can begin with images of OCI layouts ([`BuildRequest::layouts`]).
    fn takes_layouts(&self) -> bool {
        false
    }

    /// Has the builder's own checks look at a Dockerfile, and builds nothing; `None` where it has none.
    ///
    /// # Errors
    /// When the engine refuses.
    fn checks(&self, _: &BuildRequest, _: &Cancel) -> Result<Option<Vec<CheckFinding>>, EngineError> {
        Ok(None)
    }

    /// Frees what none of its images needs any more, and says how many bytes that was. An engine that
    /// is not imk's alone frees nothing: that is for its owner to ask.
    fn collect(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}
