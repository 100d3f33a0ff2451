//! Expectations of a file of container-structure-test. Data only.

use crate::syntax::error::Span;

/// A file of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// Variables of every container, in their order. A value may name variables of the image.
    pub env: Vec<(String, String)>,
    /// Options of the containers that commands run in.
    pub options: RunOptions,
    /// The tests, in the order in which that tool runs them.
    pub tests: Vec<StructureTest>,
    /// Places of what stands there and is not read, each with why.
    pub left_out: Vec<(Span, String)>,
}

/// Options of the containers that commands run in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// The user.
    pub user: Option<String>,
    /// They have a terminal.
    pub tty: bool,
    /// Variables of the caller that they get.
    pub env: Vec<String>,
    /// A file of variables, below the repository's root.
    pub env_file: Option<String>,
    /// Capabilities beside the engine's own.
    pub capabilities: Vec<String>,
}

/// A test of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructureTest {
    /// Its name.
    pub name: String,
    /// The line it begins at, from 1.
    pub line: usize,
    /// The expectation.
    pub check: Check,
}

/// The expectation of a test of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Of a command.
    Command(CommandTest),
    /// Of a path.
    Existence(Existence),
    /// Of a file's content: what it has, and what it has not. Patterns as `suite::pattern` takes them.
    Content { path: String, has: Vec<String>, lacks: Vec<String> },
    /// Of the configuration.
    Metadata(Metadata),
}

/// A command, without the image's entry point. Patterns are as `suite::pattern` takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandTest {
    /// Commands before it, each on what the last has left.
    pub setup: Vec<Vec<String>>,
    /// Its words. They may name variables of the image.
    pub command: Vec<String>,
    /// Its variables, in their order.
    pub env: Vec<(String, String)>,
    /// The status it ends with.
    pub status: i64,
    /// Patterns that its output has.
    pub out: Vec<String>,
    /// Patterns that its output has not.
    pub never_out: Vec<String>,
    /// Patterns that its standard error has.
    pub err: Vec<String>,
    /// Patterns that its standard error has not.
    pub never_err: Vec<String>,
}

/// A path that is there, or is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existence {
    /// The path. It may name variables of the image.
    pub path: String,
    /// Whether it is there.
    pub exists: bool,
    /// Its kind and permissions as Go writes them, such as `drwxr-xr-x`.
    pub permissions: Option<String>,
    /// The owner's number.
    pub uid: Option<u64>,
    /// The group's number.
    pub gid: Option<u64>,
    /// The bits of which one is set for somebody to execute it, with that somebody's name.
    pub executable_by: Option<(u32, String)>,
}

/// The configuration of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Variables with a pattern for the whole value.
    pub env: Vec<(String, String)>,
    /// Variables that are not there.
    pub unbound: Vec<String>,
    /// Labels with a pattern for the whole value.
    pub labels: Vec<(String, String)>,
    /// The entry point.
    pub entrypoint: Option<Vec<String>>,
    /// The command.
    pub cmd: Option<Vec<String>>,
    /// Exposed ports.
    pub ports: Vec<u16>,
    /// Ports that are not exposed.
    pub closed_ports: Vec<u16>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Paths that are no volumes.
    pub no_volumes: Vec<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// The user.
    pub user: Option<String>,
}
