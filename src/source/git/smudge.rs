//! A blob as a checkout here writes it: line ends, `$Id$`, the content behind a pointer of LFS.
//!
//! For files that are not on the disk as git has them; those are taken from there. The rules are those of
//! `gitattributes(5)`, by the attributes of the commit; `convert.c` of git is the source of what counts
//! as text. A filter that is a program is not run, and an encoding is not made: who uses such a file is told.

use git2::{Oid, Repository};

use super::attributes::{Attribute, Attributes};
use super::foreign::{LONGEST_POINTER, POINTER};
use crate::source::tree::ReadError;

/// The content of a blob as it would lie at a path that has these attributes.
///
/// # Errors
/// When git would have a program make it, or LFS keeps it elsewhere.
pub(super) fn smudged(
    repository: &Repository,
    attributes: &Attributes,
    path: &str,
    id: Oid,
    content: Vec<u8>,
) -> Result<Vec<u8>, ReadError> {
    let error = |why: String| ReadError { path: path.to_owned(), why };
    if is_pointer(&content) {
        return behind(repository, &content).ok_or_else(|| {
            error(
                "git LFS keeps its content elsewhere and it is not here: `git lfs fetch --all` fetches it"
                    .into(),
            )
        });
    }
    let attribute = |name: &str| attributes.get(path, name);
    if let Attribute::Is(filter) = attribute("filter")
        && let Ok(config) = repository.config()
        && ["smudge", "process"]
            .iter()
            .any(|way| config.get_string(&format!("filter.{filter}.{way}")).is_ok())
        && filter != "lfs"
    {
        return Err(error(format!(
            "git has the filter `{filter}` make its content: only a checkout has that"
        )));
    }
    if let Attribute::Is(encoding) = attribute("working-tree-encoding")
        && !encoding.eq_ignore_ascii_case("utf-8")
    {
        return Err(error(format!("git writes it in the encoding {encoding}: only a checkout has that")));
    }
    let content = match attribute("ident") {
        Attribute::Set => with_ident(&content, id),
        _ => content,
    };
    Ok(if Wish::of(repository, attributes, path).wants_crlf(&content) {
        with_crlf(&content)
    } else {
        content
    })
}

/// Whether a checkout writes every blob at this path as it is, but for pointers of LFS.
pub(super) fn is_plain(repository: &Repository, attributes: &Attributes, path: &str) -> bool {
    let unspecified = |name: &str| attributes.get(path, name) == Attribute::Unspecified;
    ["filter", "working-tree-encoding", "ident"].iter().all(|name| unspecified(name))
        && !Wish::of(repository, attributes, path).wants_crlf(b"text\n")
}

/// Line ends, as attributes and configuration have them.
struct Wish {
    text: Attribute,
    eol: Attribute,
    /// `core.autocrlf` and `core.eol`.
    autocrlf: String,
    native: String,
}

impl Wish {
    fn of(repository: &Repository, attributes: &Attributes, path: &str) -> Self {
        let attribute = |name: &str| attributes.get(path, name);
        let setting = |name: &str| repository.config().and_then(|config| config.get_string(name));
        Self {
            text: match attribute("text") {
                Attribute::Unspecified => attribute("crlf"),
                text => text,
            },
            eol: attribute("eol"),
            autocrlf: setting("core.autocrlf").unwrap_or_default(),
            native: setting("core.eol").unwrap_or_default(),
        }
    }

    /// Whether a checkout writes CRLF where the blob has LF.
    fn wants_crlf(&self, content: &[u8]) -> bool {
        let auto = matches!(self.autocrlf.as_str(), "true" | "yes" | "on" | "1");
        let by_config = auto || (self.autocrlf != "input" && self.native == "crlf");
        let guessed = match (&self.text, &self.eol) {
            (Attribute::Unset, _) => return false,
            (text, _) if text.is("input") => return false,
            (_, eol) if eol.is("lf") => return false,
            (text, eol) if eol.is("crlf") => text.is("auto"),
            (Attribute::Unspecified, _) if auto => true,
            (Attribute::Unspecified, _) => return false,
            (text, _) if by_config => text.is("auto"),
            _ => return false,
        };
        let stats = Stats::of(content);
        stats.lf > 0 && !(guessed && (stats.cr > 0 || stats.crlf > 0 || stats.is_binary()))
    }
}

/// The counts by which git guesses whether a content is text.
#[derive(Default)]
struct Stats {
    nul: usize,
    cr: usize,
    lf: usize,
    crlf: usize,
    printable: usize,
    other: usize,
}

