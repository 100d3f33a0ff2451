//! A release of what was built: checked before the build, and after it moved all at once.
//!
//! The results are in the registry by their digests when [`release`] is called, and no tag was moved
//! for them. It moves the tags of the whole set, bases first, and writes the release down; when any of it
//! fails, the tags are as they were, or the error says which are not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::plan::tags::missing::Missing;
use crate::plan::tags::tagging;
use crate::plan::tags::uncommitted::uncommitted;
use crate::query::effect::Built;
use crate::registry::RegistryError;
use crate::release::gates::{self, Gates};
use crate::release::journal::Journal;
use crate::release::log::ReleaseLog;
use crate::release::moves::{self, Moved, TagMove};
use crate::release::record::{HeldKey, Kind, Release, ReleasedImage, ReleasedTag};
use crate::session::open::Session;
use crate::session::project;
use crate::session::sync::Synced;
use crate::source::git::GitStore;
use crate::syntax::reference::{self, Reference};
use crate::syntax::tag::time_in;

pub use crate::release::journal::{Completed, complete};

/// Why a set is not released. No tag was moved, unless it says so.
#[derive(Debug)]
pub enum ReleaseError {
    /// Git does not say what gates or tags must know.
    Git(String),
    /// These images are not as the commit has them.
    Uncommitted(BTreeSet<String>),
    /// The names of these images begin with no registry.
    NoRegistry(BTreeSet<String>),
    /// These results were rolled back.
    Held(BTreeSet<HeldKey>),
    /// Tags that were declared for these images cannot be made.
    NoTag(BTreeMap<String, Missing>),
    /// A registry does not answer or refuses.
    Registry(Box<RegistryError>),
    /// The state does not take the note of what is under way.
    State(io::Error),
    /// A tag was not moved, and those before it were moved back.
    NotMoved {
        /// Why not.
        why: Box<RegistryError>,
        /// The moves that were to be made.
        moves: Vec<TagMove>,
    },
    /// A tag was not moved, and some of those before it could not be moved back.
    HalfMoved {
        /// Why not.
        why: Box<RegistryError>,
        /// Moves that still stand, each with what hinders their taking back.
        standing: Vec<(TagMove, RegistryError)>,
    },
}

impl From<RegistryError> for ReleaseError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

/// The place of the log of releases: the repository that the Imagefile names, else that of
/// the first image that has a registry. `None` when none has.
pub fn log_place(session: &Session) -> Option<Reference> {
    match &session.project.releases {
        Some(named) => reference::parse(named).ok(),
        None => project::repositories(&session.project).into_values().next(),
    }
}

/// The targets whose gates are open, if all of these can be published: looked at before anything is built.
///
/// # Errors
/// See [`ReleaseError`].
pub fn admitted(session: &Session, synced: &Synced, allow_dirty: bool) -> Result<Gates, ReleaseError> {
    let git = |why: Missing| match why {
        Missing::Git(why) => ReleaseError::Git(why),
        other => {
            ReleaseError::NoTag(synced.targets.iter().map(|name| (name.clone(), other.clone())).collect())
        }
    };
    let gates = gates::gates(session, &synced.targets).map_err(git)?;
    let repositories = project::repositories(&session.project);
    let nowhere: BTreeSet<String> =
        gates.open.iter().filter(|name| !repositories.contains_key(*name)).cloned().collect();
    if !nowhere.is_empty() {
        return Err(ReleaseError::NoRegistry(nowhere));
    }
    if !allow_dirty
        && !gates.open.is_empty()
        && let Some(store) = in_git(session)?
    {
        let changed = uncommitted(session, synced, &store).map_err(|error| ReleaseError::Git(error.why))?;
        let changed: BTreeSet<String> = changed.intersection(&gates.open).cloned().collect();
        if !changed.is_empty() {
            return Err(ReleaseError::Uncommitted(changed));
        }
    }
    Ok(gates)
}

/// Git's store, where the repository is one of git's and has a commit.
fn in_git(session: &Session) -> Result<Option<std::sync::Arc<GitStore>>, ReleaseError> {
    let root = &session.project.root;
    if !root.ancestors().any(|folder| folder.join(".git").symlink_metadata().is_ok()) {
        return Ok(None);
    }
    let git = |error: crate::source::tree::ReadError| ReleaseError::Git(error.why);
    let store = GitStore::open(root).map_err(git)?;
    let head = store.head().map_err(git)?;
    Ok(head.id.is_some().then_some(store))
}

/// The outcome of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Its record; `None` when every tag stood for its result already.
    pub release: Option<Release>,
    /// The moves that were made.
    pub moves: Vec<TagMove>,
}

