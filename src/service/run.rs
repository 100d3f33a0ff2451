//! A whole service, from its settings to its end.
//!
//! Opens the state, ends what a killed one left behind, starts workers, looks and HTTP, and drains when it is asked to end.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use tokio_rustls::TlsAcceptor;

use super::http::{self, listen};
use super::jobs::Jobs;
use super::logins::Logins;
use super::logs::{FileLogs, Logs};
use super::model::Labels;
use super::orphans;
use super::poll::Poller;
use super::queue::redis::RedisQueue;
use super::queue::sqlite::SqliteQueue;
use super::queue::{Queue, Rules, Worker};
use super::remote_logs::RemoteLogs;
use super::retention;
use super::shared::{Shared, Tell};
use super::steps::confinement;
use super::tell;
use super::teller::Teller;
use super::worker::{Hands, Observer};
use crate::engine::Cancel;
use crate::model::time::UnixSeconds;
use crate::patience::Patience;
use crate::registry::Registry;
use crate::syntax::serve::{Authors, Does, Repository, Settings};

/// How soon an end is seen.
const TICK: Duration = Duration::from_millis(50);
/// How often logs of other machines are fetched.
const FETCH: Duration = Duration::from_secs(2);
/// A job that could not begin is held for so long before it is tried again, and longer each time.
const PAUSE: Duration = Duration::from_secs(5);
/// Jobs that were asked to end have so long.
const ENDING: Duration = Duration::from_secs(30);

/// Everything that a service, or a worker alone, is started with.
pub struct Options {
    /// The settings.
    pub settings: Settings,
    /// The folder of its own.
    pub state: PathBuf,
    /// Logins, and the environment.
    pub logins: Logins,
    /// The name of this machine's worker.
    pub name: String,
    /// How long jobs may go on after it was asked to end.
    pub drain: Duration,
    /// How long git servers may say nothing.
    pub patience: Patience,
    /// The door to the network.
    pub registry: Arc<dyn Registry>,
    /// Takes lines for whoever keeps an eye on it.
    pub tell: Tell,
    /// Says that it is to end.
    pub cancel: Cancel,
}

/// A service whose parts are there, and at rest.
pub struct Service {
    shared: Arc<Shared>,
    remote: Option<Arc<RemoteLogs>>,
    options: Options,
    /// Nobody else has the folder while this is held.
    _turn: File,
}

impl Service {
    /// Opens state and queue. `serves` says whether it has the logs of all, or only works for another.
    ///
    /// # Errors
    /// When the state or the queue cannot be had, with what was attempted.
    pub fn open(options: Options, serves: bool) -> Result<Self, String> {
        let state = &options.state;
        let at = |error: io::Error| {
            let next = match error.kind() {
                ErrorKind::PermissionDenied => {
                    "; it may be another user's: run as that one, or name another with --state"
                }
                _ => "",
            };
            format!("cannot use the folder `{}`: {error}{next}", state.display())
        };
        private_folder(state).map_err(at)?;
        let turn = fs::File::create(state.join("lock")).map_err(at)?.into_parts().0;
        turn.try_lock().map_err(|_| {
            format!(
                "another service has the folder `{}`: stop it, or name another with --state",
                state.display()
            )
        })?;
        tempfile::tempfile().map_err(|error| {
            format!("no temporary file can be made, as jobs need them (TMPDIR names another place): {error}")
        })?;
        if let Some(closed) = closed_above(state) {
            (options.tell)(&format!(
                "warning: steps run as users of their own, who have no way through `{}` to `{}`: keep the state elsewhere, such as /var/lib/imk",
                closed.display(),
                state.display()
            ));
        }
        if let Some(warning) = walls_lacking(&options.settings) {
            (options.tell)(&warning);
        }
        let orphans = orphans::end(state);
        if orphans > 0 {
            (options.tell)(&format!("ended {orphans} processes of jobs that were left behind"));
        }
        let settings = options.settings.clone();
        let rules = Rules { lease: settings.lease, tries: settings.tries };
        let files = || FileLogs::open(&state.join("logs"), settings.logs.one).map_err(at);
        let (queue, logs, remote): (Arc<dyn Queue>, Arc<dyn Logs>, _) = match &settings.queue {
            None => {
                let queue = SqliteQueue::open(&state.join("queue/queue.db"), rules)
                    .map_err(|error| error.to_string())?;
                (Arc::new(queue), Arc::new(files()?), None)
            }
            Some(address) => {
                let address = options.logins.text(address)?;
                let queue = RedisQueue::open(&address, rules).map_err(|error| {
                    format!("{error}; is the Redis that --queue or `queue` names running, and may one reach it from here?")
                })?;
                let queue = Arc::new(queue);
                queue.warning().iter().for_each(|warning| (options.tell)(&format!("warning: {warning}")));
                let files = if serves { Some(files()?) } else { None };
                let logs = Arc::new(RemoteLogs::new(Arc::clone(&queue), files, settings.logs.one));
                (queue, Arc::clone(&logs) as Arc<dyn Logs>, Some(logs))
            }
        };
        let shared = Shared::new(settings, state, queue, logs);
        let shared = Arc::new(shared.with(options.logins.clone(), Arc::clone(&options.tell)));
        Ok(Self { shared, remote, options, _turn: turn })
    }

