//! Scripts of a repository on this machine: run in its folder, within a time, with all that they started.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::containers::api::{Limit, Output};
use crate::containers::suite::captured::tail;
use crate::source::outside;

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

/// A repository whose scripts are run.
pub struct Repository {
    /// Its root.
    pub root: PathBuf,
    /// Variables of whoever runs the tests.
    pub variable: fn(&str) -> Option<String>,
}

impl Host for Repository {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        outside::read(&self.root.join(path)).map_err(|error| error.why)
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
        let reading = |stream: Option<Box<dyn Read + Send>>| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut stream) = stream {
                    // What was read before it broke off is as much as there is.
                    let _ = stream.read_to_end(&mut bytes);
                }
                bytes
            })
        };
        let out = reading(child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>));
        let err = reading(child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>));
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
        // Nobody it left behind holds the streams open.
        let _ = end(Signal::KILL);
        let output = Output {
            status: status.and_then(|status| status.code()).map_or(-1, i64::from),
            out: out.join().unwrap_or_default(),
            err: err.join().unwrap_or_default(),
        };
        match status {
            Some(_) => Ok(output),
            None => Err(format!("it took longer than the test may\n{}", tail(&output))),
        }
    }
}
