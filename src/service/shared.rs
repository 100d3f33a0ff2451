//! The parts that triggers, workers and pages share: settings, queue, logs, and where things are kept.

use std::path::PathBuf;
use std::sync::Arc;

use super::logs::Logs;
use super::queue::Queue;
use super::wishes::Wishes;
use crate::syntax::serve::Settings;

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
}

impl Shared {
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
