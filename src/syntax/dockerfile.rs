//! A Dockerfile: text in, stages and instructions out, with the place of every word.
//!
//! Follows BuildKit's `frontend/dockerfile/parser` and `instructions`. All
//! mistakes are reported together. Expands no variables and decides nothing
//! about stages: that is `resolve.rs`.

mod flags;
mod healthcheck;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod transfer;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::lines::{Directives, Lines, Logical};
use super::error::{Span, SyntaxError};
use super::{suggest, text};

pub use self::heredoc::{Heredoc, of_word as heredoc_of};
pub use self::mount::{MOUNT_TYPES, Mount, MountField};

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

/// From one `FROM` to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The `FROM` instruction.
    pub span: Span,
    /// What it builds on, before expansion.
    pub base: Word,
    /// Behind `AS`, in small letters as BuildKit keeps it.
    pub name: Option<Word>,
    /// `--platform`, before expansion.
    pub platform: Option<Word>,
    /// What follows.
    pub instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// From the keyword to the end, heredocs included.
    pub span: Span,
    /// What it says.
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

/// What an instruction says, before expansion.
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
        /// What is run.
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
        match super::reference::parse(syntax).map(|reference| reference.name()).as_deref() {
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

const NO_FROM: &str = "a Dockerfile needs a FROM; imk does not send one without to the engine";

/// Reads a Dockerfile. Every mistake is reported.
///
/// # Errors
/// Every mistake in the text, in the order of their places.
///
/// # Examples
///
/// ```
/// use imk::syntax::dockerfile::parse;
///
/// let file = parse("FROM alpine AS build\nRUN make\n\nFROM scratch\nCOPY --from=build /app /app\n")
///     .expect("no mistakes");
/// assert_eq!(file.stages.len(), 2);
/// assert_eq!(file.stages[1].instructions.len(), 1);
///
/// // imk sends no Dockerfile without a FROM to an engine.
/// assert!(parse("RUN make\n").is_err());
/// ```
pub fn parse(text: &str) -> Result<Dockerfile, Vec<SyntaxError>> {
    let syntax = lines::detect_syntax(text);
    let foreign = syntax.as_ref().is_some_and(|syntax| Frontend::of(&syntax.text) != Frontend::Builtin);
    let mut reader = FileReader::default();
    let directives = reader.read(text);
    let mut file = Dockerfile {
        syntax,
        check: directives.check,
        escape: directives.escape,
        globals: reader.globals,
        stages: reader.stages,
        foreign: None,
        warnings: reader.warnings,
    };
    if foreign {
        // Whatever that frontend reads, it need not be a Dockerfile.
        if !reader.errors.is_empty() {
            file.globals.clear();
            file.stages.clear();
            file.warnings.clear();
        }
        file.foreign = Some(text.to_owned());
        return Ok(file);
    }
    if reader.errors.is_empty() { Ok(file) } else { Err(reader.errors) }
}

/// Reads a trigger that an image carries from an `ONBUILD`. Spans lie in the trigger.
pub fn parse_trigger(trigger: &str) -> Result<Instruction, SyntaxError> {
    let mut lines = Lines::new(trigger);
    let one = "an ONBUILD trigger must be a single instruction";
    let Some(line) = lines.next_logical() else {
        return Err(SyntaxError::new(Span::default(), one));
    };
    let mut errors = Vec::new();
    let parsed = instruction::parse(&line, 0, &mut lines, &mut errors);
    errors.append(&mut lines.errors);
    match (parsed, errors.into_iter().next()) {
        (_, Some(error)) => Err(error),
        (Some(instruction::Parsed::Instruction(found)), None) => match lines.next_logical() {
            None => Ok(found),
            Some(_) => Err(SyntaxError::new(line.whole(), one)),
        },
        (_, None) => Err(SyntaxError::new(line.whole(), "FROM is not allowed as an ONBUILD trigger")),
    }
}

#[derive(Default)]
struct FileReader {
    globals: Vec<Instruction>,
    stages: Vec<Stage>,
    warnings: Vec<SyntaxError>,
    errors: Vec<SyntaxError>,
    names: BTreeMap<String, Span>,
    /// The keyword of the first instruction that stands before any `FROM`.
    too_early: Option<SyntaxError>,
    /// A `FROM` was there, sound or not.
    saw_from: bool,
}

impl FileReader {
    fn read(&mut self, text: &str) -> Directives {
        let mut lines = Lines::new(text);
        let mut empty = true;
        while let Some(line) = lines.next_logical() {
            empty = false;
            if line.blank_inside {
                let note = SyntaxError::new(line.whole(), "an empty line inside a continued instruction");
                self.warnings.push(note.hint("remove it, or put a `#` there"));
            }
            // A mistyped `FROM` is reported as such, and not as a missing one.
            self.saw_from = self.saw_from || suggest::nearest(line.keyword(), KEYWORDS) == Some("FROM");
            match instruction::parse(&line, 0, &mut lines, &mut self.errors) {
                Some(instruction::Parsed::From(stage)) => self.open(stage),
                Some(instruction::Parsed::Instruction(found)) => self.place(found, &line),
                None => {}
            }
        }
        self.errors.append(&mut lines.errors);
        if !self.saw_from {
            let message = match empty {
                true => "the Dockerfile is empty",
                false => NO_FROM,
            };
            let error = SyntaxError::new(Span::first_of(text), message);
            self.errors.push(error.hint("start with `FROM scratch`, or with the image to build on"));
        } else if let Some(error) = self.too_early.take() {
            self.errors.push(error);
        }
        self.errors.sort_by_key(|error| error.span);
        lines.directives
    }

    fn open(&mut self, stage: Stage) {
        if let Some(name) = &stage.name {
            if self.names.insert(name.text.clone(), name.span).is_some() {
                let message = format!("there are two stages named {}", text::quoted(&name.text));
                self.errors.push(SyntaxError::new(name.span, message).hint("give one of them another name"));
            }
            if matches!(name.text.as_str(), "scratch" | "context") {
                let message = format!("`{}` is a reserved word and a bad name for a stage", name.text);
                self.warnings.push(SyntaxError::new(name.span, message));
            }
        }
        self.stages.push(stage);
    }

    fn place(&mut self, found: Instruction, line: &Logical<'_>) {
        match (self.stages.last_mut(), &found.body) {
            (Some(stage), _) => stage.instructions.push(found),
            // A broken `FROM` was reported already; what follows belongs to it.
            (None, _) if self.saw_from => {}
            (None, Body::Arg(_)) => self.globals.push(found),
            (None, _) => {
                self.too_early.get_or_insert_with(|| {
                    let keyword = line.keyword().to_ascii_uppercase();
                    SyntaxError::new(line.keyword_span(), format!("{keyword} stands before the first FROM"))
                        .hint("only ARG may come before it")
                });
            }
        }
    }
}

#[cfg(test)]
#[path = "dockerfile_tests.rs"]
mod tests;
