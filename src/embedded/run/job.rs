//! Jobs for a keeper. Values only: nothing here knows how.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::rung::Rung;

/// A task for a keeper.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task {
    /// Run a command.
    Run(Box<Job>),
    /// Remove a folder of the store.
    Remove(PathBuf),
    /// Try out what a command would need.
    Probe(PathBuf),
}

/// How a task ended.
#[derive(Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// The command ran to its end.
    Ran {
        /// Its exit status; 128 and more for a signal.
        status: i32,
        /// The layer of what it changed, by its diff id; none when it changed nothing or failed.
        layer: Option<String>,
    },
    /// It was tried.
    Tried {
        /// Why the store carries no overlay; none when it does, or is not there.
        overlay: Option<String>,
        /// Commands can be kept from sockets without a path.
        sockets: bool,
    },
    /// There is no more to say.
    Done,
    /// It could not be done.
    Trouble {
        /// The attempt.
        what: String,
        /// Why it failed.
        why: String,
    },
}

/// One command.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The image store.
    pub store: PathBuf,
    /// A draft of the store, for this command alone.
    pub work: PathBuf,
    /// How it is kept apart.
    pub rung: Rung,
    /// The layers of its root, the lowest first.
    pub layers: Vec<String>,
    /// The program and its words.
    pub words: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Where it begins.
    pub folder: String,
    /// The user that runs it.
    pub uid: u32,
    /// First group.
    pub gid: u32,
    /// Other groups.
    pub groups: Vec<u32>,
    /// Mounts over its root.
    pub mounts: Vec<Mount>,
    /// It sees this machine's network; else it has none.
    pub network: bool,
    /// It has all rights that this process has (`--security=insecure`).
    pub insecure: bool,
    /// Seconds since 1970 that what it writes bears, where that is older than the writing.
    pub time: u64,
    /// The text of `/etc/hosts`.
    pub hosts: String,
    /// The text of `/etc/resolv.conf`.
    pub resolv: String,
}

/// A mount over the root of a command.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Where, as the instruction says it.
    pub target: String,
    /// Its kind.
    pub kind: MountKind,
    /// The command cannot write to it.
    pub read_only: bool,
}

/// The kind of a mount over a root.
#[derive(Debug, Serialize, Deserialize)]
pub enum MountKind {
    /// A folder or file of a tree of layers; what is written to it is gone afterwards.
    Tree {
        /// The layers, the lowest first.
        layers: Vec<String>,
        /// A path in it without links.
        path: PathBuf,
    },
    /// A folder of the store that stays, made when it is not there.
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Layers and a path in them: its first content.
        from: Option<(Vec<String>, PathBuf)>,
        /// Permission bits of a new one.
        mode: Option<u32>,
        /// Owner of a new one.
        uid: u32,
        /// Group of a new one.
        gid: u32,
    },
    /// An empty folder in memory, of so many bytes at the most.
    Memory(Option<u64>),
    /// A file with this content.
    Secret {
        /// The content.
        value: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A socket of this machine, by way of one that stands for it.
    Socket {
        /// The socket.
        socket: PathBuf,
        /// Permission bits of the other.
        mode: u32,
        /// Owner of the other.
        uid: u32,
        /// Group of the other.
        gid: u32,
    },
}
