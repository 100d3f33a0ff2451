//! Why a command ended, as a value: how it exits, and what is wrong, where, because of what, and what to do next.
//!
//! An error of a room below meets its hint and its exit status here. Knows neither colours nor the width of a
//! screen: `draw` makes lines of it, once, when nothing more can be added.

pub mod draw;

use std::error::Error;
use std::fmt::Display;
use std::io;

use crate::cli::habits;
use crate::engine::EngineError;
use crate::model::error_chain::causes;
use crate::query::problem::Problem;
use crate::session::open::{OpenError, Session};
use crate::session::project::ProjectError;
use crate::session::select::Unknown;
use crate::session::sync::SyncError;
use crate::source::tree::ReadError;
use crate::syntax::error::Span;

/// A failure that ended the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process exits.
    pub exit: Exit,
    /// Errors to show, in this order; none when all was said already.
    pub findings: Vec<Finding>,
}

/// How the process exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As it was wanted.
    Done,
    /// Something is not up to date, and that was the question.
    NotUpToDate,
    /// Any error.
    Error,
    /// Somebody stopped it.
    Interrupted,
    /// As the command that was run in a container.
    Command(u8),
}

impl Exit {
    /// The status that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotUpToDate => 1,
            Self::Error => 2,
            Self::Interrupted => 130,
            Self::Command(status) => status,
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// The attempt and its object.
    pub message: String,
    /// Why it failed, and why that, as far as the message does not say it.
    pub causes: Vec<String>,
    /// The file that it is about.
    pub place: Option<Place>,
    /// The next step for the reader.
    pub hint: Option<String>,
}

/// The side that has to mend a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mistake in a file of the repository.
    Mistake,
    /// Trouble of the world, or of the command line.
    Trouble,
}

/// A file, and what of it a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Below the repository's root.
    pub path: String,
    /// The file's text and the span that is meant; `None` for a whole file, or one that cannot be read.
    pub excerpt: Option<(String, Span)>,
}

impl Finding {
    /// A failure without a cause below it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: Kind::Trouble, message: message.into(), causes: Vec::new(), place: None, hint: None }
    }

    /// An error with its causes.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        Self { causes: causes(error), ..Self::new(error.to_string()) }
    }

    /// Adds what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The message with its causes, in one line.
    pub fn sentence(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

impl Failure {
    /// An error.
    pub fn error(message: impl Into<String>) -> Self {
        Self::from(Finding::new(message))
    }

    /// An error with what to do next.
    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::from(Finding::new(message).hint(hint))
    }

    /// Nothing more to say.
    pub fn silent(exit: Exit) -> Self {
        Self { exit, findings: Vec::new() }
    }

    /// Mistakes in files, all together, each with the text of its file.
    pub fn problems<'a>(
        problems: impl IntoIterator<Item = &'a Problem>,
        text_of: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut told: Vec<&Problem> = Vec::new();
        for problem in problems {
            // One Dockerfile serves several images: its mistakes are told once.
            if !told.contains(&problem) {
                told.push(problem);
            }
        }
        Self {
            exit: Exit::Error,
            findings: told.into_iter().map(|problem| mistake(problem, &text_of)).collect(),
        }
    }

    /// Fails with these, or not at all when there is none.
    ///
    /// # Errors
    /// All of them.
    pub fn unless_none(findings: Vec<Finding>) -> Result<(), Self> {
        if findings.is_empty() { Ok(()) } else { Err(Self { exit: Exit::Error, findings }) }
    }

    /// This one and below it another; it exits as this one.
    pub fn and(mut self, below: Self) -> Self {
        self.findings.extend(below.findings);
        self
    }

    /// The first finding in one line; nothing when all was said already.
    pub fn title(&self) -> String {
        self.findings.first().map(Finding::sentence).unwrap_or_default()
    }

    /// No engine, or one that refuses.
    pub fn engine(error: &EngineError) -> Self {
        match error {
            EngineError::Interrupted => Self::silent(Exit::Interrupted),
            // A context or an address that is none: nothing can be started there.
            EngineError::Unreachable { tried, .. }
                if tried.starts_with('`') || tried.starts_with("docker context") =>
            {
                Self::from(Finding::of(error).hint("--engine or DOCKER_HOST names another, `--engine embedded` builds without"))
            }
            EngineError::Unreachable { .. } => Self::from(Finding::of(error).hint(
                "`sudo systemctl start docker` starts one, `--engine embedded` builds without; `imk plan` needs none",
            )),
            other => Self::from(Finding::of(other)),
        }
    }
}

