//! Queues of jobs: at least once, the newest of a branch, one at a time of a repository, fair between repositories.

pub mod api;
mod choose;
#[cfg(test)]
#[path = "queue/contract_tests.rs"]
pub(in crate::service) mod contract;
mod leases;
pub mod redis;
mod rows;
pub mod sqlite;

pub use api::{
    Counts, Filter, Lease, Offered, Queue, QueueError, Renewed, Rules, Settled, Worker, WorkerSeen,
};
