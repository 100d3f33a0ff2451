//! Times that a registry knows: a tag with a time belongs to the content that it was given to, wherever that is built.
//!
//! A machine that comes second takes over the name that the first one gave: its own clock names nothing that is
//! published already. A registry that lists no tags has nothing to take over.

use crate::engine::{EngineError, ImageId};
use crate::exec::executor::Executor;
use crate::exec::push::PublishError;
use crate::exec::remote_cache::{CacheLookup, Published};
use crate::model::hash::ContentHash;
use crate::plan::tags::tagging::{Tag, Tagging};
use crate::query::effect::Built;
use crate::registry::{RegistryError, by_tag};
use crate::syntax::reference::{self, Reference};
use crate::syntax::tag::time_in;

/// Clocks of machines differ so much. What was named later than that was named by one that is wrong.
const SKEW_SECONDS: i64 = 600;
/// Each time of a registry that is looked at is a question, and there may be thousands.
const MOST_LOOKED_AT: usize = 24;

impl Tagging {
    /// Takes over the times that the registry of an image has for a key, where tags are lacking that have one.
    /// Whatever goes wrong is no reason not to name an image here.
    pub fn learn_times(&self, executor: &Executor, name: &str, id: &ImageId, key: &ContentHash) {
        let given = self.of(name, Some(key)).given;
        let lacking = |tag: &Tag| tag.timed.is_some() && matches!(self.borne(tag, id), Ok(None));
        if given.iter().any(lacking) {
            self.learn_published_times(executor, name, key);
        }
    }

    /// The same, whatever the engine has: for what is released.
    pub fn learn_published_times(&self, executor: &Executor, name: &str, key: &ContentHash) {
        let given = self.of(name, Some(key)).given;
        if given.iter().all(|tag| tag.timed.is_none() || self.taken_over(name, tag).is_some()) {
            return;
        }
        if let CacheLookup::Hit(there) = executor.remote_cache.find(name, key) {
            for tag in &given {
                let _ = self.take_over(executor, name, tag, &there);
            }
        }
    }

    /// The references that a result lacks when it is fetched. A time is among them only where its registry has it for
    /// that content, be it the newest of all or not: fetching makes no name that no registry has.
    ///
    /// # Errors
    /// When the engine does not say what it bears.
    pub fn lacks_of_published(
        &self,
        executor: &Executor,
        name: &str,
        id: &ImageId,
        key: &ContentHash,
    ) -> Result<Vec<String>, EngineError> {
        let found = executor.remote_cache.find(name, key);
        let published = |tag: &Tag| match &found {
            CacheLookup::Hit(there) => self.published_time(executor, tag, there).ok().flatten(),
            _ => None,
        };
        let given = self.of(name, Some(key)).given.into_iter();
        let wanted: Vec<String> = given
            .filter_map(|tag| if tag.timed.is_some() { published(&tag) } else { Some(tag.reference) })
            .collect();
        executor.lacks(id, &wanted)
    }

    /// The references that what is published is to be given in its registry. A time that stands there for its
    /// content already is none of them: it stands still.
    ///
    /// # Errors
    /// When a fact that was asked for cannot be had though it is there, or the registry does not say.
    pub fn to_publish(
        &self,
        executor: &Executor,
        name: &str,
        built: &Built,
        there: &Published,
    ) -> Result<Vec<String>, PublishError> {
        let tags = self.of(name, Some(&built.key));
        if let Some((skipped, why)) =
            tags.skipped.iter().find_map(|skipped| Some((skipped, skipped.why.trouble()?)))
        {
            return Err(PublishError::Tag { template: skipped.template.clone(), why: why.to_owned() });
        }
        let mut references = Vec::new();
        for tag in tags.given {
            let Some((repository, before, behind)) = &tag.timed else {
                references.push(tag.reference);
                continue;
            };
            if self.take_over(executor, name, &tag, there)? {
                continue;
            }
            let known = self.published_times(executor, &tag)?;
            let newest = self.newest_of(&known);
            let time = |reference: &String| {
                let text = reference.rsplit_once(':').map_or("", |(_, tag)| tag);
                time_in(text, (before, behind)).map(str::to_owned)
            };
            // The name that it has here will do, if it is the newest there too.
            let borne = self.borne(&tag, &built.id).ok().flatten();
            let reference = match borne.filter(|borne| time(borne) > newest) {
                Some(borne) => borne,
                None => {
                    // Two pushes may fall into one second, and clocks differ a little.
                    let mut later = (0..).map(|seconds| self.facts.later(seconds));
                    let free = later.find(|time| !known.contains(time) && Some(time) > newest.as_ref());
                    format!("{repository}:{before}{}{behind}", free.unwrap_or_else(|| self.facts.now()))
                }
            };
            self.remember(name, &tag, &reference);
            references.push(reference);
        }
        Ok(references)
    }

