//! The way from an image to the root of why it is stale, or why it was built.
//!
//! Follows bases through a plan, or through the ledger for what is past.
//! Makes no words.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::reason::{Code, Reason};
use crate::plan::verdicts::{Plan, Verdict};
use crate::query::graph::Order;
use crate::session::open::Session;
use crate::state::ledger::Record;

/// Images from the one that was asked for down to the root, and the root's causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The image itself first, then the base that made it stale, and so on.
    pub images: Vec<String>,
    /// Why the last of them is stale or was built, the first cause in front.
    pub causes: Vec<Reason>,
}

/// Why an image is stale by a plan; `None` when it is not.
pub fn why_stale(session: &Session, plan: &Plan, image: &str) -> Option<Chain> {
    let verdicts: BTreeMap<&str, &Verdict> =
        plan.jobs.iter().map(|(name, verdict)| (name.as_str(), verdict)).collect();
    let mut images = vec![image.to_owned()];
    loop {
        let last = images.last()?.as_str();
        let next = match verdicts.get(last)? {
            Verdict::Waits(bases) => bases.first()?.clone(),
            Verdict::Stale(reasons) => match base_in_front(reasons) {
                // The base was built since: its own record knows why.
                Some(base) => {
                    let chain = why_built(session, base)?;
                    images.extend(chain.images);
                    return Some(Chain { images, causes: chain.causes });
                }
                None => return Some(Chain { causes: reasons.clone(), images }),
            },
            Verdict::Fresh
            | Verdict::Retag(_)
            | Verdict::Blocked(_)
            | Verdict::Invalid(_)
            | Verdict::Ignored(_) => return None,
        };
        images.push(next);
    }
}

/// Why an image was last built; `None` when it never was.
pub fn why_built(session: &Session, image: &str) -> Option<Chain> {
    let ledger = &session.executor.ledger;
    let mut images = vec![image.to_owned()];
    let (mut at, mut record) = ledger.last_build(image, usize::MAX)?;
    while let Some(base) = base_in_front(&record.reasons) {
        let Some(of_base) = ledger.last_build(base, at) else { break };
        images.push(base.to_owned());
        (at, record) = of_base;
    }
    Some(Chain { images, causes: record.reasons })
}

/// Every way from a stale image to a root, the one of [`why_stale`] in front.
pub fn every_way(session: &Session, plan: &Plan, order: &Order, image: &str) -> Vec<Chain> {
    let verdicts: BTreeMap<&str, &Verdict> =
        plan.jobs.iter().map(|(name, verdict)| (name.as_str(), verdict)).collect();
    let mut chains: Vec<Chain> = why_stale(session, plan, image).into_iter().collect();
    let mut seen = BTreeSet::from([image]);
    let mut todo: Vec<Vec<String>> = vec![vec![image.to_owned()]];
    while let Some(way) = todo.pop() {
        let last = way.last().map(String::as_str).unwrap_or_default();
        if let Some(Verdict::Stale(reasons)) = verdicts.get(last) {
            let (on_base, own): (Vec<Reason>, Vec<Reason>) =
                reasons.iter().cloned().partition(|reason| reason.code == Code::Base);
            if !own.is_empty() || reasons.is_empty() {
                chains.push(Chain { images: way.clone(), causes: own });
            }
            for built in on_base.iter().filter_map(|reason| why_built(session, &reason.subject)) {
                chains.push(Chain { images: [way.clone(), built.images].concat(), causes: built.causes });
            }
        }
        for base in order.bases.get(last).into_iter().flatten().rev() {
            let is_cause = matches!(verdicts.get(base.as_str()), Some(Verdict::Stale(_) | Verdict::Waits(_)));
            if is_cause && seen.insert(base) {
                todo.push([way.clone(), vec![base.clone()]].concat());
            }
        }
    }
    distinct(chains)
}

/// Every way from the last build of an image to a root of it.
pub fn every_way_built(session: &Session, image: &str) -> Vec<Chain> {
    let ledger = &session.executor.ledger;
    let mut chains: Vec<Chain> = why_built(session, image).into_iter().collect();
    let mut todo: Vec<(Vec<String>, usize, Record)> = Vec::new();
    todo.extend(ledger.last_build(image, usize::MAX).map(|(at, of)| (vec![image.to_owned()], at, of)));
    while let Some((way, at, record)) = todo.pop() {
        let (on_base, own): (Vec<Reason>, Vec<Reason>) =
            record.reasons.into_iter().partition(|reason| reason.code == Code::Base);
        if !own.is_empty() {
            chains.push(Chain { images: way.clone(), causes: own });
        }
        for reason in on_base.iter().rev() {
            match ledger.last_build(&reason.subject, at) {
                Some((at, record)) => {
                    todo.push(([way.clone(), vec![reason.subject.clone()]].concat(), at, record));
                }
                None => chains.push(Chain { images: way.clone(), causes: vec![reason.clone()] }),
            }
        }
    }
    distinct(chains)
}

/// The builds of some images, newest first.
pub fn history(session: &Session, images: &BTreeSet<String>) -> Vec<Record> {
    session.executor.ledger.history(images)
}

/// The base that is the only kind of cause: with one of its own, an image needs no base to be stale.
fn base_in_front(reasons: &[Reason]) -> Option<&str> {
    let all_bases = reasons.iter().all(|reason| reason.code == Code::Base);
    reasons.first().filter(|_| all_bases).map(|reason| reason.subject.as_str())
}

fn distinct(chains: Vec<Chain>) -> Vec<Chain> {
    let mut kept: Vec<Chain> = Vec::new();
    for chain in chains {
        if !kept.contains(&chain) {
            kept.push(chain);
        }
    }
    kept
}
