//! Verdicts: what a build would do with each image, and why, without touching the engine's state.
//!
//! Walks the order with pure queries and the ledger. An image on a stale base
//! is told to wait for it: whether it is built depends on what the base
//! comes out as.

use std::collections::BTreeMap;

use crate::engine::{EngineError, ImageId};
use crate::exec::remote_cache::CacheLookup;
use crate::model::hash::ContentHash;
use crate::model::part::Part;
use crate::model::reason::{Code, Reason};
use crate::parallel::at_once;
use crate::plan::outputs::{self, Lacking};
use crate::plan::tags::missing::Missing;
use crate::plan::tags::tagging::{self, Skipped, Tagging};
use crate::query::action_key::{action_key, input_hash, parts, platform};
use crate::query::graph::bases;
use crate::query::inputs::{Context, Image};
use crate::query::problem::Problem;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::state::evidence::Evidence;
use crate::state::ledger::Record;

/// The verdict on one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: its result is there, with all its tags.
    Fresh,
    /// Its result is there and lacks these tags.
    Retag(Vec<String>),
    /// It would be built.
    Stale(Vec<Reason>),
    /// These bases would be built; it would be built too unless they come out the same.
    Waits(Vec<String>),
    /// These bases cannot be built, and so it cannot either.
    Blocked(Vec<String>),
    /// It cannot be built.
    Invalid(Vec<Problem>),
    /// Of a commit: it copies these, which git ignores, and which are not here either.
    Ignored(Vec<String>),
}

impl Verdict {
    /// Whether nothing can be built on it, however often that is tried.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Ignored(_) | Self::Blocked(_))
    }
}

/// A verdict on every image of an order, bases first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Names and verdicts.
    pub jobs: Vec<(String, Verdict)>,
    /// The results that are there, by name.
    pub results: BTreeMap<String, KnownResult>,
    /// The action keys of images that wait for no base.
    pub keys: BTreeMap<String, ContentHash>,
    /// Outputs that would be written.
    pub outputs: Vec<Lacking>,
    /// Tags that would not be given, and why not.
    pub skipped_tags: Vec<(String, Skipped)>,
}

/// A result that is there: on the engine, or in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownResult {
    /// The action key it answers.
    pub key: ContentHash,
    /// Its id on the engine, or the one it will have there.
    pub id: ImageId,
    /// The content that dependents are keyed on.
    pub content: ContentHash,
    /// Its exact name in a registry, if it was published.
    pub published: Option<String>,
}

impl Plan {
    /// Whether a build would do nothing at all.
    pub fn is_fresh(&self) -> bool {
        self.outputs.is_empty() && self.jobs.iter().all(|(_, verdict)| *verdict == Verdict::Fresh)
    }
}

/// The bases of an image, as far as they are decided.
struct On {
    parts: Vec<Part>,
    waits: Vec<String>,
}

/// Plans an order. With `always`, the targets are stale whatever they are.
pub fn plan(session: &Session, synced: &Synced, always: bool) -> Plan {
    let mut plan = Plan::default();
    let tagging = tagging::tagging(session, synced);
    let proofs = outputs::proofs(session, synced);
    let mut verdicts: BTreeMap<&str, Verdict> = BTreeMap::new();
    let mut rest: Vec<&str> = synced.order.names.iter().map(String::as_str).collect();
    // Images that do not wait for each other are asked for in registries together.
    while !rest.is_empty() {
        let bases = |name: &str| synced.order.bases.get(name).into_iter().flatten();
        let decided = |name: &str| bases(name).all(|base| verdicts.contains_key(base.as_str()));
        let (wave, later): (Vec<&str>, Vec<&str>) = rest.iter().partition(|name| decided(name));
        if wave.is_empty() {
            break;
        }
        ask_registries(session, &wave, &plan.results);
        for name in wave {
            let broken = |base: &&String| verdicts.get(base.as_str()).is_some_and(Verdict::is_broken);
            let broken: Vec<String> = bases(name).filter(broken).cloned().collect();
            let verdict = match verdict(session, synced, name, (&tagging, proofs.contains(name)), &mut plan) {
                Ok(_) | Err(Verdict::Stale(_) | Verdict::Waits(_)) if !broken.is_empty() => {
                    Verdict::Blocked(broken)
                }
                Ok((verdict, found)) if !(always && synced.targets.contains(name)) => {
                    plan.results.insert(name.to_owned(), found);
                    verdict
                }
                Ok(_) => Verdict::Stale(vec![Reason::forced()]),
                Err(verdict) => verdict,
            };
            verdicts.insert(name, verdict);
            let mut skipped = tagging.of(name, plan.keys.get(name)).skipped;
            // The build will know the key.
            skipped.retain(|skipped| skipped.why != Missing::NoKey);
            plan.skipped_tags.extend(skipped.into_iter().map(|skipped| (name.to_owned(), skipped)));
        }
        rest = later;
    }
    let contents = plan.results.iter().map(|(name, found)| (name.clone(), found.content)).collect();
    plan.outputs = outputs::lacking(session, synced, &contents);
    let jobs = synced.order.names.iter();
    plan.jobs = jobs.filter_map(|name| Some((name.clone(), verdicts.remove(name.as_str())?))).collect();
    plan
}

