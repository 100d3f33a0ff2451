//! Leases of one process: who has which job, until when.
//!
//! Kept in memory and by a clock that nobody can set: a process that ends takes its workers with it, and a jump of the
//! calendar ends no lease.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::api::{Lease, Renewed, Worker, WorkerSeen};
use crate::model::time::UnixSeconds;
use crate::service::model::{JobId, Labels};

/// One lease.
struct Held {
    worker: String,
    token: String,
    until: Instant,
    is_cancelled: bool,
}

/// All leases, and the workers that were heard of.
#[derive(Default)]
pub(super) struct Leases {
    held: BTreeMap<JobId, Held>,
    workers: BTreeMap<String, (Labels, Instant, UnixSeconds)>,
    /// Tokens that were given.
    given: u64,
}

impl Leases {
    /// Makes a worker known.
    pub fn see(&mut self, worker: &Worker) {
        self.workers.insert(worker.name.clone(), (worker.labels.clone(), Instant::now(), UnixSeconds::now()));
    }

    /// Workers that were heard of within a time.
    pub fn alive(&mut self, within: Duration) -> BTreeMap<String, Labels> {
        self.workers.retain(|_, (_, seen, _)| seen.elapsed() <= within);
        self.workers.iter().map(|(name, (labels, ..))| (name.clone(), labels.clone())).collect()
    }

    /// As [`Self::alive`], to be shown.
    pub fn seen(&mut self, within: Duration) -> Vec<WorkerSeen> {
        self.alive(within);
        let seen = self.workers.iter();
        seen.map(|(name, (labels, _, seen))| WorkerSeen {
            name: name.clone(),
            labels: labels.clone(),
            seen: *seen,
        })
        .collect()
    }

    /// Gives a job to a worker; the token of the lease.
    pub fn give(&mut self, job: JobId, worker: &str, lease: Duration) -> String {
        self.given += 1;
        let token = self.given.to_string();
        let until = Instant::now() + lease;
        let held = Held { worker: worker.to_owned(), token: token.clone(), until, is_cancelled: false };
        self.held.insert(job, held);
        token
    }

    /// Prolongs a lease.
    pub fn renew(&mut self, lease: &Lease, time: Duration) -> Renewed {
        if let Some((_, seen, at)) = self.workers.get_mut(&lease.worker) {
            (*seen, *at) = (Instant::now(), UnixSeconds::now());
        }
        match self.held.get_mut(&lease.job.id) {
            Some(held) if held.token == lease.token => {
                held.until = Instant::now() + time;
                if held.is_cancelled { Renewed::Cancel } else { Renewed::Kept }
            }
            _ => Renewed::Lost,
        }
    }

    /// Whether a lease still holds. One that is over holds until somebody looked.
    pub fn holds(&self, lease: &Lease) -> bool {
        self.held.get(&lease.job.id).is_some_and(|held| held.token == lease.token)
    }

    /// Ends a lease.
    pub fn end(&mut self, job: JobId) {
        self.held.remove(&job);
    }

    /// Has the worker of a job be told to end it.
    pub fn cancel(&mut self, job: JobId) {
        if let Some(held) = self.held.get_mut(&job) {
            held.is_cancelled = true;
        }
    }

    /// Jobs whose leases are over, with the workers that had them.
    pub fn overdue(&self) -> Vec<(JobId, String)> {
        let now = Instant::now();
        let overdue = self.held.iter().filter(|(_, held)| held.until <= now);
        overdue.map(|(job, held)| (*job, held.worker.clone())).collect()
    }
}