    /// The parts that others share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Serves on a listener until it is asked to end, then drains.
    ///
    /// # Errors
    /// When there is no thread, or the listener is of no use.
    pub fn serve(&self, listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<()> {
        let runtime = crate::runtime::start()?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let served = runtime.spawn(listen::serve(
            listener,
            tls,
            http::router(Arc::clone(&self.shared)),
            self.shared.ending(),
        ));
        let poller = Poller::new(Arc::clone(&self.shared), self.options.patience.clone());
        thread::scope(|scope| {
            scope.spawn(|| poller.run(&self.options.cancel));
            scope.spawn(|| self.keep());
            self.work();
        });
        // Nobody can ask any more once there is nobody to answer.
        self.shared.end();
        runtime.block_on(served).map_err(io::Error::other)?
    }

    /// Does jobs until it is asked to end, and drains then. The number of jobs at once is that of the settings.
    pub fn work(&self) {
        let (draining, stop) = (Arc::new(AtomicBool::new(false)), Cancel::default());
        let hands = self.hands(&draining, &stop);
        thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.shared.settings.workers).map(|_| scope.spawn(|| hands.work())).collect();
            while !self.options.cancel.is_cancelled() {
                thread::sleep(TICK);
            }
            draining.store(true, Ordering::SeqCst);
            self.shared.drain();
            let is_over = || workers.iter().all(thread::ScopedJoinHandle::is_finished);
            // Workers without a job are soon over, and nobody waits for them.
            if !is_over() && self.shared.queue.counts().map_or(true, |counts| counts.running > 0) {
                let limit = self.options.drain.as_secs();
                self.shared
                    .tell(&format!("ends when its jobs have ended, within {limit} s; once more ends it now"));
            }
            let until = Instant::now() + self.options.drain;
            while !is_over() && Instant::now() < until {
                thread::sleep(TICK);
            }
            stop.cancel();
            let until = Instant::now() + ENDING;
            while !is_over() && Instant::now() < until {
                thread::sleep(TICK);
            }
            if !is_over() {
                orphans::end(&self.options.state);
            }
        });
    }

    fn hands(&self, draining: &Arc<AtomicBool>, stop: &Cancel) -> Hands {
        let labels: Labels = self.shared.settings.labels.clone();
        let jobs = Jobs {
            shared: Arc::clone(&self.shared),
            registry: Arc::clone(&self.options.registry),
            patience: self.options.patience.clone(),
        };
        let mut observers: Vec<Arc<dyn Observer>> = Vec::new();
        let patience = tell::Patience { cancel: stop.clone(), ..tell::Patience::default() };
        match Teller::new(&self.shared, Arc::clone(&self.options.registry), patience) {
            Ok(teller) => observers.push(Arc::new(teller)),
            Err(error) => self.shared.tell(&format!("nobody is told of jobs: {error}")),
        }
        Hands {
            queue: Arc::clone(&self.shared.queue),
            runner: Arc::new(jobs),
            observers,
            worker: Worker { name: self.options.name.clone(), labels },
            lease: self.shared.settings.lease,
            pause: PAUSE,
            draining: Arc::clone(draining),
            stop: stop.clone(),
            tell: Arc::clone(&self.options.tell),
        }
    }

    /// Fetches logs of other machines, and removes what is too old or too much, until it is asked to end.
    fn keep(&self) {
        let (mut next, mut tidied) = (Instant::now(), Instant::now());
        while !self.options.cancel.is_cancelled() {
            thread::sleep(TICK);
            if Instant::now() >= tidied {
                tidied = Instant::now() + retention::EVERY;
                if let Err(error) = retention::tidy(&self.shared, UnixSeconds::now()) {
                    self.shared.tell(&format!("old jobs and logs stay for now: {error}"));
                }
            }
            if Instant::now() < next {
                continue;
            }
            next = Instant::now() + FETCH;
            // Whatever is not fetched now is fetched later.
            let _ = self.remote.as_ref().map(|remote| remote.fetch_ended());
        }
    }
}

/// Makes the folder. Another user, as whom steps run, may pass through it to its checkout, and look into nothing else.
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))?;
    for name in ["mirrors", "imk", "stores", "logs", "queue", "registries"] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// A folder above that other users cannot pass, where steps run as such.
fn closed_above(state: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let can_pass =
        |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    state
        .ancestors()
        .skip(1)
        .find(|folder| !folder.as_os_str().is_empty() && !can_pass(folder))
        .map(Path::to_owned)
}

/// A warning, where steps will want walls and this machine gives none.
fn walls_lacking(settings: &Settings) -> Option<String> {
    let runs_strangers = |one: &Repository| one.does == Does::Publish && one.authors == Authors::Strangers;
    if settings.workers == 0 || !settings.repositories.values().any(runs_strangers) {
        return None;
    }
    let why = confinement::lacks_walls().unwrap_or_else(Some)?;
    Some(format!("warning: {}", confinement::lacking(&why)))
}

/// Binds an address.
///
/// # Errors
/// When it cannot be listened at.
pub fn bind(address: &str) -> Result<TcpListener, String> {
    let cannot = |error: io::Error| match error.kind() {
        ErrorKind::AddrInUse => {
            format!(
                "cannot listen at {address}: somebody does already; `imk serve jobs` asks a service of yours"
            )
        }
        _ => format!("cannot listen at {address}: {error}"),
    };
    let parsed: SocketAddr = address.parse().map_err(|_| {
        format!("`{address}` is no address to listen at: write digits and a port, such as 127.0.0.1:8737 or [::]:8737")
    })?;
    TcpListener::bind(parsed).map_err(cannot)
}
