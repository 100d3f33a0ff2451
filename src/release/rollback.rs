//! The way back: the tags of all images as an earlier release left them.
//!
//! Every tag is moved that a later release moved, to what it stood for then. A tag that there was not
//! then stays, and is told: it names a version, and somebody may use it. The restored results get a
//! new tag with the time of now where they have one with a time, so that the newest by name is what is
//! in force; the keys that were rolled back are held.
//!
//! Only tags of images here are asked for and moved. A record of other repositories alone is passed over, unless it
//! is named.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::hash::ContentHash;
use crate::registry::RegistryError;
use crate::release::log::{ReleaseLog, is_of, within};
use crate::release::moves::TagMove;
use crate::release::publish::{ReleaseError, Terms, Thought, facts_time, in_turn, log_place, repositories};
use crate::release::record::{HeldKey, Kind, Release, ReleasedImage, ReleasedTag};
use crate::session::open::Session;
use crate::syntax::reference;

/// Why there is no way back.
#[derive(Debug)]
pub enum RollbackError {
    /// Nothing was released.
    NoReleases,
    /// There is no release before the one in force.
    Oldest(String),
    /// The log has no release of that id, or several that begin so.
    Unknown {
        /// As it was asked for.
        asked: String,
        /// The ids of all, the oldest first.
        known: Vec<String>,
    },
    /// It was not carried out.
    Release(ReleaseError),
}

impl From<ReleaseError> for RollbackError {
    fn from(error: ReleaseError) -> Self {
        Self::Release(error)
    }
}

impl From<RegistryError> for RollbackError {
    fn from(error: RegistryError) -> Self {
        Self::Release(error.into())
    }
}

/// A rollback: the moves of it, and its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The record of it.
    pub release: Release,
    /// The moves, bases first.
    pub moves: Vec<TagMove>,
    /// Tags that there were not then: they stay.
    pub stay: BTreeSet<String>,
    /// Repositories that no image here has, as the records say them: their tags stay as they are.
    pub elsewhere: BTreeSet<String>,
    /// The release that it follows.
    pub follows: String,
}

impl Thought for Rollback {
    fn record(&self) -> Option<&Release> {
        (!self.moves.is_empty()).then_some(&self.release)
    }

    fn moves(&self) -> &[TagMove] {
        &self.moves
    }
}

/// Restores a release, by its id or the beginning of it; without one, the state in force before.
///
/// # Errors
/// See [`RollbackError`].
pub fn rollback(session: &Session, to: Option<&str>, terms: &Terms<'_>) -> Result<Rollback, RollbackError> {
    let at = log_place(session).ok_or(RollbackError::NoReleases)?;
    let registry = session.executor.remote_cache.registry();
    let log = ReleaseLog::new(registry, at);
    let repositories = repositories(session);
    in_turn(session, &log, terms, || {
        let way = plan(&log, &repositories, to, &facts_time(session))?;
        let newest = way.follows.clone();
        Ok((way, Some(newest)))
    })
}

/// The rollback of tags of these repositories that would be made at that time.
///
/// # Errors
/// See [`RollbackError`].
pub fn plan(
    log: &ReleaseLog<'_>,
    repositories: &BTreeSet<String>,
    to: Option<&str>,
    time: &str,
) -> Result<Rollback, RollbackError> {
    let ids = log.ids()?;
    let newest = match ids.last() {
        Some(id) => read(log, id)?,
        None => return Err(RollbackError::NoReleases),
    };
    let time = &newest.later(time);
    let here = Here { log, repositories, ids: &ids };
    let place = here.target(to)?;
    let (target, mut elsewhere) = here.read(place)?;
    let mut later = Vec::new();
    for place in place + 1..ids.len() {
        let (release, others) = here.read(place)?;
        elsewhere.extend(others);
        later.push(release);
    }
    let mut was = Standing::of(&target);
    later.iter().for_each(|release| was.before(release));
    was.stay.retain(|tag| is_of(tag, repositories));
    let (mut moves, mut images) = (Vec::new(), Vec::new());
    for mut image in was.images {
        let forms = was.forms.get(&image.name).cloned().unwrap_or_default();
        moves.extend(here.moves(&mut image, forms, time)?);
        images.push(image);
    }
    let mut release = Release::new(
        time,
        Kind::Rollback { to: target.in_force().to_owned() },
        target.commit.clone(),
        images,
    );
    release.held = held(&release, &newest, &later);
    Ok(Rollback { release, moves, stay: was.stay, elsewhere, follows: newest.id })
}

/// The log, as far as it is one of images here.
struct Here<'a> {
    log: &'a ReleaseLog<'a>,
    repositories: &'a BTreeSet<String>,
    /// The ids of all releases, the oldest first.
    ids: &'a [String],
}

