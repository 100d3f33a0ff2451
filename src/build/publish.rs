//! Results in the remote cache: published under their key, with their inputs and the tags people chose.
//!
//! An image travels once; every further tag is a manifest put under another
//! name. Knows what is published and in which order; how an image travels is
//! for `exec::push`.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::ImageId;
use crate::exec::executor::Executor;
use crate::exec::push::PublishError;
use crate::exec::remote_cache::Published;
use crate::model::name;
use crate::model::part::Part;
use crate::model::reason::Code;
use crate::parallel::apart;
use crate::plan::tags::tagging::{self, Tagging};
use crate::plan::verdicts::{self, KnownResult};
use crate::query::ImkDb;
use crate::query::action_key::parts;
use crate::query::effect::Built;
use crate::query::graph::bases;
use crate::query::image::image_content;
use crate::query::inputs::{Exact, Image, Workspace};
use crate::query::recipe::outline;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::sync::Synced;
use crate::source::git::GitStore;
use crate::state::evidence::document::Document;
use crate::syntax::{layout_source, reference};

/// The kind of document that is attached to a published image: everything that counted for it.
pub const INPUTS: &str = "application/vnd.imk.inputs.v1+json";

/// How often the tags are set again because another machine published in between.
const ROUNDS: usize = 3;

/// The end of an image's publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// It is there, and these tags were moved to it.
    Done { at: String, moved: Vec<String> },
    /// Another machine's result of the same key is there: it must be taken first.
    Overtaken,
    /// Its name names no registry.
    NoRegistry,
}

/// Publishes one result, its inputs and its tags.
///
/// # Errors
/// See [`PublishError`]. What was done before the error stays done, and the next try goes on from there.
pub(super) fn publish(
    db: &ImkDb,
    executor: &Executor,
    image: Image,
    built: &Built,
    tags: &dyn Fn(&Published) -> Result<Vec<String>, PublishError>,
) -> Result<Publication, PublishError> {
    let name = image.name(db);
    let Some(mut there) = executor.publish(name, built)? else { return Ok(Publication::NoRegistry) };
    let mut moved = BTreeSet::new();
    for _ in 0..ROUNDS {
        if there.content != built.content {
            return Ok(Publication::Overtaken);
        }
        attach(db, executor, image, built, &there)?;
        moved.extend(give(executor, &there, &tags(&there)?)?);
        // Two machines may have put their manifests at the same moment: the later one counts for both.
        let Some(tag) = executor.remote_cache.content_tag(name, &built.key) else { break };
        match executor.remote_cache.look_up(&tag)? {
            Some(now) if now.at != there.at => there = now,
            _ => break,
        }
    }
    Ok(Publication::Done { at: there.at.to_string(), moved: moved.into_iter().collect() })
}

/// Gives what is there some tags, and says which of them stood for something else.
pub(super) fn give(
    executor: &Executor,
    there: &Published,
    tags: &[String],
) -> Result<Vec<String>, PublishError> {
    let registry = executor.remote_cache.registry();
    let mut manifest = None;
    let mut moved = Vec::new();
    for tag in tags {
        let Ok(name) = reference::parse(tag) else { continue };
        if registry.head(&name)?.is_some_and(|found| Some(&found.digest) == there.at.digest.as_ref()) {
            continue;
        }
        if manifest.is_none() {
            manifest = registry.manifest(&there.at)?;
        }
        let Some(manifest) = &manifest else { return Err(PublishError::Lost(there.at.clone())) };
        registry.put_manifest(&name, manifest)?;
        moved.push(tag.clone());
    }
    Ok(moved)
}

