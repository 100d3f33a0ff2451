//! An instruction taken apart: keyword, flags, rest and heredocs.
//!
//! Knows what all instructions share, and no single one.

use super::flags::{self, Flags, Raw, Takes};
use super::lines::{Logical, is_blank};
use super::words::{self, Json, Slice};
use super::{Command, Heredoc, Word};
use crate::syntax::error::{Span, SyntaxError};

pub type Errors = Vec<SyntaxError>;

/// An instruction in its parts.
pub struct Parts<'l> {
    pub line: &'l Logical<'l>,
    pub keyword: String,
    pub keyword_span: Span,
    pub flags: Vec<Raw>,
    pub rest: Slice<'l>,
    pub heredocs: Vec<Heredoc>,
}

pub fn split<'l>(line: &'l Logical<'l>, at: usize) -> Parts<'l> {
    let whole = Slice { at, text: &line.text[at..] }.trim();
    let length = whole.text.find(is_blank).unwrap_or(whole.text.len());
    let (flags, rest) = flags::take(whole.behind(length), line);
    Parts {
        line,
        keyword: whole.text[..length].to_ascii_uppercase(),
        keyword_span: line.span(whole.at, whole.at + length),
        flags,
        rest: rest.trim(),
        heredocs: Vec::new(),
    }
}

impl Parts<'_> {
    pub fn flags(&mut self, known: &[(&'static str, Takes)], errors: &mut Errors) -> Flags {
        Flags::read(std::mem::take(&mut self.flags), known, &self.keyword, errors)
    }

    pub fn missing(&self, what: &str, errors: &mut Errors) {
        errors.push(SyntaxError::new(self.keyword_span, format!("{} needs {what}", self.keyword)));
    }

    pub fn single(&mut self, what: &str, errors: &mut Errors) -> Option<Word> {
        self.flags(&[], errors);
        if self.rest.text.is_empty() {
            self.missing(what, errors);
            return None;
        }
        Some(self.rest.word(self.line))
    }

    /// A JSON list, or one text for a shell.
    pub fn command(&self, errors: &mut Errors) -> Option<Command> {
        match words::json(self.rest) {
            Json::List(list) => {
                Some(Command { exec: true, args: list.into_iter().map(|(text, _, _)| text).collect() })
            }
            Json::NotTexts => {
                self.not_texts(errors);
                None
            }
            Json::Shell if self.rest.text.is_empty() => Some(Command { exec: false, args: Vec::new() }),
            Json::Shell => Some(Command { exec: false, args: vec![self.rest.text.to_owned()] }),
        }
    }

    pub fn plain_command(&mut self, errors: &mut Errors) -> Option<Command> {
        self.flags(&[], errors);
        self.command(errors)
    }

    pub fn not_texts(&self, errors: &mut Errors) {
        let span = self.rest.word(self.line).span;
        let error = SyntaxError::new(span, format!("the list of {} may hold texts only", self.keyword));
        errors.push(error.hint("put every entry in double quotes"));
    }

    /// A JSON list or words between blanks.
    pub fn list(&self, errors: &mut Errors) -> Option<Vec<Word>> {
        match words::json(self.rest) {
            Json::List(list) => Some(
                list.into_iter()
                    .map(|(text, start, end)| Word { text, span: self.line.span(start, end) })
                    .collect(),
            ),
            Json::NotTexts => {
                self.not_texts(errors);
                None
            }
            Json::Shell => {
                Some(words::blank_delimited(self.rest).iter().map(|word| word.word(self.line)).collect())
            }
        }
    }
}
