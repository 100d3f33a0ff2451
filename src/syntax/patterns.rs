//! moby's pattern matcher: the patterns of `.dockerignore`, `--exclude` and `--parents`.
//!
//! Follows `moby/patternmatcher`, which turns a pattern into a Go regular
//! expression, including the quirks of that translation: `[…]`, `^` and
//! `\d` mean what they mean there. Patterns are compiled once into a row of
//! steps and run over a path side by side, so that time is at most
//! proportional to pattern × path. Knows texts only; `dockerignore.rs` reads lines.

use std::fmt;

use super::glob;

/// A list of patterns; a later one overrules an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    all: Vec<Pattern>,
    exclusions: bool,
}

/// A pattern that cannot be compiled: which of the list, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    /// The position in the list that was given.
    pub index: usize,
    /// The pattern as it was given.
    pub pattern: String,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pattern.trim() {
            "!" => write!(f, "`!` needs a pattern behind it"),
            pattern => write!(f, "bad pattern `{pattern}`"),
        }
    }
}

/// Which patterns matched a folder: handed from a folder to what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchInfo {
    matched: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// Cleaned, without `!`.
    text: String,
    exclusion: bool,
    how: How,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    Exact,
    /// `x**`: the text before the stars.
    Prefix(String),
    /// `**x`: the text behind the stars.
    Suffix(String),
    Steps(Vec<Step>),
    /// Compiles, but matches nothing: a `^` that is not at the beginning.
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Char(char),
    /// `?`
    NotSlash,
    /// `*`
    StarNotSlash,
    /// `**` at the end: `.*`
    All,
    /// `**` before something: `(.*/)?`
    Folders,
    Class(Class),
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Patterns {
    /// Compiles a list: trims, cleans, reads `!`. Empty texts are passed over.
    ///
    /// ```
    /// use imk::syntax::patterns::Patterns;
    ///
    /// // The last pattern that matches decides, and a folder's pattern is about all below it.
    /// let ignore = Patterns::new(&["docs/", "!docs/api", "**/*.log"]).expect("sound patterns");
    /// assert!(ignore.matches("docs/tags.md") && ignore.matches("a/b/c.log"));
    /// assert!(!ignore.matches("docs/api") && !ignore.matches("src/main.rs"));
    /// ```
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, BadPattern> {
        let mut result = Self::default();
        for (index, given) in patterns.iter().enumerate() {
            let bad = || BadPattern { index, pattern: given.as_ref().to_owned() };
            let trimmed = given.as_ref().trim();
            if trimmed.is_empty() {
                continue;
            }
            let cleaned = clean(trimmed);
            let (exclusion, text) = match cleaned.strip_prefix('!') {
                Some("") => return Err(bad()),
                Some(text) => (true, text),
                None => (false, cleaned.as_str()),
            };
            // The Go matcher asks `filepath.Match` whether the pattern is well formed.
            glob::check(text).map_err(|_| bad())?;
            let how = compile(text).ok_or_else(bad)?;
            result.exclusions |= exclusion;
            result.all.push(Pattern { text: text.to_owned(), exclusion, how });
        }
        Ok(result)
    }

    /// No patterns at all.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Is there a pattern with `!`?
    pub fn has_exclusions(&self) -> bool {
        self.exclusions
    }

    /// The verdict of a walk that comes to this path from the root, as fsutil walks.
    ///
    /// moby also has `MatchesOrParentMatches`, which differs where a `!` matches a
    /// folder that nothing ignored before: for `?/b` and `!a`, the walk ignores
    /// `a/b`. What reaches an engine is decided by the walk.
    pub fn matches(&self, path: &str) -> bool {
        if path.is_empty() || self.all.is_empty() {
            return false;
        }
        let (mut verdict, mut info) = (false, MatchInfo::default());
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            (verdict, info) = self.matches_below(&path[..end], &info);
        }
        verdict
    }

    /// Which pattern, by its position, has the last word on this path; `None` when none matches it.
    pub fn deciding(&self, path: &str) -> Option<usize> {
        let mut info = MatchInfo::default();
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            (_, info) = self.matches_below(&path[..end], &info);
        }
        info.matched.iter().rposition(|matched| *matched)
    }

    /// `MatchesUsingParentResults`: one step of that walk, with what is known of the folder.
    pub fn matches_below(&self, path: &str, parent: &MatchInfo) -> (bool, MatchInfo) {
        let (mut verdict, mut info) = (false, MatchInfo { matched: vec![false; self.all.len()] });
        for (index, pattern) in self.all.iter().enumerate() {
            let mut matched = parent.matched.get(index).copied().unwrap_or(false);
            if !matched {
                if pattern.exclusion != verdict {
                    continue;
                }
                matched =
                    pattern.matches(path) || (parent.matched.is_empty() && pattern.matches_parent(path));
            }
            info.matched[index] = matched;
            if matched {
                verdict = !pattern.exclusion;
            }
        }
        (verdict, info)
    }

    /// Is the folder matched, with no `!` that could match below it? fsutil then
    /// does not walk it (`filterFS.Walk`).
    pub fn can_skip(&self, dir: &str) -> bool {
        self.matches(dir) && self.nothing_excepted_below(dir)
    }

    /// The second half of [`Self::can_skip`], for a caller that knows the first.
    pub fn nothing_excepted_below(&self, dir: &str) -> bool {
        let exceptions = || self.all.iter().filter(|pattern| pattern.exclusion);
        // One exception with a wildcard in the middle makes fsutil walk everything.
        if exceptions()
            .any(|pattern| without_trailing_glob(&pattern.text).contains(['*', '[', ']', '?', '^', '\\']))
        {
            return false;
        }
        let below = format!("{dir}/");
        !exceptions().any(|pattern| format!("{}/", without_trailing_glob(&pattern.text)).starts_with(&below))
    }
}

