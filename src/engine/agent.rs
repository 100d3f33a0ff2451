//! Ssh agents: one of imk's own for key files, and what of the agent protocol a step may say.
//!
//! A step may ask which keys there are and have something signed, and nothing else: an agent also adds, removes and
//! locks keys, which is no business of a Dockerfile's. Keys never come here: `ssh-add` gives them to an `ssh-agent`
//! that ends with the build.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Bytes that one message of an agent may have: OpenSSH's own limit.
pub const MESSAGE_MAX: usize = 256 * 1024;

// Of the agent protocol (draft-ietf-sshm-ssh-agent).
/// The answer to what is not allowed.
pub const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;

/// Whether a step may ask this; a message begins with its length.
pub fn is_allowed(question: &[u8]) -> bool {
    matches!(question.get(4), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)))
}

/// An agent that has some keys and no others, as long as this value lives.
pub struct PrivateAgent {
    socket: PathBuf,
    /// The program that the agent waits for: it ends when nobody is left to write to it, which is when imk dies too.
    waits: Child,
    agent: Option<Pid>,
    _folder: tempfile::TempDir,
}

impl PrivateAgent {
    /// Starts an `ssh-agent` and gives it these keys.
    ///
    /// # Errors
    /// A sentence, when there is none on this machine, or a key cannot be used.
    pub fn start(keys: &[PathBuf]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no folder for an agent: {error}"))?;
        let socket = folder.path().join("agent");
        let mut waits = Command::new("ssh-agent")
            .arg("-a")
            .arg(&socket)
            .args(["sh", "-c", "echo $SSH_AGENT_PID; exec cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run `ssh-agent`, which keeps keys: {error}"))?;
        let mut line = String::new();
        if let Some(said) = waits.stdout.take() {
            // The socket is there before this line is.
            let _ = BufReader::new(said).read_line(&mut line);
        }
        let agent = line.trim().parse().ok().and_then(Pid::from_raw);
        let started = Self { socket, waits, agent, _folder: folder };
        if started.agent.is_none() {
            return Err("`ssh-agent` does not begin".to_owned());
        }
        keys.iter().try_for_each(|key| started.add(key))?;
        Ok(started)
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn add(&self, key: &Path) -> Result<(), String> {
        // Without a terminal and a helper, a key that has a passphrase is refused and nobody is asked.
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg("--")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env_remove("SSH_ASKPASS")
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| format!("cannot run `ssh-add`: {error}"))?;
        if added.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&added.stderr);
        // A warning of its stands in a frame.
        let said = said.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('@'));
        Err(format!(
            "`ssh-add` does not take the key `{}`: {}; one with a passphrase goes into your own agent",
            key.display(),
            said.unwrap_or("it says nothing")
        ))
    }
}

impl Drop for PrivateAgent {
    fn drop(&mut self) {
        // It is a child of the program that waits, which reaps nobody: the number is still its own.
        if let Some(agent) = self.agent {
            let _ = kill_process(agent, Signal::TERM);
        }
        let _ = self.waits.kill();
        let _ = self.waits.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_may_list_keys_and_sign_and_nothing_else() {
        let message = |kind: u8| [0, 0, 0, 1, kind];
        assert!(is_allowed(&message(REQUEST_IDENTITIES)) && is_allowed(&message(SIGN_REQUEST)));
        // Add, remove, remove all, lock, unlock, add constrained, extensions.
        for kind in [17, 18, 19, 20, 21, 22, 23, 25, 26, 27] {
            assert!(!is_allowed(&message(kind)), "{kind}");
        }
        assert!(!is_allowed(&[0, 0, 0, 0]));
    }
}
