//! Another machine, as far as containers go: a Docker engine of its own, started as CI starts one.
//! Ends when dropped, and also when the test dies, since it lives as long as its standard input.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// An engine that runs.
pub struct SecondEngine {
    folder: tempfile::TempDir,
    child: Child,
    input: Option<ChildStdin>,
    host: String,
}

impl SecondEngine {
    /// Starts it.
    pub fn start() -> Self {
        Self::started_by(Command::new(Self::script()))
    }

    /// Starts it in a network namespace of its own: its socket is here, and no port of its containers is. `None` where
    /// this user may make no such namespace.
    pub fn in_its_own_network() -> Option<Self> {
        let may =
            Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success());
        if !may {
            eprintln!("SKIPPED: no network namespace can be made here");
            return None;
        }
        let mut command = Command::new("unshare");
        command.arg("--net").arg(Self::script());
        Some(Self::started_by(command))
    }

    fn script() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/engine")
    }

    fn started_by(mut command: Command) -> Self {
        // A socket's path has room for a hundred characters.
        let folder = tempfile::Builder::new().prefix("imk-2-").tempdir_in("/tmp").unwrap();
        let mut child = command
            .args(["run", "sh", "-c", "echo $DOCKER_HOST; exec cat"])
            // The engine of the other tests is not to be found.
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .env("CARGO_TARGET_DIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut host = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut host).unwrap();
        assert!(host.starts_with("unix://"), "no second engine: `ci/engine run` says {host:?}");
        Self { folder, child, input, host: host.trim().to_owned() }
    }

    /// Its `DOCKER_HOST`.
    pub fn host(&self) -> &str {
        assert!(self.folder.path().exists());
        &self.host
    }

    /// Ends it as a power cut does: nothing of it is left, and nobody is told.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Runs a docker command on it.
    pub fn docker(&self, words: &[&str]) -> String {
        let output = Command::new("docker").args(words).env("DOCKER_HOST", &self.host).output().unwrap();
        assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
