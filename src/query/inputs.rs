//! Inputs of the queries, which `session` sets: one an image, one for the workspace.
//!
//! Coarse on purpose: a context is one hash, not a hundred thousand inputs. The
//! driver compares before it sets, since salsa counts every setting as a change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::model::sandbox::Sandbox;
use crate::source::tree::{ReadError, Selected};
use crate::syntax::imagefile::Policy;
use crate::syntax::resolve::NamedContext;

/// One image of the repository.
#[salsa::input(persist, debug)]
pub struct Image {
    /// Its name, as a person calls it.
    #[returns(deref)]
    pub name: String,
    /// The declared options that define it: everything here may be a part of its key.
    #[returns(ref)]
    pub options: Options,
    /// The places that accompany it: nothing here is ever a part of a key.
    #[returns(ref)]
    pub paths: Paths,
    /// The tags under which it may be a base: nothing here is ever a part of a key.
    #[returns(ref)]
    pub answers: Answers,
    /// The text of its Dockerfile. One that is absent is an input too.
    #[returns(ref)]
    pub dockerfile: Text,
    /// The files that its instructions read of its context.
    #[returns(ref)]
    pub context: Context,
    /// Raised to ask again when no other input has changed: the last build
    /// failed, or its result is gone from the engine.
    #[returns(copy)]
    pub attempt: u64,
}

/// Where an image's files are, below the repository's root: for whoever reads them, and for messages. A
/// repository that is moved, or an image whose folder is renamed, keeps its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Paths {
    /// Its Dockerfile.
    pub dockerfile: String,
    /// Its context folder.
    pub context: String,
}

/// The tags of an image's name that mean it where it is a base, beside `latest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answers {
    /// The tags it declares as text or by variables.
    pub tags: BTreeSet<String>,
    /// Any other too.
    pub any: bool,
}

/// The declared options that define an image. `action_key.rs` takes this type apart field by field, so whoever
/// adds one decides there whether it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Options {
    /// The stage to build; the last when `None`.
    pub target: Option<String>,
    /// Build arguments given to it.
    pub args: BTreeMap<String, String>,
    /// `SOURCE_DATE_EPOCH` of the environment, which the builder gets; it counts where the Dockerfile declares it.
    pub source_date_epoch: Option<String>,
    /// The meanings of names in its Dockerfile, by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// Labels asked for.
    pub labels: BTreeMap<String, String>,
    /// The platform asked for.
    pub platform: Option<String>,
    /// The network of its `RUN` steps.
    pub network: Option<String>,
    /// Surroundings of its `RUN` steps.
    pub sandbox: Sandbox,
    /// Annotations asked for.
    pub annotations: BTreeMap<String, String>,
    /// How its bases outside the repository are followed. It counts by what comes of it.
    pub upstream: Policy,
}

/// A text file of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Text {
    /// There is none.
    Absent,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// The repository that it is in cannot be had.
    Refused(Problem),
    /// Its content.
    Is(String),
}

/// The files an image reads, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Context {
    /// Not looked at: the image was not asked for, or its Dockerfile has mistakes.
    Unread,
    /// The folder is not there.
    Absent,
    /// A file in it could not be read.
    Unreadable(ReadError),
    /// The overlays cannot be had, or the image is on a circle: nothing is read for it.
    Refused(Problem),
    /// The files that the instructions read.
    Is(Selected),
}

/// The input that all images share.
#[salsa::input(persist, singleton, debug)]
pub struct Workspace {
    /// The images by name.
    #[returns(ref)]
    pub images: BTreeMap<String, Image>,
    /// Put before names to make tags; a base may be named with or without one of these.
    #[returns(deref)]
    pub prefixes: Vec<String>,
    /// The engine whose results count.
    #[returns(deref)]
    pub engine: String,
    /// The builder there; part of every key.
    #[returns(deref)]
    pub builder_kind: String,
    /// The platform of images that ask for none.
    #[returns(deref)]
    pub platform: String,
    /// The bases outside the repository, as far as they are known.
    #[returns(ref)]
    pub outside: BTreeMap<OutsideBase, Outside>,
    /// Validators or commits that tell the states of fetched files and repositories apart, by address: those of `ADD`.
    #[returns(ref)]
    pub remotes: BTreeMap<String, String>,
}

/// A base outside the repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutsideBase {
    /// The reference as the Dockerfile's words expand to.
    pub reference: String,
    /// The platform it is used for, as `linux/arm64`.
    pub platform: String,
    /// How its user follows it: two users may see two images behind one name.
    pub policy: Policy,
    /// Whether its user bears this name itself: what imk tags so later is not the base.
    pub own: bool,
}

/// A base outside the repository, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outside {
    /// Which image it is.
    pub exact: Exact,
    /// Triggers and environment that its configuration brings to the images built on it, where that could be read.
    pub brings: Option<Brings>,
}

/// Which image a reference stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exact {
    /// The manifest of the platform, by its digest: what a registry said, or the lock file.
    Digest(String),
    /// The image that the engine has under that name, by its id there.
    Local(String),
    /// Nobody knows: the engine pulls what it finds.
    #[default]
    Unknown,
    /// It cannot be had, and nobody else could have it: an OCI layout that is not there, or not sound.
    Refused {
        /// Why, as the end of a sentence.
        why: String,
        /// How to go on.
        hint: String,
    },
}

/// Triggers and environment that an image's configuration brings to the images built on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Brings {
    /// Its `ONBUILD` triggers, which they run first.
    pub triggers: Vec<String>,
    /// Its environment, which their words may use.
    pub environment: BTreeMap<String, String>,
}
