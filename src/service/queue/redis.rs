//! The queue of several machines: Redis Streams, with leases in a group's list of pending entries.
//!
//! Every operation is one script, so a client, or Redis itself, that dies in the middle of one leaves nothing half done. Which
//! job a worker gets is decided here, as for every queue, and taken only if things still stand as they stood.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Commands, Connection, FromRedisValue, RedisError, Script};

use super::api::{
    Counts, Filter, Lease, LineSeen, Offered, Queue, QueueError, Renewed, Rules, Settled, Worker, WorkerSeen,
};
use super::choose::choose;
use crate::model::time::UnixSeconds;
use crate::service::model::{
    Job, JobId, JobState, Labels, Occasion, Outcome, RepositoryName, StateKind, Work,
};
use crate::syntax::serve::Running;

mod reading;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/scripts.lua")));

/// Redis has so long to take a connection, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A worker without work looks again after so long.
const LOOK: Duration = Duration::from_millis(200);
/// A job that another took in between is looked for again so often.
const ROUNDS: usize = 20;
/// Jobs that are forgotten at once: whoever has something to offer waits no longer than for these.
const AT_ONCE: &str = "500";

/// A queue in a Redis.
pub struct RedisQueue {
    client: redis::Client,
    idle: Mutex<Vec<Connection>>,
    rules: Rules,
    /// Tells leases of this process apart from those of any other.
    own: String,
    given: AtomicU64,
    labels: Mutex<BTreeMap<String, String>>,
}

impl RedisQueue {
    /// A queue at an address; it must answer.
    ///
    /// # Errors
    /// When the address is none, or nobody answers there.
    pub fn open(address: &str, rules: Rules) -> Result<Self, QueueError> {
        // The parser's words may quote a password.
        let client = redis::Client::open(address)
            .map_err(|_| QueueError::Broken("that is no address of a Redis: redis://HOST:PORT".into()))?;
        let own = unique()?;
        let (idle, labels) = (Mutex::default(), Mutex::default());
        let queue = Self { client, idle, rules, own, given: AtomicU64::new(0), labels };
        queue.with(|connection| redis::cmd("PING").query::<String>(connection))?;
        Ok(queue)
    }

    /// A word to whoever set Redis up, when it would forget jobs with its process.
    pub fn warning(&self) -> Option<String> {
        let asked = |name: &str| -> Option<String> {
            let answer: Vec<String> =
                self.with(|connection| redis::cmd("CONFIG").arg("GET").arg(name).query(connection)).ok()?;
            answer.get(1).cloned()
        };
        match (asked("appendonly")?.as_str(), asked("appendfsync")?.as_str()) {
            ("yes", "always") => None,
            ("yes", _) => Some(
                "Redis writes to its disk once a second: what it was told in the last second is lost with its machine; \
                 `appendfsync always` loses nothing".into(),
            ),
            _ => Some("Redis keeps nothing when it is killed: set `appendonly yes` and `appendfsync always`".into()),
        }
    }

    /// A connection, for one call.
    pub(in crate::service) fn with<V>(
        &self,
        call: impl Fn(&mut Connection) -> Result<V, RedisError>,
    ) -> Result<V, QueueError> {
        let kept = self.idle.lock().pop();
        let is_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connected()?,
        };
        let mut done = call(&mut connection);
        if is_kept && done.as_ref().is_err_and(RedisError::is_io_error) {
            // It may have ended long ago; every operation can be asked for twice.
            connection = self.connected()?;
            done = call(&mut connection);
        }
        if !done.as_ref().is_err_and(|error| error.is_io_error() || error.is_timeout()) {
            self.idle.lock().push(connection);
        }
        done.map_err(|error| broken(&error))
    }

    fn connected(&self) -> Result<Connection, QueueError> {
        let connected = || -> Result<Connection, RedisError> {
            let connection = self.client.get_connection_with_timeout(PATIENCE)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            connection.set_write_timeout(Some(PATIENCE))?;
            Ok(connection)
        };
        connected().map_err(|error| broken(&error))
    }

    fn run<V: FromRedisValue>(&self, operation: &str, words: &[&str]) -> Result<V, QueueError> {
        self.with(|connection| {
            let mut call = SCRIPT.prepare_invoke();
            call.arg(operation);
            words.iter().for_each(|word| {
                call.arg(*word);
            });
            call.invoke(connection)
        })
    }

    fn lease_ms(&self) -> String {
        self.rules.lease.as_millis().to_string()
    }

    fn tries(&self) -> String {
        self.rules.tries.to_string()
    }
}

