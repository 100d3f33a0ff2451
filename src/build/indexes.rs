//! Indexes of what was published: one for each name for several platforms, with the tags of that name.
//!
//! Comes after all images of a run: an index is put when each of its images is at the registry, and never
//! with one of them missing. Knows no engine.

use std::collections::BTreeMap;

use crate::build::publish::{Publication, give};
use crate::build::summary::Summary;
use crate::engine::ImageId;
use crate::exec::push::PublishError;
use crate::exec::remote_cache::Published;
use crate::model::hash::ContentHash;
use crate::model::name::platform_of;
use crate::plan::tags::tagging::{self, Tagging};
use crate::platforms::index::{self, IndexError, Member};
use crate::query::effect::Built;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::sync::Synced;
use crate::syntax::reference;

impl From<IndexError> for PublishError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Lost(at) => Self::Lost(at),
            IndexError::Registry(error) => Self::Registry(error),
        }
    }
}

/// Puts the indexes of the targets and gives them their tags, unless those are withheld.
pub(super) fn publish(session: &Session, synced: &Synced, withhold_tags: bool, summary: &mut Summary) {
    let several = platforms::several(&session.project);
    let wanted =
        |(_, images): &(&String, &Vec<String>)| images.iter().any(|name| synced.targets.contains(name));
    let wanted: BTreeMap<&String, &Vec<String>> = several.iter().filter(wanted).collect();
    if wanted.is_empty() {
        return;
    }
    let tagging = tagging::tagging(session, synced);
    for (name, images) in wanted {
        let published =
            |image: &&String| matches!(summary.publications.get(*image), Some(Publication::Done { .. }));
        if !images.iter().any(|image| published(&image)) {
            // Why none of them is published is told of each.
            continue;
        }
        let lacks: Vec<String> = images.iter().filter(|image| !published(image)).cloned().collect();
        if !lacks.is_empty() {
            summary.incomplete.insert(name.clone(), lacks);
            continue;
        }
        match put(session, synced, &tagging, (name, images), withhold_tags, summary) {
            Ok(publication) => drop(summary.indexes.insert(name.clone(), publication)),
            Err(error) => drop(summary.unpublished.insert(name.clone(), error)),
        }
    }
}

/// Puts one index, all of whose images are published.
fn put(
    session: &Session,
    synced: &Synced,
    tagging: &Tagging,
    (name, images): (&String, &Vec<String>),
    withhold_tags: bool,
    summary: &Summary,
) -> Result<Publication, PublishError> {
    let executor = &session.executor;
    let members: Vec<Member> = images.iter().filter_map(|image| member(image, summary)).collect();
    let declared = images.first().and_then(|image| session.project.images.get(image));
    let annotations = declared.map(|image| image.index_annotations.clone()).unwrap_or_default();
    let Some(at) = index::put(executor.remote_cache.registry(), &members, &annotations)? else {
        return Ok(Publication::NoRegistry);
    };
    let is_tagged = !withhold_tags && images.iter().all(|image| synced.targets.contains(image));
    let moved = match of_name(session, name, images, &summary.results).filter(|_| is_tagged) {
        None => Vec::new(),
        Some(built) => {
            let content = ContentHash::of(at.to_string().as_bytes());
            let there = Published { at: at.clone(), configuration: String::new(), content };
            let tags = tagging.to_publish(executor, name, &built, &there)?;
            give(executor, &there, &tags)?
        }
    };
    Ok(Publication::Done { at: at.to_string(), moved })
}

fn member(image: &str, summary: &Summary) -> Option<Member> {
    let Some(Publication::Done { at, .. }) = summary.publications.get(image) else { return None };
    Some(Member { platform: platform_of(image)?.to_owned(), at: reference::parse(at).ok()? })
}

/// The results of a name for several platforms as one: with the key of all, and the id of the one that
/// the engine has under the name.
pub fn of_name(
    session: &Session,
    name: &str,
    images: &[String],
    results: &BTreeMap<String, Built>,
) -> Option<Built> {
    let all: Option<Vec<(&str, &Built)>> =
        images.iter().map(|image| Some((platform_of(image)?, results.get(image)?))).collect();
    let all = all?;
    let key = index::key(all.iter().map(|(platform, built)| (*platform, &built.key)));
    let own = platforms::on_engine(session, name).and_then(|own| results.get(&own));
    let id = own.map_or_else(|| ImageId(key.to_string()), |own| own.id.clone());
    let content = ContentHash::of(key.to_string().as_bytes());
    Some(Built { key, id, content })
}
