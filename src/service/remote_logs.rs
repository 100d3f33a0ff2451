//! Logs of jobs that run on other machines: in Redis while a job runs, in the server's files when it has ended.
//!
//! A worker only appends. What Redis does not take at the moment is kept, and goes with the next word.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redis::Commands as _;

use super::logs::{FileLogs, Logs};
use super::model::JobId;
use super::queue::redis::RedisQueue;
use super::queue::{Queue as _, QueueError};

/// All logs that Redis has.
const ALL: &str = "imk:logs";
/// A log that nobody fetches goes after so long, in seconds.
const LONGEST: i64 = 7 * 24 * 3600;
/// So much of one log is kept while Redis is away, in bytes.
const KEPT: usize = 1 << 20;

/// Logs by way of Redis.
pub struct RemoteLogs {
    queue: Arc<RedisQueue>,
    /// The server's own; a worker has none.
    files: Option<FileLogs>,
    /// The most that one has, in bytes.
    most: u64,
    pending: Mutex<BTreeMap<JobId, Vec<u8>>>,
}

impl RemoteLogs {
    /// Logs of a queue's jobs.
    pub fn new(queue: Arc<RedisQueue>, files: Option<FileLogs>, most: u64) -> Self {
        Self { queue, files, most, pending: Mutex::default() }
    }

    /// Fetches the logs of jobs that have ended into files, where this is the server.
    ///
    /// # Errors
    /// When Redis does not answer, or a file cannot be written: the log stays where it is.
    pub fn fetch_ended(&self) -> io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let all: Vec<u64> = self.asked(|connection| connection.smembers(ALL))?;
        for job in all.into_iter().map(JobId) {
            let state = self.queue.job(job).map_err(io::Error::other)?;
            if state.is_some_and(|job| !job.state.has_ended()) {
                continue;
            }
            let bytes: Vec<u8> = self.asked(|connection| connection.get(key(job)))?;
            // One that was fetched half, by a server that was killed then, is fetched anew.
            files.forget(job)?;
            files.append(job, &bytes)?;
            self.forget_remote(job)?;
        }
        Ok(())
    }

    fn forget_remote(&self, job: JobId) -> io::Result<()> {
        self.asked(|connection| {
            redis::pipe().atomic().del(key(job)).ignore().srem(ALL, job.0).ignore().query::<()>(connection)
        })
    }

    fn asked<V>(
        &self,
        call: impl Fn(&mut redis::Connection) -> Result<V, redis::RedisError>,
    ) -> io::Result<V> {
        self.queue.with(call).map_err(|error: QueueError| io::Error::other(error))
    }
}

fn key(job: JobId) -> String {
    format!("imk:log:{job}")
}

impl Logs for RemoteLogs {
    fn append(&self, job: JobId, bytes: &[u8]) -> io::Result<()> {
        let mut pending = self.pending.lock();
        let all = pending.entry(job).or_default();
        all.extend_from_slice(&bytes[..bytes.len().min(KEPT.saturating_sub(all.len()))]);
        let size: u64 = self.asked(|connection| connection.strlen(key(job)))?;
        let room = usize::try_from(self.most.saturating_sub(size)).unwrap_or(usize::MAX);
        let some = all[..room.min(all.len())].to_vec();
        if !some.is_empty() {
            self.asked(|connection| {
                let mut pipe = redis::pipe();
                pipe.atomic().append(key(job), some.as_slice()).ignore();
                pipe.expire(key(job), LONGEST).ignore().sadd(ALL, job.0).ignore();
                pipe.query::<()>(connection)
            })?;
        }
        pending.remove(&job);
        Ok(())
    }

    fn read_from(&self, job: JobId, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let end = offset.saturating_add(most as u64).saturating_sub(1);
        let (start, end) = (isize::try_from(offset), isize::try_from(end));
        let (Ok(start), Ok(end)) = (start, end) else { return Ok(Vec::new()) };
        let bytes: Vec<u8> = self.asked(|connection| connection.getrange(key(job), start, end))?;
        match &self.files {
            Some(files) if bytes.is_empty() => files.read_from(job, offset, most),
            _ => Ok(bytes),
        }
    }

    fn size(&self, job: JobId) -> io::Result<u64> {
        let size: u64 = self.asked(|connection| connection.strlen(key(job)))?;
        match &self.files {
            Some(files) if size == 0 => files.size(job),
            _ => Ok(size),
        }
    }

    fn forget(&self, job: JobId) -> io::Result<()> {
        self.forget_remote(job)?;
        self.files.as_ref().map_or(Ok(()), |files| files.forget(job))
    }

    fn list(&self) -> io::Result<Vec<(JobId, u64)>> {
        self.files.as_ref().map_or_else(|| Ok(Vec::new()), Logs::list)
    }
}
