//! Questions to the queue's tables that change nothing: jobs by a filter, how lines stand, numbers.
//!
//! A statement names only what is asked for, so that an index leads through it: `tests` asks SQLite by which way it goes.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::api::{Counts, Filter, LineSeen, QueueError};
use super::rows::{self, BRIEF, COLUMNS, broken, number};
use crate::service::model::{Job, JobId, RepositoryName};

/// A statement and its values.
pub(super) struct Statement {
    pub sql: String,
    pub values: Vec<Value>,
}

/// The statement of a filter. Of several states each is read in its own order, as far as the limit, and these are merged.
pub(super) fn of_filter(filter: &Filter) -> Statement {
    let columns = if filter.brief { BRIEF } else { COLUMNS };
    let mut values: Vec<Value> = Vec::new();
    let mut common = String::new();
    let mut and = |what: &str, value: Value| {
        values.push(value);
        common += &format!(" AND {what} ?{}", values.len());
    };
    if let Some(repository) = &filter.repository {
        and("repository =", repository.as_str().to_owned().into());
    }
    if let Some(branch) = &filter.branch {
        and("branch =", branch.clone().into());
    }
    if let Some(before) = filter.before {
        and("id <", number(before).into());
    }
    values.push(i64::try_from(filter.limit).unwrap_or(i64::MAX).into());
    let order = format!("ORDER BY id DESC LIMIT ?{}", values.len());
    let ids = |state: &str| format!("SELECT id FROM jobs WHERE TRUE{state}{common} {order}");
    let inner = match filter.states.as_slice() {
        [] => ids(""),
        [one] => ids(&format!(" AND state = '{}'", one.word())),
        several => several
            .iter()
            .map(|kind| format!("SELECT id FROM ({})", ids(&format!(" AND state = '{}'", kind.word()))))
            .collect::<Vec<_>>()
            .join(" UNION ALL "),
    };
    Statement { sql: format!("SELECT {columns} FROM jobs WHERE id IN ({inner}) {order}"), values }
}

/// Jobs by a filter, the newest first.
pub(super) fn jobs(connection: &Connection, filter: &Filter) -> Result<Vec<Job>, QueueError> {
    let statement = of_filter(filter);
    let mut query = connection.prepare(&statement.sql).map_err(broken)?;
    let jobs = query.query_map(params_from_iter(statement.values), rows::job).map_err(broken)?;
    jobs.collect::<Result<_, _>>().map_err(broken)
}

/// One job.
pub(super) fn job(connection: &Connection, id: JobId) -> Result<Option<Job>, QueueError> {
    let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1");
    let mut query = connection.prepare(&sql).map_err(broken)?;
    query.query_row([number(id)], rows::job).optional().map_err(broken)
}

/// How lines stand.
pub(super) fn lines(
    connection: &Connection,
    repository: Option<&RepositoryName>,
) -> Result<Vec<LineSeen>, QueueError> {
    let (sql, values) = match repository {
        Some(name) => ("SELECT * FROM lines WHERE repository = ?1 ORDER BY line", vec![name.as_str()]),
        None => ("SELECT * FROM lines ORDER BY repository, line", Vec::new()),
    };
    let mut query = connection.prepare(sql).map_err(broken)?;
    let lines = query.query_map(params_from_iter(values), rows::line).map_err(broken)?;
    lines.collect::<Result<_, _>>().map_err(broken)
}

/// How many jobs stand how.
pub(super) fn counts(connection: &Connection) -> Result<Counts, QueueError> {
    let mut counts = Counts::default();
    let mut query = connection.prepare("SELECT kind, jobs FROM counts").map_err(broken)?;
    let mut found = query.query([]).map_err(broken)?;
    while let Some(row) = found.next().map_err(broken)? {
        let kind: String = row.get(0).map_err(broken)?;
        let count = row.get::<_, i64>(1).map_err(broken)?.unsigned_abs();
        match kind.as_str() {
            "queued" => counts.queued = count,
            "running" => counts.running = count,
            "replaced" => counts.replaced = count,
            "dead" => counts.dead = count,
            "succeeded" => counts.succeeded = count,
            _ => counts.failed = count,
        }
    }
    Ok(counts)
}
