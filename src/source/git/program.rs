//! The `git` program, for what goes over a network.
//!
//! Objects are read through libgit2; the wire is git's own business. libgit2
//! without OpenSSL and libssh2 speaks neither https nor ssh, and with them it still
//! knows no `~/.ssh/config`, no `core.sshCommand`, no proxy of the environment and
//! fewer credential helpers than people have set up. cargo learned the
//! same, and has `net.git-fetch-with-cli`. So whatever `git fetch` can reach, imk can.
//!
//! Nothing is ever asked of a person, and no secret stands on a command line:
//! a helper made for one run reads it from that process's environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, Read, Seek};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::credentials::{Credential, credentials, renamed};
pub(super) use super::keep::Place;
use super::keep::{self, Namer};
use crate::patience::{Patience, TICK};
use crate::syntax::git_source::{GitUrl, Scheme};

/// A server may say nothing for so long while it packs what it sends.
const PACKING: Duration = Duration::from_secs(60);
/// How long git may take to end itself and what it started.
const ENDING: Duration = Duration::from_secs(2);

/// Why another repository gave nothing. No text of it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteError {
    /// Nobody answers.
    Unreachable(String),
    /// It lets nobody in without, or with these, credentials.
    Refused(String),
    /// There is no repository.
    NoRepository(String),
    /// It has no such branch, tag or commit.
    NoRef(String),
    /// It may not be asked, and nothing is remembered.
    NotKnown(String),
    /// Git itself, or what is kept of the repository.
    Broken(String),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "it cannot be reached: {why}"),
            Self::Refused(why) => write!(f, "it refuses: {why}"),
            Self::NoRepository(why) => write!(f, "no repository is there: {why}"),
            Self::NoRef(what) => write!(f, "it has no {what}"),
            Self::NotKnown(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

impl RemoteError {
    /// The remedy.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "is the address right, and the network there?",
            Self::Refused(_) => {
                "git's credential helpers, the ssh agent and IMK_GIT_TOKEN_HOST (such as \
                 IMK_GIT_TOKEN_GIT_EXAMPLE_COM) are asked; `git ls-remote` with this address must work"
            }
            Self::NoRepository(_) => {
                "is the address right? Some hosts say so of what they do not show to everybody"
            }
            Self::NoRef(_) => "`git ls-remote` with this address shows what there is",
            Self::NotKnown(_) => "run imk once without --offline",
            Self::Broken(_) => "deleting .imk/git costs a fetch and nothing else",
        }
    }
}

/// Runs git for one repository.
pub(super) struct Program<'a> {
    pub environment: &'a BTreeMap<OsString, OsString>,
    pub url: &'a GitUrl,
    /// Where it runs.
    pub place: Place<'a>,
    /// How long it is waited for.
    pub patience: &'a Patience,
    /// The one who named the address.
    pub namer: Namer,
}

