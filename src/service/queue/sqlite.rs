//! The queue of one process: a table in a file, which `sqlite3` can read too.
//!
//! The file belongs to one process at a time. Its leases are in that process's memory, so jobs that were running when it ended
//! wait again when the next one begins.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::api::{
    Counts, Filter, Lease, LineSeen, Offered, Queue, QueueError, Renewed, Rules, Settled, Worker, WorkerSeen,
};
use super::choose::{Standing, choose};
use super::leases::Leases;
use super::rows::{self, COLUMNS, broken, number, seconds};
use super::statements::{self, RUN_OTHERS, forget_some, ids, insert, newest, remember, settle, wait_again};
use super::{listing, schema};
use crate::model::time::UnixSeconds;
use crate::service::model::{Job, JobId, JobState, Occasion, Outcome, RepositoryName, Work};
use crate::syntax::serve::Running;

/// A worker that was not heard of for so many leases is dead.
const ALIVE: u32 = 2;
/// A job is dead when the service ended so often while it ran: it may be the reason.
const MOST_ORPHANED: u32 = 20;
/// Another that has the file has so long to let it go.
const BUSY: Duration = Duration::from_secs(10);

/// A queue in a file.
pub struct SqliteQueue {
    /// The file that commits are appended to; `None` in memory.
    wal: Option<PathBuf>,
    /// Offers that are committed, and how many of those are on the disk.
    committed: AtomicU64,
    synced: Mutex<u64>,
    inner: Mutex<Inner>,
    /// Another connection to the file, for whoever only looks: a page keeps no hook waiting. In memory there is one for all.
    reader: Option<Mutex<Connection>>,
    news: Condvar,
    rules: Rules,
}

struct Inner {
    connection: Connection,
    leases: Leases,
}

impl SqliteQueue {
    /// Opens the file, or makes it. Whoever calls has it for itself.
    ///
    /// # Errors
    /// When it cannot be opened, is no queue, or is one of a newer imk.
    pub fn open(path: &Path, rules: Rules) -> Result<Self, QueueError> {
        let connection = Connection::open(path).map_err(broken)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(broken)?;
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let mut queue = Self::over(connection, Some(wal.into()), rules)?;
        let reader = Connection::open(path).map_err(broken)?;
        reader.busy_timeout(BUSY).map_err(broken)?;
        reader.pragma_update(None, "query_only", true).map_err(broken)?;
        queue.reader = Some(Mutex::new(reader));
        Ok(queue)
    }

