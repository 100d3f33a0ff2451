//! The way from an image to the root of why it is stale, or why it was built.
//!
//! Follows bases through a plan, or through the ledger for what is past.
//! Makes no words.

use std::collections::BTreeMap;

use super::plan::{Plan, Verdict};
use super::session::Session;
use crate::ledger::Record;
use crate::reason::{Code, Reason};

/// Images from the one that was asked for down to the root, and the root's causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The image itself first, then the base that made it stale, and so on.
    pub images: Vec<String>,
    /// Why the last of them is stale or was built, the first cause in front.
    pub causes: Vec<Reason>,
}

impl Session {
    /// Why an image is stale by a plan; `None` when it is not.
    pub fn why_stale(&self, plan: &Plan, image: &str) -> Option<Chain> {
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
                        let chain = self.why_built(base)?;
                        images.extend(chain.images);
                        return Some(Chain { images, causes: chain.causes });
                    }
                    None => return Some(Chain { causes: reasons.clone(), images }),
                },
                Verdict::Fresh | Verdict::Retag(_) | Verdict::Invalid(_) => return None,
            };
            images.push(next);
        }
    }

    /// Why an image was last built; `None` when it never was.
    pub fn why_built(&self, image: &str) -> Option<Chain> {
        let mut images = vec![image.to_owned()];
        let mut record = self.last_build(image, u64::MAX)?;
        while let Some(base) = base_in_front(&record.reasons) {
            let Some(of_base) = self.last_build(base, record.at) else { break };
            images.push(base.to_owned());
            record = of_base;
        }
        Some(Chain { images, causes: record.reasons })
    }

    /// The builds of an image, oldest first.
    pub fn history(&self, image: &str) -> Vec<Record> {
        self.hands.ledger.history(image)
    }

    /// The newest build at or before a time; a result that served again is none.
    fn last_build(&self, image: &str, until: u64) -> Option<Record> {
        let mut builds = self.hands.ledger.history(image).into_iter();
        builds.rfind(|record| record.at <= until && !record.reasons.is_empty())
    }
}

/// The base that is the only kind of cause: with one of its own, an image needs no base to be stale.
fn base_in_front(reasons: &[Reason]) -> Option<&str> {
    let all_bases = reasons.iter().all(|reason| reason.code == Code::Base);
    reasons.first().filter(|_| all_bases).map(|reason| reason.subject.as_str())
}
