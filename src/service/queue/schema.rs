//! The tables of the queue in a file: what they are, and how an older file becomes one of today.
//!
//! Whatever is asked often has an index, or is kept ready: jobs are a hundred thousand after some months, and a page, a hook or a
//! look for work reads no more of them than it shows.

use rusqlite::Connection;

use super::api::QueueError;
use super::rows::broken;

/// The version of the tables, in the file itself.
const VERSION: i64 = 2;

const JOBS: &str = "
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

/// The additions of version 2: lists in the order in which they are shown, numbers that are kept, and how each line stands.
const LISTS: &str = "
CREATE INDEX jobs_by_kind ON jobs (state, id);
CREATE INDEX jobs_by_repository ON jobs (repository, id);
CREATE INDEX jobs_by_branch ON jobs (repository, branch, id);
CREATE INDEX jobs_by_repository_and_kind ON jobs (repository, state, id);
CREATE INDEX jobs_by_end ON jobs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX deliveries_by_time ON deliveries (at);
CREATE TABLE counts (kind TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER jobs_come AFTER INSERT ON jobs BEGIN
    INSERT INTO counts VALUES (iif(NEW.state = 'done', iif(NEW.ok, 'succeeded', 'failed'), NEW.state), 1)
        ON CONFLICT (kind) DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER jobs_go AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE kind = iif(OLD.state = 'done', iif(OLD.ok, 'succeeded', 'failed'), OLD.state);
END;
CREATE TRIGGER jobs_change AFTER UPDATE OF state, ok ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE kind = iif(OLD.state = 'done', iif(OLD.ok, 'succeeded', 'failed'), OLD.state);
    INSERT INTO counts VALUES (iif(NEW.state = 'done', iif(NEW.ok, 'succeeded', 'failed'), NEW.state), 1)
        ON CONFLICT (kind) DO UPDATE SET jobs = jobs + 1;
END;
CREATE TABLE lines (
    repository TEXT NOT NULL,
    line TEXT NOT NULL,
    branch TEXT NOT NULL,
    newest INTEGER NOT NULL,
    -- The last job that ended, when, and whether well.
    ended INTEGER,
    ended_at INTEGER,
    ok INTEGER,
    -- The last job that told of images, and how many of them were fresh after it.
    told INTEGER,
    fresh INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (repository, line)
) STRICT, WITHOUT ROWID;
";

/// Fills the additions of version 2 from the jobs of version 1.
const FILL: &str = "
INSERT INTO counts SELECT iif(state = 'done', iif(ok, 'succeeded', 'failed'), state) AS kind, count(*) FROM jobs GROUP BY kind;
INSERT INTO lines (repository, line, branch, newest, ended, told)
    SELECT repository, line, branch, max(id),
        max(iif(state IN ('done', 'dead'), id, NULL)),
        max(iif(state = 'done' AND json_array_length(detail, '$.outcome.images') > 0, id, NULL))
    FROM jobs GROUP BY repository, line;
UPDATE lines SET
    ended_at = (SELECT ended_at FROM jobs WHERE id = ended),
    ok = (SELECT coalesce(ok, 0) FROM jobs WHERE id = ended),
    fresh = (SELECT count(*) FROM jobs, json_each(detail, '$.outcome.images') AS image
        WHERE jobs.id = told AND json_extract(image.value, '$.verdict') IN ('fresh', 'built')),
    stale = (SELECT count(*) FROM jobs, json_each(detail, '$.outcome.images') AS image
        WHERE jobs.id = told AND json_extract(image.value, '$.verdict') NOT IN ('fresh', 'built'));
";

/// Makes the tables where they are not there yet, and brings older ones up to today's.
pub(super) fn prepare(connection: &Connection) -> Result<(), QueueError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(broken)?;
    let steps = match version {
        0 => [JOBS, LISTS].concat(),
        1 => [LISTS, FILL].concat(),
        VERSION => return Ok(()),
        other => {
            return Err(QueueError::Broken(format!(
                "the file is of version {other}, and this imk knows {VERSION}: a newer imk wrote it"
            )));
        }
    };
    let all = format!("BEGIN IMMEDIATE;{steps}PRAGMA user_version = {VERSION};COMMIT;");
    connection.execute_batch(&all).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_older_imk_is_brought_up_to_today() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&format!("{JOBS}PRAGMA user_version = 1;")).unwrap();
        let job = |line: &str, state: &str, detail: &str, ok: Option<bool>| {
            let sql = "INSERT INTO jobs (repository, branch, line, commit_id, work, state, detail, ok, place, queued_at, ended_at)
                VALUES ('a', 'main', ?1, 'c', '{}', ?2, ?3, ?4, 1, 5, 7)";
            connection.execute(sql, rusqlite::params![line, state, detail, ok]).unwrap();
        };
        let images = r#"{"state":"done","outcome":{"images":[{"verdict":"built"},{"verdict":"fresh"},{"verdict":"failed"}]}}"#;
        job("refs/heads/main", "done", images, Some(false));
        job("refs/heads/main", "done", r#"{"state":"done","outcome":{"images":[]}}"#, Some(true));
        job("refs/heads/main", "queued", r#"{"state":"queued"}"#, None);
        job("refs/heads/next", "dead", r#"{"state":"dead","reason":"x"}"#, None);
        prepare(&connection).unwrap();
        let counts: i64 = connection.query_row("SELECT sum(jobs) FROM counts", [], |row| row.get(0)).unwrap();
        assert_eq!(counts, 4);
        let line = |name: &str| {
            let sql = "SELECT newest, ended, ok, told, fresh, stale FROM lines WHERE line = ?1";
            let read = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            };
            let found: (i64, i64, i64, Option<i64>, i64, i64) =
                connection.query_row(sql, [name], read).unwrap();
            found
        };
        assert_eq!(line("refs/heads/main"), (3, 2, 1, Some(1), 2, 1));
        assert_eq!(line("refs/heads/next"), (4, 4, 0, None, 0, 0));
        prepare(&connection).unwrap();
    }
}
