//! Variables, quotes and escapes in the words of a Dockerfile, as BuildKit's shell lexer reads them.
//!
//! Follows `frontend/dockerfile/shell/lex.go`. A variable may also be *unknown*:
//! the configuration of a base image may set it, and nobody has looked yet.
//! Such a place stays in the result behind [`UNKNOWN`], so that two words give
//! the same result only if they do so for every value. Knows no instructions.

mod split;

use std::collections::{BTreeMap, BTreeSet};

use self::split::Words;
use super::shell_pattern::{self, MAX_LENGTH};

/// Stands before a `{…}` that cannot be decided yet. No Dockerfile has use for this character.
pub const UNKNOWN: char = '\0';

const MAX_DEPTH: usize = 100;

/// A variable, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'v> {
    /// It has this value.
    Set(&'v str),
    /// It has none.
    Unset,
    /// A base image may set it.
    Unknown,
}

/// Where values come from.
pub trait Variables {
    /// The variable of this name.
    fn get(&self, name: &str) -> Lookup<'_>;
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Lookup<'_> {
        Self::get(self, name).map_or(Lookup::Unset, |value| Lookup::Set(value))
    }
}

/// Nothing is set.
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Lookup<'_> {
        Lookup::Unset
    }
}

/// How a word is read. BuildKit's `shell.Lex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lexer {
    /// `\` or `` ` ``.
    pub escape: char,
    /// Quotes stay in the result.
    pub raw_quotes: bool,
    /// Escape characters stay in the result.
    pub raw_escapes: bool,
    /// Quotes are ordinary characters.
    pub skip_quotes: bool,
    /// A variable that is not set stays as it is written.
    pub keep_unset: bool,
}

impl Lexer {
    /// The usual reading with this escape character.
    pub fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, skip_quotes: false, keep_unset: false }
    }

    /// Expands one word to one text. BuildKit's `ProcessWordWithMatches`.
    ///
    /// ```
    /// use imk::syntax::expand::Lexer;
    /// use std::collections::BTreeMap;
    ///
    /// let variables = BTreeMap::from([("V".to_owned(), "1.2".to_owned())]);
    /// let expand = |word| Lexer::new('\\').expand(word, &variables).unwrap().text;
    /// assert_eq!(expand("app-${V}.tar"), "app-1.2.tar");
    /// assert_eq!(expand("${W:-none} '$V'"), "none $V");
    /// ```
    pub fn expand(&self, word: &str, variables: &dyn Variables) -> Result<Expansion, String> {
        let mut reader = Reader {
            lexer: self,
            variables,
            chars: word.chars().peekable(),
            raw_escapes: self.raw_escapes,
            depth: 0,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        };
        let (text, words) = reader.until(None, self.raw_escapes)?;
        Ok(Expansion { text, words, matched: reader.matched, unmatched: reader.unmatched })
    }
}

/// The outcome of an expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The word as one text.
    pub text: String,
    /// The same split at blanks that no quote holds together; values of variables are split too.
    pub words: Vec<String>,
    /// Variables that had a value.
    pub matched: BTreeSet<String>,
    /// Variables that had none, or an unknown one.
    pub unmatched: BTreeSet<String>,
}

/// Does the text depend on something unknown?
pub fn is_unknown(text: &str) -> bool {
    text.contains(UNKNOWN)
}