/// Has the registries say which of some keys they have, all at once. The answers are remembered.
fn ask_registries(session: &Session, wave: &[&str], results: &BTreeMap<String, KnownResult>) {
    let remote_cache = &session.executor.remote_cache;
    let published = wave.iter().filter(|name| remote_cache.repository(name).is_some());
    let unknown: Vec<(&str, ContentHash)> = published
        .filter_map(|name| {
            let image = session.image(name)?;
            let on = on(session, image, results);
            let platform = platform(&session.db, image);
            let key = action_key(platform, &input_hash(&session.db, image).ok()?, &on.parts);
            let here = known(session, &key).is_some_and(|(_, has)| has.unwrap_or(true));
            (on.waits.is_empty() && !here).then_some((*name, key))
        })
        .collect();
    at_once(&unknown, |(name, key)| drop(remote_cache.find(name, key)));
}

fn on(session: &Session, image: Image, results: &BTreeMap<String, KnownResult>) -> On {
    let mut on = On { parts: Vec::new(), waits: Vec::new() };
    for edge in &bases(&session.db, image).inside {
        match results.get(&edge.base) {
            Some(found) => {
                let part = Part::new(Code::Base, &edge.base, found.content.to_string());
                if !on.parts.contains(&part) {
                    on.parts.push(part);
                }
            }
            None if on.waits.contains(&edge.base) => {}
            None => on.waits.push(edge.base.clone()),
        }
    }
    on
}

/// The verdict on one image, with its result when it has one.
fn verdict(
    session: &Session,
    synced: &Synced,
    name: &str,
    (tagging, is_proof): (&Tagging, bool),
    plan: &mut Plan,
) -> Result<(Verdict, KnownResult), Verdict> {
    let Some(image) = session.image(name) else { return Err(Verdict::Stale(Vec::new())) };
    let input_hash =
        input_hash(&session.db, image).map_err(|problems| cannot(session, synced, name, image, problems))?;
    let On { parts: on, waits } = on(session, image, &plan.results);
    let before = session.executor.last_build(name, session.workspace().engine(&session.db));
    let mut now = parts(&session.db, image).map_err(Verdict::Invalid)?;
    now.extend(on.iter().cloned());
    if !waits.is_empty() {
        let old = before.as_ref().and_then(|before| session.executor.evidence.load(&before.key));
        let (Some(_), Some(old)) = (&before, old) else {
            return Err(Verdict::Stale(vec![session.executor.ledger.no_result(name)]));
        };
        // Bases that are about to be built are not compared; all else decides already.
        let mut reasons = old.differences(&evidence(session, synced, name, now));
        reasons.retain(|reason| reason.code != Code::Base);
        return Err(if reasons.is_empty() { Verdict::Waits(waits) } else { Verdict::Stale(reasons) });
    }
    let key = action_key(platform(&session.db, image), &input_hash, &on);
    plan.keys.insert(name.to_owned(), key);
    let known = known(session, &key);
    // Of one that nothing is kept of, the record alone is the proof.
    if let Some((record, has)) = &known
        && (is_proof || has != &Ok(false))
    {
        let found = KnownResult {
            key,
            id: ImageId(record.id.clone()),
            content: record.content,
            published: record.published.clone(),
        };
        if is_proof {
            return Ok((Verdict::Fresh, found));
        }
        tagging.learn_times(&session.executor, name, &found.id, &key);
        return match tagging.lacks(&session.executor, name, &found.id, &key) {
            Ok(lacks) if !lacks.is_empty() => Ok((Verdict::Retag(lacks), found)),
            // Without an engine the ledger is believed; the caller says so.
            _ => Ok((Verdict::Fresh, found)),
        };
    }
    let known = known.map(|(record, _)| record);
    if let Some(found) = published_result(session, name, &key, known.as_ref()) {
        return Ok((Verdict::Fresh, found));
    }
    let reasons = match (known, before) {
        (Some(record), _) if session.executor.was_here(&record, session.workspace().engine(&session.db)) => {
            vec![Reason::gone(&record.id)]
        }
        (Some(_), _) | (None, None) => vec![session.executor.ledger.no_result(name)],
        (None, Some(before)) => {
            let old = session.executor.evidence.load(&before.key);
            old.map(|old| old.differences(&evidence(session, synced, name, now))).unwrap_or_default()
        }
    };
    Err(Verdict::Stale(reasons))
}

