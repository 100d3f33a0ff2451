//! The words for what a Dockerfile says: stages, instructions and their parts, each with its place.
//!
//! Reads no text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::syntax::error::{Span, SyntaxError};

/// A text that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dockerfile {
    /// `# syntax=`: which frontend reads the file.
    pub syntax: Option<Word>,
    /// `# check=`: rules of BuildKit's linter. They change no image.
    pub check: Option<Word>,
    /// `# escape=`: `\` unless the file says `` ` ``.
    pub escape: char,
    /// `ARG`s before the first `FROM`.
    pub globals: Vec<Instruction>,
    /// In the order of the file; never empty unless [`Self::foreign`] is set.
    pub stages: Vec<Stage>,
    /// The whole text, when a frontend reads it that imk does not know.
    pub foreign: Option<String>,
    /// Things that work today and deserve a word.
    pub warnings: Vec<SyntaxError>,
}

impl Dockerfile {
    /// Whether some `ARG` declares an argument.
    pub fn declares(&self, argument: &str) -> bool {
        let all = self.globals.iter().chain(self.stages.iter().flat_map(|stage| &stage.instructions));
        all.filter_map(|instruction| match &instruction.body {
            Body::Arg(arguments) => Some(arguments),
            _ => None,
        })
        .flatten()
        .any(|declared| declared.name == argument)
    }
}

/// From one `FROM` to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The `FROM` instruction.
    pub span: Span,
    /// The base or stage that it builds on, before expansion.
    pub base: Word,
    /// Behind `AS`, in small letters as BuildKit keeps it.
    pub name: Option<Word>,
    /// `--platform`, before expansion.
    pub platform: Option<Word>,
    /// Its instructions.
    pub instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// From the keyword to the end, heredocs included.
    pub span: Span,
    /// Its body.
    pub body: Body,
}

/// A text and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Without quotes where the parser removes them, with line joins undone.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// The body of an instruction, before expansion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// `ADD`
    Add(Transfer),
    /// `ARG`
    Arg(Vec<Argument>),
    /// `CMD`
    Cmd(Command),
    /// `COPY`
    Copy(Transfer),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `ENV`
    Env(Vec<Pair>),
    /// `EXPOSE`
    Expose(Vec<Word>),
    /// `HEALTHCHECK`
    Healthcheck(Healthcheck),
    /// `LABEL`
    Label(Vec<Pair>),
    /// `MAINTAINER`
    Maintainer(String),
    /// `ONBUILD`: the trigger as BuildKit stores it in the image.
    Onbuild(String),
    /// `RUN`
    Run(Run),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    StopSignal(Word),
    /// `USER`
    User(Word),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `WORKDIR`
    Workdir(Word),
}

/// `NAME` or `NAME=value` of an `ARG`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Never expanded.
    pub name: String,
    /// The default, quotes included.
    pub value: Option<String>,
    /// The whole word.
    pub span: Span,
}

/// `key=value` of an `ENV` or `LABEL`, quotes included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Expanded too.
    pub key: String,
    /// Behind the first `=`, or behind the first blank in the old form.
    pub value: String,
    /// The whole word.
    pub span: Span,
}

/// A command: one text for a shell, or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Written as a JSON list.
    pub exec: bool,
    /// One text in the shell form.
    pub args: Vec<String>,
}

/// `RUN`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The command line, with `<<EOF` still in it.
    pub command: Command,
    /// The texts behind it.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`
    pub mounts: Vec<Mount>,
    /// `--network`; the default is left out.
    pub network: Option<String>,
    /// `--security`; the default is left out.
    pub security: Option<String>,
    /// `--device`
    pub devices: Vec<String>,
}

/// `COPY` or `ADD`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Files, folders, URLs.
    pub sources: Vec<Word>,
    /// Heredocs, with the names of the files they become.
    pub contents: Vec<Heredoc>,
    /// The last word.
    pub destination: String,
    /// `--from`
    pub from: Option<Word>,
    /// `--chown`
    pub chown: Option<String>,
    /// `--chmod`
    pub chmod: Option<String>,
    /// `--checksum`
    pub checksum: Option<String>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--keep-git-dir`
    pub keep_git_dir: Option<bool>,
    /// `--unpack`
    pub unpack: Option<bool>,
    /// `--exclude`; never expanded.
    pub exclude: Vec<String>,
}

/// `HEALTHCHECK`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Healthcheck {
    /// `NONE`
    None,
    /// `CMD`
    Command {
        /// The command.
        command: Command,
        /// `interval`, `timeout` and so on, in nanoseconds; `retries` as a number. No zeros.
        options: BTreeMap<String, i64>,
    },
}

/// Which frontend a `# syntax=` names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frontend {
    /// Docker's own, in whatever version.
    Builtin,
    /// Another image, which may read anything.
    Unknown(String),
}

impl Frontend {
    /// Is this Docker's own frontend?
    pub fn of(syntax: &str) -> Self {
        match crate::syntax::reference::parse(syntax).map(|reference| reference.name()).as_deref() {
            Ok("docker.io/docker/dockerfile" | "docker.io/docker/dockerfile-upstream") => Self::Builtin,
            _ => Self::Unknown(syntax.to_owned()),
        }
    }
}

/// Every keyword, for messages.
pub const KEYWORDS: [&str; 18] = [
    "FROM",
    "RUN",
    "COPY",
    "ADD",
    "ARG",
    "ENV",
    "WORKDIR",
    "USER",
    "CMD",
    "ENTRYPOINT",
    "EXPOSE",
    "LABEL",
    "VOLUME",
    "HEALTHCHECK",
    "SHELL",
    "STOPSIGNAL",
    "ONBUILD",
    "MAINTAINER",
];

/// A text inside a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heredoc {
    /// The word that ends it, and the name of the file that `COPY` makes of it.
    pub name: String,
    /// `<<-`: tabs at the beginning of lines do not count.
    pub chomp: bool,
    /// The name is not quoted, so that variables in the content count (`COPY` and `ADD`).
    pub expand: bool,
    /// Everything up to the name, as written.
    pub content: String,
}

impl Heredoc {
    /// The content without leading tabs, if `<<-` asks for that.
    pub fn chomped(&self) -> String {
        match self.chomp {
            true => self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect(),
            false => self.content.clone(),
        }
    }
}

/// One mount, before expansion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// In the order they are written.
    pub fields: Vec<MountField>,
    /// The last `from`, which no variable can change.
    pub from: Option<Word>,
    /// The whole value.
    pub whole: Word,
}

/// `key=value`, or a key alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountField {
    /// In small letters, and one name for each thing: `source`, `target`, `readonly`.
    pub key: String,
    /// `readonly` may stand alone.
    pub value: Option<String>,
    /// The place of the value.
    pub at: Word,
}

/// The types of mounts.
pub const MOUNT_TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
