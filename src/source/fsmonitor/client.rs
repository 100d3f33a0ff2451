//! The asker's side of the monitor.
//!
//! Every trouble is silence: whoever asked then looks for himself. Waits for an answer, and not for long.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::stat;
use super::server::namespace;
use super::socket::Place;
use super::wire::{self, Reply, Request, Status, Token, VERSION, View};

/// The longest wait for what changed.
const ANSWER: Duration = Duration::from_secs(2);
/// The longest wait until folders are watched.
const WATCH: Duration = Duration::from_secs(60);

/// The monitor of one repository.
pub struct Monitor {
    place: Place,
    view: View,
    /// It failed once: it is not asked any more.
    failed: AtomicBool,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The moment that the answer is of.
    pub token: Token,
    /// Folders that changed since the asker's moment; `None` when nobody knows.
    pub changed: Option<BTreeSet<String>>,
}

impl Monitor {
    /// The monitor of the repository at `root`, if somebody answers at its place.
    pub fn find(root: &Path, place: &Place) -> Option<Self> {
        place.connect()?;
        let root = fs_err::canonicalize(root).ok()?;
        let seen = stat::stat(rustix::fs::CWD, root.as_os_str().as_encoded_bytes()).ok()?;
        let view = View { root: (seen.dev, seen.ino), namespace: namespace()? };
        Some(Self { place: place.clone(), view, failed: AtomicBool::new(false) })
    }

    /// Which folders changed since a moment? `None` when the monitor does not answer.
    pub fn ask(&self, since: Option<Token>) -> Option<Told> {
        let request = Request::Ask { version: VERSION, view: self.view, token: since };
        match self.say(&request, ANSWER)? {
            Reply::Changed { token, folders } => {
                Some(Told { token, changed: folders.map(|folders| folders.into_iter().collect()) })
            }
            _ => None,
        }
    }

    /// Has folders watched from now on; returns those that are not. `None` when the monitor does not answer, or is
    /// another than the one that gave the token.
    pub fn watch(&self, token: Token, folders: Vec<String>) -> Option<BTreeSet<String>> {
        if folders.is_empty() {
            return Some(BTreeSet::new());
        }
        match self.say(&Request::Watch { version: VERSION, view: self.view, folders }, WATCH)? {
            Reply::Watching { instance, refused } if instance == token.instance => {
                Some(refused.into_iter().collect())
            }
            _ => None,
        }
    }

    /// Says something and hears the answer. Nobody keeps the monitor waiting while he looks at files.
    fn say(&self, request: &Request, patience: Duration) -> Option<Reply> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let reply =
            self.place.connect().and_then(|mut stream| exchange(&mut stream, request, patience).ok()?);
        if !matches!(reply, Some(Reply::Changed { .. } | Reply::Watching { .. })) {
            self.failed.store(true, Ordering::Relaxed);
        }
        reply
    }
}

/// How the monitor of a repository is; `None` when there is none.
///
/// # Errors
/// When it is there and does not say.
pub fn status(place: &Place) -> io::Result<Option<Status>> {
    let Some(mut stream) = place.connect() else { return Ok(None) };
    match exchange(&mut stream, &Request::Status, ANSWER)? {
        Some(Reply::Status(status)) => Ok(Some(status)),
        _ => Err(io::Error::other("it is of another version of imk")),
    }
}

/// Ends the monitor of a repository. False when there was none.
///
/// # Errors
/// When it is there and does not end.
pub fn request_stop(place: &Place) -> io::Result<bool> {
    let Some(mut stream) = place.connect() else { return Ok(false) };
    match exchange(&mut stream, &Request::Stop, ANSWER)? {
        Some(Reply::Stopping) => Ok(true),
        _ => Err(io::Error::other("it does not understand")),
    }
}

fn exchange(stream: &mut UnixStream, request: &Request, patience: Duration) -> io::Result<Option<Reply>> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    wire::send(stream, request)?;
    wire::receive(stream)
}
