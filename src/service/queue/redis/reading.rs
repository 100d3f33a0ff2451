//! Answers of Redis made out: how things stand for a worker, how lines stand, numbers of jobs in their order.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Commands as _;
use serde::Deserialize;

use super::{RedisQueue, joined, parsed};
use crate::model::time::UnixSeconds;
use crate::service::model::{JobId, RepositoryName, Work};
use crate::service::queue::api::{Filter, LineSeen, QueueError, Worker, WorkerSeen};
use crate::service::queue::choose::{Standing, Waiting};
use crate::syntax::serve::names::labels;

/// Jobs are read in pages of so many.
const PAGE: isize = 200;

/// The answer of `look`.
#[derive(Deserialize)]
struct Look {
    waiting: Vec<(u64, String, String, i64)>,
    busy: Vec<String>,
    served: Vec<(String, u64, String)>,
    alive: Vec<(String, String)>,
}

/// How a line stands, as its hash has it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    branch: String,
    newest: u64,
    ended: Option<u64>,
    ended_at: Option<u64>,
    ok: bool,
    told: Option<u64>,
    fresh: u64,
    stale: u64,
}

impl RedisQueue {
    /// How things stand for whoever wants a job.
    pub(super) fn standing(&self, worker: &Worker) -> Result<Standing, QueueError> {
        let words = joined(&worker.labels);
        self.labels.lock().insert(worker.name.clone(), words.clone());
        let text: String = self.run("look", &[&worker.name, &words, &self.lease_ms(), &self.tries()])?;
        // An empty table of Lua is an object in JSON.
        let text = text.replace("{}", "[]");
        let look: Look =
            serde_json::from_str(&text).map_err(|error| QueueError::Broken(error.to_string()))?;
        let read = |text: String| RepositoryName::new(&text).map_err(QueueError::Broken);
        let mut standing = Standing::default();
        let mut waiting = look.waiting;
        waiting.sort_by_key(|(_, entry, ..)| place(entry));
        for (id, _, work, since) in waiting {
            let work: Work = parsed(&work)?;
            let since = Duration::from_secs(u64::try_from(since).unwrap_or_default());
            standing.waiting.push(Waiting {
                id: JobId(id),
                repository: work.repository,
                labels: work.hints,
                since,
            });
        }
        for name in look.busy {
            standing.busy.insert(read(name)?);
        }
        for (name, turn, worker) in look.served {
            standing.served.insert(read(name)?, (turn, worker));
        }
        standing.alive =
            look.alive.into_iter().filter_map(|(name, words)| Some((name, labels(&words).ok()?))).collect();
        Ok(standing)
    }

    /// Numbers of a page of jobs, the newest first.
    pub(super) fn ids(&self, kinds: &[&str], filter: &Filter) -> Result<Vec<JobId>, QueueError> {
        let keys: Vec<String> = match (kinds.is_empty(), &filter.repository) {
            (true, Some(repository)) => vec![format!("imk:jobs:{repository}")],
            (true, None) => vec!["imk:jobs".into()],
            (false, _) => kinds.iter().map(|kind| format!("imk:kind:{kind}")).collect(),
        };
        let most = filter.before.map_or_else(|| "+inf".to_owned(), |before| format!("({before}"));
        let mut ids: Vec<JobId> = Vec::new();
        for key in keys {
            let found: Vec<u64> = self
                .with(|connection| connection.zrevrangebyscore_limit(&key, most.as_str(), "-inf", 0, PAGE))?;
            ids.extend(found.into_iter().map(JobId));
        }
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.truncate(usize::try_from(PAGE).unwrap_or_default());
        Ok(ids)
    }

    /// Workers that were heard of not long ago.
    pub(super) fn read_workers(&self) -> Result<Vec<WorkerSeen>, QueueError> {
        #[derive(Deserialize)]
        struct Seen {
            labels: String,
            seen: f64,
        }
        let all: BTreeMap<String, String> = self.with(|connection| connection.hgetall("imk:workers"))?;
        let (now, _): (u64, u64) = self.with(|connection| redis::cmd("TIME").query(connection))?;
        let mut workers = Vec::new();
        for (name, text) in all {
            let seen: Seen = parsed(&text)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a moment, in milliseconds"
            )]
            let at = UnixSeconds((seen.seen / 1000.0) as u64);
            if UnixSeconds(now).since(at) <= self.rules.lease * 2 {
                workers.push(WorkerSeen { name, labels: labels(&seen.labels).unwrap_or_default(), seen: at });
            }
        }
        Ok(workers)
    }

    /// How lines stand, in the order of their names.
    pub(super) fn read_lines(
        &self,
        repository: Option<&RepositoryName>,
    ) -> Result<Vec<LineSeen>, QueueError> {
        let name = repository.map(RepositoryName::as_str).unwrap_or_default();
        let all: Vec<(String, String, String)> = self.run("lines", &[name])?;
        let mut lines = Vec::with_capacity(all.len());
        for (name, line, text) in all {
            let read: Line = parsed(&text)?;
            lines.push(LineSeen {
                repository: RepositoryName::new(&name).map_err(QueueError::Broken)?,
                line,
                branch: read.branch,
                newest: JobId(read.newest),
                ended: read.ended.map(JobId),
                ended_at: read.ended_at.map(UnixSeconds),
                ok: read.ok,
                told: read.told.map(JobId),
                fresh: read.fresh,
                stale: read.stale,
            });
        }
        lines.sort_by(|one, other| (&one.repository, &one.line).cmp(&(&other.repository, &other.line)));
        Ok(lines)
    }
}

/// The place of a stream's entry among others.
fn place(entry: &str) -> (u64, u64) {
    let (time, number) = entry.split_once('-').unwrap_or((entry, "0"));
    (time.parse().unwrap_or_default(), number.parse().unwrap_or_default())
}
