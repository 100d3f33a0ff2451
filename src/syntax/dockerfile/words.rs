//! How the rest of a line falls into words: at blanks, with quotes, or as JSON.
//!
//! Follows `line_parsers.go`. Every word knows its place in the logical line.

use super::Word;
use super::lines::{Logical, is_blank};

/// A part of a logical line: where it begins there, and its text.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'l> {
    pub at: usize,
    pub text: &'l str,
}

impl<'l> Slice<'l> {
    pub fn word(&self, line: &Logical<'_>) -> Word {
        Word { text: self.text.to_owned(), span: line.span(self.at, self.at + self.text.len()) }
    }

    pub fn trim(self) -> Self {
        let text = self.text.trim_start();
        Self { at: self.at + self.text.len() - text.len(), text: text.trim_end() }
    }

    pub fn behind(self, bytes: usize) -> Self {
        Self { at: self.at + bytes, text: &self.text[bytes..] }
    }
}

/// Words between blanks.
pub fn blank_delimited(rest: Slice<'_>) -> Vec<Slice<'_>> {
    let parts = rest.text.split(is_blank).filter(|part| !part.is_empty());
    parts
        .map(|text| Slice { at: rest.at + (text.as_ptr() as usize - rest.text.as_ptr() as usize), text })
        .collect()
}

/// Words of `ENV`, `LABEL` and `ARG`: quotes hold them together and stay in them (`parseWords`).
pub fn quoted_words(rest: Slice<'_>, escape: char) -> Vec<(String, usize, usize)> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut begun, mut end, mut quote, mut blank_ok) = (None, 0, None, false);
    let mut chars = rest.text.char_indices();
    while let Some((at, c)) = chars.next() {
        let start = match begun {
            None if c.is_whitespace() => continue,
            None => *begun.insert(at),
            Some(start) => start,
        };
        if quote.is_none() && c.is_whitespace() {
            if blank_ok || !word.is_empty() {
                words.push((std::mem::take(&mut word), rest.at + start, rest.at + end));
            }
            (begun, blank_ok) = (None, false);
            continue;
        }
        end = at + c.len_utf8();
        match quote {
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                blank_ok = true;
            }
            Some(open) if open == c => quote = None,
            // Nothing can be escaped between single quotes.
            _ if c == escape && quote != Some('\'') => {
                // An escape at the very end is passed over.
                let Some((next_at, next)) = chars.next() else { break };
                word.push(c);
                word.push(next);
                end = next_at + next.len_utf8();
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if let Some(start) = begun
        && (blank_ok || !word.is_empty())
    {
        words.push((word, rest.at + start, rest.at + end));
    }
    words
}

/// The rest of a line, seen as JSON.
pub enum Json {
    /// A list of texts, each with its place between the quotes.
    List(Vec<(String, usize, usize)>),
    /// A list with something else in it, which BuildKit refuses.
    NotTexts,
    /// No JSON list: the shell form.
    Shell,
}

pub fn json(rest: Slice<'_>) -> Json {
    let rest = rest.trim();
    if !rest.text.starts_with('[') {
        return Json::Shell;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest.text) else {
        return Json::Shell;
    };
    let mut texts = Vec::new();
    for value in values {
        match value {
            serde_json::Value::String(text) => texts.push(text),
            _ => return Json::NotTexts,
        }
    }
    // The list is known to be sound, so that the strings can be found by their quotes alone.
    let mut places = Vec::new();
    let mut bytes = rest.text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte != b'"' {
            continue;
        }
        while let Some((end, byte)) = bytes.next() {
            match byte {
                b'\\' => {
                    bytes.next();
                }
                b'"' => {
                    places.push((rest.at + at + 1, rest.at + end));
                    break;
                }
                _ => {}
            }
        }
    }
    Json::List(texts.into_iter().zip(places).map(|(text, (start, end))| (text, start, end)).collect())
}
