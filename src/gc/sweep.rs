//! `gc`: finds what nothing reaches any more, and takes it away.
//!
//! | stays | because |
//! |---|---|
//! | the result that a plan finds for an image | the next run would build it |
//! | every result that an image waiting for a base may turn out to be | so would it |
//! | what bears a tag that imk would give now | somebody may run it by that name |
//! | what Imagefile.lock or an image of the repository names as a base outside | builds start from it |
//! | the newest builds of each image, as many as `keep` says | an edit may be taken back |
//! | everything of images that have mistakes, or that another Imagefile of the folder declares | it cannot be judged |
//!
//! Of the rest, what others named or use stays too: see `holdings`. What cannot be judged stays. With
//! `published` a current result may go that its registry was just found to have.

use super::caches;
use crate::gc::caches::Unused;
use crate::plan::tags::tagging;
use crate::session::{inputs, removed_images};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::{EngineError, ImageId, Node};
use crate::exec::executor::PIN;
use crate::exec::remote_cache::CacheLookup;
use crate::exec::transfer::is_transfer_tag;
use crate::gc::engine_images::{self, OwnedImage, Stays};
use crate::model::hash::ContentHash;
use crate::model::reason::Code;
use crate::plan::verdicts::{KnownResult, Plan};
use crate::query::action_key::parts;
use crate::query::graph::bases;
use crate::query::inputs::Exact;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::state::evidence::Evidence;
use crate::state::files::StateFile;
use crate::state::ledger::Record;
use crate::syntax::reference;

/// The options of `gc`.
#[derive(Clone, Copy, Debug)]
pub struct GcOptions {
    /// How many past builds of each image stay.
    pub keep: usize,
    /// Let go of current results that a registry has.
    pub published: bool,
}

/// Why an image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is no current result, and newer builds of its image are kept.
    Superseded,
    /// Its image is no more in the Imagefile.
    Undeclared,
    /// It is current, and its registry has it.
    Published,
}

/// Everything that nothing reaches.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Images on the engines.
    pub images: Vec<(OwnedImage, Why)>,
    /// Names that imk gave for a moment and that stayed behind, each after the name of its engine.
    pub names: Vec<(String, String)>,
    /// Images that nothing here needs and that stay, and why.
    pub stays: Vec<(OwnedImage, Stays)>,
    /// Builds of images that are no more declared, and whose results are gone.
    pub builds: usize,
    /// Files of the state.
    pub files: Vec<(StateFile, Unused)>,
    /// Answers of registries about bases that no image uses.
    pub answers: usize,
    /// Bytes that a store of imk's own freed beside the images: layers, steps and caches that nothing needs.
    pub freed_bytes: u64,
    /// Engines whose images were not looked at, and why.
    pub unseen: Vec<(String, EngineError)>,
}

/// Everything that nothing reaches, by a plan of all images. Changes nothing.
pub fn sweep(session: &Session, synced: &Synced, plan: &Plan, options: &GcOptions) -> Sweep {
    let mut sweep = Sweep::default();
    for node in session.executor.pool().nodes() {
        let there = node.unreachable().or(synced.engine.as_ref().err());
        let swept = match there {
            Some(error) => Err(error.clone()),
            None => sweep_engine(session, node, synced, plan, options, &mut sweep),
        };
        if let Err(error) = swept {
            sweep.unseen.push((node.name.clone(), error));
        }
    }
    let declared = all_declared(session);
    let records = session.executor.ledger.records().into_iter().chain(session.executor.ledger.left());
    let builds = records.filter(is_over(session, &sweep, &declared)).count();
    sweep.builds = builds;
    sweep.files = caches::unused_files(session, &declared);
    sweep.answers = session.upstream.unused(&inputs::wanted(session, &synced.order));
    sweep
}

