//! The queue of one process: a table in a file, which `sqlite3` can read too.
//!
//! The file belongs to one process at a time. Its leases are in that process's memory, so jobs that were running when it ended
//! wait again when the next one begins.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::api::{
    Counts, Filter, Lease, Offered, Queue, QueueError, Renewed, Rules, Settled, Worker, WorkerSeen,
};
use super::choose::{Standing, Waiting, choose};
use super::leases::Leases;
use super::rows::{self, COLUMNS, broken};
use crate::model::time::UnixSeconds;
use crate::service::model::{Job, JobId, JobState, Occasion, Outcome, RepositoryName, Work};
use crate::syntax::serve::Running;

/// A worker that was not heard of for so many leases is dead.
const ALIVE: u32 = 2;
/// A job is dead when the service ended so often while it ran: it may be the reason.
const MOST_ORPHANED: u32 = 20;
/// Ids of deliveries are remembered so long, in seconds: forges deliver again for three days.
const DELIVERIES: u64 = 14 * 24 * 3600;

/// A queue in a file.
pub struct SqliteQueue {
    /// The file that commits are appended to; `None` in memory.
    wal: Option<PathBuf>,
    /// Offers that are committed, and how many of those are on the disk.
    committed: AtomicU64,
    synced: Mutex<u64>,
    inner: Mutex<Inner>,
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
        Self::over(connection, Some(wal.into()), rules)
    }

    /// One that is gone with its handle.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory(rules: Rules) -> Result<Self, QueueError> {
        Self::over(Connection::open_in_memory().map_err(broken)?, None, rules)
    }

    fn over(connection: Connection, wal: Option<PathBuf>, rules: Rules) -> Result<Self, QueueError> {
        connection.busy_timeout(Duration::from_secs(10)).map_err(broken)?;
        // A commit survives the process; what an offer was answered for survives the machine too, by `make_durable`.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(broken)?;
        rows::prepare(&connection)?;
        let inner = Inner { connection, leases: Leases::default() };
        let (committed, synced) = (AtomicU64::new(0), Mutex::new(0));
        let queue = Self { wal, committed, synced, inner: Mutex::new(inner), news: Condvar::new(), rules };
        queue.adopt_orphans()?;
        Ok(queue)
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

    /// How things stand for whoever wants a job.
    fn standing(&mut self, alive: Duration) -> Result<Standing, QueueError> {
        let mut standing = Standing { alive: self.leases.alive(alive), ..Standing::default() };
        let now = UnixSeconds::now();
        let mut query = self
            .connection
            .prepare(&format!("SELECT {COLUMNS} FROM jobs WHERE state = 'queued' ORDER BY place"))
            .map_err(broken)?;
        for job in query.query_map([], rows::job).map_err(broken)? {
            let job = job.map_err(broken)?;
            standing.waiting.push(Waiting {
                id: job.id,
                repository: job.work.repository,
                labels: job.work.hints,
                since: now.since(job.queued_at),
            });
        }
        let read = |text: String| RepositoryName::new(&text).map_err(QueueError::Broken);
        let mut query =
            self.connection.prepare("SELECT repository FROM jobs WHERE state = 'running'").map_err(broken)?;
        for name in query.query_map([], |row| row.get(0)).map_err(broken)? {
            standing.busy.insert(read(name.map_err(broken)?)?);
        }
        let mut query =
            self.connection.prepare("SELECT name, turn, worker FROM repositories").map_err(broken)?;
        let served = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?));
        for served in query.query_map([], served).map_err(broken)? {
            let (name, turn, worker) = served.map_err(broken)?;
            standing.served.insert(read(name)?, (turn.unsigned_abs(), worker));
        }
        Ok(standing)
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
        let runs = "SELECT id FROM jobs WHERE state = 'running' AND repository = ?1 AND line = ?2 AND commit_id <> ?3";
        let older = match (running, offered) {
            (Running::Cancel, Offered::New { .. } | Offered::Replaced { .. }) => {
                ids(&transaction, runs, params![work.repository.as_str(), work.line(), work.commit])?
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
        let standing = inner.standing(self.rules.lease * ALIVE)?;
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
        let inner = self.inner.lock();
        let kinds: Vec<&str> = filter.states.iter().map(|kind| kind.word()).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs
             WHERE (?1 IS NULL OR repository = ?1) AND (?2 IS NULL OR branch = ?2) AND (?3 IS NULL OR id < ?3)
             AND (?4 = '' OR instr(?4, state)) ORDER BY id DESC LIMIT ?5"
        );
        let mut query = inner.connection.prepare(&sql).map_err(broken)?;
        let repository = filter.repository.as_ref().map(RepositoryName::as_str);
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let values = params![repository, filter.branch, filter.before.map(number), kinds.join(" "), limit];
        let jobs = query.query_map(values, rows::job).map_err(broken)?;
        jobs.collect::<Result<_, _>>().map_err(broken)
    }

    fn job(&self, id: JobId) -> Result<Option<Job>, QueueError> {
        let inner = self.inner.lock();
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1");
        inner.connection.query_row(&sql, [number(id)], rows::job).optional().map_err(broken)
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
        let inner = self.inner.lock();
        let mut counts = Counts::default();
        let sql = "SELECT state, ok, count(*) FROM jobs GROUP BY state, ok";
        let mut query = inner.connection.prepare(sql).map_err(broken)?;
        let mut found = query.query([]).map_err(broken)?;
        while let Some(row) = found.next().map_err(broken)? {
            let (state, ok): (String, Option<bool>) =
                (row.get(0).map_err(broken)?, row.get(1).map_err(broken)?);
            let count = row.get::<_, i64>(2).map_err(broken)?.unsigned_abs();
            match (state.as_str(), ok) {
                ("queued", _) => counts.queued = count,
                ("running", _) => counts.running = count,
                ("replaced", _) => counts.replaced = count,
                ("dead", _) => counts.dead = count,
                (_, Some(true)) => counts.succeeded = count,
                _ => counts.failed = count,
            }
        }
        Ok(counts)
    }

    fn forget_before(&self, moment: UnixSeconds) -> Result<Vec<JobId>, QueueError> {
        let mut inner = self.inner.lock();
        let transaction = inner.begin()?;
        let sql = "DELETE FROM jobs WHERE state IN ('done', 'replaced', 'dead') AND ended_at < ?1
             AND id NOT IN (SELECT max(id) FROM jobs GROUP BY repository, line) RETURNING id";
        let forgotten = ids(&transaction, sql, [seconds(moment)])?;
        let old = UnixSeconds(UnixSeconds::now().0.saturating_sub(DELIVERIES));
        transaction.execute("DELETE FROM deliveries WHERE at < ?1", [seconds(old)]).map_err(broken)?;
        transaction.commit().map_err(broken)?;
        Ok(forgotten)
    }

    fn wait(&self, at_most: Duration) {
        let mut inner: MutexGuard<'_, Inner> = self.inner.lock();
        self.news.wait_for(&mut inner, at_most);
    }
}