impl Stats {
    fn of(content: &[u8]) -> Self {
        let mut stats = Self::default();
        let mut rest = content;
        while let [byte, after @ ..] = rest {
            rest = after;
            match byte {
                b'\r' if after.first() == Some(&b'\n') => {
                    stats.crlf += 1;
                    rest = &after[1..];
                }
                b'\r' => stats.cr += 1,
                b'\n' => stats.lf += 1,
                0 => (stats.nul, stats.other) = (stats.nul + 1, stats.other + 1),
                8 | 9 | 12 | 27 | 32..=126 | 128.. => stats.printable += 1,
                _ => stats.other += 1,
            }
        }
        // The mark of an end of file of old.
        if content.last() == Some(&26) {
            stats.other -= 1;
        }
        stats
    }

    fn is_binary(&self) -> bool {
        self.cr > 0 || self.nul > 0 || (self.printable >> 7) < self.other
    }
}

fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 16);
    for (at, byte) in content.iter().enumerate() {
        if *byte == b'\n' && (at == 0 || content[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

/// `$Id$` with the blob's id in it.
fn with_ident(content: &[u8], id: Oid) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.windows(3).position(|window| window == b"$Id") {
        let (before, found) = rest.split_at(at);
        out.extend_from_slice(before);
        let line = found.iter().position(|byte| *byte == b'\n').unwrap_or(found.len());
        let end = found[3..line].iter().position(|byte| *byte == b'$').map(|end| end + 3);
        match (found.get(3), end) {
            (Some(b'$' | b':'), Some(end)) => {
                out.extend_from_slice(format!("$Id: {id} $").as_bytes());
                rest = &found[end + 1..];
            }
            _ => {
                out.extend_from_slice(&found[..3]);
                rest = &found[3..];
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

fn is_pointer(content: &[u8]) -> bool {
    content.len() as u64 <= LONGEST_POINTER && content.starts_with(POINTER)
}

/// The content that a pointer of LFS stands for, if git LFS keeps it here.
fn behind(repository: &Repository, pointer: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pointer).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("oid sha256:"))?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path =
        is_id.then(|| repository.commondir().join("lfs/objects").join(&id[..2]).join(&id[2..4]).join(id))?;
    let content = fs_err::read(path).ok()?;
    let hash = ring::digest::digest(&ring::digest::SHA256, &content);
    let hex: String = hex::encode(hash);
    (hex == id).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str, eol: &str, autocrlf: &str, native: &str) -> Wish {
        let attribute = |value: &str| match value {
            "" => Attribute::Unspecified,
            "set" => Attribute::Set,
            "unset" => Attribute::Unset,
            other => Attribute::Is(other.into()),
        };
        Wish { text: attribute(text), eol: attribute(eol), autocrlf: autocrlf.into(), native: native.into() }
    }

    #[test]
    fn line_ends_are_those_that_git_writes() {
        let text = b"a\nb\n".as_slice();
        for (wish, expected) in [
            (wish("", "", "", ""), false),
            (wish("set", "crlf", "", ""), true),
            (wish("", "crlf", "", ""), true),
            (wish("unset", "crlf", "true", ""), false),
            (wish("auto", "", "", ""), false),
            (wish("auto", "crlf", "", ""), true),
            (wish("auto", "lf", "true", ""), false),
            (wish("set", "", "", "crlf"), true),
            (wish("set", "", "input", "crlf"), false),
            (wish("", "", "true", ""), true),
            (wish("", "", "", "crlf"), false),
        ] {
            assert_eq!(wish.wants_crlf(text), expected, "{:?} {:?} {}", wish.text, wish.eol, wish.autocrlf);
        }
        // A guess touches nothing that has such ends already, nor what is not text.
        for content in [b"a\r\nb\n".as_slice(), b"a\0\n"] {
            assert!(!wish("auto", "crlf", "", "").wants_crlf(content));
            assert!(wish("set", "crlf", "", "").wants_crlf(content));
        }
        assert_eq!(with_crlf(b"a\r\nb\n\n"), b"a\r\nb\r\n\r\n");
    }

    #[test]
    fn an_ident_has_the_id_of_its_blob() {
        let id = Oid::from_str(&"ab".repeat(20)).unwrap();
        let expanded = |text: &str| String::from_utf8(with_ident(text.as_bytes(), id)).unwrap();
        assert_eq!(expanded("x $Id$ y"), format!("x $Id: {id} $ y"));
        assert_eq!(
            expanded("$Id: old $\n$Idea $Id: broken\n$"),
            format!("$Id: {id} $\n$Idea $Id: broken\n$")
        );
    }
}
