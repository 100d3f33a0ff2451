//! A plan that is kept, and carried out later just as it is or not at all.
//!
//! It holds everything that counts for each image, so that a deviation can be told by its cause. Knows no
//! file and no words: bytes in, bytes out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::name::declared;
use crate::model::reason::Reason;
use crate::plan::verdicts::{Plan, Verdict};
use crate::query::action_key::known_parts;
use crate::query::recipe::recipe;
use crate::registry::RegistryError;
use crate::release::gates::Gates;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::state::evidence::Evidence;
use crate::syntax::reference;

/// Raised when the file changes its meaning.
const LAYOUT: u32 = 1;

/// A plan as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFile {
    /// The layout of the file.
    pub layout: u32,
    /// The images that were asked for.
    pub targets: BTreeSet<String>,
    /// The targets are built though they are fresh.
    pub always: bool,
    /// The tags that are moved afterwards, each with the digest that it stood for; `None` when nothing is published.
    pub publish: Option<BTreeMap<String, Option<String>>>,
    /// The images, bases first.
    pub images: Vec<PlannedImage>,
}

/// An image of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedImage {
    /// Its name.
    pub name: String,
    /// The step that it needs.
    pub step: Step,
    /// Its bases in the repository.
    pub bases: BTreeSet<String>,
    /// Everything else that counts for it.
    pub counts: Evidence,
}

/// The step that an image needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// None.
    Fresh,
    /// It lacks tags.
    Retag,
    /// It is built.
    Build,
    /// It is built unless its bases come out the same.
    Wait,
    /// It copies files that git ignores, so no commit can be built.
    Ignored,
    /// It has mistakes, or a base of it has.
    Invalid,
}

impl Step {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Fresh => Self::Fresh,
            Verdict::Retag(_) => Self::Retag,
            Verdict::Stale(_) => Self::Build,
            Verdict::Waits(_) => Self::Wait,
            Verdict::Ignored(_) => Self::Ignored,
            Verdict::Invalid(_) | Verdict::Blocked(_) => Self::Invalid,
        }
    }
}

/// A deviation from the state in which the plan was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// The plan has an image that is not asked for any more, or is no more.
    Gone(String),
    /// An image is needed that the plan does not have.
    New(String),
    /// A change of something that counts for an image.
    Counts {
        /// The image.
        image: String,
        /// The causes.
        reasons: Vec<Reason>,
    },
    /// An image needs another step, though what counts for it is the same: the engine or a registry lost or found a result.
    Step {
        /// The image.
        image: String,
        /// As planned.
        planned: Step,
        /// As it would be now.
        now: Step,
    },
    /// A tag stands for another digest.
    Tag {
        /// In full.
        tag: String,
        /// As planned; `None` for a tag that there was not.
        planned: Option<String>,
        /// As it is now.
        now: Option<String>,
    },
    /// A tag would be moved that the plan does not have, or the other way round.
    Tags(BTreeSet<String>),
}

impl PlanFile {
    /// The file of a plan that was just made. `tags` are those that are moved afterwards.
    pub fn of(
        session: &Session,
        synced: &Synced,
        plan: &Plan,
        always: bool,
        tags: Option<BTreeMap<String, Option<String>>>,
    ) -> Self {
        let image = |(name, verdict): &(String, Verdict)| PlannedImage {
            name: name.clone(),
            step: Step::of(verdict),
            bases: synced.order.bases.get(name).cloned().unwrap_or_default(),
            counts: counts(session, synced, name),
        };
        Self {
            layout: LAYOUT,
            targets: synced.targets.clone(),
            always,
            publish: tags,
            images: plan.jobs.iter().map(image).collect(),
        }
    }

    /// As it is kept.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads one. The error is a sentence.
    ///
    /// # Errors
    /// When it is none, or of another layout.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            layout: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if head.layout != LAYOUT {
            return Err(format!(
                "it has layout {}, and this imk writes and reads layout {LAYOUT}",
                head.layout
            ));
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// Everything in `now` that is not as it was planned.
    pub fn deviations(&self, now: &Self) -> Vec<Deviation> {
        let by_name =
            |plan: &'_ Self| plan.images.iter().map(|image| image.name.clone()).collect::<BTreeSet<_>>();
        let (planned, there) = (by_name(self), by_name(now));
        let mut found: Vec<Deviation> = planned.difference(&there).cloned().map(Deviation::Gone).collect();
        found.extend(there.difference(&planned).cloned().map(Deviation::New));
        for image in &self.images {
            let Some(other) = now.images.iter().find(|other| other.name == image.name) else { continue };
            let reasons = image.counts.differences(&other.counts);
            if !reasons.is_empty() || image.bases != other.bases {
                found.push(Deviation::Counts { image: image.name.clone(), reasons });
            } else if image.step != other.step {
                found.push(Deviation::Step {
                    image: image.name.clone(),
                    planned: image.step,
                    now: other.step,
                });
            }
        }
        found.extend(tags(self.publish.as_ref(), now.publish.as_ref()));
        found
    }
}

fn tags(
    planned: Option<&BTreeMap<String, Option<String>>>,
    now: Option<&BTreeMap<String, Option<String>>>,
) -> Vec<Deviation> {
    let (Some(planned), Some(now)) = (planned, now) else { return Vec::new() };
    let names = |tags: &BTreeMap<String, Option<String>>| tags.keys().cloned().collect::<BTreeSet<_>>();
    let other: BTreeSet<String> = names(planned).symmetric_difference(&names(now)).cloned().collect();
    let mut found = Vec::new();
    if !other.is_empty() {
        found.push(Deviation::Tags(other));
    }
    for (tag, then) in planned {
        if let Some(digest) = now.get(tag).filter(|digest| *digest != then) {
            found.push(Deviation::Tag { tag: tag.clone(), planned: then.clone(), now: digest.clone() });
        }
    }
    found
}

/// Everything that counts for an image, its bases in the repository aside.
fn counts(session: &Session, synced: &Synced, name: &str) -> Evidence {
    let Some(image) = session.input(name) else { return Evidence::default() };
    let parts = match recipe(session.db(), image) {
        Ok(recipe) => known_parts(session.db(), image, recipe),
        Err(_) => Vec::new(),
    };
    let selection = synced.selections.get(name);
    let files = selection.and_then(|selection| session.executor.tree.used_files(selection).ok());
    Evidence::new(parts, &files.unwrap_or_default())
}

/// The tags that a publication of these images moves, with the digest that each stands for now. Tags with a time
/// are left out: they are new by nature.
///
/// # Errors
/// When the registry does not say.
pub fn standing_tags(
    session: &Session,
    synced: &Synced,
    gates: &Gates,
) -> Result<BTreeMap<String, Option<String>>, RegistryError> {
    let registry = session.executor.remote_cache.registry();
    let tagging = crate::plan::tags::tagging::tagging(session, synced);
    let mut standing = BTreeMap::new();
    let names: BTreeSet<&str> = gates.open.iter().map(|name| declared(name)).collect();
    for name in names {
        for tag in tagging.of(name, None).given.into_iter().filter(|tag| !tag.is_timed()) {
            let Ok(at) = reference::parse(&tag.reference) else { continue };
            standing.insert(tag.reference, registry.head(&at)?.map(|found| found.digest));
        }
    }
    Ok(standing)
}