struct Reader<'a> {
    lexer: &'a Lexer,
    variables: &'a dyn Variables,
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    raw_escapes: bool,
    depth: usize,
    matched: BTreeSet<String>,
    unmatched: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Reads to the end or to the stop character, which is consumed (`processStopOn`).
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Vec<String>), String> {
        if self.depth == MAX_DEPTH {
            return Err("variables are nested too deeply".into());
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let result = self.read(stop);
        self.raw_escapes = outer;
        self.depth -= 1;
        result
    }

    fn read(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), String> {
        let (mut result, mut words) = (String::new(), Words::default());
        while let Some(&c) = self.chars.peek() {
            if Some(c) == stop {
                self.chars.next();
                return Ok((result, words.finish()));
            }
            let special = match c {
                '$' => Some(self.dollar()?),
                '<' => Some(self.angle()),
                '\'' if !self.lexer.skip_quotes => Some(self.single_quote()?),
                '"' if !self.lexer.skip_quotes => Some(self.double_quote()?),
                _ => None,
            };
            if let Some(text) = special {
                match c {
                    '$' => text.chars().for_each(|c| words.blank_or_char(c)),
                    _ => {
                        words.current.push_str(&text);
                        words.inside = true;
                    }
                }
                result.push_str(&text);
                if result.len() > MAX_LENGTH {
                    return Err("the value grows too long".into());
                }
                continue;
            }
            self.chars.next();
            if c != self.lexer.escape {
                words.blank_or_char(c);
                result.push(c);
                continue;
            }
            if self.raw_escapes {
                words.raw(c);
                result.push(c);
            }
            // An escape at the very end escapes nothing.
            let Some(escaped) = self.chars.next() else { break };
            words.raw(escaped);
            result.push(escaped);
        }
        match stop {
            Some(stop) => Err(format!("`{stop}` is missing")),
            None => Ok((result, words.finish())),
        }
    }

    /// Everything between single quotes is taken as it is.
    fn single_quote(&mut self) -> Result<String, String> {
        let mut result = String::new();
        for (at, c) in std::iter::from_fn(|| self.chars.next()).enumerate() {
            let closing = c == '\'' && at > 0;
            if c != '\'' || self.lexer.raw_quotes {
                result.push(c);
            }
            if closing {
                return Ok(result);
            }
        }
        Err("a single quote is not closed".into())
    }

    /// Variables count between double quotes; the escape character counts before `"`, `$` and itself.
    fn double_quote(&mut self) -> Result<String, String> {
        let mut result = String::new();
        self.chars.next();
        if self.lexer.raw_quotes {
            result.push('"');
        }
        while let Some(&c) = self.chars.peek() {
            if c == '$' {
                result.push_str(&self.dollar()?);
                if result.len() > MAX_LENGTH {
                    return Err("the value grows too long".into());
                }
                continue;
            }
            self.chars.next();
            if c == '"' {
                if self.lexer.raw_quotes {
                    result.push('"');
                }
                return Ok(result);
            }
            if c != self.lexer.escape {
                result.push(c);
                continue;
            }
            if self.raw_escapes {
                result.push(c);
            }
            match self.chars.peek() {
                None => continue,
                Some(&next) if next == '"' || next == '$' || next == self.lexer.escape => {
                    self.chars.next();
                    result.push(next);
                }
                Some(_) => result.push(c),
            }
        }
        Err("a double quote is not closed".into())
    }

    /// `<<` takes the blanks behind it along, so that `<< EOF` is one word.
    fn angle(&mut self) -> String {
        self.chars.next();
        if self.chars.next_if_eq(&'<').is_none() {
            return "<".into();
        }
        let mut result = String::from("<<");
        while let Some(blank) = self.chars.next_if(|c| matches!(c, '\t' | '\r' | ' ')) {
            result.push(blank);
        }
        result
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.chars.next();
        if self.chars.peek() != Some(&'{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".into());
            }
            return Ok(self.plain(&name, format!("${name}")));
        }
        self.chars.next();
        match self.chars.peek() {
            None => return Err("`}` is missing".into()),
            Some('{' | '}' | ':') => return Err("bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        match self.chars.next() {
            Some('}') => Ok(self.plain(&name, format!("${{{name}}}"))),
            Some(':') => match self.chars.next() {
                Some(op) => self.modified(&name, op, true),
                None => Err("`}` is missing".into()),
            },
            Some('/') => self.replaced(&name),
            Some(op @ ('+' | '-' | '?' | '#' | '%')) => self.modified(&name, op, false),
            Some(op) => Err(format!("unsupported modifier `{op}` in a substitution")),
            None => Err("`}` is missing".into()),
        }
    }

    fn plain(&mut self, name: &str, as_written: String) -> String {
        match self.lookup(name) {
            Lookup::Set(value) => value.to_owned(),
            Lookup::Unset if self.lexer.keep_unset => as_written,
            Lookup::Unset => String::new(),
            Lookup::Unknown => format!("{UNKNOWN}{{{name}}}"),
        }
    }

    /// `${name-word}` and its relatives.
    fn modified(&mut self, name: &str, op: char, colon: bool) -> Result<String, String> {
        let trims = matches!(op, '#' | '%');
        let written = if colon { format!(":{op}") } else { op.to_string() };
        if colon && trims {
            return Err(format!("unsupported modifier `{written}` in a substitution"));
        }
        let (word, _) = self.until(Some('}'), trims)?;
        let found = self.lookup(name);
        if found == Lookup::Unset && self.lexer.keep_unset {
            return Ok(format!("${{{name}{written}{word}}}"));
        }
        let value = match found {
            Lookup::Unknown => return Ok(format!("{UNKNOWN}{{{name}{written}{word}}}")),
            Lookup::Set(value) => Some(value),
            Lookup::Unset => None,
        };
        let looks_inside = colon || trims;
        if looks_inside && (value.is_some_and(is_unknown) || trims && is_unknown(&word)) {
            return Ok(format!("{UNKNOWN}{{{}{written}{word}}}", value.unwrap_or_default()));
        }
        let missing = value.is_none() || colon && value == Some("");
        match op {
            '-' => Ok(if missing { word } else { value.unwrap_or_default().to_owned() }),
            '+' => Ok(if missing { String::new() } else { word }),
            '?' if missing => Err(match (word.is_empty(), value) {
                (false, _) => format!("{name}: {word}"),
                (true, None) => format!("{name}: is not allowed to be unset"),
                (true, Some(_)) => format!("{name}: is not allowed to be empty"),
            }),
            '?' => Ok(value.unwrap_or_default().to_owned()),
            '#' | '%' => {
                let (greedy, pattern) = match word.strip_prefix(op) {
                    Some(pattern) => (true, pattern),
                    None => (false, word.as_str()),
                };
                let value = value.unwrap_or_default();
                if op == '#' {
                    shell_pattern::trim_prefix(pattern, value, greedy)
                } else {
                    shell_pattern::trim_suffix(pattern, value, greedy)
                }
            }
            _ => Err(format!("unsupported modifier `{written}` in a substitution")),
        }
    }

    /// `${name/pattern/replacement}` and `${name//pattern/replacement}`.
    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let (pattern, _) = self.until(Some('/'), true)?;
        let (replacement, _) = self.until(Some('}'), true)?;
        let value = match self.lookup(name) {
            Lookup::Unset if self.lexer.keep_unset => {
                return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
            }
            Lookup::Unset => "",
            Lookup::Set(value) if !is_unknown(value) && !is_unknown(&pattern) => value,
            found => {
                let value = if let Lookup::Set(value) = found { value } else { name };
                let slashes = if all { "//" } else { "/" };
                return Ok(format!("{UNKNOWN}{{{value}{slashes}{pattern}/{replacement}}}"));
            }
        };
        shell_pattern::replace(&pattern, value, &replacement, all)
    }

    /// A name, digits, or one of the shell's special characters (`processName`).
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(c) if c.is_numeric() => {
                while let Some(digit) = self.chars.next_if(|c| c.is_numeric()) {
                    name.push(digit);
                }
            }
            Some(&c @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                self.chars.next();
                name.push(c);
            }
            _ => {
                while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        name
    }

    fn lookup(&mut self, name: &str) -> Lookup<'a> {
        let found = self.variables.get(name);
        match found {
            Lookup::Set(_) => self.matched.insert(name.to_owned()),
            _ => self.unmatched.insert(name.to_owned()),
        };
        found
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
