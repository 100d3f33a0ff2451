//! The file system monitor of a repository: found where it is, started where its user wants one.
//!
//! Three things start one, all of them the user's: the verb, the variable, and a line of `config.ron`. An Imagefile is
//! not among them. Trouble with a monitor costs time and is no failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::args::Global;
use crate::cli::args::monitor::Wish;
use crate::cli::engines::user_config::{self, Own};
use crate::cli::failure::{Failure, cannot};
use crate::source::fsmonitor::socket::Place;
use crate::source::fsmonitor::{Monitor, status};
use crate::source::locate::Located;

/// A monitor that was started answers within this time, or never.
const START: Duration = Duration::from_secs(10);

/// The monitor to ask in this run, if there is one or is to be one.
pub fn monitor(global: &Global, located: &Located) -> Option<Arc<Monitor>> {
    if global.monitor.fsmonitor == Some(Wish::Unasked) {
        return None;
    }
    let place = place(&located.root).ok()?;
    let find = || Monitor::find(&located.root, &place).map(Arc::new);
    find().or_else(|| {
        let is_wanted = global.monitor.fsmonitor == Some(Wish::Started) || is_configured(&located.root);
        is_wanted.then(|| start(&located.root, &place).ok())?;
        find()
    })
}

/// The place of the monitor of the repository at `root`.
///
/// # Errors
/// When there is no repository.
pub fn place(root: &Path) -> Result<Place, Failure> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    Place::of(root, runtime).map_err(cannot(format_args!("find `{}`", root.display())))
}

fn is_configured(root: &Path) -> bool {
    match user_config::read(root) {
        Ok(Own::Read(_, config)) => {
            let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            config.fsmonitor.covers(|repository| whole(repository) == whole(root))
        }
        // Its mistakes are told where engines are read.
        _ => false,
    }
}

/// Starts a monitor and waits until it answers.
///
/// # Errors
/// When it cannot be started; the monitor's own words, where it has some.
pub fn start(root: &Path, place: &Place) -> Result<(), Failure> {
    let imk = std::env::current_exe().map_err(cannot("find the program imk, which is to watch"))?;
    let mut child = Command::new(imk)
        .arg("-C")
        .arg(root)
        .args(["-f", ".", "fsmonitor", "run"])
        .env_remove("IMK_FSMONITOR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot("start a process that watches"))?;
    let began = Instant::now();
    loop {
        if matches!(status(place), Ok(Some(_))) {
            return Ok(());
        }
        if let Ok(Some(_)) = child.try_wait() {
            let output = child.wait_with_output().map_err(cannot("hear why nothing watches"))?;
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            // Another imk was faster.
            return match status(place) {
                Ok(Some(_)) => Ok(()),
                _ => Err(Failure::error(said.trim_start_matches("error: ").to_owned())),
            };
        }
        if began.elapsed() > START {
            let _ = child.kill();
            return Err(Failure::error("the file system monitor was started and does not answer"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
