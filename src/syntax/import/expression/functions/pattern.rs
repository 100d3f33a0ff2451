//! Functions of regular expressions.
//!
//! Go's syntax is brought to that of the crate: classes such as `\d` are of ASCII, and a set stands in no set.

use std::collections::BTreeMap;

use regex::{Captures, Regex, RegexBuilder};

use super::args::{Answer, Args};
use crate::syntax::import::expression::value::{Kind, Value};

/// Bytes that a compiled pattern may take.
const LARGEST: usize = 1 << 20;
/// Matches that are listed.
const MOST: usize = 10_000;

pub(super) fn regex(a: &Args<'_>) -> Answer {
    let (pattern, text) = (compiled(&a.text(0)?)?, a.text(1)?);
    let found = pattern.captures(&text).ok_or("the pattern matches no part of the text")?;
    found_value(&pattern, &found)
}

pub(super) fn regexall(a: &Args<'_>) -> Answer {
    let (pattern, text) = (compiled(&a.text(0)?)?, a.text(1)?);
    let all = pattern.captures_iter(&text).take(MOST).map(|found| found_value(&pattern, &found));
    Ok(Value::Sequence(Kind::List, all.collect::<Result<_, _>>()?))
}

pub(super) fn regex_replace(a: &Args<'_>) -> Answer {
    let (text, pattern, by) = (a.text(0)?, compiled(&a.text(1)?)?, a.text(2)?);
    let times = pattern.find_iter(&text).count();
    if times.saturating_mul(text.len() + by.len()) > 4 << 20 {
        return Err("the text is too long".into());
    }
    Ok(pattern.replace_all(&text, by.as_str()).as_ref().into())
}

/// The whole match; or its groups: a list of them, or a map by their names.
fn found_value(pattern: &Regex, found: &Captures<'_>) -> Answer {
    let group = |at: usize| found.get(at).map_or(Value::Null, |part| part.as_str().into());
    let names: Vec<Option<&str>> = pattern.capture_names().skip(1).collect();
    let named: Vec<&str> = names.iter().copied().flatten().collect();
    if names.is_empty() {
        return Ok(group(0));
    }
    if named.is_empty() {
        return Ok(Value::Sequence(Kind::Tuple, (1..=names.len()).map(group).collect()));
    }
    if named.len() < names.len() {
        return Err("a pattern has groups with names or groups without, not both".into());
    }
    let pairs = named.iter().enumerate().map(|(at, name)| ((*name).to_owned(), group(at + 1)));
    Ok(Value::Object(pairs.collect::<BTreeMap<_, _>>()))
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(&translated(pattern)).size_limit(LARGEST).dfa_size_limit(LARGEST).build();
    built.map_err(|error| {
        let last = error.to_string();
        let why = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("`{pattern}` is no regular expression: {why}")
    })
}

/// Go's syntax in the crate's.
fn translated(pattern: &str) -> String {
    let mut out = String::new();
    let mut letters = pattern.chars().peekable();
    // Letters of the class that is open, with its negation.
    let mut class: Option<usize> = None;
    while let Some(c) = letters.next() {
        class = class.map(|count| count + 1);
        match (c, class) {
            ('\\', _) => match letters.next() {
                Some('Q') => {
                    let rest: String = letters.by_ref().collect();
                    let (quoted, after) = rest.split_once("\\E").unwrap_or((&rest, ""));
                    return out + &regex::escape(quoted) + &translated(after);
                }
                Some(kind) => out.push_str(&escaped(kind, class.is_some())),
                None => out.push('\\'),
            },
            ('[', None) => {
                out.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that stands first is a letter.
                if letters.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
                class = Some(0);
            }
            ('[', Some(_)) if letters.peek() == Some(&':') => {
                out.push('[');
                for c in letters.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ('[' | '&' | '~', Some(_)) => out.extend(['\\', c]),
            (']', Some(_)) => {
                out.push(']');
                class = None;
            }
            (c, _) => out.push(c),
        }
    }
    out
}

fn escaped(kind: char, in_class: bool) -> String {
    let set = match kind.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\x0C\\r ",
        'b' if kind == 'b' && !in_class => return "(?-u:\\b)".to_owned(),
        _ => return format!("\\{kind}"),
    };
    match (kind.is_ascii_uppercase(), in_class) {
        (false, true) => set.to_owned(),
        (false, false) => format!("[{set}]"),
        (true, _) => format!("[^{set}]"),
    }
}
