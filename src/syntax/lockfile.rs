//! Imagefile.lock: what names stood for when `imk update` last looked.
//!
//! One line an entry, sorted, so that two branches that add one each merge
//! without a conflict. Text in, entries out and back again; asks no registry.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::error::{Span, SyntaxError};
use super::merge_marks::is_mark;
use super::reference;

/// The first line of every lock file that this imk can read.
const VERSION: &str = "version 1";

/// The meanings of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lockfile {
    /// Digest of a platform's manifest, by reference in full and platform.
    pub bases: BTreeMap<(String, String), String>,
    /// Commit, by a git repository's URL and the name of a branch or tag.
    pub git: BTreeMap<(String, String), String>,
}

impl Lockfile {
    /// The digest of a base, however its reference is spelled.
    pub fn base(&self, reference: &str, platform: &str) -> Option<&str> {
        self.bases.get(&(reference::normalized(reference), platform.to_owned())).map(String::as_str)
    }

    /// The text to write.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# What names stood for when `imk update` last looked. Commit this file; `imk update` renews it.\n{VERSION}\n"
        );
        for ((reference, platform), digest) in &self.bases {
            let _ = writeln!(text, "base {reference} {platform} {digest}");
        }
        for ((url, name), commit) in &self.git {
            let _ = writeln!(text, "git {url} {name} {commit}");
        }
        text
    }
}

/// Reads a lock file.
///
/// # Errors
/// Every line that is not an entry: a line that was half merged must not be passed over.
///
/// # Examples
///
/// ```
/// use imk::syntax::lockfile::read;
///
/// let digest = format!("sha256:{}", "0".repeat(64));
/// let lock = read(&format!("version 1\nbase docker.io/library/alpine:3 linux/amd64 {digest}\n")).unwrap();
/// assert_eq!(lock.base("alpine:3", "linux/amd64"), Some(digest.as_str()));
/// assert_eq!(read(&lock.text()), Ok(lock));
/// assert!(read("version 1\n<<<<<<< HEAD\n").is_err());
/// ```
pub fn read(text: &str) -> Result<Lockfile, Vec<SyntaxError>> {
    let (mut lock, mut errors, mut version) = (Lockfile::default(), Vec::new(), false);
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim();
        let start = at + (whole.len() - whole.trim_start().len());
        at += whole.len();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if is_mark(line) {
            let span = Span::new(start, start + line.len());
            let message = "a merge left the entries of both sides here";
            let hint = "keep the lines of one side and remove the marks, or delete the file; then `imk update` writes what is missing";
            return Err(vec![SyntaxError::new(span, message).hint(hint)]);
        }
        let mut wrong = |message: String, hint: &str| {
            let span = Span::new(start, start + line.len());
            errors.push(SyntaxError::new(span, message).hint(hint));
        };
        if !version {
            version = true;
            if line != VERSION {
                wrong(
                    format!("`{line}` is not a version of Imagefile.lock that this imk can read"),
                    "use the imk that wrote it, or delete the file and run `imk update`",
                );
                break;
            }
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let known = match words.as_slice() {
            ["base", reference, platform, digest] if is_digest(digest) => {
                let key = (reference::normalized(reference), (*platform).to_owned());
                lock.bases.insert(key, (*digest).to_owned())
            }
            ["git", url, name, commit] if is_commit(commit) => {
                lock.git.insert(((*url).to_owned(), (*name).to_owned()), (*commit).to_owned())
            }
            _ => {
                wrong(
                    format!("`{line}` is no entry of Imagefile.lock"),
                    "an entry is `base REFERENCE PLATFORM DIGEST` or `git URL NAME COMMIT`; `imk update` writes them anew when the line is gone",
                );
                continue;
            }
        };
        if known.is_some() {
            wrong(format!("`{line}` says again what an earlier line says"), "remove one of the two");
        }
    }
    if errors.is_empty() { Ok(lock) } else { Err(errors) }
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm == "sha256"
            && hex.len() == 64
            && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(c: char) -> String {
        format!("sha256:{}", String::from(c).repeat(64))
    }

    #[test]
    fn what_is_written_is_read_again_and_sorted() {
        let mut lock = Lockfile::default();
        for (name, c) in [("docker.io/library/b:1", 'b'), ("docker.io/library/a:1", 'a')] {
            lock.bases.insert((name.into(), "linux/amd64".into()), digest(c));
        }
        lock.git.insert(("https://x/y.git".into(), "main".into()), "0".repeat(40));
        let text = lock.text();
        let entries: Vec<&str> = text.lines().skip(2).filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(entries, ["docker.io/library/a:1", "docker.io/library/b:1", "https://x/y.git"]);
        assert_eq!(read(&text), Ok(lock));
    }

    #[test]
    fn a_base_is_found_however_it_is_spelled() {
        let lock = read(&format!("version 1\nbase alpine linux/amd64 {}\n", digest('a'))).unwrap();
        assert_eq!(lock.base("docker.io/library/alpine:latest", "linux/amd64"), Some(digest('a').as_str()));
        assert_eq!(lock.base("alpine", "linux/arm64"), None);
    }

    #[test]
    fn half_merged_lines_are_mistakes_with_their_place() {
        let places = |text: &str| -> Vec<_> {
            read(text).unwrap_err().iter().map(|error| error.span.line_and_column(text)).collect()
        };
        let lines = format!(
            "base a linux/amd64 {0}\nbase a linux/amd64 {0}\nbase a linux/amd64 sha256:12\n",
            digest('a')
        );
        // What both sides say twice is no mistake of its own while the sides stand there.
        assert_eq!(places(&format!("version 1\n<<<<<<< ours\n{lines}")), [(2, 1)]);
        assert_eq!(places(&format!("version 1\n{lines}")), [(3, 1), (4, 1)]);
        assert!(read("version 2\nbase x").unwrap_err()[0].message.contains("version 2"));
    }
}
