//! Events of a build while it runs, and its summary.
//!
//! Data only: what is done is `run.rs`, and `cli/` makes words of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::build::publish::Publication;
use crate::engine::{EngineError, ImageId};
use crate::exec::executor::JobEvent;
use crate::exec::push::PublishError;
use crate::model::reason::Reason;
use crate::plan::tags::tagging::Skipped;
use crate::query::effect::{BuildError, Built};
use crate::session::sync::Synced;

/// An event of a running build.
#[derive(Clone, Debug)]
pub enum Event {
    /// An event of a job.
    Job(String, JobEvent),
    /// A job has this result, and is about to end.
    Result(String, ImageId),
    /// How far all of it is; told every second while something is built.
    Ahead(Ahead),
    /// A job ended.
    Ended(String, Ending, Duration),
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Images that were built.
    pub built: usize,
    /// Images that were built, are, or are expected to be.
    pub of: usize,
    /// Images that are being built.
    pub running: usize,
    /// The time until all are built, where enough was built before to say.
    pub left: Option<Duration>,
}

/// How one image came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its result was there already.
    Fresh,
    /// The engine built it.
    Built {
        /// Why.
        reasons: Vec<Reason>,
        /// With the same content as before: its users are left alone.
        same: bool,
    },
    /// An older result of the same inputs serves again.
    Reused,
    /// A registry has its result: another machine built it.
    AlreadyPublished,
    /// It has no result.
    Failed(BuildError),
    /// It was not tried.
    Skipped,
}

impl Ending {
    /// Whether an engine built it, or tried to.
    pub fn is_of_a_build(&self) -> bool {
        matches!(self, Self::Built { .. } | Self::Failed(_))
    }
}

/// A name that was taken from an image which this repository does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenName {
    /// The name.
    pub tag: String,
    /// The image that bore it.
    pub from: ImageId,
    /// The name that it was given instead, when it had no other.
    pub kept_as: Option<String>,
}

/// A name that is on another image, an older result most of the time, because the current one is in a
/// registry alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutdatedName {
    /// The image of the repository.
    pub image: String,
    /// The name.
    pub tag: String,
}

/// An output that was to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputDone {
    /// The image.
    pub image: String,
    /// Where to, as a person reads it.
    pub place: String,
    /// Why not, where it was not.
    pub result: Result<(), String>,
}

/// A target that was to be put into another engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadDone {
    /// The image.
    pub image: String,
    /// Whether there was something to do, or why it is not there.
    pub result: Result<bool, EngineError>,
}

/// The summary of a build.
#[derive(Debug, Default)]
pub struct Summary {
    /// Every image of the order, by name.
    pub endings: BTreeMap<String, Ending>,
    /// The results, by name.
    pub results: BTreeMap<String, Built>,
    /// Images that were not built and got a tag they did not bear.
    pub retagged: BTreeSet<String>,
    /// The names of each result when it has all its tags.
    pub names: BTreeMap<String, Vec<String>>,
    /// Tags that results were not given, and why not.
    pub skipped_tags: Vec<(String, Skipped)>,
    /// Names that images bore which this repository does not know.
    pub taken_names: Vec<TakenName>,
    /// Names that older results bear, because the current ones are in a registry alone.
    pub outdated_names: Vec<OutdatedName>,
    /// Tags that the engine refused.
    pub untagged: Vec<(String, EngineError)>,
    /// The publication of each result at its registry.
    pub publications: BTreeMap<String, Publication>,
    /// The publication of the index of each name for several platforms.
    pub indexes: BTreeMap<String, Publication>,
    /// Names for several platforms whose index was not put, and the images that it lacks.
    pub incomplete: BTreeMap<String, Vec<String>>,
    /// Results that could not be published.
    pub unpublished: BTreeMap<String, PublishError>,
    /// Targets that could not be fetched.
    pub unfetched: BTreeMap<String, PublishError>,
    /// Targets that were to be put into another engine.
    pub loads: Vec<LoadDone>,
    /// Outputs that were to be written.
    pub outputs: Vec<OutputDone>,
    /// True if somebody asked to stop.
    pub interrupted: bool,
    /// Images left alone though a base of theirs was built, because it came out the same.
    pub kept: BTreeSet<String>,
}

impl Summary {
    /// Takes over what a later round came to. What was built in an earlier one was built.
    pub(super) fn follow(&mut self, later: Self) {
        for (name, ending) in later.endings {
            let built = matches!(self.endings.get(&name), Some(Ending::Built { .. }));
            if !(built && ending == Ending::Fresh) {
                self.endings.insert(name, ending);
            }
        }
        for name in later.results.keys() {
            self.unpublished.remove(name);
            self.unfetched.remove(name);
        }
        self.results.extend(later.results);
        self.retagged.extend(later.retagged);
        self.names.extend(later.names);
        let told: BTreeSet<_> = self.skipped_tags.drain(..).chain(later.skipped_tags).collect();
        self.skipped_tags = told.into_iter().collect();
        self.untagged.extend(later.untagged);
        self.taken_names.extend(later.taken_names);
        self.outdated_names = later.outdated_names;
        self.publications.extend(later.publications);
        self.unpublished.extend(later.unpublished);
        self.unfetched.extend(later.unfetched);
        self.interrupted |= later.interrupted;
    }

    /// How many results are at their registries.
    pub fn published(&self) -> usize {
        self.publications
            .values()
            .filter(|publication| matches!(publication, Publication::Done { .. }))
            .count()
    }

    /// How many targets were put into another engine.
    pub fn loaded(&self) -> usize {
        self.loads.iter().filter(|load| load.result == Ok(true)).count()
    }

    /// Targets that were to be put into another engine and are not, and why.
    pub fn unloaded(&self) -> impl Iterator<Item = (&str, &EngineError)> {
        self.loads.iter().filter_map(|load| Some((load.image.as_str(), load.result.as_ref().err()?)))
    }

    /// How many results were to be published and are not.
    pub fn not_published(&self) -> usize {
        let nowhere =
            self.publications.values().filter(|publication| **publication == Publication::NoRegistry).count();
        self.unpublished.len() + nowhere
    }

    /// Calls that a failure which waited for another round that does not come, and says which those are.
    pub(super) fn give_up(&mut self) -> Vec<(String, Ending)> {
        let waited = |ending: &Ending| matches!(ending, Ending::Failed(BuildError::BaseMissing(_)));
        for (name, _) in
            self.publications.extract_if(.., |_, publication| *publication == Publication::Overtaken)
        {
            self.unpublished.insert(name, PublishError::Overtaken);
        }
        self.endings
            .iter()
            .filter(|(_, ending)| waited(ending))
            .map(|(n, e)| (n.clone(), e.clone()))
            .collect()
    }
}

/// Fresh images that have a base which was built to the same content.
pub(super) fn kept(synced: &Synced, summary: &Summary) -> BTreeSet<String> {
    let same = |name: &String| matches!(summary.endings.get(name), Some(Ending::Built { same: true, .. }));
    let fresh = |name: &&String| summary.endings.get(*name) == Some(&Ending::Fresh);
    let names = synced.order.names.iter().filter(fresh);
    names
        .filter(|name| synced.order.bases.get(*name).is_some_and(|bases| bases.iter().any(same)))
        .cloned()
        .collect()
}
