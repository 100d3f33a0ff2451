//! Readiness of a commit that is pushed: which results of its images are lacking, here or in a registry.
//!
//! An image is built when the ledger has a result for its key and the engine still has it, or a
//! registry has it. What git ignores counts as it lies in the work tree: an image that copies it is ready once
//! it was built there, and is never built from the commit. Where no engine answers, the ledger is believed. A tag that is lacking is
//! nothing that a push must wait for. Knows neither refs nor what becomes of the push.

use crate::exec::remote_cache::CacheLookup;
use crate::plan::verdicts::{Plan, Verdict};
use crate::session::open::Session;
use crate::session::sync::Synced;

/// A reason why an image is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A result: why a build would make one.
    Result(Verdict),
    /// A result, and no commit can hold all that goes into it: the paths that git ignores.
    Ignored(Verdict, Vec<String>),
    /// Its registry does not have the result.
    Published,
    /// Its registry does not say.
    Word,
}

/// The images of a plan that are not ready, in its order. With `published`, those whose name has a
/// registry must be there.
pub fn lacking(session: &Session, synced: &Synced, plan: &Plan, published: bool) -> Vec<(String, Lack)> {
    let beyond = |name: &str| session.executor.tree.beyond_git(synced.selections.get(name)?).ok();
    let lack = |(name, verdict): &(String, Verdict)| {
        let lack = match verdict {
            Verdict::Fresh | Verdict::Retag(_) if published => unpublished(session, name, plan)?,
            Verdict::Fresh | Verdict::Retag(_) => return None,
            other => match beyond(name).unwrap_or_default() {
                paths if paths.is_empty() => Lack::Result(other.clone()),
                paths => Lack::Ignored(other.clone(), paths),
            },
        };
        Some((name.clone(), lack))
    };
    plan.jobs.iter().filter_map(lack).collect()
}

fn unpublished(session: &Session, name: &str, plan: &Plan) -> Option<Lack> {
    let remote_cache = &session.executor.remote_cache;
    let found = plan.results.get(name).filter(|found| found.published.is_none())?;
    remote_cache.repository(name)?;
    match remote_cache.find(name, &found.key) {
        CacheLookup::Hit(_) => None,
        CacheLookup::Miss => Some(Lack::Published),
        CacheLookup::Unknown => Some(Lack::Word),
    }
}