/// The newest job of a line.
fn newest(transaction: &Transaction<'_>, work: &Work) -> Result<Option<Job>, QueueError> {
    let sql =
        format!("SELECT {COLUMNS} FROM jobs WHERE repository = ?1 AND line = ?2 ORDER BY id DESC LIMIT 1");
    let mut query = transaction.prepare(&sql).map_err(broken)?;
    query.query_row(params![work.repository.as_str(), work.line()], rows::job).optional().map_err(broken)
}

/// A new job that waits, in the place of another or behind all.
fn insert(transaction: &Transaction<'_>, work: &Work, instead: Option<JobId>) -> Result<JobId, QueueError> {
    let (kind, detail, _) = rows::state(&JobState::Queued)?;
    let sql = "INSERT INTO jobs (repository, branch, line, commit_id, work, state, detail, place, queued_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
             coalesce((SELECT place FROM jobs WHERE id = ?8), (SELECT coalesce(max(place), 0) + 1 FROM jobs)), ?9)";
    let values = params![
        work.repository.as_str(),
        work.branch,
        work.line(),
        work.commit,
        rows::text(work)?,
        kind,
        detail,
        instead.map(number),
        seconds(UnixSeconds::now()),
    ];
    transaction.prepare(sql).map_err(broken)?.execute(values).map_err(broken)?;
    Ok(JobId(transaction.last_insert_rowid().unsigned_abs()))
}

/// Has a job wait in its old place, unless a newer one of its line waits: that is enough.
fn wait_again(transaction: &Transaction<'_>, job: JobId) -> Result<(), QueueError> {
    let sql =
        "SELECT max(other.id) FROM jobs AS other, jobs AS this WHERE this.id = ?1 AND other.id > this.id
         AND other.repository = this.repository AND other.line = this.line AND other.state = 'queued'";
    let newer: Option<i64> = transaction.query_row(sql, [number(job)], |row| row.get(0)).map_err(broken)?;
    if let Some(by) = newer {
        return settle(transaction, job, &JobState::Replaced { by: JobId(by.unsigned_abs()) });
    }
    let (kind, detail, _) = rows::state(&JobState::Queued)?;
    let sql = "UPDATE jobs SET state = ?2, detail = ?3 WHERE id = ?1";
    transaction.execute(sql, params![number(job), kind, detail]).map_err(broken).map(drop)
}

/// Writes the last state of a job.
fn settle(transaction: &Transaction<'_>, job: JobId, state: &JobState) -> Result<(), QueueError> {
    let (kind, detail, ok) = rows::state(state)?;
    let sql = "UPDATE jobs SET state = ?2, detail = ?3, ok = ?4, ended_at = ?5 WHERE id = ?1";
    let values = params![number(job), kind, detail, ok, seconds(UnixSeconds::now())];
    transaction.execute(sql, values).map_err(broken).map(drop)
}

/// Writes the id of a delivery down; `false` when it was known.
fn remember(transaction: &Transaction<'_>, delivery: &str) -> Result<bool, QueueError> {
    let sql = "INSERT INTO deliveries (id, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let values = params![delivery, seconds(UnixSeconds::now())];
    transaction.execute(sql, values).map_err(broken).map(|written| written == 1)
}

fn ids(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<JobId>, QueueError> {
    let mut query = transaction.prepare(sql).map_err(broken)?;
    let found = query.query_map(values, |row| row.get::<_, i64>(0)).map_err(broken)?;
    found.map(|id| id.map(|id| JobId(id.unsigned_abs()))).collect::<Result<_, _>>().map_err(broken)
}

fn number(id: JobId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

fn seconds(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
