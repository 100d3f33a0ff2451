//! Wildcards as Go's `filepath.Match` reads them, and what one source word selects.
//!
//! BuildKit matches the sources of `COPY` and `ADD` with `filepath.Match`
//! (`fsutil/copy`, `resolveWildcards`), and `--exclude` and `--parents` with
//! moby's pattern matcher (`patterns.rs`). Knows paths as texts with `/`
//! between their parts; knows no files and follows no links.

use super::patterns::Patterns;
use super::reads::ReadSource;

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

/// One [`ReadSource`], ready to be asked about paths.
///
/// A source that names a folder selects everything below it; `--exclude` is
/// read relative to the matched folder, and never takes the source itself.
#[derive(Clone, Debug)]
pub struct Selector {
    pattern: String,
    depth: usize,
    wildcard: bool,
    parents: Option<Patterns>,
    exclude: Patterns,
}

impl Selector {
    /// Compiles the patterns of a source once. A bad pattern is a text to show.
    pub fn new(source: &ReadSource) -> Result<Self, String> {
        let compile = |all: &[String]| Patterns::new(all).map_err(|bad| bad.to_string());
        let parents = match source.parents {
            true if source.pattern.is_empty() => None,
            true => Some(compile(std::slice::from_ref(&source.pattern))?),
            false => None,
        };
        let wildcard = source.wildcard && has_wildcards(&source.pattern);
        if wildcard && check(&source.pattern).is_err() {
            return Err(format!("bad pattern `{}`", source.pattern));
        }
        let depth = source.pattern.split('/').filter(|part| !part.is_empty()).count();
        Ok(Self {
            pattern: source.pattern.clone(),
            depth,
            wildcard,
            parents,
            exclude: compile(&source.exclude)?,
        })
    }

    /// Is this path read, be it a file, a link or a folder?
    pub fn reads(&self, path: &str) -> bool {
        if let Some(parents) = &self.parents {
            return parents.matches(path) && !self.exclude.matches(path);
        }
        match self.root_of(path) {
            Some("") => path.is_empty() || !self.exclude.matches(path),
            Some(root) if root.len() == path.len() => true,
            Some(root) => !self.exclude.matches(&path[root.len() + 1..]),
            None => false,
        }
    }

    /// Can nothing below this folder be read? Then it need not be walked.
    pub fn can_skip(&self, dir: &str) -> bool {
        if self.parents.is_some() {
            let prefix = static_prefix(&self.pattern);
            return !(is_within(dir, prefix) || is_within(prefix, dir));
        }
        match self.root_of(dir) {
            Some(root) if root.len() < dir.len() || root.is_empty() => {
                let below = dir[root.len()..].trim_start_matches('/');
                !below.is_empty() && self.exclude.can_skip(below)
            }
            Some(_) => false,
            None => !self.may_lead_to_root(dir),
        }
    }

    /// The beginning of the path that the source matches, the shortest one as in `resolveWildcards`.
    fn root_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        if !self.wildcard {
            return is_within(path, &self.pattern).then(|| &path[..self.pattern.len()]);
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).find(|head| matches(&self.pattern, head) == Ok(true))
    }

    fn may_lead_to_root(&self, dir: &str) -> bool {
        let prefix = if self.wildcard { static_prefix(&self.pattern) } else { &self.pattern };
        if !(is_within(dir, prefix) || is_within(prefix, dir)) {
            return false;
        }
        // A class may hold `/`, so the number of parts says something only without one.
        !self.wildcard || self.pattern.contains('[') || dir.split('/').count() < self.depth
    }
}

/// Is `path` the folder itself or something below it? Everything is below the empty path.
pub fn is_within(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "glob_tests.rs"]
mod tests;
