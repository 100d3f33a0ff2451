//! A file to import, and the notes that come of it.
//!
//! Reads no format.

use std::collections::BTreeMap;

use crate::syntax::error::Span;

/// Longer files are refused: no person wrote them, and their parts could multiply.
pub(super) const LONGEST: usize = 512 * 1024;

/// A file to import, and what its words may rest on.
pub struct Source<'a> {
    /// Its path below the folder that the Imagefile will stand in.
    pub path: &'a str,
    /// The folder that imk was called in, below the same one: bake's paths start there.
    pub current: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Texts of files that are laid over it, in their order, each with its path.
    pub overrides: &'a [(String, String)],
    /// The environment: bake and compose let it override their variables.
    pub environment: &'a BTreeMap<String, String>,
    /// The text of the `.env` beside a compose file.
    pub dotenv: Option<&'a str>,
    /// Reads another file that this one names, a Dockerfile included, by its path below the same folder; nothing where there is none.
    pub read: &'a dyn Fn(&str) -> Option<String>,
    /// Paths of the repository's files whose names begin with `Dockerfile`, for formats that list none.
    pub dockerfiles: &'a [String],
    /// The name of the repository's folder.
    pub repository: &'a str,
}

impl<'a> Source<'a> {
    /// Its text and those that are laid over it, one behind the other: what notes and errors have their places in.
    pub fn whole(&self) -> String {
        let mut whole = self.text.to_owned();
        for (_, text) in self.overrides {
            whole.push('\n');
            whole.push_str(text);
        }
        whole
    }

    /// The file that a place of [`Self::whole`] is in, and the place there.
    pub fn place(&self, span: Span) -> (&str, &str, Span) {
        let (mut path, mut text, mut start) = (self.path, self.text, 0);
        for (next, other) in self.overrides {
            let end = start + text.len() + 1;
            if span.start < end {
                break;
            }
            (path, text, start) = (next, other, end);
        }
        (path, text, Span::new(span.start.saturating_sub(start), span.end.saturating_sub(start)))
    }

    /// The texts that are laid over it, each with so much nothing before it that its places are those of the whole.
    pub(super) fn padded(&self) -> Vec<(&'a str, String)> {
        let mut start = self.text.len() + 1;
        let mut texts = Vec::new();
        for (path, text) in self.overrides {
            texts.push((path.as_str(), "\n".repeat(start) + text));
            start += text.len() + 1;
        }
        texts
    }

    /// The folder that it stands in, where the paths of all formats but bake start.
    pub(super) fn folder(&self) -> &'a str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// A note on a part of the source that is not in the Imagefile as it was there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Its place in the source.
    pub span: Span,
    /// The fate of it.
    pub kind: NoteKind,
    /// The thing, and why, as half a sentence.
    pub text: String,
}

/// The fate of something in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// It is not in the Imagefile.
    Lost,
    /// It is there in another form.
    Changed,
}
