//! Rows of the queue's tables as values, and values as what stands in a row.

use rusqlite::Row;

use super::api::{LineSeen, QueueError};
use crate::model::time::UnixSeconds;
use crate::service::model::{Job, JobId, JobState, RepositoryName};

/// The columns that [`job`] reads.
pub(super) const COLUMNS: &str = "id, work, detail, tries, queued_at, started_at, ended_at";
/// As [`COLUMNS`], without the images and the report of an end.
pub(super) const BRIEF: &str = "id, work, json_remove(detail, '$.outcome.images', '$.outcome.report') AS detail, tries, queued_at, started_at, ended_at";

/// A row as a job.
pub(super) fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let time = |at: &str| row.get::<_, Option<i64>>(at).map(|it| it.map(|it| UnixSeconds(it.unsigned_abs())));
    Ok(Job {
        id: JobId(row.get::<_, i64>("id")?.unsigned_abs()),
        work: json(&row.get::<_, String>("work")?)?,
        state: json(&row.get::<_, String>("detail")?)?,
        tries: row.get("tries")?,
        queued_at: time("queued_at")?.unwrap_or_default(),
        started_at: time("started_at")?,
        ended_at: time("ended_at")?,
    })
}

/// A row of `lines` as how that line stands.
pub(super) fn line(row: &Row<'_>) -> rusqlite::Result<LineSeen> {
    let id = |at: &str| row.get::<_, Option<i64>>(at).map(|it| it.map(|it| JobId(it.unsigned_abs())));
    let repository: String = row.get("repository")?;
    let repository = RepositoryName::new(&repository).map_err(|why| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, why.into())
    })?;
    Ok(LineSeen {
        repository,
        line: row.get("line")?,
        branch: row.get("branch")?,
        newest: id("newest")?.unwrap_or(JobId(0)),
        ended: id("ended")?,
        ended_at: row.get::<_, Option<i64>>("ended_at")?.map(|at| UnixSeconds(at.unsigned_abs())),
        ok: row.get::<_, Option<bool>>("ok")?.unwrap_or(false),
        told: id("told")?,
        fresh: row.get::<_, i64>("fresh")?.unsigned_abs(),
        stale: row.get::<_, i64>("stale")?.unsigned_abs(),
    })
}

/// A number of a job in a row.
pub(super) fn number(id: JobId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

/// A moment in a row.
pub(super) fn seconds(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// A state as it stands in a row: its kind, all of it, and whether it ended well.
pub(super) fn state(state: &JobState) -> Result<(&'static str, String, Option<bool>), QueueError> {
    let ok = match state {
        JobState::Done { outcome } => Some(outcome.ok),
        _ => None,
    };
    Ok((state.kind().word(), text(state)?, ok))
}

/// A value as text of a column.
pub(super) fn text(value: &impl serde::Serialize) -> Result<String, QueueError> {
    serde_json::to_string(value).map_err(|error| QueueError::Broken(error.to_string()))
}

fn json<V: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<V> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// An error of SQLite in the queue's terms.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(super) fn broken(error: rusqlite::Error) -> QueueError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => QueueError::Full(error.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::CannotOpen) => {
            QueueError::Unreachable(error.to_string())
        }
        _ => QueueError::Broken(error.to_string()),
    }
}
