//! Functions of texts. Letters are what a reader sees as one: a letter with its accents is counted once.
//!
//! Follows go-cty and Go's `strings`. Knows no lists of values but those of texts.

use unicode_segmentation::UnicodeSegmentation;

use super::args::{Answer, Args, Function, MANY};
use crate::syntax::import::expression::value::Value;

/// Longer texts are not made.
const LONGEST: usize = 1024 * 1024;

pub(super) const TABLE: &[Function] = &[
    ("upper", 1, 1, |a| Ok(each_letter(&a.text(0)?, upper).into())),
    ("lower", 1, 1, |a| Ok(each_letter(&a.text(0)?, lower).into())),
    ("title", 1, 1, |a| Ok(title(&a.text(0)?).into())),
    ("strlen", 1, 1, |a| Ok(a.text(0)?.graphemes(true).count().into())),
    ("reverse", 1, 1, |a| Ok(a.text(0)?.graphemes(true).rev().collect::<String>().into())),
    ("trimspace", 1, 1, |a| Ok(a.text(0)?.trim().into())),
    ("chomp", 1, 1, |a| Ok(a.text(0)?.trim_end_matches(['\n', '\r']).into())),
    ("trim", 2, 2, |a| {
        let cut: Vec<char> = a.text(1)?.chars().collect();
        Ok(a.text(0)?.trim_matches(cut.as_slice()).into())
    }),
    ("trimprefix", 2, 2, |a| {
        let whole = a.text(0)?;
        Ok(whole.strip_prefix(a.text(1)?.as_str()).unwrap_or(&whole).into())
    }),
    ("trimsuffix", 2, 2, |a| {
        let whole = a.text(0)?;
        Ok(whole.strip_suffix(a.text(1)?.as_str()).unwrap_or(&whole).into())
    }),
    ("replace", 3, 3, replace),
    ("substr", 3, 3, substr),
    ("split", 2, 2, |a| {
        let (by, whole) = (a.text(0)?, a.text(1)?);
        // Without a separator each character stands by itself.
        Ok(if by.is_empty() {
            Value::texts(whole.chars().map(String::from))
        } else {
            Value::texts(whole.split(by.as_str()))
        })
    }),
    ("join", 2, MANY, join),
    ("sort", 1, 1, |a| {
        let texts: Option<Vec<String>> = a.texts(0)?.into_iter().collect();
        let mut texts = texts.ok_or("null cannot be sorted")?;
        texts.sort();
        Ok(Value::texts(texts))
    }),
    ("indent", 2, 2, |a| {
        let by = usize::try_from(a.whole(0)?).map_err(|_| "a width cannot be below zero".to_owned())?;
        let text = a.text(1)?;
        bounded(text.len() + text.matches('\n').count().saturating_mul(by))?;
        Ok(text.replace('\n', &format!("\n{}", " ".repeat(by))).into())
    }),
    ("sanitize", 1, 1, |a| {
        let kept = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        Ok(a.text(0)?.chars().map(kept).collect::<String>().into())
    }),
    ("basename", 1, 1, |a| Ok(basename(&a.text(0)?).into())),
    ("dirname", 1, 1, |a| Ok(dirname(&a.text(0)?).into())),
];

fn bounded(size: usize) -> Result<(), String> {
    if size > LONGEST { Err("the text is too long".into()) } else { Ok(()) }
}

/// Go maps letter by letter, where one letter gives one.
fn each_letter(text: &str, map: fn(char) -> char) -> String {
    text.chars().map(map).collect()
}

fn upper(c: char) -> char {
    one(c, c.to_uppercase())
}

fn lower(c: char) -> char {
    one(c, c.to_lowercase())
}

fn one(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(mapped), None) => mapped,
        _ => c,
    }
}

/// A letter is raised where none stands before it; an apostrophe and an underscore are taken as `strings.Title` does.
fn title(text: &str) -> String {
    let mut before = ' ';
    let letters = text.chars().map(|c| {
        let begins = if before.is_ascii() {
            !(before.is_ascii_alphanumeric() || before == '_')
        } else {
            before.is_whitespace()
        };
        before = c;
        if begins { upper(c) } else { c }
    });
    letters.collect()
}

fn replace(a: &Args<'_>) -> Answer {
    let (whole, from, to) = (a.text(0)?, a.text(1)?, a.text(2)?);
    let times =
        if from.is_empty() { whole.chars().count() + 1 } else { whole.matches(from.as_str()).count() };
    bounded(whole.len().saturating_add(times.saturating_mul(to.len())))?;
    Ok(whole.replace(&from, &to).into())
}

fn substr(a: &Args<'_>) -> Answer {
    let whole = a.text(0)?;
    let letters: Vec<&str> = whole.graphemes(true).collect();
    let count = i64::try_from(letters.len()).unwrap_or(i64::MAX);
    let (mut from, length) = (a.whole(1)?, a.whole(2)?);
    if from < 0 {
        from = from.saturating_add(count);
    } else if length == 0 {
        return Ok("".into());
    }
    let start = usize::try_from(from.clamp(0, count)).unwrap_or_default();
    let rest = &letters[start..];
    // As go-cty has it, none at all is everything where the start was counted from the end.
    let taken =
        if length <= 0 { rest.len() } else { usize::try_from(length).unwrap_or(usize::MAX).min(rest.len()) };
    Ok(rest[..taken].concat().into())
}

fn join(a: &Args<'_>) -> Answer {
    let by = a.text(0)?;
    let mut texts = Vec::new();
    for at in 1..a.0.len() {
        let list: Option<Vec<String>> = a.texts(at)?.into_iter().collect();
        texts.extend(list.ok_or("null cannot be joined")?);
    }
    bounded(texts.iter().map(|text| text.len() + by.len()).sum())?;
    Ok(texts.join(&by).into())
}

/// The last part of a path, as Go's `path.Base` has it.
fn basename(path: &str) -> String {
    let bare = path.trim_end_matches('/');
    match (path.is_empty(), bare.is_empty()) {
        (true, _) => ".".into(),
        (false, true) => "/".into(),
        _ => bare.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

/// Everything before the last part, cleaned, as Go's `path.Dir` has it.
fn dirname(path: &str) -> String {
    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
    let rooted = folder.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let clean = parts.join("/");
    match (rooted, clean.is_empty()) {
        (true, _) => format!("/{clean}"),
        (false, true) => ".".into(),
        (false, false) => clean,
    }
}