impl Queue for RedisQueue {
    fn offer(&self, work: &Work, running: Running) -> Result<Offered, QueueError> {
        let text = written(work)?;
        let words = [
            work.repository.as_str(),
            &work.line(),
            &work.branch,
            &work.commit,
            &text,
            work.delivery.as_deref().unwrap_or_default(),
            if work.occasion.is_of_the_commit() { "1" } else { "0" },
            if running == Running::Cancel { "1" } else { "0" },
        ];
        let answer: Vec<String> = self.run("offer", &words)?;
        let id = |at: usize| answer.get(at).and_then(|text| text.parse().ok()).unwrap_or(JobId(0));
        Ok(match answer.first().map(String::as_str) {
            Some("new") => Offered::New { id: id(1) },
            Some("joined") => Offered::Joined { id: id(1) },
            Some("replaced") => Offered::Replaced { old: id(1), new: id(2) },
            _ => Offered::Duplicate,
        })
    }

    fn take(&self, worker: &Worker) -> Result<Option<Lease>, QueueError> {
        for _ in 0..ROUNDS {
            let Some(id) = choose(&self.standing(worker)?, worker) else { return Ok(None) };
            let token = format!("{}-{}", self.own, self.given.fetch_add(1, Ordering::SeqCst));
            let is_ours: i64 = self.run("take", &[&id.to_string(), &worker.name, &token])?;
            if is_ours == 1
                && let Some(job) = self.job(id)?
            {
                return Ok(Some(Lease { job, worker: worker.name.clone(), token }));
            }
        }
        Ok(None)
    }

    fn renew(&self, lease: &Lease) -> Result<Renewed, QueueError> {
        let words = self.labels.lock().get(&lease.worker).cloned().unwrap_or_default();
        let id = lease.job.id.to_string();
        let answer: String = self.run("renew", &[&id, &lease.worker, &lease.token, &words])?;
        Ok(match answer.as_str() {
            "kept" => Renewed::Kept,
            "cancel" => Renewed::Cancel,
            _ => Renewed::Lost,
        })
    }

    fn finish(&self, lease: &Lease, outcome: &Outcome) -> Result<Settled, QueueError> {
        let detail = written(&JobState::Done { outcome: outcome.clone() })?;
        let kind = if outcome.ok { "succeeded" } else { "failed" };
        let id = lease.job.id.to_string();
        let fresh = outcome.images.iter().filter(|image| image.verdict.is_fresh()).count();
        let stale = outcome.images.len() - fresh;
        let words = [&id, &lease.token, kind, &detail, &fresh.to_string(), &stale.to_string()];
        self.run("finish", &words).map(settled)
    }

    fn fail(&self, lease: &Lease, reason: &str) -> Result<Settled, QueueError> {
        let id = lease.job.id.to_string();
        self.run("fail", &[&id, &lease.token, reason, &self.tries()]).map(settled)
    }

    fn give_back(&self, lease: &Lease) -> Result<Settled, QueueError> {
        self.run("give_back", &[&lease.job.id.to_string(), &lease.token]).map(settled)
    }

    fn retry(&self, job: JobId) -> Result<Option<JobId>, QueueError> {
        let Some(job) = self.job(job)?.filter(|job| job.state.has_ended()) else { return Ok(None) };
        let work = Work { occasion: Occasion::Asked, delivery: None, ..job.work };
        let offered = self.offer(&work, Running::Finish)?.job();
        if let Some(by) = offered {
            let _: i64 = self.run("revive", &[&job.id.to_string(), &by.to_string()])?;
        }
        Ok(offered)
    }

