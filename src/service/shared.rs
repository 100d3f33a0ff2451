//! The parts that triggers, workers and pages share: settings, queue, logs, and where things are kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::logins::Logins;
use super::logs::Logs;
use super::model::{Labels, RepositoryName};
use super::queue::{Queue, QueueError};
use super::wishes::Wishes;
use crate::model::time::UnixSeconds;
use crate::source::git::mirror::Heads;
use crate::syntax::serve::Settings;

/// Takes a line for whoever keeps an eye on the service.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// A running service, as its parts see it.
pub struct Shared {
    /// The settings, as they were when it began.
    pub settings: Settings,
    /// The folder for secrets, checkouts and logs: the service's own.
    pub state: PathBuf,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// Logs of jobs.
    pub logs: Arc<dyn Logs>,
    /// Repositories that somebody wants looked at now.
    pub wishes: Wishes,
    /// Logins.
    pub logins: Logins,
    /// When it began.
    pub since: UnixSeconds,
    ended: watch::Sender<bool>,
    draining: AtomicBool,
    log_bytes: Mutex<Option<u64>>,
    tell: Tell,
    looks: Mutex<BTreeMap<RepositoryName, Look>>,
}

/// The last look at a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// When it was looked at.
    pub at: UnixSeconds,
    /// Where its branches stood, when it last answered.
    pub heads: Heads,
    /// Why it gave no answer this time.
    pub trouble: Option<String>,
}

impl Shared {
    /// A service that tells nobody, and has no login.
    pub fn new(settings: Settings, state: &Path, queue: Arc<dyn Queue>, logs: Arc<dyn Logs>) -> Self {
        let logins = Logins { environment: BTreeMap::new(), root: state.to_owned() };
        Self {
            settings,
            state: state.to_owned(),
            queue,
            logs,
            wishes: Wishes::default(),
            logins,
            since: UnixSeconds::now(),
            ended: watch::Sender::new(false),
            draining: AtomicBool::new(false),
            log_bytes: Mutex::new(None),
            tell: Arc::new(|_| {}),
            looks: Mutex::default(),
        }
    }

    /// With logins, and with somebody who is told what happens.
    pub fn with(self, logins: Logins, tell: Tell) -> Self {
        Self { logins, tell, ..self }
    }

    /// Says that it is going to end: nothing new is begun, and whoever spreads requests over several is to send them elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether [`Self::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Says that nobody is answered any more: connections that would stay come to their end.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Tells when [`Self::end`] was called.
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Keeps how many bytes all logs have: it takes a look at each to know.
    pub fn counted_logs(&self, bytes: u64) {
        *self.log_bytes.lock() = Some(bytes);
    }

    /// How many bytes all logs had when they were last counted.
    pub fn log_bytes(&self) -> Option<u64> {
        *self.log_bytes.lock()
    }

    /// Says a line.
    pub fn tell(&self, line: &str) {
        (self.tell)(line);
    }

    /// The last look at a repository, if there was one.
    pub fn look(&self, repository: &RepositoryName) -> Option<Look> {
        self.looks.lock().get(repository).cloned()
    }

    /// Keeps what a look showed; whether its trouble is another than before.
    pub fn looked(&self, repository: &RepositoryName, answer: Result<Heads, String>) -> bool {
        let mut looks = self.looks.lock();
        let look = looks.entry(repository.clone()).or_default();
        look.at = UnixSeconds::now();
        let before = look.trouble.take();
        match answer {
            Ok(heads) => look.heads = heads,
            Err(why) => look.trouble = Some(why),
        }
        look.trouble != before
    }

    /// Whether a worker, here or elsewhere, has all of some labels. Where others may come and none was heard of yet, one might.
    ///
    /// # Errors
    /// When the queue cannot be asked.
    pub fn can_do(&self, labels: &Labels) -> Result<bool, QueueError> {
        if self.settings.workers > 0 && labels.is_subset(&self.settings.labels) {
            return Ok(true);
        }
        let workers = self.queue.workers()?;
        let others_may_come = workers.is_empty() && self.settings.queue.is_some();
        Ok(others_may_come || workers.iter().any(|worker| labels.is_subset(&worker.labels)))
    }

    /// Runs a call that blocks away from the threads that answer.
    ///
    /// # Errors
    /// When the call panicked, which is a bug.
    pub async fn blocking<V: Send + 'static>(
        self: Arc<Self>,
        call: impl FnOnce(&Self) -> V + Send + 'static,
    ) -> Result<V, String> {
        tokio::task::spawn_blocking(move || call(&self)).await.map_err(|error| error.to_string())
    }
}
