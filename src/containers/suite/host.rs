//! Scripts of a repository on this machine: run in its folder, within a time, with all that they started.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::containers::api::{Channel, Limit, Output};
use crate::containers::suite::captured::tail;
use crate::source::inside;

/// How soon an end is seen.
const TICK: Duration = Duration::from_millis(20);

/// A program of this machine, run for a test.
pub trait Host: Sync {
    /// The content of a file of the repository.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;

    /// A variable of the caller.
    fn variable(&self, name: &str) -> Option<String>;

    /// Runs one with these variables, in the repository's folder.
    fn run(
        &self,
        path: &str,
        args: &[String],
        env: &[(String, String)],
        limit: &Limit,
    ) -> Result<Output, String>;
}

/// How long what a script left behind may hold its output open.
const DRAIN: Duration = Duration::from_secs(1);

/// A repository whose scripts are run.
pub struct Repository {
    /// Its root.
    pub root: PathBuf,
    /// Variables of whoever runs the tests.
    pub variable: fn(&str) -> Option<String>,
    /// Its author is a stranger, none of whose scripts runs here.
    pub is_strangers: bool,
}

impl Host for Repository {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        // A link could lead to a file of whoever runs the tests, and the script would be shown it.
        inside::read(&self.root, path)
            .map_err(|error| error.why)?
            .ok_or_else(|| "there is no such file in the repository".into())
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)
    }

    fn run(
        &self,
        path: &str,
        args: &[String],
        env: &[(String, String)],
        limit: &Limit,
    ) -> Result<Output, String> {
        if self.is_strangers {
            return Err("the repository's author is a stranger, whose scripts do not run on this machine; let it run in an image: `in: \"IMAGE\"`".into());
        }
        let mut child = Command::new(self.root.join(path))
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What it starts ends with it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{error}; it must be executable and begin with `#!`"))?;
        let output = Arc::new(Mutex::new(Output::default()));
        let readers = [
            child.stdout.take().map(|stream| read_into(&output, Channel::Out, stream)),
            child.stderr.take().map(|stream| read_into(&output, Channel::Err, stream)),
        ];
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let end = |signal: Signal| group.map(|group| kill_process_group(group, signal));
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if limit.is_over() => {
                    let _ = end(Signal::KILL);
                    let _ = child.wait();
                    break None;
                }
                Ok(None) => thread::sleep(TICK),
                Err(error) => return Err(error.to_string()),
            }
        };
        let _ = end(Signal::KILL);
        // A program that left the group may hold the streams open for ever: what came is what there is.
        let until = Instant::now() + DRAIN;
        while readers.iter().flatten().any(|reader| !reader.is_finished()) && Instant::now() < until {
            thread::sleep(TICK);
        }
        let mut output = std::mem::take(&mut *output.lock());
        output.status = status.as_ref().map_or(-1, shell_status);
        match status {
            Some(_) => Ok(output),
            None => Err(format!("it took longer than the test may\n{}", tail(&output))),
        }
    }
}

/// Reads a stream to its end, into an output.
fn read_into(
    output: &Arc<Mutex<Output>>,
    channel: Channel,
    mut stream: impl Read + Send + 'static,
) -> thread::JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        // What was read before it broke off is as much as there is.
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            output.lock().take(channel, &buffer[..count]);
        }
    })
}

/// A status as a shell tells it: 128 and the signal for one that a signal ended.
fn shell_status(status: &ExitStatus) -> i64 {
    let signal = || status.signal().map_or(-1, |signal| 128 + i64::from(signal));
    status.code().map_or_else(signal, i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Cancel;
    use crate::source::outside;

    fn ran(script: &str, millis: u64) -> Result<Output, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sh");
        outside::write(&path, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(&path, mode).unwrap();
        let root = folder.path().to_owned();
        let repository = Repository { root, variable: |_| None, is_strangers: false };
        let limit =
            Limit { until: Instant::now() + Duration::from_millis(millis), cancel: Cancel::default() };
        repository.run("a.sh", &["x y".to_owned()], &[("A".to_owned(), "1".to_owned())], &limit)
    }

    #[test]
    fn a_script_has_its_arguments_variables_and_status() {
        let output = ran("echo $A \"$1\"; echo err >&2; pwd >&2; exit 3", 60_000).unwrap();
        assert_eq!((output.status, output.out.as_slice()), (3, b"1 x y\n".as_slice()));
        assert!(output.err.starts_with(b"err\n/"));
        assert_eq!(ran("kill -9 $$", 60_000).unwrap().status, 137);
    }

    #[test]
    fn what_a_script_leaves_running_holds_nobody_up() {
        // One of its group is killed with it; one that left the group keeps the streams, and is not waited for.
        assert_eq!(ran("sleep 600 & echo a", 60_000).unwrap().out, b"a\n");
        let output = ran("setsid sleep 5 & echo a", 60_000).unwrap();
        assert_eq!((output.status, output.out.as_slice()), (0, b"a\n".as_slice()));
    }

    #[test]
    fn a_script_that_takes_too_long_is_ended_with_what_it_said() {
        let why = ran("echo so far; sleep 600", 300).unwrap_err();
        assert!(why.contains("longer than the test may") && why.contains("so far"), "{why}");
    }

    #[test]
    fn no_link_of_a_repository_shows_its_scripts_another_file_and_a_strangers_do_not_run_here() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repository");
        fs_err::create_dir(&root).unwrap();
        outside::write(&root.join("file"), b"own").unwrap();
        outside::write(&folder.path().join("secret"), b"s3cret").unwrap();
        for (name, target) in [("in", "file"), ("out", "../secret"), ("far", "/etc/passwd")] {
            fs_err::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        let repository = Repository { root, variable: |_| None, is_strangers: true };
        assert_eq!(repository.read("in").unwrap(), b"own");
        for path in ["out", "far", "none"] {
            assert!(repository.read(path).is_err(), "{path}");
        }
        let limit = Limit { until: Instant::now() + Duration::from_secs(60), cancel: Cancel::default() };
        assert!(repository.run("file", &[], &[], &limit).unwrap_err().contains("stranger"));
    }

    #[test]
    fn of_a_long_output_the_beginning_is_kept() {
        let output = ran("head -c 20000000 /dev/zero", 60_000).unwrap();
        assert_eq!((output.out.len(), output.is_cut), (Output::MOST, true));
    }
}
