//! Statements that change the queue's tables, each within a transaction of its caller.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::api::{BRANCHES, QueueError};
use super::choose::{Standing, Waiting};
use super::rows::{self, COLUMNS, broken, number, seconds};
use crate::model::time::UnixSeconds;
use crate::service::model::{Job, JobId, JobState, RepositoryName, Work};

/// Ids of deliveries are remembered so long, in seconds: forges deliver again for three days.
const DELIVERIES: u64 = 14 * 24 * 3600;
/// Jobs that are forgotten at once: whoever has something to offer waits no longer than for these.
pub(super) const AT_ONCE: i64 = 100;

/// The newest job of a line.
pub(super) fn newest(transaction: &Transaction<'_>, work: &Work) -> Result<Option<Job>, QueueError> {
    let sql =
        format!("SELECT {COLUMNS} FROM jobs WHERE repository = ?1 AND line = ?2 ORDER BY id DESC LIMIT 1");
    let mut query = transaction.prepare(&sql).map_err(broken)?;
    query.query_row(params![work.repository.as_str(), work.line()], rows::job).optional().map_err(broken)
}

/// A new job that waits, in the place of another or behind all.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    work: &Work,
    instead: Option<JobId>,
) -> Result<JobId, QueueError> {
    let (kind, detail, _) = rows::state(&JobState::Queued)?;
    // Behind all is where its own number is: no place is greater than the last number.
    let sql = "INSERT INTO jobs (repository, branch, line, commit_id, work, state, detail, place, queued_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
             coalesce((SELECT place FROM jobs WHERE id = ?8), (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'jobs'), 1), ?9)";
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
    let id = transaction.last_insert_rowid();
    let sql = "INSERT INTO lines (repository, line, branch, newest) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (repository, line) DO UPDATE SET branch = excluded.branch, newest = excluded.newest";
    let values = params![work.repository.as_str(), work.line(), work.branch, id];
    transaction.prepare(sql).map_err(broken)?.execute(values).map_err(broken)?;
    Ok(JobId(id.unsigned_abs()))
}

/// Has a job wait in its old place, unless a newer one of its line waits: that is enough.
pub(super) fn wait_again(transaction: &Transaction<'_>, job: JobId) -> Result<(), QueueError> {
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

/// Writes the last state of a job, and how its line stands after it.
pub(super) fn settle(transaction: &Transaction<'_>, job: JobId, state: &JobState) -> Result<(), QueueError> {
    let (kind, detail, ok) = rows::state(state)?;
    let now = seconds(UnixSeconds::now());
    let sql = "UPDATE jobs SET state = ?2, detail = ?3, ok = ?4, ended_at = ?5 WHERE id = ?1";
    transaction.execute(sql, params![number(job), kind, detail, ok, now]).map_err(broken)?;
    if matches!(state, JobState::Replaced { .. }) {
        return Ok(());
    }
    // One that ended late says nothing of a line that has gone on.
    let sql = "UPDATE lines SET ended = ?1, ended_at = ?2, ok = ?3
         WHERE (repository, line) = (SELECT repository, line FROM jobs WHERE id = ?1) AND coalesce(ended, 0) <= ?1";
    transaction.execute(sql, params![number(job), now, ok.unwrap_or(false)]).map_err(broken)?;
    let JobState::Done { outcome } = state else { return Ok(()) };
    if outcome.images.is_empty() {
        return Ok(());
    }
    let fresh = outcome.images.iter().filter(|image| image.verdict.is_fresh()).count();
    let stale = outcome.images.len() - fresh;
    let sql = "UPDATE lines SET told = ?1, fresh = ?2, stale = ?3
         WHERE (repository, line) = (SELECT repository, line FROM jobs WHERE id = ?1) AND coalesce(told, 0) <= ?1";
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    transaction.execute(sql, params![number(job), count(fresh), count(stale)]).map_err(broken).map(drop)
}

/// Writes the id of a delivery down; `false` when it was known.
pub(super) fn remember(transaction: &Transaction<'_>, delivery: &str) -> Result<bool, QueueError> {
    let sql = "INSERT INTO deliveries (id, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let values = params![delivery, seconds(UnixSeconds::now())];
    transaction.execute(sql, values).map_err(broken).map(|written| written == 1)
}

/// Jobs of a line that run with another commit than this.
pub(super) const RUN_OTHERS: &str =
    "SELECT id FROM jobs WHERE state = 'running' AND repository = ?1 AND line = ?2 AND commit_id <> ?3";

/// Some of the jobs that ended before a moment and say nothing of how a branch stands.
pub(super) fn forget_some(
    transaction: &Transaction<'_>,
    moment: UnixSeconds,
) -> Result<Vec<JobId>, QueueError> {
    let sql = "DELETE FROM jobs WHERE id IN (
             SELECT id FROM jobs WHERE ended_at < ?1 AND state IN ('done', 'replaced', 'dead') AND NOT EXISTS (
                 SELECT 1 FROM lines WHERE lines.repository = jobs.repository AND lines.line = jobs.line
                 AND (substr(lines.line, 1, length(?3)) = ?3) AND jobs.id IN (newest, ended, told))
             ORDER BY ended_at LIMIT ?2) RETURNING id";
    let forgotten = ids(transaction, sql, params![seconds(moment), AT_ONCE, BRANCHES])?;
    // A pull request goes with its last job.
    let sql = "DELETE FROM lines WHERE substr(line, 1, length(?1)) <> ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = newest)";
    transaction.execute(sql, [BRANCHES]).map_err(broken)?;
    let old = UnixSeconds(UnixSeconds::now().0.saturating_sub(DELIVERIES));
    transaction.execute("DELETE FROM deliveries WHERE at < ?1", [seconds(old)]).map_err(broken)?;
    Ok(forgotten)
}

/// The numbers that a statement gives.
pub(super) fn ids(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<JobId>, QueueError> {
    let mut query = transaction.prepare(sql).map_err(broken)?;
    let found = query.query_map(values, |row| row.get::<_, i64>(0)).map_err(broken)?;
    found.map(|id| id.map(|id| JobId(id.unsigned_abs()))).collect::<Result<_, _>>().map_err(broken)
}

/// How things stand for whoever wants a job, but for who lives.
pub(super) fn standing(connection: &Connection) -> Result<Standing, QueueError> {
    let mut standing = Standing::default();
    let now = UnixSeconds::now();
    let waiting = format!("SELECT {COLUMNS} FROM jobs WHERE state = 'queued' ORDER BY place");
    let mut query = connection.prepare(&waiting).map_err(broken)?;
    for job in query.query_map([], rows::job).map_err(broken)? {
        let job = job.map_err(broken)?;
        let since: Duration = now.since(job.queued_at);
        standing.waiting.push(Waiting {
            id: job.id,
            repository: job.work.repository,
            labels: job.work.hints,
            since,
        });
    }
    let read = |text: String| RepositoryName::new(&text).map_err(QueueError::Broken);
    let mut query =
        connection.prepare("SELECT repository FROM jobs WHERE state = 'running'").map_err(broken)?;
    for name in query.query_map([], |row| row.get(0)).map_err(broken)? {
        standing.busy.insert(read(name.map_err(broken)?)?);
    }
    let mut query = connection.prepare("SELECT name, turn, worker FROM repositories").map_err(broken)?;
    let served = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?));
    for served in query.query_map([], served).map_err(broken)? {
        let (name, turn, worker) = served.map_err(broken)?;
        standing.served.insert(read(name)?, (turn.unsigned_abs(), worker));
    }
    Ok(standing)
}
