//! How much of the past is kept: logs by their size and age, jobs by their age.
//!
//! The newest job of a branch stays however old it is, for a page has to say how the branch stands. The log of a job that has
//! not ended is never taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::model::{JobId, StateKind};
use super::queue::{Filter, QueueError};
use super::shared::Shared;
use crate::model::time::UnixSeconds;
use crate::syntax::serve::LogLimits;

/// How often it is looked whether something is too old or too much.
pub const EVERY: Duration = Duration::from_secs(600);
/// Jobs that are under way, of which no log goes.
const UNDER_WAY: usize = 10_000;

/// The count of what went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Jobs that were too old, with their logs.
    pub jobs: usize,
    /// Logs of jobs that stay.
    pub logs: usize,
}

/// Removes what is older, or more, than the limits allow.
///
/// # Errors
/// When the queue does not answer; logs that cannot be removed are left for the next time.
pub fn tidy(shared: &Shared, now: UnixSeconds) -> Result<Removed, QueueError> {
    let limits = shared.settings.logs;
    let moment = UnixSeconds(now.0.saturating_sub(limits.age.as_secs()));
    let mut removed = Removed::default();
    // Some at a time: whoever offers or takes a job meanwhile does not wait for all.
    loop {
        let forgotten = shared.queue.forget_before(moment)?;
        for job in &forgotten {
            let _ = shared.logs.forget(*job);
        }
        removed.jobs += forgotten.len();
        if forgotten.is_empty() {
            break;
        }
    }
    let states = vec![StateKind::Queued, StateKind::Running];
    let filter = Filter { states, limit: UNDER_WAY, brief: true, ..Filter::default() };
    let under_way: BTreeSet<JobId> = shared.queue.jobs(&filter)?.iter().map(|job| job.id).collect();
    // Without a list there is nothing to choose from, until the next time.
    let Ok(logs) = shared.logs.list() else { return Ok(removed) };
    let mut bytes: u64 = logs.iter().map(|(_, size)| size).sum();
    let sizes: BTreeMap<JobId, u64> = logs.iter().copied().collect();
    for job in too_many(&logs, limits, &under_way) {
        if shared.logs.forget(job).is_ok() {
            removed.logs += 1;
            bytes = bytes.saturating_sub(sizes.get(&job).copied().unwrap_or_default());
        }
    }
    shared.counted_logs(bytes);
    Ok(removed)
}

/// The logs that go so that the others take no more than the limit: the oldest first, and none of a job under way.
fn too_many(logs: &[(JobId, u64)], limits: LogLimits, under_way: &BTreeSet<JobId>) -> Vec<JobId> {
    let mut excess = logs.iter().map(|(_, size)| size).sum::<u64>().saturating_sub(limits.size);
    let mut go = Vec::new();
    for (job, size) in logs.iter().filter(|(job, _)| !under_way.contains(job)) {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(*size);
        go.push(*job);
    }
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_logs_go_and_none_of_a_job_that_runs() {
        let logs = [(JobId(1), 50), (JobId(2), 40), (JobId(3), 30), (JobId(4), 20)];
        let limits = |size| LogLimits { size, ..LogLimits::default() };
        let none = BTreeSet::new();
        assert_eq!(too_many(&logs, limits(140), &none), []);
        assert_eq!(too_many(&logs, limits(139), &none), [JobId(1)]);
        assert_eq!(too_many(&logs, limits(60), &none), [JobId(1), JobId(2)]);
        assert_eq!(too_many(&logs, limits(60), &BTreeSet::from([JobId(1)])), [JobId(2), JobId(3), JobId(4)]);
        assert_eq!(too_many(&logs, limits(0), &none).len(), 4);
    }
}