/// Moves the tags of the targets to their results, all or none, and writes the release down.
/// `digests` are those of the manifests that were put for the results.
///
/// # Errors
/// See [`ReleaseError`].
pub fn release(
    session: &Session,
    synced: &Synced,
    results: &BTreeMap<String, Built>,
    digests: &BTreeMap<String, String>,
    force: bool,
) -> Result<Released, ReleaseError> {
    let Some(at) = log_place(session) else { return Err(ReleaseError::NoRegistry(synced.targets.clone())) };
    let registry = session.executor.remote_cache.registry();
    let log = ReleaseLog::new(registry, at.clone());
    let newest = log.newest()?;
    let mut held = newest.as_ref().map(|newest| newest.held.clone()).unwrap_or_default();
    let wanted = |held: &&HeldKey| results.get(&held.image).is_some_and(|built| built.key == held.key);
    let refused: BTreeSet<HeldKey> = held.iter().filter(wanted).cloned().collect();
    if !refused.is_empty() && !force {
        return Err(ReleaseError::Held(refused));
    }
    held.retain(|key| !refused.contains(key));
    let (images, moves) = set(session, synced, results, digests)?;
    if moves.is_empty() {
        return Ok(Released { release: None, moves });
    }
    let now = facts_time(session);
    let time = newest.map_or_else(|| now.clone(), |newest| newest.later(&now));
    let commit = in_git(session).ok().flatten().and_then(|store| store.head().ok()).and_then(|head| head.id);
    let release = Release { held, ..Release::new(&time, Kind::Publish, commit, images) };
    carry_out(session, &log, &release, &moves)?;
    Ok(Released { release: Some(release), moves })
}

/// The time of the run, as tags have it.
pub(super) fn facts_time(session: &Session) -> String {
    tagging::facts_of(session, &[]).now()
}

/// The images of a release in the order of their bases, and the moves of their tags.
fn set(
    session: &Session,
    synced: &Synced,
    results: &BTreeMap<String, Built>,
    digests: &BTreeMap<String, String>,
) -> Result<(Vec<ReleasedImage>, Vec<TagMove>), ReleaseError> {
    let registry = session.executor.remote_cache.registry();
    let tagging = tagging::tagging(session, synced);
    let (mut images, mut moves) = (Vec::new(), Vec::new());
    let mut lacking = BTreeMap::new();
    for name in synced.order.names.iter().filter(|name| synced.targets.contains(*name)) {
        let (Some(built), Some(digest)) = (results.get(name), digests.get(name)) else { continue };
        // What git could not tell is no reason to drop a tag that was asked for.
        for skipped in tagging.of(name, Some(&built.key)).skipped {
            if matches!(skipped.why, Missing::Git(_) | Missing::NoRepository) {
                lacking.insert(name.clone(), skipped.why);
            }
        }
        tagging.learn_published_times(&session.executor, name, &built.key);
        let tags = tagging.references(name, &built.id, &built.key);
        let needed = moves::needed(registry, name, digest, &tags)?;
        let forms = tagging.forms(name);
        let before = |tag: &String| match needed.iter().find(|step| step.tag == *tag) {
            Some(step) => step.before.clone(),
            None => Some(digest.clone()),
        };
        let released = tags.iter().filter_map(|reference| {
            let tag = reference::parse(reference).ok()?.tag?;
            let around_time =
                forms.iter().find(|(before, behind)| time_in(&tag, (before, behind)).is_some()).cloned();
            Some(ReleasedTag { tag, before: before(reference), around_time })
        });
        images.push(ReleasedImage {
            name: name.clone(),
            key: Some(built.key),
            repository: session
                .project
                .images
                .get(name)
                .map(|image| image.repository.clone())
                .unwrap_or_default(),
            digest: digest.clone(),
            tags: released.collect(),
        });
        moves.extend(needed);
    }
    match lacking.is_empty() {
        true => Ok((images, moves)),
        false => Err(ReleaseError::NoTag(lacking)),
    }
}

/// Moves the tags and writes the release down: both, or neither.
pub(super) fn carry_out(
    session: &Session,
    log: &ReleaseLog<'_>,
    release: &Release,
    moves: &[TagMove],
) -> Result<(), ReleaseError> {
    let registry = session.executor.remote_cache.registry();
    let (state, cancel) = (session.state(), &session.executor.cancel);
    let journal = Journal { log: log.at.to_string(), release: release.clone(), moves: moves.to_vec() };
    journal.begin(state).map_err(ReleaseError::State)?;
    let outcome = match moves::make(registry, moves, cancel) {
        Moved::All => log.append(release).err().map(|why| (why, moves::take_back(registry, moves))),
        Moved::None { why } => Some((why, Vec::new())),
        Moved::Some { why, standing } => Some((why, standing)),
    };
    // Whatever came of it was told: there is nothing left for the next run to complete.
    let ended = Journal::end(state);
    match outcome {
        None => ended.map_err(ReleaseError::State),
        Some((why, standing)) if standing.is_empty() => {
            Err(ReleaseError::NotMoved { why: Box::new(why), moves: moves.to_vec() })
        }
        Some((why, standing)) => Err(ReleaseError::HalfMoved { why: Box::new(why), standing }),
    }
}
