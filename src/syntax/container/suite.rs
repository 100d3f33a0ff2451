//! A test of an image: what is started, what is done, what is expected. Data only.
//!
//! The definition is serialized as it is into the key of a receipt: what stands here counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A test: steps in sequence, with what they need around them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// Variables of every container of the image.
    pub env: BTreeMap<String, String>,
    /// Fresh volumes of this test by name, and where each is mounted. They outlive the container, not the test.
    pub volumes: BTreeMap<String, String>,
    /// Ports that are published on free ports of the engine's machine, for scripts on the host.
    pub ports: Vec<u16>,
    /// Other images that run beside it, by the name they have in the test's network.
    pub services: BTreeMap<String, Service>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Files of the repository that count beside the scripts.
    pub files: Vec<String>,
    /// Milliseconds that one try may take.
    pub timeout: Option<u64>,
    /// Tries before it counts as failed.
    pub tries: Option<u32>,
    /// Seconds after which a pass is no pass any more.
    pub max_age: Option<u64>,
    /// An image with a shell and `nc`, for probes of an image that has none.
    pub probe: Option<String>,
}

/// An image that runs beside the one under test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// An image of the repository, or a reference.
    pub image: String,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Its command; the image's when `None`.
    pub command: Option<Vec<String>>,
    /// The port that shows that it is ready, when it has no health check.
    pub ready: Option<u16>,
}

/// A step of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A container of the image is started, and is ready.
    Start { env: BTreeMap<String, String>, command: Option<Vec<String>>, ready: Option<u16> },
    /// That container is stopped and removed.
    Stop,
    /// A command in a container of its own.
    Run(Command),
    /// A command in the started container.
    Exec(Command),
    /// A port of the started container listens, or does not.
    Port { port: u16, open: bool },
    /// A request to the started container.
    Http { port: u16, path: String, status: u16, body: Vec<String> },
    /// A file of the image; of the started container, when there is one.
    File(File),
    /// The image's configuration.
    Image(Image),
    /// The tests of a file of container-structure-test.
    Structure { file: String },
    /// A script of the repository: on this machine, or in another image on the test's network.
    Script { file: String, args: Vec<String>, inside: Option<String>, status: i64, out: Vec<String> },
}

/// A command and what is expected of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The words.
    pub command: Vec<String>,
    /// The entry point; the image's when `None`, none when empty.
    pub entrypoint: Option<Vec<String>>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Its user.
    pub user: Option<String>,
    /// The status that it must end with.
    pub status: i64,
    /// Patterns that its standard output must have.
    pub out: Vec<String>,
    /// Patterns that its standard error must have.
    pub err: Vec<String>,
    /// Patterns that neither may have.
    pub never: Vec<String>,
}

/// A file and what is expected of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Absolute.
    pub path: String,
    /// Whether it is there.
    pub exists: bool,
    /// `USER[:GROUP]`, names of the image or numbers.
    pub owner: Option<String>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Patterns that its content must have.
    pub content: Vec<String>,
    /// Patterns that its content may not have.
    pub never: Vec<String>,
}

/// An image's configuration and what is expected of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Variables with a pattern for each whole value.
    pub env: BTreeMap<String, String>,
    /// The user.
    pub user: Option<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// The entry point.
    pub entrypoint: Option<Vec<String>>,
    /// The command.
    pub cmd: Option<Vec<String>>,
    /// Labels with a pattern for each whole value.
    pub labels: BTreeMap<String, String>,
    /// Ports that it exposes.
    pub ports: Vec<u16>,
    /// Ports that it does not expose.
    pub closed_ports: Vec<u16>,
    /// Its volumes.
    pub volumes: Vec<String>,
    /// Bytes that it must be below.
    pub size_below: Option<u64>,
    /// There is no shell in it.
    pub no_shell: bool,
}

impl Test {
    /// The images that it starts beside the one under test: names of the repository or references.
    pub fn images(&self) -> Vec<&str> {
        let services = self.services.values().map(|service| service.image.as_str());
        let scripts = self.steps.iter().filter_map(|step| match step {
            Step::Script { inside, .. } => inside.as_deref(),
            _ => None,
        });
        services.chain(scripts).chain(self.probe.as_deref()).collect()
    }

    /// The files of the repository that it reads.
    pub fn used_files(&self) -> Vec<&str> {
        let scripts = self.steps.iter().filter_map(|step| match step {
            Step::Script { file, .. } | Step::Structure { file } => Some(file.as_str()),
            _ => None,
        });
        self.files.iter().map(String::as_str).chain(scripts).collect()
    }

    /// Whether it runs a program of this machine, which no key can stand for.
    pub fn uses_the_host(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Script { inside: None, .. }))
    }
}

/// A pattern of a test.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(text).multi_line(true).size_limit(1 << 20).build().map_err(|error| {
        let text = error.to_string();
        format!("no pattern: {}", text.lines().last().unwrap_or_default().trim_start_matches("error: "))
    })
}
