//! `--flags` between the keyword and the rest.
//!
//! Follows `extractBuilderFlags` and `BFlags.Parse`. Which flags an instruction
//! has is said by the caller.

use std::collections::BTreeMap;

use super::Word;
use super::lines::Logical;
use super::words::Slice;
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::{suggest, text};

/// The value that a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, or `true` or `false`.
    Bool,
    /// A text, once.
    Text,
    /// A text, any number of times.
    Texts,
}

/// One flag as written, without quotes and escapes.
pub struct Raw {
    text: String,
    /// For each byte of the text its place in the logical line.
    places: Vec<usize>,
    span: Span,
}

/// Flags that were given.
#[derive(Default)]
pub struct Flags {
    given: BTreeMap<&'static str, Vec<Value>>,
}

/// The value of a flag, with the place of every byte: a mount's `from` needs it.
pub struct Value {
    pub text: String,
    places: Vec<usize>,
    span: Span,
}

impl Value {
    /// The place of a part of the value.
    pub fn span(&self, line: &Logical<'_>, start: usize, end: usize) -> Span {
        match (self.places.get(start), end.checked_sub(1).and_then(|last| self.places.get(last))) {
            (Some(first), Some(last)) if end > start => line.span(*first, last + 1),
            _ => self.span,
        }
    }

    pub fn word(&self, line: &Logical<'_>) -> Word {
        Word { text: self.text.clone(), span: self.span(line, 0, self.text.len()) }
    }
}

/// Takes the flags off the front; what is left is the rest.
pub fn take<'l>(rest: Slice<'l>, line: &Logical<'_>) -> (Vec<Raw>, Slice<'l>) {
    let (mut flags, mut current) = (Vec::new(), Builder::default());
    let mut chars = rest.text.char_indices();
    while let Some((at, c)) = chars.next() {
        if !current.begun {
            if c.is_whitespace() {
                continue;
            }
            if !rest.text[at..].starts_with("--") {
                return (flags, rest.behind(at));
            }
            current.begun = true;
        }
        match current.quote {
            None if c.is_whitespace() => {
                // `--` alone ends the flags.
                if current.text == "--" {
                    return (flags, rest.behind(at));
                }
                flags.extend(std::mem::take(&mut current).finish(line));
            }
            None if c == '\'' || c == '"' => {
                current.quote = Some(c);
                current.blank_ok = true;
            }
            Some(open) if open == c => current.quote = None,
            _ if c == line.escape => match chars.next() {
                Some((at, c)) => current.push(c, rest.at + at),
                None => break,
            },
            _ => current.push(c, rest.at + at),
        }
    }
    if current.text != "--" {
        flags.extend(current.finish(line));
    }
    (flags, rest.behind(rest.text.len()))
}

#[derive(Default)]
struct Builder {
    begun: bool,
    quote: Option<char>,
    blank_ok: bool,
    text: String,
    places: Vec<usize>,
}

impl Builder {
    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.places.extend(at..at + c.len_utf8());
    }

    fn finish(self, line: &Logical<'_>) -> Option<Raw> {
        if self.text.is_empty() && !self.blank_ok {
            return None;
        }
        let span = match (self.places.first(), self.places.last()) {
            (Some(first), Some(last)) => line.span(*first, last + 1),
            _ => line.keyword_span(),
        };
        Some(Raw { text: self.text, places: self.places, span })
    }
}

impl Flags {
    /// Sorts the flags by what the instruction knows. Everything unknown is reported.
    pub fn read(
        raw: Vec<Raw>,
        known: &[(&'static str, Takes)],
        keyword: &str,
        errors: &mut Vec<SyntaxError>,
    ) -> Self {
        let mut flags = Self::default();
        for flag in raw {
            let (name, value) = match flag.text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag.text.as_str(), None),
            };
            let Some(bare) = name.strip_prefix("--") else { continue };
            let Some((known_name, takes)) = known.iter().find(|(known, _)| *known == bare) else {
                let error =
                    SyntaxError::new(flag.span, format!("{keyword} has no flag {}", text::quoted(name)));
                errors.push(match suggest::nearest(bare, known.iter().map(|(name, _)| *name)) {
                    Some(near) => error.hint(format!("did you mean `--{near}`?")),
                    None if known.is_empty() => error.hint(format!("{keyword} has no flags")),
                    None => {
                        let all: Vec<_> = known.iter().map(|(name, _)| format!("--{name}")).collect();
                        error.hint(format!("it has {}", all.join(", ")))
                    }
                });
                continue;
            };
            let problem = match (takes, value) {
                (Takes::Bool, None) => None,
                (Takes::Bool, Some("")) | (Takes::Text | Takes::Texts, None) => {
                    Some(format!("the flag `{name}` needs a value"))
                }
                (Takes::Bool, Some(value)) if !is_bool(value) => {
                    Some(format!("the flag `{name}` is true or false, not {}", text::quoted(value)))
                }
                _ if *takes != Takes::Texts && flags.given.contains_key(known_name) => {
                    Some(format!("the flag `{name}` is given twice"))
                }
                _ => None,
            };
            if let Some(problem) = problem {
                errors.push(SyntaxError::new(flag.span, problem));
                continue;
            }
            let value = value.unwrap_or("true");
            let from = flag.text.len() - if flag.text.contains('=') { value.len() } else { 0 };
            let places = flag.places.get(from..).unwrap_or_default().to_vec();
            let value = Value { text: value.to_owned(), places, span: flag.span };
            flags.given.entry(known_name).or_default().push(value);
        }
        flags
    }

    pub fn value(&self, name: &str) -> Option<&Value> {
        self.given.get(name).and_then(|values| values.first())
    }

    pub fn values(&self, name: &str) -> &[Value] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.text.clone())
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        self.values(name).iter().map(|value| value.text.clone()).collect()
    }

    pub fn bool(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value.text.eq_ignore_ascii_case("true"))
    }
}

fn is_bool(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}