impl Here<'_> {
    /// The release at that place, and the other repositories of it.
    fn read(&self, place: usize) -> Result<(Release, BTreeSet<String>), RollbackError> {
        Ok(within(read(self.log, &self.ids[place])?, self.repositories))
    }

    /// The newest release before that place that has images here.
    fn before(&self, place: usize) -> Result<Option<usize>, RollbackError> {
        for place in (0..place).rev() {
            if !self.read(place)?.0.images.is_empty() {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The place in the log of what is to be in force.
    fn target(&self, to: Option<&str>) -> Result<usize, RollbackError> {
        let Some(asked) = to else {
            let newest = self.before(self.ids.len())?.ok_or(RollbackError::NoReleases)?;
            let (newest_release, _) = self.read(newest)?;
            let now = self.ids.iter().position(|id| id == newest_release.in_force()).unwrap_or(newest);
            let oldest = || RollbackError::Oldest(newest_release.in_force().to_owned());
            return self.before(now)?.ok_or_else(oldest);
        };
        let mut found = self.ids.iter().enumerate().filter(|(_, id)| id.starts_with(asked));
        match (found.next(), found.next()) {
            (Some((place, _)), None) => Ok(place),
            _ => Err(RollbackError::Unknown { asked: asked.to_owned(), known: self.ids.to_vec() }),
        }
    }

    /// The moves of an image's tags, which are as they should be afterwards; those with a time get another.
    fn moves(
        &self,
        image: &mut ReleasedImage,
        forms: BTreeSet<(String, String)>,
        time: &str,
    ) -> Result<Vec<TagMove>, RegistryError> {
        let mut moved = Vec::new();
        // With a tag that is made for it, a repository's name reads as another one's.
        image.tags.retain(|tag| is_of(&format!("{}:{}", image.repository, tag.tag), self.repositories));
        for tag in &mut image.tags {
            let reference = format!("{}:{}", image.repository, tag.tag);
            let Ok(name) = reference::parse(&reference) else { continue };
            tag.before = self.log.registry.head(&name)?.map(|found| found.digest);
            if tag.before.as_deref() != Some(image.digest.as_str()) {
                moved.push(step(&image.name, reference, tag.before.clone(), &image.digest));
            }
        }
        if moved.is_empty() {
            return Ok(moved);
        }
        for (before, behind) in forms {
            let tag = format!("{before}{time}{behind}");
            let reference = format!("{}:{tag}", image.repository);
            if is_of(&reference, self.repositories) {
                moved.push(step(&image.name, reference, None, &image.digest));
                image.tags.push(ReleasedTag { tag, before: None, around_time: Some((before, behind)) });
            }
        }
        Ok(moved)
    }
}

fn step(image: &str, tag: String, before: Option<String>, after: &str) -> TagMove {
    TagMove { image: image.to_owned(), tag, before, after: after.to_owned() }
}

fn read(log: &ReleaseLog<'_>, id: &str) -> Result<Release, RollbackError> {
    let unknown = || RollbackError::Unknown { asked: id.to_owned(), known: Vec::new() };
    log.read(id)?.ok_or_else(unknown)
}

/// The tags of all images as some release left them.
struct Standing {
    images: Vec<ReleasedImage>,
    /// The forms of tags with a time, by image.
    forms: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Tags that there were not.
    stay: BTreeSet<String>,
}

impl Standing {
    fn of(release: &Release) -> Self {
        let mut standing =
            Self { images: release.images.clone(), forms: BTreeMap::new(), stay: BTreeSet::new() };
        release.images.iter().for_each(|image| standing.learn_forms(image));
        standing
    }

    fn learn_forms(&mut self, image: &ReleasedImage) {
        let forms = image.tags.iter().filter_map(|tag| tag.around_time.clone());
        self.forms.entry(image.name.clone()).or_default().extend(forms);
    }

    /// Takes what tags stood for before a later release, where no earlier one says it.
    fn before(&mut self, later: &Release) {
        for image in &later.images {
            self.learn_forms(image);
            for tag in &image.tags {
                let reference = format!("{}:{}", image.repository, tag.tag);
                let known = |it: &ReleasedImage| {
                    it.repository == image.repository && it.tags.iter().any(|other| other.tag == tag.tag)
                };
                if self.stay.contains(&reference) || self.images.iter().any(known) {
                    continue;
                }
                match &tag.before {
                    None => drop(self.stay.insert(reference)),
                    Some(digest) => self.add(image, digest, tag),
                }
            }
        }
    }

    fn add(&mut self, image: &ReleasedImage, digest: &str, tag: &ReleasedTag) {
        let same = |it: &&mut ReleasedImage| {
            it.name == image.name && it.repository == image.repository && it.digest == digest
        };
        match self.images.iter_mut().find(same) {
            Some(known) => known.tags.push(tag.clone()),
            None => self.images.push(ReleasedImage {
                name: image.name.clone(),
                key: (image.digest == digest).then_some(image.key).flatten(),
                repository: image.repository.clone(),
                digest: digest.to_owned(),
                tags: vec![tag.clone()],
            }),
        }
    }
}

/// The keys that are held from now on: those of the releases that are undone, but for those restored.
fn held(rollback: &Release, newest: &Release, later: &[Release]) -> BTreeSet<HeldKey> {
    let restored: BTreeSet<(&str, ContentHash)> =
        rollback.images.iter().filter_map(|image| Some((image.name.as_str(), image.key?))).collect();
    let mut held: BTreeMap<(String, ContentHash), String> =
        newest.held.iter().map(|it| ((it.image.clone(), it.key), it.since.clone())).collect();
    for image in later.iter().flat_map(|release| &release.images) {
        if let Some(key) = image.key {
            held.entry((image.name.clone(), key)).or_insert_with(|| rollback.id.clone());
        }
    }
    held.into_iter()
        .filter(|((image, key), _)| !restored.contains(&(image.as_str(), *key)))
        .map(|((image, key), since)| HeldKey { image, key, since })
        .collect()
}
