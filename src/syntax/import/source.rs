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
