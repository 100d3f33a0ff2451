//! `.dockerignore`: lines in, an answer for each path out.
//!
//! Lines are read as moby's `ignorefile` reads them; matching is moby's
//! pattern matcher (`patterns.rs`) in the way fsutil asks it while walking. Knows
//! nothing of where the file lies or which of several applies.

use serde::{Deserialize, Serialize};

use super::error::{Span, SyntaxError};
use super::patterns::{MatchInfo, Patterns, clean};
use super::reads::ReadSource;
use super::{glob, text};

/// The compiled patterns of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Dockerignore {
    lines: Vec<String>,
    patterns: Patterns,
}

impl TryFrom<Vec<String>> for Dockerignore {
    type Error = String;

    fn try_from(lines: Vec<String>) -> Result<Self, String> {
        let patterns = Patterns::new(&lines).map_err(|bad| bad.to_string())?;
        Ok(Self { lines, patterns })
    }
}

impl From<Dockerignore> for Vec<String> {
    fn from(file: Dockerignore) -> Self {
        file.lines
    }
}

/// Reads a file. Every bad pattern is reported, each with its place.
///
/// ```
/// let file = imk::syntax::dockerignore::parse("**/*.md\n!README.md\n").expect("no mistakes");
/// assert!(file.matches("docs/tags.md"));
/// assert!(!file.matches("README.md"));
/// ```
pub fn parse(text: &str) -> Result<Dockerignore, Vec<SyntaxError>> {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (start, line) in text::lines(text) {
        let Some(pattern) = read_line(line) else { continue };
        if let Err(bad) = Patterns::new(std::slice::from_ref(&pattern)) {
            let indent = line.len() - line.trim_start().len();
            let span = Span::new(start + indent, start + indent + line.trim().len());
            errors.push(SyntaxError::new(span, format!("{bad} in .dockerignore")).hint(
                "write `[` and `\\` that stand for themselves as `\\[` and `\\\\`; a `!` needs a pattern behind it",
            ));
            continue;
        }
        lines.push(pattern);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let patterns = Patterns::new(&lines).unwrap_or_default();
    Ok(Dockerignore { lines, patterns })
}

/// The line that keeps a path from the engine: its number, from 1, and how it reads.
/// `None` when the path is not ignored, or the file has mistakes.
pub fn deciding(text: &str, path: &str) -> Option<(usize, String)> {
    let numbered = text::lines(text).enumerate();
    let lines: Vec<(usize, &str, String)> =
        numbered.filter_map(|(at, (_, line))| Some((at + 1, line.trim(), read_line(line)?))).collect();
    let all: Vec<&str> = lines.iter().map(|(_, _, pattern)| pattern.as_str()).collect();
    let patterns = Patterns::new(&all).ok()?;
    if path.is_empty() || !patterns.matches(path) {
        return None;
    }
    let (number, written, _) = lines.get(patterns.deciding(path)?)?;
    Some((*number, (*written).to_owned()))
}

/// One line as `ignorefile.ReadAll` keeps it, or nothing for a comment or a blank.
fn read_line(line: &str) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let pattern = line.trim();
    let (invert, pattern) = match pattern.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", pattern),
    };
    if pattern.is_empty() {
        return (!invert.is_empty()).then(|| "!".to_owned());
    }
    let cleaned = clean(pattern);
    let relative = if cleaned.len() > 1 { cleaned.strip_prefix('/').unwrap_or(&cleaned) } else { &cleaned };
    Some(format!("{invert}{relative}"))
}

impl Dockerignore {
    /// Is this path, relative to the context and with `/`, kept from the engine?
    pub fn matches(&self, path: &str) -> bool {
        self.patterns.matches(path)
    }

    /// The same while walking: what is known of the folder saves asking again about its parents.
    pub fn matches_below(&self, path: &str, parent: &MatchInfo) -> (bool, MatchInfo) {
        self.patterns.matches_below(path, parent)
    }

    /// Is the whole folder ignored, with no `!` that can match below it? Then it need not be walked.
    pub fn can_skip(&self, dir: &str) -> bool {
        self.patterns.can_skip(dir)
    }

    /// No pattern at all: nothing is ignored.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Can this source never find anything, whatever files there are? BuildKit's
    /// rule `CopyIgnoredFile`: only without `!`, which is too hard to decide.
    pub fn hides(&self, source: &ReadSource) -> bool {
        if self.patterns.has_exclusions() || source.wildcard && glob::has_wildcards(&source.pattern) {
            return false;
        }
        // Of what `--parents` takes of a folder no more than the folder is known.
        match source.start().as_str() {
            "" => self.lines.iter().any(|line| matches!(line.as_str(), "*" | "**" | "**/*")),
            pattern => self.patterns.matches(pattern),
        }
    }
}

#[cfg(test)]
#[path = "dockerignore_tests.rs"]
mod tests;
