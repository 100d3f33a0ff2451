//! Jobs as rows of a table: the schema, and a row read.

use rusqlite::{Connection, Row};

use super::api::QueueError;
use crate::model::time::UnixSeconds;
use crate::service::model::{Job, JobId, JobState};

/// The version of the tables, in the file itself; an older file is brought up to it.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    branch TEXT NOT NULL,
    -- Of the jobs that wait on one line, there is one.
    line TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    work TEXT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    ok INTEGER,
    -- The place among those that wait.
    place INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    -- How often the whole service ended while it ran.
    orphaned INTEGER NOT NULL DEFAULT 0,
    queued_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, place);
CREATE INDEX jobs_by_line ON jobs (repository, line, id);
CREATE TABLE deliveries (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE repositories (name TEXT PRIMARY KEY, turn INTEGER NOT NULL, worker TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

/// The columns that [`job`] reads.
pub(super) const COLUMNS: &str = "id, work, detail, tries, queued_at, started_at, ended_at";

/// Makes the tables, where they are not there yet.
pub(super) fn prepare(connection: &Connection) -> Result<(), QueueError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(broken)?;
    match version {
        0 => {
            let all = format!("BEGIN IMMEDIATE;{TABLES}PRAGMA user_version = {VERSION};COMMIT;");
            connection.execute_batch(&all).map_err(broken)
        }
        VERSION => Ok(()),
        other => Err(QueueError::Broken(format!(
            "the file is of version {other}, and this imk knows {VERSION}: a newer imk wrote it"
        ))),
    }
}

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
