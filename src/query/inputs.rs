//! What the driver tells the queries: one input an image, one for the workspace.
//!
//! Coarse on purpose: a context is one hash, not a hundred thousand inputs. The
//! driver compares before it sets, since salsa counts every setting as a change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::recipe::Problem;
use crate::source::tree::{ReadError, Selected};

/// One image of the repository.
#[salsa::input(persist, debug)]
pub struct Image {
    /// What the person calls it.
    #[returns(deref)]
    pub name: String,
    /// What was declared of it, as far as it counts.
    #[returns(ref)]
    pub options: Options,
    /// The text of its Dockerfile. One that is absent is an input too.
    #[returns(ref)]
    pub dockerfile: Text,
    /// What its instructions read of its context.
    #[returns(ref)]
    pub context: Context,
    /// Raised to ask again when no other input has changed: the last build
    /// failed, or its result is gone from the engine.
    #[returns(copy)]
    pub epoch: u64,
}

/// The declared options of an image that a query may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Options {
    /// Where its Dockerfile is, below the repository's root. For messages; a path never counts.
    pub dockerfile_path: String,
    /// Its context folder, below the repository's root. For messages.
    pub context_path: String,
    /// The stage to build; the last when `None`.
    pub target: Option<String>,
    /// Build arguments given to it.
    pub args: BTreeMap<String, String>,
    /// Labels asked for.
    pub labels: BTreeMap<String, String>,
    /// The platform asked for.
    pub platform: Option<String>,
    /// The network of its `RUN` steps.
    pub network: Option<String>,
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
    /// Something in it could not be read.
    Unreadable(ReadError),
    /// What is put over it cannot be had.
    Refused(Problem),
    /// What the instructions read.
    Is(Selected),
}

/// What all images share.
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
    /// What is built when an image asks for no platform.
    #[returns(deref)]
    pub platform: String,
    /// Bases outside the repository, by reference as expanded.
    #[returns(ref)]
    pub outside: BTreeMap<String, Outside>,
}

/// What is known of a base outside the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outside {
    /// The id of the image the engine has under that name; `None` when it has none and will pull it.
    pub id: Option<String>,
    /// Its `ONBUILD` triggers, which the images built on it run.
    pub triggers: Vec<String>,
}