/// The leading parts of a pattern that stand for themselves: all it matches is there or below.
pub fn static_prefix(pattern: &str) -> &str {
    let mut end = 0;
    for part in pattern.split_inclusive('/') {
        // `!`, `^` and a backslash mean something to the matcher, and so do spaces around a pattern.
        if part.contains(['*', '?', '[', ']', '\\', '^', '!']) || part.trim() != part {
            return pattern[..end].trim_end_matches('/');
        }
        end += part.len();
    }
    pattern.trim_end_matches('/')
}

/// fsutil's `patternWithoutTrailingGlob`.
fn without_trailing_glob(pattern: &str) -> &str {
    let pattern = pattern.strip_suffix("/**").unwrap_or(pattern);
    pattern.strip_suffix("/*").unwrap_or(pattern)
}

/// Go's `filepath.Clean`: no `.`, no `..` where it can be helped, no doubled or trailing `/`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        match &self.how {
            How::Exact => path == self.text,
            How::Prefix(prefix) => path.starts_with(prefix.as_str()),
            // `**/foo` matches `foo` too.
            How::Suffix(suffix) => path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path),
            How::Steps(steps) => run(steps, path),
            How::Never => false,
        }
    }

    fn matches_parent(&self, path: &str) -> bool {
        path.match_indices('/').any(|(at, _)| self.matches(&path[..at]))
    }
}

/// Follows `Pattern.compile`, which decides by the same walk what kind of match is enough.
fn compile(text: &str) -> Option<How> {
    #[derive(PartialEq)]
    enum Kind {
        Exact,
        Prefix,
        Suffix,
        Regexp,
    }
    let (mut kind, mut steps, mut never) = (Kind::Exact, Vec::new(), false);
    let (mut chars, mut first) = (text.chars().peekable(), true);
    while let Some(c) = chars.next() {
        let at_start = std::mem::take(&mut first);
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_some() {
                    steps.push(Step::Folders);
                    kind = Kind::Regexp;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    steps.push(Step::All);
                    kind = Kind::Regexp;
                }
                if at_start {
                    kind = Kind::Suffix;
                }
                continue;
            }
            '*' => steps.push(Step::StarNotSlash),
            '?' => steps.push(Step::NotSlash),
            '[' => steps.push(Step::Class(read_class(&mut chars)?)),
            ']' => steps.push(Step::Char(']')),
            '\\' => match chars.next() {
                Some(c) => steps.push(escape(c)?),
                None => return None,
            },
            // moby does not escape `^`: in the middle nothing can match it.
            '^' => {
                never |= !at_start;
                continue;
            }
            c => {
                steps.push(Step::Char(c));
                continue;
            }
        }
        kind = Kind::Regexp;
    }
    Some(match kind {
        Kind::Exact => How::Exact,
        Kind::Prefix => How::Prefix(text[..text.len() - 2].to_owned()),
        // `**` and `**/`: the suffix is empty, and everything ends with it.
        Kind::Suffix => How::Suffix(text[2..].to_owned()),
        Kind::Regexp if never => How::Never,
        Kind::Regexp => How::Steps(steps),
    })
}

