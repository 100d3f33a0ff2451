//! Logical lines: joins undone, comments and blanks left out, every byte still knowing its place.
//!
//! Follows `parser.Parse`, `processLine` and `directives.go`. Knows parser
//! directives, since they only count at the top; knows no instructions.

use super::Word;
use crate::syntax::error::{Span, SyntaxError};

/// The directives at the top.
#[derive(Clone, Debug)]
pub struct Directives {
    pub escape: char,
    pub check: Option<Word>,
}

/// The physical lines of a text, read one after the other.
pub struct Lines<'t> {
    text: &'t str,
    at: usize,
    pub directives: Directives,
    /// Directives seen so far; nothing once something else was seen.
    open: Option<Vec<String>>,
    pub errors: Vec<SyntaxError>,
}

/// One instruction without its heredocs, on one line.
pub struct Logical<'t> {
    file: &'t str,
    /// Blanks at the beginning are gone; those at the end are not.
    pub text: String,
    /// Where in `text` a piece begins, and where that is in the file.
    pieces: Vec<(usize, usize)>,
    pub escape: char,
    pub blank_inside: bool,
}

/// The scanner of BuildKit gives up at this length (`bufio.MaxScanTokenSize`).
const MAX_LINE: usize = 64 * 1024;

impl<'t> Lines<'t> {
    pub fn new(text: &'t str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let directives = Directives { escape: '\\', check: None };
        Self { text, at, directives, open: Some(Vec::new()), errors: Vec::new() }
    }

    /// Where the next physical line begins.
    pub fn place(&self) -> usize {
        self.at
    }

    /// The next physical line with its line break, and where it begins.
    pub fn next_physical(&mut self) -> Option<(usize, &'t str)> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let start = self.at;
        self.at += length;
        if length > MAX_LINE {
            let message = format!("the line has {length} bytes; Docker reads lines of up to {MAX_LINE}");
            let first = Span::first_of(rest);
            self.errors.push(SyntaxError::new(Span::new(start, start + first.end), message));
        }
        Some((start, &rest[..length]))
    }

    /// The next instruction, without its heredocs.
    pub fn next_logical(&mut self) -> Option<Logical<'t>> {
        loop {
            let (start, line) = self.next_physical()?;
            let line = line.trim_end_matches(['\r', '\n']);
            let text = line.trim_start();
            let start = start + line.len() - text.len();
            self.directive(start, text);
            if text.starts_with('#') {
                continue;
            }
            let (text, mut joined) = self.without_continuation(text);
            if text.is_empty() && !joined {
                continue;
            }
            let mut logical = Logical {
                file: self.text,
                text: text.to_owned(),
                pieces: vec![(0, start)],
                escape: self.directives.escape,
                blank_inside: false,
            };
            while joined {
                let Some((start, line)) = self.next_physical() else { break };
                let line = line.trim_end_matches(['\r', '\n']);
                match line.trim_start() {
                    "" => logical.blank_inside = true,
                    comment if comment.starts_with('#') => {}
                    _ => {
                        let (text, more) = self.without_continuation(line);
                        logical.pieces.push((logical.text.len(), start));
                        logical.text.push_str(text);
                        joined = more;
                    }
                }
            }
            return Some(logical);
        }
    }

    /// Strips an escape character at the end, unless another one stands before it
    /// (`lineContinuationRegex`). Blanks behind it do not matter.
    fn without_continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let escape = self.directives.escape;
        match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(before) if !before.ends_with(escape) => (before, true),
            _ => (line, false),
        }
    }

    fn directive(&mut self, start: usize, line: &str) {
        let Some(seen) = &mut self.open else { return };
        let Some((name, value, at)) = directive_of(line, "#") else {
            self.open = None;
            return;
        };
        let span = Span::new(start + at, start + at + value.len());
        if seen.contains(&name) {
            let message = format!("there can be only one `{name}` directive");
            self.errors.push(SyntaxError::new(span, message));
            return;
        }
        seen.push(name.clone());
        match (name.as_str(), value) {
            ("escape", "\\" | "`") => self.directives.escape = value.chars().next().unwrap_or('\\'),
            ("escape", _) => {
                let message =
                    format!("the escape character cannot be {}", crate::syntax::text::quoted(value));
                self.errors.push(SyntaxError::new(span, message).hint("it is a backslash or a backtick"));
            }
            ("check", _) => self.directives.check = Some(Word { text: value.to_owned(), span }),
            _ => {}
        }
    }
}

/// `# name = value`: the name in small letters, the value and where it begins.
fn directive_of<'l>(line: &'l str, comment: &str) -> Option<(String, &'l str, usize)> {
    let body = line.strip_prefix(comment)?.trim_start();
    let (name, value) = body.split_once('=')?;
    let (name, value) = (name.trim_end(), value.trim());
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
        && !value.is_empty();
    let name = name.to_ascii_lowercase();
    let known = matches!(name.as_str(), "syntax" | "escape" | "check");
    (sound && known).then(|| (name, value, value.as_ptr() as usize - line.as_ptr() as usize))
}

/// Which frontend the text asks for (`DetectSyntax`): `# syntax=`, `// syntax=`
/// or a JSON object, behind an optional shebang.
pub fn detect_syntax(text: &str) -> Option<Word> {
    let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    if text[start..].starts_with("#!") {
        start = text[start..].find('\n').map_or(text.len(), |at| start + at + 1);
    }
    for comment in ["#", "//"] {
        let (mut at, mut seen) = (start, Vec::new());
        for line in text[start..].split_inclusive('\n') {
            let Some((name, value, offset)) = directive_of(line.trim_end_matches(['\r', '\n']), comment)
            else {
                break;
            };
            if seen.contains(&name) {
                break;
            }
            if name == "syntax" {
                let first = value.split(' ').next().unwrap_or_default();
                let span = Span::new(at + offset, at + offset + first.len());
                return Some(Word { text: first.to_owned(), span });
            }
            seen.push(name);
            at += line.len();
        }
    }
    if !text[start..].trim_start().starts_with('{') {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text[start..]).ok()?;
    let syntax = object.get("syntax")?.as_str()?;
    Some(Word { text: syntax.to_owned(), span: Span::new(start, start + 1) })
}

impl<'t> Logical<'t> {
    /// The place in the file of a part of the logical text.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let first = self.place(start);
        Span::new(first, if end > start { self.place(end - 1) + 1 } else { first })
    }

    fn place(&self, at: usize) -> usize {
        let piece = self.pieces.partition_point(|(begin, _)| *begin <= at).max(1) - 1;
        let (begin, place) = self.pieces[piece];
        place + at.saturating_sub(begin)
    }

    /// From the keyword to the last character that is no blank.
    pub fn whole(&self) -> Span {
        self.span(0, self.text.trim_end().len())
    }

    pub fn keyword(&self) -> &str {
        self.text.split(is_blank).next().unwrap_or_default()
    }

    pub fn keyword_span(&self) -> Span {
        self.span(0, self.keyword().len())
    }

    /// The text that it is part of.
    pub fn file(&self) -> &'t str {
        self.file
    }
}

/// The blanks at which words end: `[\t\v\f\r ]`, not a line break and nothing of Unicode.
pub fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}
