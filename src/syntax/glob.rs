//! Wildcards as Go's `filepath.Match` reads them, and what one source word selects.
//!
//! BuildKit matches the sources of `COPY` and `ADD` with `filepath.Match`
//! (`fsutil/copy`, `resolveWildcards`), and `--exclude` and `--parents` with
//! moby's pattern matcher (`patterns.rs`). Knows paths as texts with `/`
//! between their parts; knows no files and follows no links.

/// A pattern that `filepath.Match` refuses (`ErrBadPattern`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern;

/// Does `name` match `pattern`? `*` and `?` stop at `/`; a class does not (as in Go).
///
/// ```
/// use imk::syntax::glob::matches;
///
/// assert_eq!(matches("*.py", "a.py"), Ok(true));
/// assert_eq!(matches("*.py", "src/a.py"), Ok(false));
/// assert!(matches("[", "a").is_err());
/// ```
pub fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let (mut pattern, mut name) = (pattern, name);
    while !pattern.is_empty() {
        let (star, chunk, rest) = scan_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            // A trailing `*` takes what is left, unless there is a `/` in it.
            return Ok(!name.contains('/'));
        }
        if let Some(left) = match_chunk(chunk, name)?
            && (left.is_empty() || !pattern.is_empty())
        {
            name = left;
            continue;
        }
        if star && let Some(left) = skip_to(chunk, name, pattern.is_empty())? {
            name = left;
            continue;
        }
        // Before saying no, look whether the rest of the pattern is valid.
        while !pattern.is_empty() {
            let (_, chunk, rest) = scan_chunk(pattern);
            pattern = rest;
            match_chunk(chunk, "")?;
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Is this a pattern that `filepath.Match` accepts?
pub fn check(pattern: &str) -> Result<(), BadPattern> {
    matches(pattern, ".").map(|_| ())
}

/// Are there `*`, `?` or `[` that count? One behind a backslash does not (`containsWildcards`).
pub fn has_wildcards(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    false
}

/// The leading parts without wildcards: where a walk has to begin (`splitWildcards`).
pub fn static_prefix(pattern: &str) -> &str {
    let mut end = 0;
    for part in pattern.split_inclusive('/') {
        if has_wildcards(part) {
            return pattern[..end].trim_end_matches('/');
        }
        end += part.len();
    }
    pattern.trim_end_matches('/')
}

/// Takes the star after the first place where the chunk fits. The star cannot cross `/`.
fn skip_to<'n>(chunk: &str, name: &'n str, last: bool) -> Result<Option<&'n str>, BadPattern> {
    for (at, c) in name.char_indices() {
        if c == '/' {
            break;
        }
        if let Some(left) = match_chunk(chunk, &name[at + c.len_utf8()..])? {
            if last && !left.is_empty() {
                continue;
            }
            return Ok(Some(left));
        }
    }
    Ok(None)
}

/// The stars at the beginning, the text up to the next star, and what follows.
fn scan_chunk(pattern: &str) -> (bool, &str, &str) {
    let text = pattern.trim_start_matches('*');
    let star = text.len() < pattern.len();
    let (mut in_class, mut chars) = (false, text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => return (star, &text[..at], &text[at..]),
            _ => {}
        }
    }
    (star, text, "")
}

/// The rest of the name behind the chunk, or nothing. Reads the whole chunk, so
/// that a bad pattern is found even when the name stopped matching before.
fn match_chunk<'n>(chunk: &str, name: &'n str) -> Result<Option<&'n str>, BadPattern> {
    let (mut pattern, mut left, mut failed) = (chunk.chars(), name.chars(), false);
    while let Some(c) = pattern.next() {
        if !failed && left.as_str().is_empty() {
            failed = true;
        }
        let mut take = |wanted: &dyn Fn(char) -> bool| {
            failed = failed || !left.next().is_some_and(wanted);
        };
        match c {
            '[' => {
                let class = read_class(&mut pattern)?;
                take(&|c| class.holds(c));
            }
            '?' => take(&|c| c != '/'),
            '\\' => {
                let escaped = pattern.next().ok_or(BadPattern)?;
                take(&|c| c == escaped);
            }
            literal => take(&|c| c == literal),
        }
    }
    Ok((!failed).then_some(left.as_str()))
}

struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn holds(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }
}

fn read_class(pattern: &mut std::str::Chars<'_>) -> Result<Class, BadPattern> {
    let negated = pattern.as_str().starts_with('^');
    if negated {
        pattern.next();
    }
    let mut ranges = Vec::new();
    loop {
        if pattern.as_str().starts_with(']') && !ranges.is_empty() {
            pattern.next();
            return Ok(Class { negated, ranges });
        }
        let low = class_char(pattern)?;
        let mut high = low;
        if pattern.as_str().starts_with('-') {
            pattern.next();
            high = class_char(pattern)?;
        }
        ranges.push((low, high));
    }
}

/// One character of a class; a class must not end behind it (Go's `getEsc`).
fn class_char(pattern: &mut std::str::Chars<'_>) -> Result<char, BadPattern> {
    let c = match pattern.next() {
        None | Some('-' | ']') => return Err(BadPattern),
        Some('\\') => pattern.next().ok_or(BadPattern)?,
        Some(c) => c,
    };
    if pattern.as_str().is_empty() { Err(BadPattern) } else { Ok(c) }
}

/// Is `path` the folder itself or something below it? Everything is below the empty path.
pub fn is_within(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "glob_tests.rs"]
mod tests;
