//! The words between a monitor and those who ask it: one length and one MessagePack value each.
//!
//! Bounded in both directions. Knows neither files nor sockets.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Raised when the words change: a monitor of another version is as good as none.
pub const VERSION: u32 = 1;
/// The longest message: a million folders with paths of 60 bytes.
const LONGEST: u32 = 64 * 1024 * 1024;

/// A moment of one monitor: which changes came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Tells this stretch of watching from every other: it ends with the process, and with each doubt in it.
    pub instance: [u8; 16],
    /// Number of the last change that came before.
    pub seq: u64,
    /// The system's clock then, in nanoseconds since 1970.
    pub at_ns: i64,
    /// Milliseconds of the monitor's life at the last look at all files.
    pub walked_ms: u64,
}

/// A folder by its device and inode.
pub type Identity = (u64, u64);

/// The asker's view of the machine, which must be the monitor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The repository's root.
    pub root: Identity,
    /// The mount namespace.
    pub namespace: Identity,
}

/// A question, or a wish.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Which folders changed since a token?
    Ask { version: u32, view: View, token: Option<Token> },
    /// Watch these folders too, and all above them.
    Watch { version: u32, view: View, folders: Vec<String> },
    /// How are you?
    Status,
    /// End.
    Stop,
}

/// The answer to a [`Request`].
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The token of now; `None` when anything may have changed since the asker's.
    Changed { token: Token, folders: Option<Vec<String>> },
    /// Folders that are not watched, of those that should be.
    Watching { instance: [u8; 16], refused: Vec<String> },
    /// See [`Status`].
    Status(Status),
    /// The monitor ends.
    Stopping,
    /// This asker gets no answer, and why.
    No(String),
}

/// The state of a monitor, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The root of its repository.
    pub root: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it was started.
    pub age_s: u64,
    /// Folders that it watches.
    pub folders: usize,
    /// Files that it watches each for itself.
    pub files: usize,
    /// Files that it looks at whenever it is asked.
    pub doubtful: usize,
    /// True if the system's limit leaves room to watch files as well.
    pub whole: bool,
    /// Changes that it heard of.
    pub changes: u64,
    /// Questions that it answered.
    pub questions: u64,
    /// How often it had to begin anew, and why the last time.
    pub resets: u64,
    /// The reason of the last new beginning.
    pub reset: Option<String>,
}

/// Sends a message.
///
/// # Errors
/// When it is too long or the other side is gone.
pub fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    to.write_all(&[&length.to_le_bytes()[..], &bytes].concat())?;
    to.flush()
}

/// Receives a message; `None` when the other side has no more to say.
///
/// # Errors
/// When it is none, or does not come.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other("the message is too long"));
    }
    let mut bytes = Vec::new();
    from.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() != length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    rmp_serde::from_slice(&bytes).map(Some).map_err(io::Error::other)
}