impl From<Finding> for Failure {
    fn from(finding: Finding) -> Self {
        Self { exit: Exit::Error, findings: vec![finding] }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::from(Finding::of(&error))
    }
}

/// An error of the system that says itself what was attempted, and on what.
pub fn said(error: io::Error) -> Failure {
    Failure::from(Finding::of(&error))
}

/// A failure to do `what`, for an error of the system that does not say itself what was attempted.
pub fn cannot(what: impl Display) -> impl FnOnce(io::Error) -> Failure {
    let message = format!("cannot {what}");
    |error| Failure::from(Finding { causes: vec![error.to_string()], ..Finding::new(message) })
}

fn mistake(problem: &Problem, text_of: &impl Fn(&str) -> Option<String>) -> Finding {
    let excerpt = problem.span.and_then(|span| Some((text_of(&problem.path)?, span)));
    Finding {
        kind: Kind::Mistake,
        message: problem.message.clone(),
        causes: Vec::new(),
        place: (!problem.path.is_empty()).then(|| Place { path: problem.path.clone(), excerpt }),
        hint: problem.hint.clone(),
    }
}

/// A project that could not be opened, with the texts that `text_of` finds.
pub fn open_error(error: OpenError, text_of: impl Fn(&str) -> Option<String>) -> Failure {
    match error {
        OpenError::Project(ProjectError::Unreadable(error)) => error.into(),
        OpenError::Project(ProjectError::Mistakes(problems)) => Failure::problems(&problems, text_of),
        OpenError::Project(ProjectError::Nothing { root }) => Failure::with_hint(
            format!("there is neither an Imagefile.ron nor a Dockerfile in `{}` or above", root.display()),
            "write a Dockerfile, or name the place with -C DIR or -f FILE",
        ),
        OpenError::State { why, .. } if why.kind() == io::ErrorKind::Interrupted => {
            Failure::silent(Exit::Interrupted)
        }
        OpenError::State { path, why } => {
            let hint = match why.kind() {
                io::ErrorKind::StorageFull => "free some room on the disk",
                io::ErrorKind::PermissionDenied => "imk keeps its state there and must be able to write",
                _ => "imk keeps its state there; removing the folder costs time and nothing else",
            };
            Failure::with_hint(format!("imk's state in `{}`: {why}", path.display()), hint)
        }
    }
}

/// Targets that mean nothing, or an order that cannot be planned.
pub fn sync_error(error: SyncError, session: &Session, verbs: &[String]) -> Failure {
    match error {
        SyncError::Unknown(unknown) => unknown_words(&unknown, verbs),
        SyncError::Unlocked(problems) | SyncError::SharedTags(problems) => {
            Failure::problems(&problems, |path| session.text(path))
        }
    }
}

fn unknown_words(unknown: &[Unknown], verbs: &[String]) -> Failure {
    let finding = |Unknown { word, hint }: &Unknown| {
        let verb = crate::syntax::suggest::did_you_mean(word, verbs.iter().map(String::as_str));
        let verb = if verbs.contains(word) {
            Some(format!("`{word}` is a verb, and a verb comes first: `imk {word} …`"))
        } else {
            verb
        };
        let hint = hint
            .clone()
            .or_else(|| habits::word(word).map(str::to_owned))
            .or(verb)
            .unwrap_or_else(|| "`imk list` shows all of them".into());
        Finding::new(format!("there is no image `{word}`")).hint(hint)
    };
    Failure { exit: Exit::Error, findings: unknown.iter().map(finding).collect() }
}