    /// One that is gone with its handle.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory(rules: Rules) -> Result<Self, QueueError> {
        Self::over(Connection::open_in_memory().map_err(broken)?, None, rules)
    }

    fn over(connection: Connection, wal: Option<PathBuf>, rules: Rules) -> Result<Self, QueueError> {
        connection.busy_timeout(BUSY).map_err(broken)?;
        // A commit survives the process; what an offer was answered for survives the machine too, by `make_durable`.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(broken)?;
        schema::prepare(&connection)?;
        let inner = Inner { connection, leases: Leases::default() };
        let (committed, synced) = (AtomicU64::new(0), Mutex::new(0));
        let (inner, news) = (Mutex::new(inner), Condvar::new());
        let queue = Self { wal, committed, synced, inner, reader: None, news, rules };
        queue.adopt_orphans()?;
        Ok(queue)
    }

    /// Looks at the tables.
    fn looked<V>(&self, look: impl FnOnce(&Connection) -> Result<V, QueueError>) -> Result<V, QueueError> {
        match &self.reader {
            Some(reader) => look(&reader.lock()),
            None => look(&self.inner.lock().connection),
        }
    }

    /// Returns when what this thread committed is on the disk. One wait for the disk is for all who committed before it.
    fn make_durable(&self) -> Result<(), QueueError> {
        let Some(wal) = &self.wal else { return Ok(()) };
        let own = self.committed.fetch_add(1, Ordering::SeqCst) + 1;
        let mut synced = self.synced.lock();
        if *synced >= own {
            return Ok(());
        }
        let all = self.committed.load(Ordering::SeqCst);
        let written = fs_err::File::open(wal).and_then(|file| file.sync_data());
        written.map_err(|error| QueueError::Broken(error.to_string()))?;
        *synced = all;
        Ok(())
    }

    /// Jobs that ran when the last process ended wait again.
    fn adopt_orphans(&self) -> Result<(), QueueError> {
        let mut inner = self.inner.lock();
        let transaction = inner.begin()?;
        for job in ids(&transaction, "SELECT id FROM jobs WHERE state = 'running'", [])? {
            let sql = "UPDATE jobs SET orphaned = orphaned + 1, tries = max(tries - 1, 0) WHERE id = ?1 RETURNING orphaned";
            let orphaned: u32 =
                transaction.query_row(sql, [number(job)], |row| row.get(0)).map_err(broken)?;
            if orphaned >= MOST_ORPHANED {
                let reason = format!("the service ended {orphaned} times while it ran");
                settle(&transaction, job, &JobState::Dead { reason })?;
            } else {
                wait_again(&transaction, job)?;
            }
        }
        transaction.commit().map_err(broken)
    }

    /// Takes jobs back from workers that said nothing for a lease.
    fn reap(&self, inner: &mut Inner) -> Result<(), QueueError> {
        let overdue = inner.leases.overdue();
        if overdue.is_empty() {
            return Ok(());
        }
        let transaction = inner.begin()?;
        for (job, worker) in &overdue {
            let silent = self.rules.lease.as_secs();
            self.try_again(&transaction, *job, &format!("worker `{worker}` said nothing for {silent} s"))?;
        }
        transaction.commit().map_err(broken)?;
        overdue.iter().for_each(|(job, _)| inner.leases.end(*job));
        Ok(())
    }

    fn try_again(&self, transaction: &Transaction<'_>, job: JobId, reason: &str) -> Result<(), QueueError> {
        let sql = "SELECT tries FROM jobs WHERE id = ?1";
        let tries: u32 = transaction.query_row(sql, [number(job)], |row| row.get(0)).map_err(broken)?;
        if tries < self.rules.tries {
            return wait_again(transaction, job);
        }
        let reason = if tries > 1 { format!("{reason} (after {tries} tries)") } else { reason.to_owned() };
        settle(transaction, job, &JobState::Dead { reason })
    }

    /// Ends a lease with what `write` writes, if it still holds.
    fn settled(
        &self,
        lease: &Lease,
        write: impl FnOnce(&Transaction<'_>) -> Result<(), QueueError>,
    ) -> Result<Settled, QueueError> {
        let mut inner = self.inner.lock();
        if !inner.leases.holds(lease) {
            return Ok(Settled::Lost);
        }
        let transaction = inner.begin()?;
        write(&transaction)?;
        transaction.commit().map_err(broken)?;
        inner.leases.end(lease.job.id);
        drop(inner);
        // Its repository is free for another job.
        self.news.notify_all();
        Ok(Settled::Kept)
    }
}

impl Inner {
    fn begin(&mut self) -> Result<Transaction<'_>, QueueError> {
        self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(broken)
    }
}

impl Queue for SqliteQueue {
    fn offer(&self, work: &Work, running: Running) -> Result<Offered, QueueError> {
        let mut inner = self.inner.lock();
        let transaction = inner.begin()?;
        if let Some(delivery) = &work.delivery
            && !remember(&transaction, delivery)?
        {
            return Ok(Offered::Duplicate);
        }
        let newest = newest(&transaction, work)?;
        let is_same = |job: &Job| job.work.commit == work.commit;
        let offered = match &newest {
            Some(job) if job.state == JobState::Queued && is_same(job) => Offered::Joined { id: job.id },
            Some(job) if is_same(job) && work.occasion.is_of_the_commit() => Offered::Joined { id: job.id },
            Some(job) if job.state == JobState::Queued => {
                let new = insert(&transaction, work, Some(job.id))?;
                settle(&transaction, job.id, &JobState::Replaced { by: new })?;
                Offered::Replaced { old: job.id, new }
            }
            _ => Offered::New { id: insert(&transaction, work, None)? },
        };
        let older = match (running, offered) {
            (Running::Cancel, Offered::New { .. } | Offered::Replaced { .. }) => {
                ids(&transaction, RUN_OTHERS, params![work.repository.as_str(), work.line(), work.commit])?
            }
            _ => Vec::new(),
        };
        transaction.commit().map_err(broken)?;
        older.into_iter().for_each(|job| inner.leases.cancel(job));
        drop(inner);
        self.news.notify_all();
        if !matches!(offered, Offered::Joined { .. }) {
            self.make_durable()?;
        }
        Ok(offered)
    }