/// Takes it away, and returns what really went.
///
/// # Errors
/// When the state cannot be changed.
pub fn carry_out(session: &mut Session, synced: &Synced, mut sweep: Sweep) -> std::io::Result<Sweep> {
    let mut gone = Vec::new();
    for (held, why) in std::mem::take(&mut sweep.images) {
        match engine_images::remove_image(session, &held) {
            Ok(()) => gone.push((held, why)),
            Err(stays) => sweep.stays.push((held, stays)),
        }
    }
    sweep.images = gone;
    // A name that stays behind is tried again by the next run.
    let pool = session.executor.pool();
    let untag = |engine: &String, name: &String| pool.named(engine)?.engine.untag(name).ok();
    sweep.names.retain(|(engine, name)| untag(engine, name).is_some());
    for node in pool.nodes().iter().filter(|node| node.unreachable().is_none()) {
        match node.engine.collect() {
            Ok(bytes) => sweep.freed_bytes += bytes,
            Err(error) => sweep.unseen.push((node.name.clone(), error)),
        }
    }
    session.executor.ledger.drop_records(is_over(session, &sweep, &all_declared(session)))?;
    caches::remove_unused(session, &mut sweep.files)?;
    session.upstream.forget(&inputs::wanted(session, &synced.order));
    let gone: BTreeSet<(&String, &ImageId)> =
        sweep.images.iter().map(|(held, _)| (&held.engine, &held.id)).collect();
    let default_engine = &pool.default_node().name;
    let place = |name: &String| session.memory.engines.get(name).unwrap_or(default_engine);
    let lost = session.memory.results.iter().filter(|(name, id)| gone.contains(&(place(name), id)));
    let lost: Vec<String> = lost.map(|(name, _)| name.clone()).collect();
    for name in lost {
        session.memory.results.remove(&name);
        inputs::invalidate(session, &name);
    }
    session.save()?;
    Ok(sweep)
}

fn sweep_engine(
    session: &Session,
    node: &Node,
    synced: &Synced,
    plan: &Plan,
    options: &GcOptions,
    sweep: &mut Sweep,
) -> Result<(), EngineError> {
    let (builds, left) = (session.executor.ledger.records(), session.executor.ledger.left());
    // Whatever engine they were recorded of: one that was upgraded has its images under another name of its own.
    let records: Vec<&Record> = builds.iter().chain(&left).collect();
    let mut held = engine_images::owned_images(node, records.iter().copied())?;
    let declared = all_declared(session);
    let released = if options.published { released(session, plan) } else { BTreeSet::new() };
    let mut kept = reached(session, node, synced, plan, &records, &held)?;
    kept.extend(newest(&builds, &held, &declared, options.keep));
    kept.retain(|id| !released.contains(id));
    let containers = node.engine.containers()?;
    let names = left_behind(session, node, &kept)?.into_iter();
    sweep.names.extend(names.map(|name| (node.name.clone(), name)));
    held.retain(|id, _| !kept.contains(id));
    let mut loose: Vec<OwnedImage> = held.into_values().collect();
    engine_images::ask_sizes(node, &mut loose);
    for held in loose {
        let why = match () {
            () if released.contains(&held.id) => Why::Published,
            () if held.images.is_disjoint(&declared) => Why::Undeclared,
            () => Why::Superseded,
        };
        match engine_images::may_go(session, &held, &containers) {
            Ok(()) => sweep.images.push((held, why)),
            Err(stays) => sweep.stays.push((held, stays)),
        }
    }
    Ok(())
}

