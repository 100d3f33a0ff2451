//! What a build would do, and why, without touching the engine's state.
//!
//! Walks the order with pure queries and the ledger. An image on a stale base
//! is told to wait for it: whether it is built depends on what the base
//! comes out as.

use std::collections::BTreeMap;

use super::session::Session;
use super::sync::Synced;
use super::tags::{Missing, Skipped, Tagging};
use crate::engine::ImageId;
use crate::evidence::Evidence;
use crate::hash::ContentHash;
use crate::part::Part;
use crate::query::graph::bases;
use crate::query::recipe::Problem;
use crate::query::spec::{action_key, parts, spec};
use crate::reason::{Code, Reason};

/// What would be done with one image.
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
    /// It cannot be built.
    Invalid(Vec<Problem>),
}

/// A verdict on every image of an order, bases first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Names and verdicts.
    pub jobs: Vec<(String, Verdict)>,
    /// The action keys of images that wait for no base.
    pub keys: BTreeMap<String, ContentHash>,
    /// Tags that would not be given, and why not.
    pub skipped_tags: Vec<(String, Skipped)>,
}

impl Plan {
    /// Whether a build would do nothing at all.
    pub fn is_fresh(&self) -> bool {
        self.jobs.iter().all(|(_, verdict)| *verdict == Verdict::Fresh)
    }
}

impl Session {
    /// Plans an order. With `always`, the targets are stale whatever they are.
    pub fn plan(&self, synced: &Synced, always: bool) -> Plan {
        let mut contents: BTreeMap<&str, ContentHash> = BTreeMap::new();
        let mut plan = Plan::default();
        let tagging = self.tagging(synced);
        for name in &synced.order.names {
            let verdict = match self.verdict(synced, name, &contents, &tagging, &mut plan.keys) {
                Ok((verdict, content)) if !(always && synced.targets.contains(name)) => {
                    contents.insert(name, content);
                    verdict
                }
                Ok(_) => Verdict::Stale(vec![Reason::forced()]),
                Err(verdict) => verdict,
            };
            plan.jobs.push((name.clone(), verdict));
            let mut skipped = tagging.of(name, plan.keys.get(name)).skipped;
            // The build will know the key.
            skipped.retain(|skipped| skipped.why != Missing::NoKey);
            plan.skipped_tags.extend(skipped.into_iter().map(|skipped| (name.clone(), skipped)));
        }
        plan
    }

    /// The verdict on one image whose bases' contents are known, with its own content when it has a result.
    fn verdict(
        &self,
        synced: &Synced,
        name: &str,
        contents: &BTreeMap<&str, ContentHash>,
        tagging: &Tagging,
        keys: &mut BTreeMap<String, ContentHash>,
    ) -> Result<(Verdict, ContentHash), Verdict> {
        let Some(image) = self.image(name) else { return Err(Verdict::Stale(Vec::new())) };
        let spec = spec(&self.db, image).map_err(Verdict::Invalid)?;
        let mut on: Vec<Part> = Vec::new();
        let mut waits: Vec<String> = Vec::new();
        for edge in &bases(&self.db, image).inside {
            match contents.get(edge.base.as_str()) {
                Some(content) => {
                    let part = Part::new(Code::Base, &edge.base, content.to_string());
                    if !on.contains(&part) {
                        on.push(part);
                    }
                }
                None if waits.contains(&edge.base) => {}
                None => waits.push(edge.base.clone()),
            }
        }
        let engine = self.workspace().engine(&self.db);
        let ledger = &self.hands.ledger;
        let before = ledger.latest(name, engine);
        let mut now = parts(&self.db, image).map_err(Verdict::Invalid)?;
        now.extend(on.iter().cloned());
        if !waits.is_empty() {
            let old = before.as_ref().and_then(|before| self.hands.evidence.load(&before.key));
            let (Some(_), Some(old)) = (&before, old) else {
                return Err(Verdict::Stale(vec![Reason::never_built()]));
            };
            // Bases that are about to be built are not compared; all else decides already.
            let mut reasons = old.differences(&self.evidence(synced, name, now));
            reasons.retain(|reason| reason.code != Code::Base);
            return Err(if reasons.is_empty() { Verdict::Waits(waits) } else { Verdict::Stale(reasons) });
        }
        let key = action_key(&spec, &on);
        keys.insert(name.to_owned(), key);
        match ledger.lookup(&key, engine) {
            Some(record) => {
                let id = ImageId(record.id.clone());
                match (self.hands.has(&id), tagging.lacks(&self.hands, name, &id, &key)) {
                    (Ok(false), _) => Err(Verdict::Stale(vec![Reason::gone(&record.id)])),
                    (Ok(true), Ok(lacks)) if !lacks.is_empty() => Ok((Verdict::Retag(lacks), record.content)),
                    // Without an engine the ledger is believed; the caller says so.
                    _ => Ok((Verdict::Fresh, record.content)),
                }
            }
            None => {
                let reasons = match before {
                    None => vec![Reason::never_built()],
                    Some(before) => {
                        let old = self.hands.evidence.load(&before.key);
                        old.map(|old| old.differences(&self.evidence(synced, name, now))).unwrap_or_default()
                    }
                };
                Err(Verdict::Stale(reasons))
            }
        }
    }

    fn evidence(&self, synced: &Synced, name: &str, parts: Vec<Part>) -> Evidence {
        let selection = synced.selections.get(name);
        let files = selection.and_then(|selection| self.hands.tree.used_files(selection).ok());
        Evidence::new(parts, &files.unwrap_or_default())
    }
}