/// Attaches the list of everything that counted, unless it is there.
fn attach(
    db: &ImkDb,
    executor: &Executor,
    image: Image,
    built: &Built,
    there: &Published,
) -> Result<(), PublishError> {
    let registry = executor.remote_cache.registry();
    if !registry.attached(&there.at, INPUTS)?.is_empty() {
        return Ok(());
    }
    let annotations = BTreeMap::from([
        (crate::model::content::KEY_LABEL.to_owned(), built.key.to_string()),
        ("imk.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    let document = inputs(db, executor, image, built).text();
    registry.attach(&there.at, INPUTS, &annotations, INPUTS, document.as_bytes())?;
    Ok(())
}

/// Everything that counted for a result.
fn inputs(db: &ImkDb, executor: &Executor, image: Image, built: &Built) -> Document {
    let selection = executor.run().selections.get(image.name(db)).cloned();
    let files = selection.and_then(|selection| apart(|| executor.tree.used_files(&selection)).ok());
    let mut counted: Vec<Part> = parts(db, image).unwrap_or_default();
    let images = Workspace::get(db).images(db);
    for edge in &bases(db, image).inside {
        let content = images.get(&edge.base).and_then(|base| image_content(db, *base));
        let part = Part::new(Code::Base, &edge.base, content.unwrap_or_default().to_string());
        if !counted.contains(&part) {
            counted.push(part);
        }
    }
    Document::new(image.name(db), built.key, built.content, counted, &files.unwrap_or_default())
}

/// The end of a wish to have an image here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// The engine had it.
    Here,
    /// It was fetched.
    Fetched,
    /// No registry has it for what the files are now.
    Nowhere,
    /// It could not be fetched.
    Failed(PublishError),
}

/// Fetches the results of some images and gives them their tags; nothing is built. Of a name for several
/// platforms the engine's own is fetched, unless another is named alone.
pub fn pull(session: &mut Session, synced: &Synced) -> BTreeMap<String, Pulled> {
    let contents = verdicts::plan(session, synced, false).results;
    let tagging = tagging::tagging(session, synced);
    let mut pulled = BTreeMap::new();
    for name in &platforms::of_engine(session, &synced.targets) {
        let outcome = match contents.get(name) {
            None => Pulled::Nowhere,
            Some(found) => pull_image(session, name, found, &tagging),
        };
        pulled.insert(name.clone(), outcome);
    }
    pulled
}

fn pull_image(session: &Session, name: &str, found: &KnownResult, tagging: &Tagging) -> Pulled {
    let executor = &session.executor;
    let here = executor.pool().default_node().has(&found.id).unwrap_or(false);
    let built = Built { key: found.key, id: found.id.clone(), content: found.content };
    let id = match (here, &found.published) {
        (true, _) => Ok(Some(found.id.clone())),
        (false, Some(at)) => executor.fetch(name, at, &found.key).map_err(PublishError::from),
        (false, None) => executor.pull_to_default(name, &built),
    };
    let tagged = |id: ImageId| -> Result<(), PublishError> {
        let lacks = tagging.lacks_of_published(executor, name, &id, &found.key)?;
        Ok(lacks.iter().try_for_each(|tag| executor.tag(&id, tag))?)
    };
    match id.and_then(|id| id.map(tagged).transpose()) {
        Ok(None) => Pulled::Nowhere,
        Ok(Some(_)) if here => Pulled::Here,
        Ok(Some(_)) => Pulled::Fetched,
        Err(error) => Pulled::Failed(error),
    }
}

/// Annotations of the manifests of an order, beside what the images are (the image specification's
/// predefined annotations). `source_date_epoch_seconds` is SOURCE_DATE_EPOCH, else the time of the run.
pub(crate) fn annotations(
    session: &Session,
    synced: &Synced,
    source_date_epoch_seconds: i64,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let store = GitStore::open(&session.project.root).ok();
    let revision = store.as_ref().and_then(|store| store.commit("HEAD").ok()).map(|head| head.id);
    let source = store.as_ref().and_then(|store| store.upstream_url());
    let created = jiff::Timestamp::from_second(source_date_epoch_seconds)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string();
    let mut all = BTreeMap::new();
    for name in &synced.order.names {
        let Some(image) = session.image(name) else { continue };
        let base = base_of(session, image);
        let pairs = [
            ("title", Some(name::declared(name).to_owned())),
            ("created", Some(created.clone())),
            ("revision", revision.clone()),
            ("source", source.clone()),
            ("base.name", base.as_ref().map(|(name, _)| name.clone())),
            ("base.digest", base.and_then(|(_, digest)| digest)),
        ];
        let said = pairs
            .into_iter()
            .filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?)));
        let mut said: BTreeMap<String, String> = said.collect();
        // Who asks for one has the last word.
        said.extend(image.options(&session.db).annotations.clone());
        all.insert(name.clone(), said);
    }
    all
}

/// The name of the image that one stands on, and its digest where that is known.
fn base_of(session: &Session, image: Image) -> Option<(String, Option<String>)> {
    let root_base = outline(&session.db, image).as_ref().ok()?.root_base.clone()?;
    let edge = bases(&session.db, image).inside.iter().find(|edge| edge.reference == root_base.reference);
    if let Some(edge) = edge {
        let repository = &session.project.images.get(&edge.base)?.repository;
        let tag = name::split(&edge.base).1.map_or_else(String::new, |tag| format!(":{tag}"));
        return Some((format!("{repository}{tag}"), None));
    }
    // The name of a layout is a path of this machine, and no name to anybody else.
    if layout_source::is(&root_base.reference) {
        return None;
    }
    let digest = match &session.workspace().outside(&session.db).get(&root_base)?.exact {
        Exact::Digest(digest) => Some(digest.clone()),
        Exact::Local(_) | Exact::Unknown | Exact::Refused { .. } => None,
    };
    Some((reference::normalized(&root_base.reference), digest))
}
