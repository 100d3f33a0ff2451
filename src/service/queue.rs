//! Queues of jobs: at least once, the newest of a branch, one at a time of a repository, fair between repositories.

pub mod api;
mod choose;
#[cfg(test)]
#[path = "queue/contract_tests.rs"]
pub(in crate::service) mod contract;
mod leases;
mod listing;
pub mod redis;
mod rows;
mod schema;
pub mod sqlite;
mod statements;

pub use api::{
    Counts, Filter, Lease, LineSeen, Offered, Queue, QueueError, Renewed, Rules, Settled, Worker, WorkerSeen,
};
