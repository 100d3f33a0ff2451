//! A release of what was built: checked before the build, and after it moved all at once.
//!
//! The results are in the registry by their digests when [`release`] is called, and no tag was moved
//! for them. It moves the tags of the whole set, bases first, and writes the release down; when any of it
//! fails, the tags are as they were, or the error says which are not.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::build::indexes;
use crate::model::name::declared;
use crate::plan::tags::missing::Missing;
use crate::plan::tags::tagging;
use crate::plan::tags::uncommitted::uncommitted;
use crate::query::effect::Built;
use crate::release::gates::{self, Gates};
use crate::release::log::ReleaseLog;
use crate::release::moves::{self, TagMove};
use crate::release::record::{HeldKey, Kind, Release, ReleasedImage, ReleasedTag};
use crate::release::turn::{Carried, Place, Waiting};
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::session::{platforms, project};
use crate::source::git::GitStore;
use crate::syntax::reference::{self, Reference};
use crate::syntax::tag::time_in;

pub use crate::release::error::ReleaseError;
pub use crate::release::journal::{Completed, complete};

/// The repositories of the images here.
pub fn repositories(session: &Session) -> BTreeSet<String> {
    project::repositories(&session.project).values().map(Reference::name).collect()
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
    let gates = gates::gates(session, &synced.targets).map_err(|why| no_gate(&synced.targets, why))?;
    publishable(session, synced, &gates, allow_dirty)?;
    Ok(gates)
}

/// Why no gate of some images was asked.
pub fn no_gate(names: &BTreeSet<String>, why: Missing) -> ReleaseError {
    match why {
        Missing::Git(why) => ReleaseError::Git(why),
        other => ReleaseError::NoTag(names.iter().map(|name| (name.clone(), other.clone())).collect()),
    }
}

/// The commit that is checked out, if git tells one.
pub fn commit(session: &Session) -> Option<String> {
    in_git(session).ok().flatten().and_then(|store| store.head().ok()).and_then(|head| head.id)
}

/// Whether the images of open gates can be published.
///
/// # Errors
/// See [`ReleaseError`].
pub fn publishable(
    session: &Session,
    synced: &Synced,
    gates: &Gates,
    allow_dirty: bool,
) -> Result<(), ReleaseError> {
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
    Ok(())
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

/// How often a release is thought out again because others were faster.
const ROUNDS: usize = 20;

/// Comes before the moves of a release, and may keep them from being made, with a sentence why.
pub type Before<'a> = dyn Fn(&Release, &[TagMove]) -> Result<(), String> + 'a;

/// The terms of a release.
pub struct Terms<'a> {
    /// Results that were rolled back are released again.
    pub force: bool,
    /// How long another machine's release may stand still before that machine is taken for dead.
    pub patience: Duration,
    /// Is told when it has to wait.
    pub tell: &'a dyn Fn(Waiting),
    /// Comes before the first tag moves, once, and may keep that from happening.
    pub before: &'a Before<'a>,
}

/// Moves the tags of the targets to their results, all or none, and writes the release down.
/// `digests` are those of the manifests that were put for the results. Releases of other machines that
/// are under way come first.
///
/// # Errors
/// See [`ReleaseError`].
pub fn release(
    session: &Session,
    synced: &Synced,
    results: &BTreeMap<String, Built>,
    digests: &BTreeMap<String, String>,
    terms: &Terms<'_>,
) -> Result<Released, ReleaseError> {
    let Some(at) = log_place(session) else { return Err(ReleaseError::NoRegistry(synced.targets.clone())) };
    let log = ReleaseLog::new(session.executor.remote_cache.registry(), at);
    let results = released(session, synced, results);
    in_turn(session, &log, terms, || {
        let newest = log.newest()?;
        let mut held = newest.as_ref().map(|newest| newest.held.clone()).unwrap_or_default();
        let wanted = |held: &&HeldKey| {
            results.iter().any(|(name, built)| *name == held.image && built.key == held.key)
        };
        let refused: BTreeSet<HeldKey> = held.iter().filter(wanted).cloned().collect();
        if !refused.is_empty() && !terms.force {
            return Err(ReleaseError::Held(refused));
        }
        held.retain(|key| !refused.contains(key));
        let (images, moves) = set(session, synced, &results, digests)?;
        if moves.is_empty() {
            return Ok((Released { release: None, moves }, None));
        }
        let now = facts_time(session);
        let time = newest.as_ref().map_or_else(|| now.clone(), |newest| newest.later(&now));
        let release = Release { held, ..Release::new(&time, Kind::Publish, commit(session), images) };
        Ok((Released { release: Some(release), moves }, newest.map(|newest| newest.id)))
    })
}

