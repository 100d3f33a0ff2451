//! The seam: an engine's containers as the rest of imk sees them, and the words for what goes in and comes out.
//!
//! Knows no engine of any kind. What is on an engine is an image or a container by its id or name.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};

use crate::engine::{Cancel, EngineError};
use crate::syntax::container::{Limits, Mount, Port};

/// Marks everything that imk makes on an engine beside images. Its value says for what.
pub const LABEL: &str = "imk.made-for";

/// A container's identity on its engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an engine's machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine: paths mean the same there.
    Here,
    /// Another machine, by its name or address.
    Elsewhere(String),
}

/// A container to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSpec {
    /// The image's id or reference.
    pub image: String,
    /// Its name; the engine's choice when `None`.
    pub name: Option<String>,
    /// The command, or the arguments of the entry point; the image's when `None`.
    pub command: Option<Vec<String>>,
    /// The entry point; the image's when `None`, and none when empty.
    pub entrypoint: Option<Vec<String>>,
    /// Variables, over those of the image.
    pub env: BTreeMap<String, String>,
    /// Mounts. Paths of the host are absolute.
    pub mounts: Vec<Mount>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// The working directory; the image's when `None`.
    pub workdir: Option<String>,
    /// `UID[:GID]` or a name of the image; the image's when `None`.
    pub user: Option<String>,
    /// Further groups of its processes.
    pub groups: Vec<String>,
    /// Its host name.
    pub hostname: Option<String>,
    /// `none`, `host`, `container:ID` or a network; the engine's default when `None`.
    pub network: Option<String>,
    /// Its names in that network, beside its own.
    pub aliases: Vec<String>,
    /// `NAME:ADDRESS` for its hosts file.
    pub hosts: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its share of the host.
    pub limits: Limits,
    /// A small init reaps its processes and hands signals on.
    pub init: bool,
    /// The engine removes it when it ends.
    pub remove: bool,
    /// It has a terminal.
    pub tty: bool,
    /// It has an open standard input.
    pub stdin: bool,
    /// The engine keeps nothing of its output: whoever is attached has it.
    pub keeps_no_log: bool,
    /// Its platform, such as `linux/arm64`; the engine's own when `None`.
    pub platform: Option<String>,
}

/// An image as containers are made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its id.
    pub id: String,
    /// Its configuration, as the engine has it: `User`, `Env`, `Cmd`, `Entrypoint`, `Labels` and so on.
    pub config: serde_json::Value,
    /// Bytes, as the engine counts them.
    pub size: u64,
}

impl ImageFacts {
    /// A list of texts in the configuration; empty when it is not there.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let list = self.config[key].as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

    /// A text in the configuration; empty when it is not there.
    pub fn text(&self, key: &str) -> &str {
        self.config[key].as_str().unwrap_or_default()
    }

    /// The variables in the configuration.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let pairs = self.texts("Env");
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The keys of a map in the configuration.
    pub fn keys(&self, key: &str) -> Vec<String> {
        self.config[key].as_object().into_iter().flat_map(|map| map.keys().cloned()).collect()
    }
}

/// Where output was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Standard output, or the terminal.
    Out,
    /// Standard error.
    Err,
}

/// A request to a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// A signal by its name without `SIG`.
    Signal(String),
    /// Rows and columns of its terminal.
    Resize(u16, u16),
    /// Leave it alone, running.
    Detach,
}

/// The caller's side of a container that is run in the foreground.
pub struct Conversation<'a> {
    /// Whether it has a terminal: then its output is one stream, as it comes.
    pub tty: bool,
    /// Whether the engine removes it when it ends.
    pub remove: bool,
    /// Is handed its output as it comes.
    pub output: &'a (dyn Fn(Channel, &[u8]) + Sync),
    /// Its input; the end of the channel is the end of the input. It has none when `None`.
    pub input: Option<Receiver<Bytes>>,
    /// Requests to it meanwhile.
    pub control: UnboundedReceiver<Control>,
}

/// How a container that was run in the foreground came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Exited(i64),
    /// It goes on; the caller left.
    Detached,
}

/// A command inside a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables, over those of the container.
    pub env: BTreeMap<String, String>,
    /// Its user; the container's when `None`.
    pub user: Option<String>,
    /// Bytes for its input, which stays open behind them; none when `None`.
    pub input: Option<Vec<u8>>,
}

/// The output of a command and its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The status it ended with.
    pub status: i64,
    /// Its standard output.
    pub out: Vec<u8>,
    /// Its standard error.
    pub err: Vec<u8>,
    /// It wrote more than is kept.
    pub is_cut: bool,
}

