//! The seam between deciding and doing: the one effect that a query may have, and what it comes to.
//!
//! `image` knows a key and asks for its result; how a result is found, built or fetched is for
//! whoever implements [`Effect`]. Knows no engine, registry or ledger, only the words for results
//! and failures, which salsa keeps and compares.

use serde::{Deserialize, Serialize};

use super::edge::Edge;
use super::inputs::{Context, Exact, Options, OutsideBase, Text};
use super::problem::Problem;
use crate::engine::{EngineError, ImageId};
use crate::model::hash::ContentHash;
use crate::model::part::Part;
use crate::syntax::resolve::Recipe;

/// A result that the engine has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The action key it answers.
    pub key: ContentHash,
    /// The image on the engine.
    pub id: ImageId,
    /// Users of the image are keyed on this; see [`crate::state::ledger::Record::content`].
    pub content: ContentHash,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildError {
    /// The Dockerfile or the context has mistakes; nothing was sent anywhere.
    Invalid(Vec<Problem>),
    /// This base has no result.
    Base(String),
    /// This base had a result when it was last looked at, and neither an engine nor a registry has it now.
    BaseMissing(String),
    /// The engine failed.
    Engine(EngineError),
    /// No engine builds such an image, or none of those is left.
    NoEngine { platform: String, labels: Vec<String>, engines: Vec<String> },
    /// This base is on another engine and cannot come to the one that builds.
    Stuck { base: String, engine: String, why: String },
    /// The result could not be written down, so it does not count.
    Ledger(String),
    /// Files changed between reading and sending them.
    FilesChanged,
    /// A secret that the Imagefile declares has no value.
    Secret(String),
}

/// One image to have, with everything its key was made of.
#[derive(Debug)]
pub struct BuildJob<'a> {
    /// The image's name.
    pub name: &'a str,
    /// Its declared options.
    pub options: &'a Options,
    /// The text of its Dockerfile.
    pub dockerfile: &'a Text,
    /// The files it reads.
    pub context: &'a Context,
    /// The default engine, by its id.
    pub engine: &'a str,
    /// The builder that the key names.
    pub builder: &'a str,
    /// The platform that the key names.
    pub platform: &'a str,
    /// The action key: a result of this key is the result.
    pub key: ContentHash,
    /// Its Dockerfile, made out.
    pub recipe: &'a Recipe,
    /// The parts of the key, to explain a build with.
    pub parts: Vec<Part>,
    /// The content of each base of the repository, by image name.
    pub on: &'a [Part],
    /// Where the Dockerfile names those bases.
    pub edges: &'a [Edge],
    /// The images that the key names for the bases outside.
    pub outside: Vec<(OutsideBase, Exact)>,
}

/// How a job came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildOutcome {
    /// There is a result, or a reason why not. Either is remembered.
    Result(Result<Built, BuildError>),
    /// Somebody asked to stop: nothing is remembered.
    Interrupted,
}

/// Gets the result of a key, from wherever it can be had. Blocks its thread, waits with plain std
/// and never with rayon, since salsa's worker would steal another query's work meanwhile.
///
/// An effect decides nothing about freshness: the key has decided. A result is written down before
/// it is returned, so that a process that is killed in the next instant has not built in vain.
pub trait Effect: Send + Sync {
    /// Finds the result of the job's key, or builds it.
    fn build_or_reuse(&self, job: BuildJob<'_>) -> BuildOutcome;
}
