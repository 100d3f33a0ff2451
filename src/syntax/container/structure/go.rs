//! The traits of Go in files of container-structure-test: patterns, and variables in texts.

use crate::syntax::container::suite;

/// A pattern of Go's as one of ours: in both, `\d` and `(?i)` are the same. There, `^` and `$` mean the whole text,
/// a brace that counts nothing is a brace, `[` in a class is a bracket, and `\Q…\E` quotes.
///
/// # Errors
/// What is wrong with it.
pub(super) fn pattern(text: &str) -> Result<String, String> {
    let mut ours = "(?-m)".to_owned();
    let mut rest = text;
    // The length of the pattern where a class began, since its first `]` is a bracket.
    let mut class: Option<usize> = None;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let mut taken = c.len_utf8();
        match (c, class) {
            ('\\', None) if after.starts_with('Q') => {
                let quoted = &after[1..];
                let (inside, beyond) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                ours += &regex::escape(inside);
                rest = beyond;
                continue;
            }
            ('\\', _) => {
                taken += after.chars().next().map_or(0, char::len_utf8);
                ours += &rest[..taken];
            }
            ('[', None) => {
                let caret = usize::from(after.starts_with('^'));
                taken += caret;
                ours += &rest[..taken];
                class = Some(ours.len());
            }
            // A named one, such as `[:alpha:]`.
            ('[', Some(_)) if after.starts_with(':') && after.contains(":]") => {
                taken += after.find(":]").map_or(0, |end| end + 2);
                ours += &rest[..taken];
            }
            ('[' | '&' | '~', Some(_)) => {
                ours.push('\\');
                ours.push(c);
            }
            (']', Some(began)) if began == ours.len() => ours += "\\]",
            (']', Some(_)) => {
                ours.push(']');
                class = None;
            }
            ('{', None) if !counts(after) => ours += "\\{",
            (c, _) => ours.push(c),
        }
        rest = &rest[taken..];
    }
    suite::pattern(&ours).map(|_| ours)
}

/// Whether what follows a brace makes it a number of times: `3}`, `3,}`, `3,4}`.
fn counts(after: &str) -> bool {
    let Some((inside, _)) = after.split_once('}') else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match inside.split_once(',') {
        Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
        None => is_number(inside),
    }
}

/// A text with the values of the variables that it names, as Go's `os.Expand` has it: `$NAME` and `${NAME}`. One that
/// is not known is nothing; so are the shell's own, such as `$?`. A dollar before anything else stands for itself.
pub fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded += before;
        let (name, taken) = named(after);
        match (name, taken) {
            ("", 0) => expanded.push('$'),
            (name, _) => expanded += &value(name).unwrap_or_default(),
        }
        rest = &after[taken..];
    }
    expanded + rest
}

/// The name behind a dollar, and how many bytes it takes. What begins with a brace and is no name is eaten.
fn named(after: &str) -> (&str, usize) {
    let is_special = |c: char| c.is_ascii_digit() || "*#$@!?-".contains(c);
    if let Some(inside) = after.strip_prefix('{') {
        return match inside.find('}') {
            Some(end) => (&inside[..end], end + 2),
            None => ("", 1),
        };
    }
    if after.starts_with(is_special) {
        return (&after[..1], 1);
    }
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    (&after[..end], end)
}