impl Output {
    /// Bytes of each channel that are kept.
    pub const MOST: usize = 8 << 20;

    /// Takes what was written to a channel, as far as there is room.
    pub fn take(&mut self, channel: Channel, bytes: &[u8]) {
        let kept = match channel {
            Channel::Out => &mut self.out,
            Channel::Err => &mut self.err,
        };
        let room = Self::MOST.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
        self.is_cut |= room < bytes.len();
    }
}

/// How long something may take.
#[derive(Clone, Debug)]
pub struct Limit {
    /// It is broken off then.
    pub until: Instant,
    /// It is broken off when this is set.
    pub cancel: Cancel,
}

impl Limit {
    /// Whether the time is over, or somebody asked to stop.
    pub fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || Instant::now() >= self.until
    }
}

/// A container as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// It runs.
    pub running: bool,
    /// The status it ended with.
    pub status: i64,
    /// `starting`, `healthy` or `unhealthy`; `None` when the image has no health check.
    pub health: Option<String>,
    /// Its address in its network.
    pub address: Option<String>,
    /// The ids of its networks.
    pub networks: Vec<String>,
    /// The host's port of each published TCP port.
    pub ports: BTreeMap<u16, u16>,
}

/// A file of a container, as an archive describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// `file`, `folder`, `link` or `other`.
    pub kind: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u64,
    /// The group's number.
    pub gid: u64,
    /// The target of a link.
    pub target: Option<String>,
}

/// Things of an engine that bear one label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// Containers by id, running or not, each with its labels.
    pub containers: Vec<(String, BTreeMap<String, String>)>,
    /// Networks by id.
    pub networks: Vec<(String, BTreeMap<String, String>)>,
    /// Volumes by name.
    pub volumes: Vec<(String, BTreeMap<String, String>)>,
    /// Images by id.
    pub images: Vec<(String, BTreeMap<String, String>)>,
}

/// The other side. Every method blocks its thread and may be called from many at once.
pub trait Containers: Send + Sync {
    /// Where the engine's machine is.
    fn reach(&self) -> Reach;

    /// An image; `None` when the engine has no such image.
    fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError>;

    /// Makes a container, which does not run yet.
    fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, EngineError>;

    /// Starts a container and leaves it alone.
    fn start(&self, container: &ContainerId) -> Result<(), EngineError>;

    /// Starts a container in the foreground and stays with it until it ends.
    fn converse(&self, container: &ContainerId, with: Conversation<'_>) -> Result<End, EngineError>;

    /// One file of a container, running or not: the whole of it, up to `most` bytes. `None` when it is not there, or is no file.
    fn file(&self, container: &ContainerId, path: &str, most: u64) -> Result<Option<Vec<u8>>, EngineError>;

    /// Puts the files of a tar archive into a folder of a container, running or not.
    fn put(&self, container: &ContainerId, folder: &str, archive: Vec<u8>) -> Result<(), EngineError>;

    /// Owner, mode and kind of a path of a container; `None` when nothing is there. A link is not followed.
    fn file_facts(&self, container: &ContainerId, path: &str) -> Result<Option<FileFacts>, EngineError>;

    /// How a container stands; `None` when there is none.
    fn state(&self, container: &ContainerId) -> Result<Option<State>, EngineError>;

    /// Its output so far, of both channels.
    fn logs(&self, container: &ContainerId) -> Result<Vec<u8>, EngineError>;

    /// Runs a command inside a running container. One that takes longer is left behind, and is an error.
    fn exec(&self, container: &ContainerId, exec: &Exec, limit: &Limit) -> Result<Output, EngineError>;

    /// Makes an image of a container as it is, with the container's labels, and returns its id. It has no name.
    fn commit(&self, container: &ContainerId) -> Result<String, EngineError>;

    /// Removes an image that [`Containers::commit`] made. No such image is no error.
    fn remove_image(&self, id: &str) -> Result<(), EngineError>;

    /// Makes a network of containers that know each other by name.
    fn create_network(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<(), EngineError>;

    /// Removes a network. No such network is no error.
    fn remove_network(&self, name: &str) -> Result<(), EngineError>;

    /// Makes a volume.
    fn create_volume(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<(), EngineError>;

    /// Removes a volume. No such volume is no error.
    fn remove_volume(&self, name: &str) -> Result<(), EngineError>;

    /// Everything that bears a label of this value.
    fn labelled(&self, label: &str, value: &str) -> Result<Labelled, EngineError>;

    /// Ends a container at once and removes it, with its anonymous volumes. No such container is no error.
    fn remove(&self, container: &ContainerId) -> Result<(), EngineError>;
}
