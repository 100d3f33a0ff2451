//! The seam between those who have work and those who do it.
//!
//! A job is taken under a lease, which its worker renews; who does not has lost it to another. A queue never has a job
//! twice at once in hands that hold, and loses none, whoever dies. Its calls block, for milliseconds.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::model::time::UnixSeconds;
use crate::service::model::{Job, JobId, Labels, Outcome, RepositoryName, StateKind, Work};
use crate::syntax::serve::Running;

/// A queue.
pub trait Queue: Send + Sync {
    /// Has a piece of work done, once, however often it is offered. It is durable when this returns.
    ///
    /// # Errors
    /// When it could not be written: whoever offers has to offer again.
    fn offer(&self, work: &Work, running: Running) -> Result<Offered, QueueError>;

    /// A job for a worker, if there is one that it can and may do. Also makes the worker known.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    fn take(&self, worker: &Worker) -> Result<Option<Lease>, QueueError>;

    /// Says that a worker lives and works on.
    ///
    /// # Errors
    /// When the queue cannot be asked; the lease goes on until its end.
    fn renew(&self, lease: &Lease) -> Result<Renewed, QueueError>;

    /// The end of the work.
    ///
    /// # Errors
    /// When it could not be written: the worker still has the job.
    fn finish(&self, lease: &Lease, outcome: &Outcome) -> Result<Settled, QueueError>;

    /// The work came to no end, through no fault of its own: it is tried again, or dead when all tries are used up.
    ///
    /// # Errors
    /// When it could not be written: the worker still has the job.
    fn fail(&self, lease: &Lease, reason: &str) -> Result<Settled, QueueError>;

    /// Gives a job back untouched, as a worker does that ends. It counts as no try.
    ///
    /// # Errors
    /// When it could not be written: the lease goes on until its end.
    fn give_back(&self, lease: &Lease) -> Result<Settled, QueueError>;

    /// Does the work of an ended job again, as a new one; `None` when there is no such job, or it has not ended.
    ///
    /// # Errors
    /// When it could not be written.
    fn retry(&self, job: JobId) -> Result<Option<JobId>, QueueError>;

    /// Jobs, the newest first.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    fn jobs(&self, filter: &Filter) -> Result<Vec<Job>, QueueError>;

    /// One job.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    fn job(&self, id: JobId) -> Result<Option<Job>, QueueError>;

    /// How each line of commits stands, of one repository or of all, in the order of their names.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    fn lines(&self, repository: Option<&RepositoryName>) -> Result<Vec<LineSeen>, QueueError>;

    /// Remembers the delivery of a hook that offers no work; `false` when it was known already.
    ///
    /// # Errors
    /// When it could not be written.
    fn remember_delivery(&self, id: &str) -> Result<bool, QueueError>;

    /// Workers that were heard of not long ago.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    fn workers(&self) -> Result<Vec<WorkerSeen>, QueueError>;

    /// How many jobs stand how.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    fn counts(&self) -> Result<Counts, QueueError>;

    /// Forgets jobs that ended before a moment, but for those that say how a branch stands; gives those that it forgot. They may be
    /// some of many: whoever wants all to go asks until none goes.
    ///
    /// # Errors
    /// When it could not be written.
    fn forget_before(&self, moment: UnixSeconds) -> Result<Vec<JobId>, QueueError>;

    /// Returns when there may be something to take, and after this time at the latest.
    fn wait(&self, at_most: Duration);
}

/// Rules of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A lease holds so long.
    pub lease: Duration,
    /// A job is tried so often.
    pub tries: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self { lease: Duration::from_secs(60), tries: 3 }
    }
}

/// The fate of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "offered", rename_all = "lowercase")]
pub enum Offered {
    /// It is a new job.
    New {
        /// Its number.
        id: JobId,
    },
    /// A job does that already, or did.
    Joined {
        /// Its number.
        id: JobId,
    },
    /// It is a new job in the place of one that waited.
    Replaced {
        /// The one that waited.
        old: JobId,
        /// The new one.
        new: JobId,
    },
    /// The delivery was seen before.
    Duplicate,
}

impl Offered {
    /// The job that does the work.
    pub fn job(self) -> Option<JobId> {
        match self {
            Self::New { id } | Self::Joined { id } | Self::Replaced { new: id, .. } => Some(id),
            Self::Duplicate => None,
        }
    }
}

/// Somebody who does jobs, on a machine with its engine and its checkouts. It may do several at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its name, which it keeps when it is started again.
    pub name: String,
    /// Its capabilities.
    pub labels: Labels,
}

/// A worker, and when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerSeen {
    /// Its name.
    pub name: String,
    /// Its capabilities.
    pub labels: Labels,
    /// The last word of it.
    pub seen: UnixSeconds,
}

/// A job in the hands of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: Job,
    /// The worker's name.
    pub worker: String,
    /// Tells this lease from every other one of the same job.
    pub token: String,
}

/// The answer to a worker that works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It has the job for another time.
    Kept,
    /// It has it no more: whatever it still does is of no use.
    Lost,
    /// A newer commit is there, and the policy says to end this one.
    Cancel,
}

/// The fate of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is written down.
    Kept,
    /// The job was another's already.
    Lost,
}

/// Jobs that somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Of this repository.
    pub repository: Option<RepositoryName>,
    /// Of this branch.
    pub branch: Option<String>,
    /// In these states; in all when there is none.
    pub states: Vec<StateKind>,
    /// Before this one.
    pub before: Option<JobId>,
    /// At most so many.
    pub limit: usize,
    /// Without the images and the report of an end, which are most of a job.
    pub brief: bool,
}

impl Default for Filter {
    fn default() -> Self {
        Self { repository: None, branch: None, states: Vec::new(), before: None, limit: 50, brief: false }
    }
}

/// How a line of commits stands: a branch, or a fork's pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineSeen {
    /// The repository.
    pub repository: RepositoryName,
    /// The line, as [`Work::line`] has it.
    pub line: String,
    /// The branch; of a pull request, the one that it is for.
    pub branch: String,
    /// The newest job.
    pub newest: JobId,
    /// The last job that ended, well or not.
    pub ended: Option<JobId>,
    /// When that ended.
    pub ended_at: Option<UnixSeconds>,
    /// Whether that ended well.
    pub ok: bool,
    /// The last job that told of images.
    pub told: Option<JobId>,
    /// Images that were fresh after that.
    pub fresh: u64,
    /// Images that were not.
    pub stale: u64,
}

impl LineSeen {
    /// Whether it is a branch of the repository itself.
    pub fn is_branch(&self) -> bool {
        self.line.starts_with(BRANCHES)
    }
}

/// The beginning of every line that is a branch.
pub(super) const BRANCHES: &str = "refs/heads/";

/// Numbers of jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// That wait.
    pub queued: u64,
    /// That are being done.
    pub running: u64,
    /// That ended well.
    pub succeeded: u64,
    /// That ended, and not well.
    pub failed: u64,
    /// That a newer one did.
    pub replaced: u64,
    /// That used up their tries.
    pub dead: u64,
}

/// Why a queue did not do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// Nobody answers.
    Unreachable(String),
    /// There is no room for more.
    Full(String),
    /// Something else.
    Broken(String),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the queue cannot be reached: {why}"),
            Self::Full(why) => write!(f, "the queue has no room: {why}"),
            Self::Broken(why) => write!(f, "the queue: {why}"),
        }
    }
}

impl std::error::Error for QueueError {}