impl Program<'_> {
    /// Runs `git WORDS`, with each credential there is until one is let in; gives what it prints.
    pub fn run(&self, words: &[&str]) -> Result<String, RemoteError> {
        let variable = |name: &str| self.variable(name);
        let known = credentials(self.url, &variable);
        let mut refused: Option<RemoteError> = None;
        for credential in known.iter().map(Some).chain([None]) {
            match self.try_run(words, credential) {
                Err(RemoteError::Refused(why)) => {
                    // The first refusal is of what somebody chose for this host.
                    let from = credential.map(|it| format!(" (with what {} holds)", it.from));
                    let why = RemoteError::Refused(why + &from.unwrap_or_default());
                    refused.get_or_insert(why);
                }
                done => return done,
            }
        }
        let mut refused = refused.unwrap_or_else(|| RemoteError::Refused("it gives no reason".into()));
        if let (RemoteError::Refused(why), Some((before, now))) = (&mut refused, renamed(self.url, &variable))
        {
            let host = &self.url.host;
            why.push_str(&format!(
                "; {before} is not for `{host}`: its variable is {now}, with two underscores for a dash"
            ));
        }
        Err(refused)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(&OsString::from(name))?.to_str().map(str::to_owned)
    }

    fn try_run(&self, words: &[&str], credential: Option<&Credential>) -> Result<String, RemoteError> {
        let mut command = keep::git(self.place, self.environment);
        if self.namer == Namer::Checkout {
            let ways = keep::allowed_unasked(self.environment).into_iter().collect::<Vec<_>>().join(":");
            command.env("GIT_ALLOW_PROTOCOL", ways).env("GIT_PROTOCOL_FROM_USER", "0");
        }
        if let Some(credential) = credential {
            let place = self.url.address.split("://").next().unwrap_or_default();
            let helper = "!f() { test \"$1\" = get && \
                printf 'username=%s\\npassword=%s\\n' \"$IMK_GIT_USER\" \"$IMK_GIT_SECRET\"; }; f";
            // The empty one sends away the helpers before it.
            command.args(["-c", "credential.helper="]).arg("-c");
            command.arg(format!("credential.{place}://{}.helper={helper}", self.url.authority));
            command.env("IMK_GIT_USER", &credential.user).env("IMK_GIT_SECRET", &credential.secret);
        }
        command.args(words).stdout(Stdio::piped());
        if self.leaves_ssh_to_us() {
            command.env(
                "GIT_SSH_COMMAND",
                "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=10",
            );
        }
        let (ok, out, err) = self.finish(command)?;
        if ok {
            return Ok(String::from_utf8_lossy(&out).into_owned());
        }
        let mut said = String::from_utf8_lossy(&err).into_owned();
        let secrets = credential.map(|it| [it.secret.as_str(), it.user.as_str()]).unwrap_or_default();
        for secret in secrets.into_iter().filter(|secret| secret.len() > 3) {
            said = said.replace(secret, "***");
        }
        Err(meaning(&said))
    }

    /// True if nobody has said how git is to call ssh. Then we do, so that it asks for nothing.
    fn leaves_ssh_to_us(&self) -> bool {
        let set = |name: &str| self.environment.contains_key(&OsString::from(name));
        let configured = || {
            let config = git2::Config::open_default();
            config.is_ok_and(|config| config.get_string("core.sshcommand").is_ok())
        };
        !set("GIT_SSH_COMMAND") && !set("GIT_SSH") && !configured()
    }

    /// Runs to the end, or until patience does; whether it went well, and what it said.
    fn finish(&self, mut command: Command) -> Result<(bool, Vec<u8>, Vec<u8>), RemoteError> {
        let waiting = match (self.url.scheme, self.place) {
            (Scheme::Local, _) => None,
            (_, Place::Nowhere) => Some(self.patience.begin(&self.url.authority)),
            (_, Place::Kept(_) | Place::Checkout(_)) => {
                Some(self.patience.begin_long(&self.url.authority, PACKING))
            }
        };
        let waiting = waiting.transpose().map_err(RemoteError::Unreachable)?;
        let cannot = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => {
                RemoteError::Broken("the program `git` is not installed, and imk fetches with it".into())
            }
            _ => RemoteError::Broken(format!("git cannot be run: {error}")),
        };
        // A file, since a master connection of ssh that stays behind would keep a pipe open.
        let mut complaints = tempfile::tempfile().map_err(|error| {
            RemoteError::Broken(format!(
                "no temporary file can be made (TMPDIR names another place): {error}"
            ))
        })?;
        command.stderr(complaints.try_clone().map_err(cannot)?);
        let mut child = command.spawn().map_err(cannot)?;
        let (sender, done) = mpsc::channel();
        let pipe = child.stdout.take();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What could be read is as much as there is to know.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            let _ = sender.send(bytes);
        });
        let mut came = (0, 0);
        let out = loop {
            match done.recv_timeout(TICK) {
                Ok(out) => break out,
                Err(mpsc::RecvTimeoutError::Disconnected) => break Vec::new(),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            let Some(waiting) = &waiting else { continue };
            let comes = (complaints.metadata().map_or(0, |data| data.len()), self.packed());
            if comes != came {
                came = comes;
                waiting.heard();
            }
            if let Err(why) = waiting.check() {
                end(&mut child);
                return Err(RemoteError::Unreachable(why));
            }
        };
        let status = child.wait().map_err(cannot)?;
        let mut err = Vec::new();
        complaints.rewind().and_then(|()| complaints.read_to_end(&mut err)).map_err(cannot)?;
        Ok((status.success(), out, err))
    }

    /// Bytes that have arrived so far, of a pack that is on its way.
    fn packed(&self) -> u64 {
        let repository = match self.place {
            Place::Nowhere => None,
            Place::Kept(folder) => folder.path(),
            Place::Checkout(folder) => Some(folder.join(".git")),
        };
        let Some(repository) = repository else { return 0 };
        let Ok(files) = fs_err::read_dir(repository.join("objects/pack")) else { return 0 };
        files.flatten().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
    }
}

/// Ends git, which ends what it started unless it is killed outright.
fn end(child: &mut Child) {
    let asked = rustix::process::Pid::from_child(child);
    let _ = rustix::process::kill_process(asked, rustix::process::Signal::TERM);
    let until = Instant::now() + ENDING;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(TICK);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The meaning of git's complaint, by words it has used for many years.
fn meaning(said: &str) -> RemoteError {
    let lower = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let why = complaint(said);
    if has(&[
        "authentication failed",
        "could not read username",
        "could not read password",
        "permission denied (",
        "host key verification failed",
        "access denied",
        "returned error: 401",
        "returned error: 403",
    ]) {
        RemoteError::Refused(why)
    } else if has(&[
        "not found",
        "does not appear to be a git repository",
        "not a git repository",
        "returned error: 404",
        "does not exist",
    ]) {
        RemoteError::NoRepository(why)
    } else if has(&["not our ref", "remote ref", "shallow capabilities", "unadvertised object"]) {
        RemoteError::NoRef(why)
    } else if has(&["dubious ownership", "no space left", "read-only file system", "unable to create"]) {
        RemoteError::Broken(why)
    } else {
        RemoteError::Unreachable(why)
    }
}

/// The line that says most.
fn complaint(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let dull = |line: &&&str| {
        line.contains("Could not read from remote repository")
            || line.starts_with("Please make sure")
            || line.starts_with("and the repository exists")
            || line.starts_with("warning:")
    };
    let telling: Vec<&&str> = lines.iter().filter(|line| !dull(line)).collect();
    let fatal = telling.iter().find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    let line = fatal.or(telling.last()).map_or("git gives no reason", |line| **line);
    let line = line.trim_start_matches("fatal: ").trim_start_matches("error: ");
    line.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, expected: &str) {
        assert_eq!(meaning(said).to_string(), expected);
    }

    #[test]
    fn what_git_says_is_told_apart() {
        check(
            "fatal: unable to access 'https://h/r.git/': Could not resolve host: h\n",
            "it cannot be reached: unable to access 'https://h/r.git/': Could not resolve host: h",
        );
        check(
            "remote: Invalid credentials\nfatal: Authentication failed for 'https://h/r.git/'\n",
            "it refuses: Authentication failed for 'https://h/r.git/'",
        );
        check(
            "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n",
            "it refuses: git@h: Permission denied (publickey)",
        );
        check(
            "fatal: repository 'https://h/r.git/' not found\n",
            "no repository is there: repository 'https://h/r.git/' not found",
        );
        check("", "it cannot be reached: git gives no reason");
    }
}
