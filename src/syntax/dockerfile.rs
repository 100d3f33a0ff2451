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
mod parts;
mod transfer;
mod tree;
mod words;

use std::collections::BTreeMap;

use self::lines::{Directives, Lines, Logical};
use super::error::{Span, SyntaxError};
use super::{suggest, text};

pub use self::heredoc::of_word as heredoc_of;
pub use self::tree::{
    Argument, Body, Command, Dockerfile, Frontend, Healthcheck, Heredoc, Instruction, KEYWORDS, MOUNT_TYPES,
    Mount, MountField, Pair, Run, Stage, Transfer, Word,
};

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
                let message = format!(
                    "there are two stages named {}: words below mean the later one, and so does a target",
                    text::quoted(&name.text)
                );
                self.warnings.push(SyntaxError::new(name.span, message));
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