    fn take(&self, worker: &Worker) -> Result<Option<Lease>, QueueError> {
        let mut inner = self.inner.lock();
        inner.leases.see(worker);
        self.reap(&mut inner)?;
        let alive = inner.leases.alive(self.rules.lease * ALIVE);
        let standing = Standing { alive, ..statements::standing(&inner.connection)? };
        let Some(id) = choose(&standing, worker) else { return Ok(None) };
        let now = UnixSeconds::now();
        let (kind, detail, _) = rows::state(&JobState::Running { worker: worker.name.clone(), since: now })?;
        let transaction = inner.begin()?;
        let sql = format!(
            "UPDATE jobs SET state = ?2, detail = ?3, tries = tries + 1, started_at = ?4
             WHERE id = ?1 AND state = 'queued' RETURNING {COLUMNS}"
        );
        let job = transaction
            .query_row(&sql, params![number(id), kind, detail, seconds(now)], rows::job)
            .map_err(broken)?;
        let sql = "INSERT INTO repositories (name, turn, worker)
             VALUES (?1, (SELECT coalesce(max(turn), 0) + 1 FROM repositories), ?2)
             ON CONFLICT (name) DO UPDATE SET turn = excluded.turn, worker = excluded.worker";
        transaction.execute(sql, params![job.work.repository.as_str(), worker.name]).map_err(broken)?;
        transaction.commit().map_err(broken)?;
        let token = inner.leases.give(id, &worker.name, self.rules.lease);
        Ok(Some(Lease { job, worker: worker.name.clone(), token }))
    }

    fn renew(&self, lease: &Lease) -> Result<Renewed, QueueError> {
        Ok(self.inner.lock().leases.renew(lease, self.rules.lease))
    }

    fn finish(&self, lease: &Lease, outcome: &Outcome) -> Result<Settled, QueueError> {
        let state = JobState::Done { outcome: outcome.clone() };
        self.settled(lease, |transaction| settle(transaction, lease.job.id, &state))
    }

    fn fail(&self, lease: &Lease, reason: &str) -> Result<Settled, QueueError> {
        self.settled(lease, |transaction| self.try_again(transaction, lease.job.id, reason))
    }

    fn give_back(&self, lease: &Lease) -> Result<Settled, QueueError> {
        self.settled(lease, |transaction| {
            let sql = "UPDATE jobs SET tries = max(tries - 1, 0) WHERE id = ?1";
            transaction.execute(sql, [number(lease.job.id)]).map_err(broken)?;
            wait_again(transaction, lease.job.id)
        })
    }

    fn retry(&self, job: JobId) -> Result<Option<JobId>, QueueError> {
        let Some(job) = self.job(job)?.filter(|job| job.state.has_ended()) else { return Ok(None) };
        let work = Work { occasion: Occasion::Asked, delivery: None, ..job.work };
        let offered = self.offer(&work, Running::Finish)?.job();
        if let (JobState::Dead { .. }, Some(by)) = (&job.state, offered) {
            let mut inner = self.inner.lock();
            let transaction = inner.begin()?;
            settle(&transaction, job.id, &JobState::Replaced { by })?;
            transaction.commit().map_err(broken)?;
        }
        Ok(offered)
    }

    fn jobs(&self, filter: &Filter) -> Result<Vec<Job>, QueueError> {
        self.looked(|connection| listing::jobs(connection, filter))
    }

    fn job(&self, id: JobId) -> Result<Option<Job>, QueueError> {
        self.looked(|connection| listing::job(connection, id))
    }

    fn lines(&self, repository: Option<&RepositoryName>) -> Result<Vec<LineSeen>, QueueError> {
        self.looked(|connection| listing::lines(connection, repository))
    }

    fn remember_delivery(&self, id: &str) -> Result<bool, QueueError> {
        let mut inner = self.inner.lock();
        let transaction = inner.begin()?;
        let is_new = remember(&transaction, id)?;
        transaction.commit().map_err(broken)?;
        Ok(is_new)
    }

    fn workers(&self) -> Result<Vec<WorkerSeen>, QueueError> {
        Ok(self.inner.lock().leases.seen(self.rules.lease * ALIVE))
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        self.looked(listing::counts)
    }

    fn forget_before(&self, moment: UnixSeconds) -> Result<Vec<JobId>, QueueError> {
        let mut inner = self.inner.lock();
        let transaction = inner.begin()?;
        let forgotten = forget_some(&transaction, moment)?;
        transaction.commit().map_err(broken)?;
        Ok(forgotten)
    }

    fn wait(&self, at_most: Duration) {
        let mut inner: MutexGuard<'_, Inner> = self.inner.lock();
        self.news.wait_for(&mut inner, at_most);
    }
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