/// A set of moves with the record of them.
pub(super) trait Thought {
    /// The record; `None` when there is nothing to move.
    fn record(&self) -> Option<&Release>;
    /// The moves.
    fn moves(&self) -> &[TagMove];
}

impl Thought for Released {
    fn record(&self) -> Option<&Release> {
        self.release.as_ref()
    }

    fn moves(&self) -> &[TagMove] {
        &self.moves
    }
}

/// Carries out what `think` thinks out, with the id of the release that it follows, when no other release is
/// under way; thought out again as often as another was faster.
pub(super) fn in_turn<T: Thought, E: From<ReleaseError>>(
    session: &Session,
    log: &ReleaseLog<'_>,
    terms: &Terms<'_>,
    think: impl Fn() -> Result<(T, Option<String>), E>,
) -> Result<T, E> {
    let repositories = repositories(session);
    let place = Place {
        log,
        repositories: &repositories,
        state: session.state(),
        cancel: &session.executor.cancel,
        patience: terms.patience,
        tell: terms.tell,
    };
    let nonce = format!("{:08x}", RandomState::new().hash_one(std::process::id()) >> 32);
    let mut is_ready = false;
    for _ in 0..ROUNDS {
        place.settle().map_err(ReleaseError::from)?;
        let (thought, newest) = think()?;
        let Some(record) = thought.record() else { return Ok(thought) };
        if !is_ready {
            (terms.before)(record, thought.moves()).map_err(ReleaseError::Before)?;
            is_ready = true;
        }
        match place.carry_out(newest.as_deref(), record, thought.moves(), &nonce)? {
            Carried::Out => return Ok(thought),
            Carried::Past => {}
        }
    }
    Err(ReleaseError::Busy.into())
}

/// The time of the run, as tags have it.
pub(super) fn facts_time(session: &Session) -> String {
    tagging::facts_of(session, &[]).now()
}

/// The results of the targets in the order of their bases; those of a name for several platforms as one.
fn released(session: &Session, synced: &Synced, results: &BTreeMap<String, Built>) -> Vec<(String, Built)> {
    let several = platforms::several(&session.project);
    let mut all: Vec<(String, Built)> = Vec::new();
    for name in synced.order.names.iter().filter(|name| synced.targets.contains(*name)) {
        let called = declared(name);
        let built = match several.get(called) {
            Some(images) => indexes::of_name(session, called, images, results),
            None => results.get(name).cloned(),
        };
        if let Some(built) = built.filter(|_| all.iter().all(|(other, _)| other != called)) {
            all.push((called.to_owned(), built));
        }
    }
    all
}

/// The images of a release in the order of their bases, and the moves of their tags.
fn set(
    session: &Session,
    synced: &Synced,
    results: &[(String, Built)],
    digests: &BTreeMap<String, String>,
) -> Result<(Vec<ReleasedImage>, Vec<TagMove>), ReleaseError> {
    let registry = session.executor.remote_cache.registry();
    let tagging = tagging::tagging(session, synced);
    let (mut images, mut moves) = (Vec::new(), Vec::new());
    let mut lacking = BTreeMap::new();
    for (name, built) in results {
        let Some(digest) = digests.get(name) else { continue };
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
            repository: platforms::declaration(&session.project, name)
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