    fn jobs(&self, filter: &Filter) -> Result<Vec<Job>, QueueError> {
        let kinds: Vec<&str> = filter
            .states
            .iter()
            .flat_map(|kind| match kind {
                StateKind::Done => vec!["succeeded", "failed"],
                other => vec![other.word()],
            })
            .collect();
        let mut page = filter.clone();
        let mut jobs = Vec::new();
        loop {
            let ids = self.ids(&kinds, &page)?;
            let Some(last) = ids.last().copied() else { return Ok(jobs) };
            for id in ids {
                let Some(mut job) = self.job(id)? else { continue };
                if let (true, JobState::Done { outcome }) = (filter.brief, &mut job.state) {
                    outcome.images.clear();
                    outcome.report.clear();
                }
                let is_meant = filter.repository.as_ref().is_none_or(|name| *name == job.work.repository)
                    && filter.branch.as_ref().is_none_or(|branch| *branch == job.work.branch);
                if is_meant {
                    jobs.push(job);
                }
                if jobs.len() >= filter.limit {
                    return Ok(jobs);
                }
            }
            page.before = Some(last);
        }
    }

    fn job(&self, id: JobId) -> Result<Option<Job>, QueueError> {
        let fields: BTreeMap<String, String> =
            self.with(|connection| connection.hgetall(format!("imk:job:{id}")))?;
        let Some(work) = fields.get("work") else { return Ok(None) };
        let time = |name: &str| fields.get(name).and_then(|text| text.parse().ok()).map(UnixSeconds);
        Ok(Some(Job {
            id,
            work: parsed(work)?,
            state: parsed(fields.get("detail").map(String::as_str).unwrap_or_default())?,
            tries: fields.get("tries").and_then(|text| text.parse().ok()).unwrap_or_default(),
            queued_at: time("queued_at").unwrap_or_default(),
            started_at: time("started_at"),
            ended_at: time("ended_at"),
        }))
    }

    fn remember_delivery(&self, id: &str) -> Result<bool, QueueError> {
        self.run::<i64>("remember", &[id]).map(|is_new| is_new == 1)
    }

    fn workers(&self) -> Result<Vec<WorkerSeen>, QueueError> {
        self.read_workers()
    }

    fn lines(&self, repository: Option<&RepositoryName>) -> Result<Vec<LineSeen>, QueueError> {
        self.read_lines(repository)
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        let count = |kind: &str| self.with(|connection| connection.zcard(format!("imk:kind:{kind}")));
        Ok(Counts {
            queued: count("queued")?,
            running: count("running")?,
            succeeded: count("succeeded")?,
            failed: count("failed")?,
            replaced: count("replaced")?,
            dead: count("dead")?,
        })
    }

    fn forget_before(&self, moment: UnixSeconds) -> Result<Vec<JobId>, QueueError> {
        let gone: Vec<u64> = self.run("forget", &[&moment.0.to_string(), AT_ONCE])?;
        Ok(gone.into_iter().map(JobId).collect())
    }

    fn wait(&self, at_most: Duration) {
        std::thread::sleep(at_most.min(LOOK));
    }
}

fn joined(labels: &Labels) -> String {
    labels.iter().map(|label| label.as_str()).collect::<Vec<_>>().join("+")
}

fn settled(answer: i64) -> Settled {
    if answer == 1 { Settled::Kept } else { Settled::Lost }
}

fn written(value: &impl serde::Serialize) -> Result<String, QueueError> {
    serde_json::to_string(value).map_err(|error| QueueError::Broken(error.to_string()))
}

fn parsed<V: serde::de::DeserializeOwned>(text: &str) -> Result<V, QueueError> {
    serde_json::from_str(text).map_err(|error| QueueError::Broken(error.to_string()))
}

/// A name that no other process has.
fn unique() -> Result<String, QueueError> {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0_u8; 12];
    let filled = ring::rand::SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| QueueError::Broken("the system gives no random numbers".into()))?;
    Ok(hex::encode(bytes))
}

/// An error of Redis in the queue's terms. None of its words has the address.
fn broken(error: &RedisError) -> QueueError {
    let why = error.to_string();
    if error.is_io_error() || error.is_timeout() || error.is_connection_refusal() || why.contains("LOADING") {
        QueueError::Unreachable(why)
    } else if why.contains("OOM") || why.contains("MISCONF") {
        QueueError::Full(why)
    } else {
        QueueError::Broken(why)
    }
}

#[cfg(test)]
#[path = "redis/tests.rs"]
mod tests;
