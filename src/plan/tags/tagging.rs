//! Which names a result is given: templates and rules, filled with what git, CI and the clock say.
//!
//! A tag is skipped when one of its facts cannot be had, and that is told. An image
//! that no tag is left for is called `imk-` and its key, since an engine throws away what has no name.
//! A tag with `{time}` belongs to its content: what a registry calls the newest is taken over (`registry_times`), and
//! else one is given to an image that does not bear the newest of its kind: so
//! a fresh image keeps the one it has, and one that serves again after a revert gets a new one, to
//! be the newest by name. Every other tag is given whenever it is lacking: a fresh image is
//! only tagged with today's commit and build number. Tags never count in a key.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use crate::engine::{EngineError, ImageId};
use crate::exec::executor::Executor;
use crate::model::hash::ContentHash;
use crate::model::name::{declared, platform_of};
use crate::plan::tags::facts::{self, Facts};
use crate::plan::tags::missing::Missing;
use crate::plan::tags::uncommitted;
use crate::session::open::Session;
use crate::session::platforms::on_engine;
use crate::session::sync::Synced;
use crate::syntax::error::Span;
use crate::syntax::reference::normalized;
use crate::syntax::tag::{Fact, TagRule, Template, time_in};

/// Digits of the key in the name of an image that no tag is left for.
const LAST_RESORT: usize = 16;
/// Digits of the key in the suffix of uncommitted changes.
const SUFFIX: usize = 8;

/// A tag that an image should bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// In full.
    pub reference: String,
    /// As the Imagefile says it.
    pub template: String,
    /// The repository, and what stands around the time in the tag if it has one.
    pub(super) timed: Option<(String, String, String)>,
}

impl Tag {
    /// Whether the time of the run is in it.
    pub fn is_timed(&self) -> bool {
        self.timed.is_some()
    }
}

/// A tag that an image is not given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// As the Imagefile says it.
    pub template: String,
    /// Why not.
    pub why: Missing,
}

/// The tags of one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// The tags that it should bear.
    pub given: Vec<Tag>,
    /// The tags that cannot be given.
    pub skipped: Vec<Skipped>,
}

/// The material of the tags of some images, as of one run.
pub struct Tagging {
    images: BTreeMap<String, Rules>,
    pub(super) facts: Facts,
    /// Images that are not as the commit has them, or why that is not known.
    uncommitted: Result<BTreeSet<String>, Missing>,
    /// The images that bear the names of repositories whose tags have a time.
    named: Result<BTreeMap<String, ImageId>, EngineError>,
    /// References with a time that are their registries', by image and template.
    pub(super) taken_over: Mutex<BTreeMap<(String, String), String>>,
    /// Tags that registries listed, by repository.
    pub(super) listed: Mutex<BTreeMap<String, Vec<String>>>,
}

/// The rules of the tags of one name.
struct Rules {
    /// The name that every tag stands behind.
    repository: String,
    tags: Vec<TagRule>,
    /// Behind each tag of an image for another platform than the engine's: `-linux-arm64`. Nothing otherwise.
    behind: String,
}

/// Asks git, CI and the engine what the tags of an order need to know, and nothing more.
pub fn tagging(session: &Session, synced: &Synced) -> Tagging {
    let mut tagging = facts_of(session, &synced.order.names);
    // Bases keep what they declare, and so does the graph: a tag of the command line makes no edge.
    for name in synced.targets.iter().filter(|_| !session.overrides.tags.is_empty()) {
        let plain =
            |tag: &String| TagRule { when: None, template: Template::plain(tag), span: Span::default() };
        for name in [name.as_str(), declared(name)] {
            if let Some(rules) = tagging.images.get_mut(name) {
                rules.tags = session.overrides.tags.iter().map(plain).collect();
            }
        }
    }
    let templates = || tagging.images.values().flat_map(|of| &of.tags).map(|rule| &rule.template);
    let facts = || templates().flat_map(Template::facts);
    if facts().any(Fact::names_commit)
        && session.overrides.commit.is_none()
        && let Some(store) = tagging.facts.store()
    {
        let found = uncommitted::uncommitted(session, synced, store).map(|mut found| {
            let names: Vec<String> = found.iter().map(|name| declared(name).to_owned()).collect();
            found.extend(names);
            found
        });
        tagging.uncommitted = found.map_err(|error| Missing::Git(error.why));
    }
    let timed = |of: &&Rules| of.tags.iter().any(|rule| rule.template.facts().any(|f| *f == Fact::Time));
    let repositories = tagging.images.values().filter(timed);
    let repositories: BTreeSet<String> = repositories.map(|of| of.repository.clone()).collect();
    if !repositories.is_empty() {
        tagging.named = session.executor.references(&repositories);
    }
    tagging
}

/// The material of the tags of some images, as if all of it were committed; no engine is asked.
pub fn facts_of(session: &Session, names: &[String]) -> Tagging {
    let mut images = BTreeMap::new();
    for (name, image) in names.iter().filter_map(|name| Some((name, session.project.images.get(name)?))) {
        let of = |behind: String| {
            let (repository, tags) = (image.repository.clone(), image.tags.clone());
            Rules { repository, tags, behind }
        };
        if let Some(platform) = platform_of(name) {
            let is_engines = on_engine(session, declared(name)).as_ref() == Some(name);
            let behind = if is_engines { String::new() } else { format!("-{}", platform.replace('/', "-")) };
            images.insert(name.clone(), of(behind));
        }
        // Also the tags that the images of several platforms have together.
        images.entry(declared(name).to_owned()).or_insert_with(|| of(String::new()));
    }
    let rules: Vec<&TagRule> = images.values().flat_map(|of| &of.tags).collect();
    let facts = facts::gather(session, &rules);
    Tagging {
        images,
        facts,
        uncommitted: Ok(BTreeSet::new()),
        named: Ok(BTreeMap::new()),
        taken_over: Mutex::default(),
        listed: Mutex::default(),
    }
}