/// The verdict on an image that cannot be built.
fn cannot(session: &Session, synced: &Synced, name: &str, image: Image, problems: Vec<Problem>) -> Verdict {
    let missing = match image.context(&session.db) {
        Context::Is(selected) => selected.missing.len(),
        _ => 0,
    };
    let ignored = || session.executor.tree.beyond_git(synced.selections.get(name)?).ok();
    match (missing > 0 && missing == problems.len()).then(ignored).flatten() {
        Some(ignored) if ignored.len() >= missing => Verdict::Ignored(ignored),
        _ => Verdict::Invalid(problems),
    }
}

/// The recorded result of a key, of several the one that an engine has, and whether one has it.
fn known(session: &Session, key: &ContentHash) -> Option<(Record, Result<bool, EngineError>)> {
    let default_engine = session.workspace().engine(&session.db);
    let records = session.executor.results_of(key, default_engine);
    let mut known = None;
    for record in records {
        let has = session.executor.has(&ImageId(record.id.clone()));
        if has == Ok(true) {
            return Some((record, has));
        }
        // One that nobody can say of is nearer to being there than one that is not.
        if known.is_none() || has.is_err() {
            known = Some((record, has));
        }
    }
    known
}

/// A result that a registry has, or had and nobody says that it is gone.
fn published_result(
    session: &Session,
    name: &str,
    key: &ContentHash,
    known: Option<&Record>,
) -> Option<KnownResult> {
    let builder = session.workspace().builder_kind(&session.db);
    match session.executor.remote_cache.find(name, key) {
        CacheLookup::Hit(there) => Some(KnownResult {
            key: *key,
            id: there.id(builder),
            content: there.content,
            published: Some(there.at.to_string()),
        }),
        CacheLookup::Unknown => known.filter(|record| record.published.is_some()).map(|record| KnownResult {
            key: *key,
            id: ImageId(record.id.clone()),
            content: record.content,
            published: record.published.clone(),
        }),
        CacheLookup::Miss => None,
    }
}

/// The evidence of an image as of now, its bases left out.
pub(crate) fn evidence_now(session: &Session, synced: &Synced, name: &str) -> Option<Evidence> {
    let parts = parts(&session.db, session.image(name)?).ok()?;
    Some(evidence(session, synced, name, parts))
}

fn evidence(session: &Session, synced: &Synced, name: &str, parts: Vec<Part>) -> Evidence {
    let selection = synced.selections.get(name);
    let files = selection.and_then(|selection| session.executor.tree.used_files(selection).ok());
    Evidence::new(parts, &files.unwrap_or_default())
}

/// The fingerprint of every image: the hash of what counts for it but its bases, and its key as far as
/// a plan knows that. Two sessions that see the same files give the same.
pub fn fingerprints(session: &Session, synced: &Synced, plan: &Plan) -> BTreeMap<String, String> {
    let known = |name: &String| {
        let input_hash = input_hash(&session.db, session.image(name)?);
        let input_hash = input_hash
            .map_or_else(|problems| format!("{} mistakes", problems.len()), |hash| hash.to_string());
        let key = plan.keys.get(name).map(ToString::to_string).unwrap_or_default();
        Some((name.clone(), format!("{input_hash} {key}")))
    };
    synced.order.names.iter().filter_map(known).collect()
}
