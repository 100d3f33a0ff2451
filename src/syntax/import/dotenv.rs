//! The `.env` beside a compose file, by the grammar that compose has for it.
//!
//! `NAME=value` or `NAME: value`, `export` before it, comments, values in quotes over several lines, escapes in
//! double quotes, and variables of the environment and of earlier lines. Knows no compose file.

use std::collections::BTreeMap;

use super::interpolate::Variables;

/// The variables of a `.env`, over which the environment goes.
///
/// # Errors
/// The first line that compose would refuse, and why.
pub(super) fn read(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut variables = Variables::of(environment.clone());
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.trim_start();
        let line = || text[..text.len() - rest.len()].matches('\n').count() + 1;
        if rest.is_empty() {
            return Ok(found);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let named = rest.strip_prefix("export").filter(|after| after.starts_with([' ', '\t']));
        let statement = named.map_or(rest, str::trim_start);
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        let end = statement.find(|c| !is_word(c)).unwrap_or(statement.len());
        let (name, after) = statement.split_at(end);
        let after = after.trim_start_matches([' ', '\t', '\r']);
        if name.is_empty() {
            return Err(format!("line {}: a variable's name was expected", line()));
        }
        let Some(value) = after.strip_prefix(['=', ':']) else {
            // A name alone takes what the environment has.
            if !(after.is_empty() || after.starts_with('\n')) {
                return Err(format!("line {}: unexpected text behind `{name}`", line()));
            }
            rest = after;
            continue;
        };
        let value = value.trim_start_matches([' ', '\t', '\r']);
        let (value, after) = match value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            Some(quote) => {
                let (inner, after) = quoted(&value[1..], quote)
                    .ok_or_else(|| format!("line {}: the quote of `{name}` is not closed", line()))?;
                let inner = if quote == '"' { variables.plain(&unescaped(&inner)) } else { inner };
                (inner, after)
            }
            None => {
                let (value, after) = value.split_once('\n').unwrap_or((value, ""));
                let value = value.split(" #").next().unwrap_or_default().trim_end();
                (variables.plain(value), after)
            }
        };
        if let Some((missing, why)) = variables.required.pop() {
            return Err(format!("line {}: the variable `{missing}` is required: {why}", line()));
        }
        if variables.is_too_much() {
            return Err(format!("line {}: its variables come to too much", line()));
        }
        if !environment.contains_key(name) {
            variables.give(name, &value);
        }
        found.insert(name.to_owned(), value);
        rest = after;
    }
}

/// The text up to the quote that closes it, and what follows. A backslash keeps the quote and goes; any other stays.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut inner = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (escaped, c) {
            (false, '\\') => escaped = true,
            (true, c) if c == quote => {
                inner.push(c);
                escaped = false;
            }
            (false, c) if c == quote => return Some((inner, &text[at + 1..])),
            (was, c) => {
                if was {
                    inner.push('\\');
                }
                inner.push(c);
                escaped = false;
            }
        }
    }
    None
}

/// Escapes of a shell as Go reads them; `\$` is a dollar that starts no variable.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut letters = after.chars();
        let known = match letters.next() {
            Some('a') => "\u{7}",
            Some('b') => "\u{8}",
            Some('f') => "\u{c}",
            Some('n') => "\n",
            Some('r') => "\r",
            Some('t') => "\t",
            Some('v') => "\u{b}",
            Some('"') => "\"",
            Some('\\') => "\\",
            Some('$') => "$$",
            _ => {
                out.push('\\');
                rest = after;
                continue;
            }
        };
        out.push_str(known);
        rest = letters.as_str();
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, expected: &str) {
        let environment = BTreeMap::from([("SET".to_owned(), "env".to_owned())]);
        let found = read(text, &environment).unwrap();
        assert_eq!(found.get(name).map(String::as_str), Some(expected), "{text}");
    }

    /// Each was compared with what `docker compose config` makes of it.
    #[test]
    fn values_are_those_that_compose_reads() {
        check("HOST=h\nURL=http://${HOST}/\n", "URL", "http://h/");
        check("HOST=h\nA=\"a\\nb ${HOST}\"\n", "A", "a\nb h");
        check("HOST=h\nA='a\\nb ${HOST}'\n", "A", "a\\nb ${HOST}");
        check("A=x # c\n", "A", "x");
        check("A=x#c\n", "A", "x#c");
        check("export A=1", "A", "1");
        check("A: colon\n", "A", "colon");
        check("A=\"multi\nline\"\nB=1\n", "A", "multi\nline");
        check("A=\"multi\nline\" # c\nB=1\n", "B", "1");
        check("A=${NOPE:-def}\n", "A", "def");
        check("A=a\\$b\n", "A", "a\\");
        check("A=\"\\$x \\\" q\"\n", "A", "$x \" q");
        check("A=\nB=1", "A", "");
        check("  A = sp \r\n", "A", "sp");
        check("A=$$x\n", "A", "$x");
        check("SET=file\nA=$SET\n", "A", "env");
        check("# c\n\n# d\nA=1", "A", "1");
        check("\u{feff}A={x}\n", "A", "{x}");
    }

    #[test]
    fn what_compose_refuses_is_refused_with_its_line() {
        let error = |text: &str| read(text, &BTreeMap::new()).unwrap_err();
        assert_eq!(error("A=1\nB=\"x\n"), "line 2: the quote of `B` is not closed");
        assert_eq!(error("A=1\n\n=x\n"), "line 3: a variable's name was expected");
        assert_eq!(error("A B\n"), "line 1: unexpected text behind `A`");
        assert_eq!(error("A=${B:?must}\n"), "line 1: the variable `B` is required: must");
        assert_eq!(read("A\nB=1", &BTreeMap::new()).unwrap().len(), 1);
        let doubled = (1..40).map(|at| format!("A{at}=${{A{}}}${{A{}}}\n", at - 1, at - 1));
        let doubled = format!("A0=xxxxxxxxxx\n{}", doubled.collect::<String>());
        assert!(error(&doubled).ends_with("its variables come to too much"), "{}", error(&doubled));
    }
}
