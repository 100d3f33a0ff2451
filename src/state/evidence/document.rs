//! Everything that counted for a build, as a document that travels with the image.
//!
//! The same key gives the same text on every machine. What is read back says of an
//! image that was built elsewhere what evidence says of one that was built here.

use serde::{Deserialize, Serialize};

use super::{Evidence, FileEvidence};
use crate::model::file::{FileKind, UsedFiles};
use crate::model::hash::ContentHash;
use crate::model::part::Part;
use crate::model::reason::Code;

/// Raised when a reader of the older text would misunderstand the newer.
const VERSION: u32 = 1;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    version: u32,
    /// The image's name at the time.
    pub image: String,
    /// The action key.
    pub key: ContentHash,
    /// The content that dependents are keyed on.
    pub content: ContentHash,
    parts: Vec<Part>,
    files: Vec<File>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    path: String,
    kind: FileKind,
    /// Four octal digits.
    mode: String,
    hash: ContentHash,
}

impl Document {
    /// The document of a build of these parts, its bases' among them, and these files.
    pub fn new(
        image: &str,
        key: ContentHash,
        content: ContentHash,
        mut parts: Vec<Part>,
        files: &UsedFiles,
    ) -> Self {
        parts.retain(|part| part.code != Code::File);
        let counted = files.files.iter().filter(|file| file.counts);
        let files = counted.map(|file| File {
            path: file.path.clone(),
            kind: file.kind,
            mode: format!("{:04o}", file.mode),
            hash: file.hash,
        });
        Self { version: VERSION, image: image.to_owned(), key, content, parts, files: files.collect() }
    }

    /// The text.
    pub fn text(&self) -> String {
        // Maps with texts for keys can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The evidence of a text; `None` when it is none of ours, or of a newer imk.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let document: Self = serde_json::from_slice(bytes).ok()?;
        (document.version == VERSION).then_some(document)
    }

    /// The evidence of the inputs.
    pub fn evidence(&self) -> Evidence {
        let file = |file: &File| {
            let mut hash = [0; 16];
            hash.copy_from_slice(&file.hash.0[..16]);
            let mode = u32::from_str_radix(&file.mode, 8).unwrap_or_default();
            FileEvidence { path: file.path.clone(), kind: file.kind, mode, hash }
        };
        Evidence { parts: self.parts.clone(), files: self.files.iter().map(file).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::file::UsedFile;

    #[test]
    fn what_travels_says_what_was_here() {
        let file = UsedFile {
            path: "a/b".into(),
            kind: FileKind::File,
            mode: 0o755,
            size_bytes: 1,
            mtime_ns: 7,
            hash: ContentHash::of(b"x"),
            target: String::new(),
            counts: true,
        };
        let on_its_way = UsedFile { path: "a".into(), kind: FileKind::Folder, counts: false, ..file.clone() };
        let files = UsedFiles { files: vec![on_its_way, file] };
        let parts = vec![
            Part::new(Code::Arg, "A", "1"),
            Part::new(Code::File, "files", "x"),
            Part::new(Code::Base, "base", "c"),
        ];
        let key = ContentHash::of(b"key");
        let document = Document::new("web", key, ContentHash::of(b"content"), parts.clone(), &files);
        let again = Document::read(document.text().as_bytes()).unwrap();
        assert_eq!(again, document);
        assert_eq!(again.evidence(), Evidence::new(parts, &files));
        assert_eq!(Document::read(b"{}"), None);
        assert_eq!(
            Document::read(document.text().replace("\"version\":1", "\"version\":2").as_bytes()),
            None
        );
    }
}
