//! Processes of jobs that a killed service left behind: they are ended before anything new begins.
//!
//! Each job's processes bear the service's mark in their environment, which their own children inherit, whatever group they
//! make for themselves.

use std::path::Path;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

/// The variable that says whose job a process is of.
pub const MARK: &str = "IMK_SERVICE";

/// The value of the mark: a service has its folder for itself.
pub fn mark(state: &Path) -> String {
    state.display().to_string()
}

/// Ends processes that bear the mark; gives how many there were. Whoever calls has the folder for itself, and no job under way.
pub fn end(state: &Path) -> usize {
    let line = format!("{MARK}={}", mark(state));
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let mut ended = 0;
    for process in processes.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if id == own {
            continue;
        }
        // Another user's cannot be read, and is not ours.
        let Ok(environment) = fs::read(process.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == line.as_bytes()) {
            let target = i32::try_from(id).ok().and_then(Pid::from_raw);
            ended += usize::from(target.is_some_and(|target| kill_process(target, Signal::KILL).is_ok()));
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_of_a_killed_service_are_ended_and_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let sleep = |value: String| {
            Command::new("sleep").arg("300").env(MARK, value).stdout(Stdio::null()).spawn().unwrap()
        };
        let mut ours = sleep(mark(folder.path()));
        let mut other = sleep(format!("{}-other", mark(folder.path())));
        assert_eq!(end(folder.path()), 1);
        assert!(!ours.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
