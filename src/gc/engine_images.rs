//! Images on the engines that imk built for this repository, and their removal without force.
//!
//! An image is imk's when the ledger has its id. It goes only when all its names are of imk's
//! giving and no container uses it; whoever else named it or uses it keeps it. Decides nothing
//! about what is wanted: `clean` and `gc` do.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{EngineError, ImageId, Node};
use crate::exec::executor::PIN;
use crate::model::time::UnixSeconds;
use crate::parallel::several_at_once;
use crate::session::open::Session;
use crate::session::project;
use crate::state::ledger::Record;
use crate::syntax::reference::normalized;

/// Questions for sizes under way at once.
const SIZES_AT_ONCE: usize = 4;

/// An image on an engine that imk built here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedImage {
    /// The engine that has it, by its name.
    pub engine: String,
    /// Its id.
    pub id: ImageId,
    /// The images of the repository that it is or was a result of.
    pub images: BTreeSet<String>,
    /// Its names on the engine.
    pub tags: BTreeSet<String>,
    /// Bytes, as the engine counts them: with all layers, shared or not.
    pub size_bytes: Option<u64>,
    /// The moment when it was last recorded.
    pub at: UnixSeconds,
}

/// Why an image stays though nothing here wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stays {
    /// Somebody else gave it these names.
    Named(Vec<String>),
    /// These containers use it.
    Used(BTreeSet<String>),
    /// The engine refused.
    Refused(EngineError),
}

/// The images of some records that an engine has, by id. Sizes are not asked for.
///
/// # Errors
/// When the engine does not say.
pub(crate) fn owned_images<'r>(
    node: &Node,
    records: impl Iterator<Item = &'r Record>,
) -> Result<BTreeMap<ImageId, OwnedImage>, EngineError> {
    let mut held: BTreeMap<ImageId, OwnedImage> = BTreeMap::new();
    for record in records {
        let id = ImageId(record.id.clone());
        let (images, tags) = (BTreeSet::new(), BTreeSet::new());
        let engine = node.name.clone();
        let new =
            OwnedImage { engine, id: id.clone(), images, tags, size_bytes: None, at: UnixSeconds::default() };
        let held = held.entry(id).or_insert(new);
        held.images.insert(record.image.clone());
        held.at = held.at.max(record.at);
    }
    let ids = held.keys().cloned().collect();
    let has = node.engine.inventory(&ids)?;
    node.know(&ids, &has);
    held.retain(|id, held| {
        let tags = has.get(id);
        held.tags = tags.cloned().unwrap_or_default();
        tags.is_some()
    });
    Ok(held)
}

/// Asks the engine for sizes, a few at a time, and puts the images in order: by name, the oldest in front.
pub(super) fn ask_sizes(node: &Node, held: &mut [OwnedImage]) {
    held.sort_by(|a, b| (&a.images, a.at, &a.id).cmp(&(&b.images, b.at, &b.id)));
    let sizes = several_at_once(SIZES_AT_ONCE, held, |held| {
        node.engine.inspect(&held.id.0).ok().flatten().map(|info| info.size_bytes)
    });
    for (held, size) in held.iter_mut().zip(sizes) {
        held.size_bytes = size;
    }
}

/// Checks that nobody but imk has a hold on it.
///
/// # Errors
/// Who has.
pub(crate) fn may_go(
    session: &Session,
    held: &OwnedImage,
    containers: &BTreeMap<ImageId, BTreeSet<String>>,
) -> Result<(), Stays> {
    if let Some(users) = containers.get(&held.id) {
        return Err(Stays::Used(users.clone()));
    }
    let ours = project::repositories_of(&session.project, &held.images);
    let nonce = session.nonce();
    let is_ours = |tag: &&String| {
        let repository = tag.rsplit_once(':').map_or(tag.as_str(), |(repository, _)| repository);
        ours.contains(&normalized(repository)) || tag.starts_with(PIN) && tag.ends_with(&nonce)
    };
    let foreign: Vec<String> = held.tags.iter().filter(|tag| !is_ours(tag)).cloned().collect();
    if foreign.is_empty() { Ok(()) } else { Err(Stays::Named(foreign)) }
}

/// Takes all its names away, and with the last the image. Nothing is forced.
///
/// # Errors
/// Why it is still there.
pub(crate) fn remove_image(session: &Session, held: &OwnedImage) -> Result<(), Stays> {
    let pool = session.executor.pool();
    let Some(node) = pool.named(&held.engine) else { return Ok(()) };
    let engine = &node.engine;
    for tag in &held.tags {
        // A name may have been given to another image since the engine was asked.
        let bearer = engine.inspect(tag).map_err(Stays::Refused)?;
        if bearer.is_some_and(|bearer| bearer.id == held.id) {
            engine.untag(tag).map_err(Stays::Refused)?;
        }
    }
    if engine.inspect(&held.id.0).map_err(Stays::Refused)?.is_some() {
        engine.remove(&held.id).map_err(Stays::Refused)?;
    }
    node.know(&BTreeSet::from([held.id.clone()]), &BTreeMap::new());
    Ok(())
}