    /// The reference that a template has in the registry, as far as that was learned.
    pub(super) fn taken_over(&self, name: &str, tag: &Tag) -> Option<String> {
        self.taken_over.lock().get(&(name.to_owned(), tag.template.clone())).cloned()
    }

    fn remember(&self, name: &str, tag: &Tag, reference: &str) {
        self.taken_over.lock().insert((name.to_owned(), tag.template.clone()), reference.to_owned());
    }

    /// Takes over the newest time of a tag's kind, if it stands for what is published.
    fn take_over(
        &self,
        executor: &Executor,
        name: &str,
        tag: &Tag,
        there: &Published,
    ) -> Result<bool, RegistryError> {
        let Some((repository, before, behind)) = &tag.timed else { return Ok(false) };
        let known = self.published_times(executor, tag)?;
        let Some(newest) = self.newest_of(&known) else { return Ok(false) };
        let Ok(place) = reference::parse(repository) else { return Ok(false) };
        let newest = format!("{before}{newest}{behind}");
        let same = stands_for(executor, &by_tag(&place, &newest), there)?;
        if same {
            self.remember(name, tag, &format!("{repository}:{newest}"));
        }
        Ok(same)
    }

    /// The newest reference of a tag's kind that stands for what is published, among the latest.
    fn published_time(
        &self,
        executor: &Executor,
        tag: &Tag,
        there: &Published,
    ) -> Result<Option<String>, RegistryError> {
        let Some((repository, before, behind)) = &tag.timed else { return Ok(None) };
        let Ok(place) = reference::parse(repository) else { return Ok(None) };
        let mut known = self.published_times(executor, tag)?;
        known.sort_unstable();
        for time in known.iter().rev().take(MOST_LOOKED_AT) {
            let tag = format!("{before}{time}{behind}");
            if stands_for(executor, &by_tag(&place, &tag), there)? {
                return Ok(Some(format!("{repository}:{tag}")));
            }
        }
        Ok(None)
    }

    /// The newest of some times that is not far ahead of the clock.
    fn newest_of(&self, times: &[String]) -> Option<String> {
        let latest = self.facts.later(SKEW_SECONDS);
        times.iter().filter(|time| **time <= latest).max().cloned()
    }

    /// All times of a tag's kind that its registry has; none where it lists no tags.
    fn published_times(&self, executor: &Executor, tag: &Tag) -> Result<Vec<String>, RegistryError> {
        let Some((repository, before, behind)) = &tag.timed else { return Ok(Vec::new()) };
        let Ok(place) = reference::parse(repository) else { return Ok(Vec::new()) };
        let known = self.listed.lock().get(repository).cloned();
        let tags = match known {
            Some(tags) => tags,
            None => {
                let tags = match executor.remote_cache.registry().tags(&place) {
                    Err(RegistryError::Refused { .. } | RegistryError::Denied { .. }) => Vec::new(),
                    other => other?,
                };
                self.listed.lock().insert(repository.clone(), tags.clone());
                tags
            }
        };
        let time = |tag: &String| time_in(tag, (before, behind)).map(str::to_owned);
        Ok(tags.iter().filter_map(time).collect())
    }
}

/// Whether a name of the registry stands for what is published under a key.
fn stands_for(executor: &Executor, tagged: &Reference, there: &Published) -> Result<bool, RegistryError> {
    Ok(match executor.remote_cache.registry().head(tagged)? {
        Some(found) if Some(&found.digest) == there.at.digest.as_ref() => true,
        Some(_) => executor.remote_cache.look_up(tagged)?.is_some_and(|found| found.content == there.content),
        None => false,
    })
}
