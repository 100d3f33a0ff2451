//! Every image at a glance: how it stands, what it is called, how big it is, when it was built.
//!
//! Asks the engine once for what it has, and for sizes a few at a time. An engine that is
//! away costs sizes and nothing else. Makes no words.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::ImageId;
use crate::parallel::several_at_once;
use crate::plan::tags::tagging;
use crate::plan::verdicts::{Plan, Verdict};
use crate::query::graph::bases;
use crate::query::recipe::outline;
use crate::session::open::Session;
use crate::session::project;
use crate::session::sync::Synced;
use crate::state::ledger::Record;
use crate::syntax::reference::normalized;

/// Questions for sizes under way at once: an engine works on each.
const SIZES_AT_ONCE: usize = 4;

/// How an image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The engine has its result.
    Fresh,
    /// A registry has its result, and the engine does not.
    Published,
    /// It would be built.
    Stale,
    /// It would be built unless a base comes out the same.
    Waits,
    /// A base of it cannot be built.
    Blocked,
    /// It cannot be built.
    Mistake,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// The names of its newest result, or those that it will have where there is none.
    pub tags: Vec<String>,
    /// The current result, else the newest, current or not.
    pub record: Option<Record>,
    /// Whether the engine has that result; `None` when it was not to be asked.
    pub here: Option<bool>,
    /// Bytes, as the engine counts them; `None` when it has none or did not say.
    pub size_bytes: Option<u64>,
    /// The base that it stands on; `None` is `scratch`.
    pub base: Option<String>,
    /// All images of the repository that it uses.
    pub bases: BTreeSet<String>,
}

/// Has the engine say at once which of the newest results it has, for all questions that follow.
pub fn ask_newest_results(session: &Session, synced: &Synced) {
    if synced.engine.is_err() {
        return;
    }
    let engine = session.engine();
    let newest = synced.order.names.iter().filter_map(|name| session.executor.last_build(name, &engine));
    let unknown: BTreeSet<ImageId> = newest
        .map(|record| ImageId(record.id))
        .filter(|id| !session.executor.pool().default_node().knows(id))
        .collect();
    // Without an answer each is asked for, and says then what is wrong.
    if let Ok(has) = session.executor.default_engine().inventory(&unknown) {
        session.executor.pool().default_node().know(&unknown, &has);
    }
}

/// The targets of a plan at a glance, by name.
pub fn overview(session: &Session, synced: &Synced, plan: &Plan) -> Vec<Overview> {
    let engine = session.engine();
    let tagging = tagging::tagging(session, synced);
    let verdicts: BTreeMap<&str, &Verdict> =
        plan.jobs.iter().map(|(name, verdict)| (name.as_str(), verdict)).collect();
    let mut images: Vec<Overview> = Vec::new();
    for name in &synced.targets {
        let current = plan.results.get(name);
        let record = current.and_then(|found| {
            let records = session.executor.results_of(&found.key, &engine);
            records.into_iter().find(|record| record.id == found.id.0)
        });
        let record = record.or_else(|| session.executor.last_build(name, &engine));
        let id = current.map(|found| found.id.clone());
        let id = id.or_else(|| record.as_ref().map(|record| ImageId(record.id.clone())));
        let here = match &synced.engine {
            Ok(_) => id.as_ref().map_or(Some(false), |id| session.executor.has(id).ok()),
            Err(_) => None,
        };
        let standing = match verdicts.get(name.as_str()) {
            Some(Verdict::Fresh | Verdict::Retag(_)) if here == Some(false) => Standing::Published,
            Some(Verdict::Fresh | Verdict::Retag(_)) => Standing::Fresh,
            Some(Verdict::Waits(_)) => Standing::Waits,
            Some(Verdict::Blocked(_)) => Standing::Blocked,
            Some(Verdict::Invalid(_) | Verdict::Ignored(_)) => Standing::Mistake,
            Some(Verdict::Stale(_)) | None => Standing::Stale,
        };
        let borne = |id: &ImageId| session.executor.tags(id).ok().flatten().unwrap_or_default();
        let tags = match (&id, current) {
            (Some(id), Some(found)) => tagging.references(name, id, &found.key),
            (Some(id), None) if here == Some(true) => own_first(session, name, borne(id)),
            _ => tagging.of(name, plan.keys.get(name)).given.into_iter().map(|tag| tag.reference).collect(),
        };
        images.push(Overview {
            name: name.clone(),
            standing,
            tags,
            record,
            here,
            size_bytes: None,
            base: stands_on(session, name),
            bases: synced.order.bases.get(name).cloned().unwrap_or_default(),
        });
    }
    let engine = session.executor.default_engine();
    let sizes = several_at_once(SIZES_AT_ONCE, &images, |image| {
        let id = &image.record.as_ref().filter(|_| image.here == Some(true))?.id;
        Some(engine.inspect(id).ok()??.size_bytes)
    });
    for (image, size) in images.iter_mut().zip(sizes) {
        image.size_bytes = size;
    }
    images
}

/// Names of an image, in front those that imk gives it: others may have named it too.
fn own_first(session: &Session, name: &str, tags: BTreeSet<String>) -> Vec<String> {
    let ours = project::repositories_of(&session.project, &BTreeSet::from([name.to_owned()]));
    let is_ours = |tag: &String| {
        tag.rsplit_once(':').is_some_and(|(repository, _)| ours.contains(&normalized(repository)))
    };
    let (own, others): (Vec<String>, Vec<String>) = tags.into_iter().partition(is_ours);
    own.into_iter().chain(others).collect()
}

/// The image of the repository or the reference that the target's stage stands on.
fn stands_on(session: &Session, name: &str) -> Option<String> {
    let image = session.image(name)?;
    let root_base = outline(&session.db, image).as_ref().ok()?.root_base.clone()?;
    let inside = &bases(&session.db, image).inside;
    let edge = inside.iter().find(|edge| edge.reference == root_base.reference);
    Some(edge.map_or(root_base.reference, |edge| edge.base.clone()))
}
