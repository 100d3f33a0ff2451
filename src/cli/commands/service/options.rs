//! Options of a server and of a worker: `serve.ron`, the folder, the queue, and what overrides what.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args as Group;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, cannot};
use crate::cli::{out, registries};
use crate::engine::Cancel;
use crate::query::problem::Problem;
use crate::registry::OciRegistry;
use crate::service::logins::Logins;
use crate::service::run::Options;
use crate::source::outside;
use crate::state::folder::StateFolder;
use crate::syntax::container::words::period;
use crate::syntax::serve::names::labels;
use crate::syntax::serve::settings::SecretOrText;
use crate::syntax::serve::{self, Settings};

/// The file that is read where none is named.
pub const FILE: &str = "serve.ron";
/// The folder of the unit in docs/systemd.
const UNIT: &str = "/var/lib/imk";
/// Jobs may go on so long after an end was asked for.
const DRAIN: Duration = Duration::from_secs(300);

/// The arguments of a server and of a worker.
#[derive(Clone, Debug, Default, Group)]
pub struct ServiceArgs {
    /// The file that says which repositories there are and by which policy [default: serve.ron, where there is one]
    #[arg(long, value_name = "FILE", env = "IMK_SERVE_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// Keep queue, logs, secrets and checkouts in this folder [default: that of systemd's unit, else /var/lib/imk/serve for root and ~/.local/state/imk/serve for others]
    #[arg(long, value_name = "DIR", env = "IMK_SERVE_STATE", global = true)]
    pub state: Option<PathBuf>,
    /// Take jobs from this Redis: redis://HOST:PORT
    #[arg(long, value_name = "URL", env = "IMK_QUEUE", global = true)]
    pub queue: Option<String>,
    /// Do so many jobs at once
    #[arg(long, value_name = "N", env = "IMK_SERVE_WORKERS", global = true, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub workers: Option<u16>,
    /// Labels of this machine's worker, such as jdk8+gpu
    #[arg(long, value_name = "LABELS", env = "IMK_SERVE_LABELS", global = true)]
    pub labels: Option<String>,
    /// Name of this machine's worker, which has its repositories again when it comes back [default: the machine's]
    #[arg(long, value_name = "NAME", env = "IMK_SERVE_NAME", global = true)]
    pub name: Option<String>,
    /// Let jobs go on for so long after an end was asked for [default: 5m]
    #[arg(long, value_name = "PERIOD", env = "IMK_SERVE_DRAIN", global = true)]
    pub drain: Option<String>,
}

/// Settings as they were read, and from where.
pub struct Read {
    /// The settings, with what was typed put over them.
    pub settings: Settings,
    /// The file; `None` where there is none.
    pub file: Option<PathBuf>,
    /// The service's folder.
    pub state: PathBuf,
    /// Logins.
    pub logins: Logins,
}

impl ServiceArgs {
    /// Reads the file, and puts what was typed over it.
    ///
    /// # Errors
    /// Every mistake in the file, or that there is none of the name.
    pub fn read(&self) -> Result<Read, Failure> {
        let (file, mut settings) = match &self.config {
            Some(path) => (Some(path.clone()), read(path)?),
            None if outside::is_there(Path::new(FILE)) => (Some(FILE.into()), read(Path::new(FILE))?),
            None => (None, Settings::default()),
        };
        if let Some(queue) = &self.queue {
            settings.queue = Some(SecretOrText::Text(queue.clone()));
        }
        if let Some(workers) = self.workers {
            settings.workers = usize::from(workers);
        }
        if let Some(words) = &self.labels {
            settings.labels = labels(words).map_err(Failure::error)?;
        }
        let absolute = |path: &Path| std::path::absolute(path).map_err(cannot("find the folder"));
        let root = match file.as_deref().and_then(Path::parent) {
            Some(folder) if !folder.as_os_str().is_empty() => absolute(folder)?,
            _ => absolute(Path::new("."))?,
        };
        let named = self.state.clone().or_else(|| settings.state.clone().map(|folder| root.join(folder)));
        let state = named.or_else(usual_state).ok_or_else(|| {
            Failure::with_hint(
                "no place for the service's state: neither XDG_STATE_HOME nor HOME is set",
                "--state names one",
            )
        })?;
        let logins = Logins { environment: std::env::vars_os().collect(), root };
        Ok(Read { settings, file, state: absolute(&state)?, logins })
    }

    /// All that a service is started with.
    ///
    /// # Errors
    /// When an argument is wrong.
    pub fn options(&self, global: &Global, read: Read, cancel: &Cancel) -> Result<Options, Failure> {
        let drain = self.drain.as_deref().map(period).transpose().map_err(Failure::error)?;
        let name = self.name.clone().unwrap_or_else(|| {
            let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
            // Two on one machine have two folders, and are two workers.
            format!("{machine}:{}", read.state.display())
        });
        let patience = registries::patience(global);
        let cache = StateFolder::at(&read.state.join("registries"));
        let registry = OciRegistry::new(registries::registries(global, &cache, cancel, &patience)?);
        Ok(Options {
            settings: read.settings,
            state: read.state,
            logins: read.logins,
            name,
            drain: drain.map_or(DRAIN, Duration::from_millis),
            patience,
            registry: Arc::new(registry),
            tell: Arc::new(|line: &str| out::note(line)),
            cancel: cancel.clone(),
        })
    }
}

/// Reads a file.
fn read(path: &Path) -> Result<Settings, Failure> {
    let bytes = outside::read(path).map_err(|error| {
        Failure::with_hint(
            format!("cannot read `{}`: {}", path.display(), error.why),
            "--config names the file; without one, `imk serve` starts with no repository",
        )
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::error(format!("`{}` is no text in UTF-8", path.display())))?;
    serve::read(&text).map_err(|errors| {
        let shown = path.display().to_string();
        let problems: Vec<Problem> =
            errors.into_iter().map(|error| Problem::in_file(&shown, error)).collect();
        Failure::problems(&problems, |_| Some(text.clone()))
    })
}

/// The folder where nothing else is said: the one that systemd made, else the user's own.
fn usual_state() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // Steps of a server that is root run as other users, who have no way through root's home.
    let is_root = rustix::process::geteuid().is_root();
    let system = || is_root.then(|| PathBuf::from("/var/lib"));
    // Whoever types as root where the unit has been started means that service.
    let unit = || {
        let has_run =
            absolute("XDG_STATE_HOME").is_none() && outside::is_there(&Path::new(UNIT).join("lock"));
        (is_root && has_run).then(|| PathBuf::from(UNIT))
    };
    let user = || {
        absolute("XDG_STATE_HOME").or_else(system).or_else(|| Some(absolute("HOME")?.join(".local/state")))
    };
    absolute("STATE_DIRECTORY").or_else(unit).or_else(|| Some(user()?.join("imk/serve")))
}