/// The images that something but their age keeps.
fn reached(
    session: &Session,
    node: &Node,
    synced: &Synced,
    plan: &Plan,
    records: &[&Record],
    held: &BTreeMap<ImageId, OwnedImage>,
) -> Result<BTreeSet<ImageId>, EngineError> {
    let mut kept: BTreeSet<ImageId> = plan.results.values().map(|found| found.id.clone()).collect();
    let elsewhere = declared_elsewhere(session);
    let invalid: BTreeSet<&String> =
        plan.jobs.iter().filter(|(_, verdict)| verdict.is_broken()).map(|(name, _)| name).collect();
    let locked: BTreeSet<&String> = session.project.lock.bases.values().collect();
    let is_locked = |record: &Record| {
        let published = record.published.as_deref().and_then(|at| reference::parse(at).ok()?.digest);
        published.is_some_and(|digest| locked.contains(&digest))
    };
    let maybe = maybe_current(session, plan);
    let mut judged: BTreeMap<ContentHash, bool> = BTreeMap::new();
    // Where a current result is only in a registry, one of the same content spares the transfer.
    let away = plan.results.values().filter(|found| !held.contains_key(&found.id)).map(|found| found.content);
    let away: BTreeSet<ContentHash> = away.collect();
    for record in records {
        let mut may_be =
            || *judged.entry(record.key).or_insert_with(|| may_answer(session, synced, &maybe, record));
        if elsewhere.contains(&record.image)
            || invalid.contains(&record.image)
            || away.contains(&record.content)
            || is_locked(record)
            || may_be()
        {
            kept.insert(ImageId(record.id.clone()));
        }
    }
    for outside in session.workspace().outside(&session.db).values() {
        if let Exact::Local(id) = &outside.exact {
            kept.insert(ImageId(id.clone()));
        }
    }
    kept.extend(named_now(session, node, synced, plan)?);
    Ok(kept)
}

/// The images that bear a tag which imk would give now: to the current result, or to the next.
fn named_now(
    session: &Session,
    node: &Node,
    synced: &Synced,
    plan: &Plan,
) -> Result<BTreeSet<ImageId>, EngineError> {
    let tagging = tagging::tagging(session, synced);
    let mut wanted = BTreeSet::new();
    for name in &synced.order.names {
        let given = tagging.of(name, plan.keys.get(name)).given;
        wanted.extend(given.into_iter().map(|tag| reference::normalized(&tag.reference)));
    }
    let repositories = session.project.images.values().map(|image| image.repository.clone()).collect();
    let named = node.engine.references(&repositories)?;
    let bears = named.into_iter().filter(|(tag, _)| wanted.contains(&reference::normalized(tag)));
    Ok(bears.map(|(_, id)| id).collect())
}

/// Images whose key is not known before a base is built: their results are among the old ones, perhaps.
fn maybe_current<'p>(session: &Session, plan: &'p Plan) -> Vec<&'p str> {
    let undecided = |name: &&str| {
        let image = session.image(name);
        !plan.results.contains_key(*name)
            && image.is_some_and(|image| {
                bases(&session.db, image).inside.iter().any(|edge| !plan.results.contains_key(&edge.base))
            })
    };
    plan.jobs.iter().map(|(name, _)| name.as_str()).filter(undecided).collect()
}

/// Whether a record answers one of these images should its bases come out right.
fn may_answer(session: &Session, synced: &Synced, maybe: &[&str], record: &Record) -> bool {
    if maybe.is_empty() {
        return false;
    }
    // What went into it is not known any more, so it may.
    let Some(then) = session.executor.evidence.load(&record.key) else { return true };
    maybe.iter().any(|name| {
        let Some(parts) = session.image(name).and_then(|image| parts(&session.db, image).ok()) else {
            return true;
        };
        let files = synced.selections.get(*name).map(|selection| session.executor.tree.used_files(selection));
        let now = match files {
            Some(Err(_)) => return true,
            Some(Ok(files)) => Evidence::new(parts, &files),
            None => Evidence::new(parts, &Default::default()),
        };
        then.differences(&now).iter().all(|reason| reason.code == Code::Base)
    })
}