/// `\x` in a regular expression of Go. What imk does not know there is a bad pattern.
fn escape(c: char) -> Option<Step> {
    let class =
        |negated, ranges: &[(char, char)]| Some(Step::Class(Class { negated, ranges: ranges.to_vec() }));
    match c {
        'd' | 'D' | 's' | 'S' | 'w' | 'W' => class(c.is_ascii_uppercase(), perl(c)),
        'a' => Some(Step::Char('\x07')),
        'f' => Some(Step::Char('\x0c')),
        't' => Some(Step::Char('\t')),
        'n' => Some(Step::Char('\n')),
        'r' => Some(Step::Char('\r')),
        'v' => Some(Step::Char('\x0b')),
        c if c.is_ascii_alphanumeric() => None,
        c => Some(Step::Char(c)),
    }
}

fn perl(c: char) -> &'static [(char, char)] {
    match c.to_ascii_lowercase() {
        'd' => &[('0', '9')],
        's' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        _ => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
    }
}

/// A class of a regular expression, behind its `[`. `filepath.Match` has already
/// refused what it refuses; here Go's regexp has the word.
fn read_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Class> {
    let mut class = Class { negated: chars.next_if_eq(&'^').is_some(), ranges: Vec::new() };
    let mut first = true;
    loop {
        let low = match chars.next()? {
            ']' if !first => return Some(class),
            '\\' => match chars.next()? {
                c @ ('d' | 's' | 'w') => {
                    class.ranges.extend_from_slice(perl(c));
                    first = false;
                    continue;
                }
                c => match escape(c)? {
                    Step::Char(c) => c,
                    _ => return None,
                },
            },
            // `[:alpha:]` and its like are written inside a class.
            '[' if chars.peek() == Some(&':') => return None,
            c => c,
        };
        first = false;
        let mut high = low;
        if chars.next_if_eq(&'-').is_some() {
            match chars.next()? {
                ']' => {
                    class.ranges.extend([(low, low), ('-', '-')]);
                    return Some(class);
                }
                '\\' => match escape(chars.next()?)? {
                    Step::Char(c) => high = c,
                    _ => return None,
                },
                c => high = c,
            }
        }
        if high < low {
            return None;
        }
        class.ranges.push((low, high));
    }
}

/// Runs all steps side by side: `active[i]` says that the first `i` steps have matched so far.
fn run(steps: &[Step], path: &str) -> bool {
    let mut active = vec![false; steps.len() + 1];
    active[0] = true;
    let mut inside = vec![false; steps.len() + 1];
    pass_over(steps, &mut active);
    for c in path.chars() {
        let mut next = vec![false; steps.len() + 1];
        let mut still_inside = vec![false; steps.len() + 1];
        for (at, step) in steps.iter().enumerate() {
            let here = active[at];
            match step {
                Step::Char(wanted) => next[at + 1] |= here && c == *wanted,
                Step::NotSlash => next[at + 1] |= here && c != '/',
                Step::Class(class) => {
                    let held = class.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    next[at + 1] |= here && held != class.negated;
                }
                Step::StarNotSlash => next[at] |= here && c != '/',
                Step::All => next[at] |= here && c != '\n',
                // Inside `.*` until the `/` that ends it; a dot takes no line break.
                Step::Folders if here || inside[at] => {
                    next[at + 1] |= c == '/';
                    still_inside[at] = c != '\n';
                }
                Step::Folders => {}
            }
        }
        active = next;
        inside = still_inside;
        pass_over(steps, &mut active);
        if !active.contains(&true) && !inside.contains(&true) {
            return false;
        }
    }
    active[steps.len()]
}

/// Steps that may match nothing let the one behind them begin at once.
fn pass_over(steps: &[Step], active: &mut [bool]) {
    for (at, step) in steps.iter().enumerate() {
        if active[at] && matches!(step, Step::StarNotSlash | Step::All | Step::Folders) {
            active[at + 1] = true;
        }
    }
}

#[cfg(test)]
#[path = "patterns_tests.rs"]
mod tests;
