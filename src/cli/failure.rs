//! Where an error meets its hint, its excerpt and its exit code.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::cli::out::Drawn;
use crate::cli::{ci, quote};
use crate::engine::EngineError;
use crate::query::problem::Problem;
use crate::session::open::{OpenError, Session};
use crate::session::project::ProjectError;
use crate::session::select::Unknown;
use crate::session::sync::SyncError;
use crate::source::tree::ReadError;
use crate::syntax::git_source::masked;

/// Something ended the command. What there was to say has a text; the code is
/// what the process exits with.
#[derive(Debug)]
pub struct Failure {
    /// Whole lines for standard error; may be empty when all was said already.
    pub text: Drawn,
    /// 1 only for "not up to date", 2 for any error, 130 when interrupted.
    pub code: u8,
}

impl Failure {
    /// An error.
    pub fn error(message: impl AsRef<str>) -> Self {
        Self { text: titled(message.as_ref(), None), code: 2 }
    }

    /// An error with what to do next.
    pub fn with_hint(message: impl AsRef<str>, hint: impl AsRef<str>) -> Self {
        Self { text: titled(message.as_ref(), Some(hint.as_ref())), code: 2 }
    }

    /// Nothing more to say.
    pub fn silent(code: u8) -> Self {
        Self { text: Drawn::default(), code }
    }

    /// Mistakes in files, all together, each with its line quoted.
    pub fn problems<'a>(
        problems: impl IntoIterator<Item = &'a Problem>,
        text_of: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut text = String::new();
        let mut told: Vec<&Problem> = Vec::new();
        for problem in problems {
            // One Dockerfile serves several images: its mistakes are told once.
            if !told.contains(&problem) {
                told.push(problem);
                text.push_str(&excerpt(problem, &text_of));
            }
        }
        if told.len() > 1 {
            let _ = writeln!(text, "{} mistakes; nothing was built", told.len());
        }
        Self { text: Drawn::quoted_already(text), code: 2 }
    }

    /// This one's text and below it another's; this one's code.
    pub fn and(mut self, below: &Self) -> Self {
        self.text.push(&below.text);
        self
    }

    /// No engine, or one that refuses.
    pub fn engine(error: &EngineError) -> Self {
        match error {
            EngineError::Interrupted => Self::silent(130),
            EngineError::Unreachable { .. } => Self::with_hint(
                error.to_string(),
                "`sudo systemctl start docker` starts one, `--engine embedded` builds without; `imk plan` needs none",
            ),
            other => Self::error(other.to_string()),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::error(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::error(error.to_string())
    }
}

/// A project that could not be opened, drawn with the texts that `text_of` finds.
pub fn open_error(error: OpenError, text_of: impl Fn(&str) -> Option<String>) -> Failure {
    match error {
        OpenError::Project(ProjectError::Unreadable(error)) => error.into(),
        OpenError::Project(ProjectError::Mistakes(problems)) => Failure::problems(&problems, text_of),
        OpenError::Project(ProjectError::Nothing { root }) => Failure::with_hint(
            format!("there is neither an Imagefile.ron nor a Dockerfile in `{}` or above", root.display()),
            "write a Dockerfile, or name the place with -C DIR or -f FILE",
        ),
        OpenError::State { why, .. } if why.kind() == std::io::ErrorKind::Interrupted => Failure::silent(130),
        OpenError::State { path, why } => {
            let hint = match why.kind() {
                std::io::ErrorKind::StorageFull => "free some room on the disk",
                std::io::ErrorKind::PermissionDenied => "imk keeps its state there and must be able to write",
                _ => "imk keeps its state there; removing the folder costs time and nothing else",
            };
            Failure::with_hint(format!("imk's state in `{}`: {why}", path.display()), hint)
        }
    }
}

/// Targets that mean nothing, or images built on each other.
pub fn sync_error(error: SyncError, session: &Session, verbs: &[String]) -> Failure {
    match error {
        SyncError::Unknown(unknown) => unknown_words(&unknown, verbs),
        SyncError::Cycles(problems) | SyncError::Unlocked(problems) | SyncError::SharedTags(problems) => {
            Failure::problems(&problems, |path| session.text(path))
        }
    }
}

fn unknown_words(unknown: &[Unknown], verbs: &[String]) -> Failure {
    let mut text = Drawn::default();
    for Unknown { word, hint } in unknown {
        let verb = crate::syntax::suggest::did_you_mean(word, verbs.iter().map(String::as_str));
        let verb = if verbs.contains(word) {
            Some(format!("`{word}` is a verb, and a verb comes first: `imk {word} …`"))
        } else {
            verb
        };
        let hint = hint.clone().or(verb).unwrap_or_else(|| "`imk list` shows all of them".into());
        text.push(&titled(&format!("there is no image `{word}`"), Some(&hint)));
    }
    Failure { text, code: 2 }
}

fn titled(message: &str, hint: Option<&str>) -> Drawn {
    let (message, hint) = (quote::line(message), hint.map(quote::line));
    let mut group = Group::with_title(Level::ERROR.primary_title(message));
    if let Some(hint) = &hint {
        group = group.element(Level::HELP.message(hint));
    }
    // A list of one group draws the hint below the title, as compilers do.
    Drawn::quoted_already(format!("{}\n", Renderer::styled().render(&[group])))
}

fn excerpt(problem: &Problem, text_of: &impl Fn(&str) -> Option<String>) -> String {
    // A password in an address must not reach a log by way of an excerpt.
    let text = problem.span.and_then(|span| Some((span, masked(&text_of(&problem.path)?))));
    let (message, path) = (quote::line(&problem.message), quote::line(&problem.path));
    let hint = problem.hint.as_deref().map(quote::line);
    let mut group = Group::with_title(Level::ERROR.primary_title(message.as_str()));
    let shown = text.as_ref().map(|(span, text)| {
        let start = floor(text, span.start);
        quote::excerpt(text, start..floor(text, span.end.max(span.start)).max(start))
    });
    if let Some((text, span)) = &shown {
        let (start, end) = (span.start, span.end);
        // A span over several lines is drawn by its first.
        let end = text[start..end].find('\n').map_or(end, |line| start + line);
        let snippet = Snippet::source(text.as_str())
            .path(path.as_str())
            .annotation(AnnotationKind::Primary.span(start..end));
        group = group.element(snippet);
    } else if !problem.path.is_empty() {
        group = group.element(annotate_snippets::Origin::path(path.as_str()));
    }
    if let Some(hint) = &hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let place = text.as_ref().map(|(span, text)| span.line_and_column(text));
    let place = place.map(|(line, column)| (line, Some(column)));
    let annotation = ci::annotation(&problem.path, place, &problem.message);
    format!("{}\n{}", Renderer::styled().render(&[group]), annotation.as_str())
}

/// The nearest character boundary at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