/// Current results that their registry has, by its own word of this moment.
fn released(session: &Session, plan: &Plan) -> BTreeSet<ImageId> {
    let published_result = |name: &String, found: &KnownResult| {
        matches!(session.executor.remote_cache.find(name, &found.key), CacheLookup::Hit(_))
    };
    let (there, only): (Vec<_>, Vec<_>) =
        plan.results.iter().partition(|(name, found)| published_result(name, found));
    let needed: BTreeSet<&ImageId> = only.into_iter().map(|(_, found)| &found.id).collect();
    there.into_iter().map(|(_, found)| found.id.clone()).filter(|id| !needed.contains(id)).collect()
}

/// Names that imk gives for a moment, left by a run that was killed. The last name of an image that
/// is needed stays: an engine removes an image together with it.
fn left_behind(session: &Session, node: &Node, kept: &BTreeSet<ImageId>) -> Result<Vec<String>, EngineError> {
    let mut repositories: BTreeSet<String> =
        session.project.images.values().map(|image| image.repository.clone()).collect();
    repositories.insert(PIN.to_owned());
    let (nonce, share) = (session.nonce(), session.share());
    let is_temporary = |name: &str| {
        let tag = name.rsplit_once(':').map_or("", |(_, tag)| tag);
        name.starts_with(PIN) && name.ends_with(&nonce)
            || is_transfer_tag(tag, [nonce.trim_start_matches('-'), &share[..12]])
    };
    let named = node.engine.references(&repositories)?;
    let ids: BTreeSet<ImageId> =
        named.iter().filter(|(name, _)| is_temporary(name)).map(|(_, id)| id.clone()).collect();
    let bear = node.engine.inventory(&ids)?;
    let only_temporary =
        |id: &ImageId| bear.get(id).is_some_and(|tags| tags.iter().all(|tag| is_temporary(tag)));
    let mut names: Vec<String> = Vec::new();
    for (name, id) in named.iter().filter(|(name, _)| is_temporary(name)) {
        if !(only_temporary(id) && kept.contains(id)) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// Tells which records are of no more use: nobody declares their image, and their result is gone
/// from an engine that was looked at.
fn is_over<'s>(
    session: &Session,
    sweep: &'s Sweep,
    declared: &'s BTreeSet<String>,
) -> impl Fn(&Record) -> bool + use<'s> {
    let pool = session.executor.pool();
    let unseen = |name: &String| sweep.unseen.iter().any(|(engine, _)| engine == name);
    let seen = pool.nodes().iter().filter(|node| !unseen(&node.name));
    let seen: BTreeMap<String, Arc<Node>> =
        seen.filter_map(|node| Some((node.engine.identity().ok()?.id, Arc::clone(node)))).collect();
    move |record| {
        let Some(node) = seen.get(&record.engine) else { return false };
        let id = ImageId(record.id.clone());
        let goes = || sweep.images.iter().any(|(held, _)| held.engine == node.name && held.id == id);
        !declared.contains(&record.image) && (goes() || node.has(&id) == Ok(false))
    }
}

/// Every image that some Imagefile of the folder declares.
fn all_declared(session: &Session) -> BTreeSet<String> {
    removed_images::declared_now(session).into_values().flatten().collect()
}

/// The images that only another Imagefile declares.
fn declared_elsewhere(session: &Session) -> BTreeSet<String> {
    let mut all = all_declared(session);
    all.retain(|name| !session.project.images.contains_key(name));
    all
}

/// The results of the newest builds of each declared image that an engine has.
fn newest(
    builds: &[Record],
    held: &BTreeMap<ImageId, OwnedImage>,
    declared: &BTreeSet<String>,
    keep: usize,
) -> BTreeSet<ImageId> {
    let mut of_image: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in builds.iter().rev().filter(|record| held.contains_key(&ImageId(record.id.clone()))) {
        let ids = of_image.entry(&record.image).or_default();
        if declared.contains(&record.image) && ids.len() < keep {
            ids.insert(&record.id);
        }
    }
    of_image.into_values().flatten().map(|id| ImageId(id.to_owned())).collect()
}
