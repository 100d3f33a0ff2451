//! `${NAME:-default}` in the texts of a compose file and of its `.env`.
//!
//! A variable stays a variable of the Imagefile where its name alone stands
//! for its value. Knows no keys.

use std::collections::BTreeMap;

use super::draft::{fill, literal};

/// Variables within the defaults of variables.
const DEEPEST: usize = 16;
/// Bytes that the variables of all texts may come to.
const BUDGET: usize = 4 * 1024 * 1024;

/// The values that variables have, and what was carried over of them.
pub(super) struct Variables {
    given: BTreeMap<String, String>,
    /// Variables of the Imagefile.
    pub kept: BTreeMap<String, String>,
    /// Names with neither a value nor a default.
    pub unset: Vec<String>,
    /// Names whose value came from the environment or `.env`.
    pub taken: Vec<String>,
    /// Names that must have a value (`${NAME:?why}`) and have none, with the reason.
    pub required: Vec<(String, String)>,
    /// Bytes that variables came to so far.
    spent: usize,
}

impl Variables {
    /// With these values.
    pub fn of(given: BTreeMap<String, String>) -> Self {
        let (kept, unset) = (BTreeMap::new(), Vec::new());
        Self { given, kept, unset, taken: Vec::new(), required: Vec::new(), spent: 0 }
    }

    /// From now on variables have these values; what was carried over stays.
    pub fn take_values(&mut self, given: BTreeMap<String, String>) {
        self.given = given;
    }

    /// Gives a variable a value.
    pub fn give(&mut self, name: &str, value: &str) {
        self.given.insert(name.to_owned(), value.to_owned());
    }

    /// The value of a variable that is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// Whether the variables came to more than a file can mean; then they are left out.
    pub fn is_too_much(&self) -> bool {
        self.spent > BUDGET
    }

    /// A text with its variables, as a written text.
    pub fn written(&mut self, text: &str) -> String {
        self.expand(text, 0)
    }

    /// A text with its variables filled in.
    pub fn plain(&mut self, text: &str) -> String {
        let written = self.expand(text, 0);
        fill(&written, &self.kept)
    }

    fn expand(&mut self, text: &str, depth: usize) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out += &literal(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((inner, after)) = after.strip_prefix('{').and_then(braced) {
                out += &self.variable(inner, depth);
                rest = after;
            } else {
                let end =
                    after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
                let (name, after) = after.split_at(end);
                out += &if name.is_empty() { "$".to_owned() } else { self.variable(name, depth) };
                rest = after;
            }
        }
        out + &literal(rest)
    }

    /// The inside of braces: a name, and what to do without a value.
    fn variable(&mut self, inner: &str, depth: usize) -> String {
        let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
        let (name, rest) = inner.split_at(end);
        let empty_counts = !rest.starts_with(':');
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let value = self.given.get(name).filter(|value| empty_counts || !value.is_empty()).cloned();
        let deeper = |this: &mut Self, text: &str| {
            if depth < DEEPEST { this.expand(text, depth + 1) } else { literal(text) }
        };
        if let Some(other) = rest.strip_prefix('+') {
            return if value.is_some() { deeper(self, other) } else { String::new() };
        }
        let value = match (value, rest.strip_prefix('-')) {
            (Some(value), _) => {
                self.taken.push(name.to_owned());
                self.spent = self.spent.saturating_add(value.len() + 16);
                if self.is_too_much() {
                    return String::new();
                }
                value
            }
            (None, Some(default)) => {
                let written = deeper(self, default);
                fill(&written, &self.kept)
            }
            (None, None) if rest.starts_with('?') => {
                let why = deeper(self, &rest[1..]);
                let why = fill(&why, &self.kept);
                self.required.push((name.to_owned(), why));
                return String::new();
            }
            (None, None) => {
                self.unset.push(name.to_owned());
                return String::new();
            }
        };
        // Two places may give one variable two defaults; the first is the Imagefile's.
        if *self.kept.entry(name.to_owned()).or_insert_with(|| value.clone()) == value {
            format!("{{{name}}}")
        } else {
            literal(&value)
        }
    }
}

/// Splits at the brace that closes the one before `text`.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut open = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, written: &str) {
        let given = [("SET", "s"), ("EMPTY", ""), ("FILE", "f # f"), ("B", "b")];
        let mut variables = Variables::of(given.map(|(name, v)| (name.to_owned(), v.to_owned())).into());
        assert_eq!(variables.written(text), written, "{text}");
    }

    #[test]
    fn variables_follow_compose() {
        check("a$SET-${SET}", "a{SET}-{SET}");
        check("${FILE} ${B}", "{FILE} {B}");
        check("${EMPTY:-d} ${EMPTY-d}", "{EMPTY} ");
        check("${NONE-d} ${NONE:-other}", "{NONE} other");
        check("${NONE:-${SET}x}", "{NONE}");
        check("${SET:+yes}${NONE:+no}", "yes");
        check("${NONE}$$HOME {x}", "$HOME {{x}}");
        check("${SET:?must}", "{SET}");
        check("a$ ${open", "a$ ${{open");
    }
}