/// Two targets that a tag of the command line would be given to in one repository.
pub fn one_tag_for_two<'s>(session: &Session, synced: &'s Synced) -> Option<(&'s String, &'s String)> {
    let mut seen: BTreeMap<&str, &String> = BTreeMap::new();
    let are_one = |one: &String, other: &String| declared(one) == declared(other);
    for name in synced.targets.iter().filter(|_| !session.overrides.tags.is_empty()) {
        let image = session.project.images.get(name)?;
        if let Some(other) = seen.insert(&image.repository, name).filter(|other| !are_one(other, name)) {
            return Some((other, name));
        }
    }
    None
}

impl Tagging {
    /// The tags of an image with this key; with none, those are skipped that need it.
    pub fn of(&self, name: &str, key: Option<&ContentHash>) -> Tags {
        let mut tags = Tags::default();
        let Some(of) = self.images.get(name) else { return tags };
        for rule in &of.tags {
            match self.tag(name, of, rule, key) {
                Ok(Some(tag)) if tags.given.iter().all(|other| other.reference != tag.reference) => {
                    tags.given.push(tag);
                }
                Ok(_) => {}
                Err(why) => tags.skipped.push(Skipped { template: rule.template.text.clone(), why }),
            }
        }
        if tags.given.is_empty()
            && let Some(key) = key
        {
            let last = format!("imk-{}", key.short(LAST_RESORT));
            let reference = format!("{}:{last}", of.repository);
            tags.given.push(Tag { reference, template: last, timed: None });
        }
        tags
    }

    /// One tag; none when its rule is for other builds.
    fn tag(
        &self,
        name: &str,
        Rules { repository, behind, .. }: &Rules,
        rule: &TagRule,
        key: Option<&ContentHash>,
    ) -> Result<Option<Tag>, Missing> {
        let Some(git_tags) = self.facts.let_in(rule.when.as_ref())? else { return Ok(None) };
        let suffix = match rule.template.facts().any(Fact::names_commit) {
            true if self.uncommitted.as_ref().map_err(Clone::clone)?.contains(name) => {
                format!("-dirty-{}{behind}", key.ok_or(Missing::NoKey)?.short(SUFFIX))
            }
            _ => behind.clone(),
        };
        let filled = rule.template.fill_with(|fact| self.facts.value(fact, &git_tags, key), &suffix)?;
        Ok(Some(Tag {
            reference: format!("{repository}:{}", filled.tag),
            template: rule.template.text.clone(),
            timed: filled.around_time.map(|(before, behind)| (repository.clone(), before, behind)),
        }))
    }

    /// The time of the run, as tags have it.
    pub fn now(&self) -> String {
        self.facts.now()
    }

    /// The references that a result lacks.
    ///
    /// # Errors
    /// When the engine does not say what it bears.
    pub fn lacks(
        &self,
        executor: &Executor,
        name: &str,
        id: &ImageId,
        key: &ContentHash,
    ) -> Result<Vec<String>, EngineError> {
        let mut wanted = Vec::new();
        for tag in self.of(name, Some(key)).given {
            match self.taken_over(name, &tag) {
                Some(reference) => wanted.push(reference),
                None if self.borne(&tag, id)?.is_none() => wanted.push(tag.reference),
                None => {}
            }
        }
        executor.lacks(id, &wanted)
    }

    /// The references that a result has when it has all it should: the time that its registry has, or that it
    /// bears, rather than now.
    pub fn references(&self, name: &str, id: &ImageId, key: &ContentHash) -> Vec<String> {
        let given = self.of(name, Some(key)).given.into_iter();
        let known = |tag: &Tag| self.taken_over(name, tag).or_else(|| self.borne(tag, id).ok().flatten());
        given.map(|tag| known(&tag).unwrap_or(tag.reference)).collect()
    }

    /// The newest reference with a time of its kind, if it is this image that bears it.
    pub(super) fn borne(&self, tag: &Tag, id: &ImageId) -> Result<Option<String>, EngineError> {
        let Some((repository, before, behind)) = &tag.timed else { return Ok(None) };
        let named = self.named.as_ref().map_err(Clone::clone)?;
        let now = self.facts.now();
        let of_its_kind = named.iter().filter_map(|(reference, id)| {
            let tag = tag_of(reference, repository)?;
            // What a clock that ran ahead named must not make every run name it anew.
            let time = time_in(tag, (before, behind)).filter(|time| *time <= now.as_str())?;
            Some((time, format!("{repository}:{tag}"), id))
        });
        let newest = of_its_kind.max_by_key(|(time, _, _)| *time);
        Ok(newest.filter(|(_, _, bearer)| *bearer == id).map(|(_, reference, _)| reference))
    }
}

/// The tag of a reference into this repository, however an engine spells it.
pub fn tag_of<'r>(reference: &'r str, repository: &str) -> Option<&'r str> {
    let (name, tag) = reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    (normalized(name) == normalized(repository)).then_some(tag)
}

/// Tags that were skipped, each with all its images: what a person is told once.
pub fn together<'a>(
    skipped: impl IntoIterator<Item = (&'a str, &'a Skipped)>,
) -> BTreeMap<&'a Skipped, BTreeSet<&'a str>> {
    let mut together: BTreeMap<&Skipped, BTreeSet<&str>> = BTreeMap::new();
    for (image, skipped) in skipped {
        together.entry(skipped).or_default().insert(image);
    }
    together
}
