//! Evidence: everything that went into a build, kept beside the ledger so that the next run can say what changed.
//!
//! Explains and never decides: with all evidence gone every verdict is the
//! same, only "its inputs changed" is said instead of which. Knows the folder
//! it writes to and nothing of the repository.

pub mod document;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use super::folder::StateFolder;
use crate::model::file::{FileKind, UsedFile, UsedFiles};
use crate::model::hash::ContentHash;
use crate::model::part::{self, Part};
use crate::model::reason::{Code, Reason};

/// The inputs of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// All parts of the key but the files.
    pub parts: Vec<Part>,
    /// The files, in path order.
    pub files: Vec<FileEvidence>,
}

/// One used file, as short as an explanation allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEvidence {
    /// Below the context's root.
    pub path: String,
    /// Its kind.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// The first half of its content hash: enough to tell two contents apart, at half the size.
    pub hash: [u8; 16],
}

impl FileEvidence {
    fn of(file: &UsedFile) -> Self {
        let mut hash = [0; 16];
        hash.copy_from_slice(&file.hash.0[..16]);
        Self { path: file.path.clone(), kind: file.kind, mode: file.mode, hash }
    }

    /// The words that a person is shown of it: kind or mode where they matter, and the start of the hash.
    fn shown(&self) -> String {
        let hex = |n: usize| hex::encode(&self.hash[..n]);
        match self.kind {
            FileKind::File => format!("{} {:04o}", hex(4), self.mode),
            FileKind::Folder => format!("folder {:04o}", self.mode),
            FileKind::Link => format!("link {}", hex(4)),
            FileKind::Special => "special".into(),
        }
    }
}

/// A file as a person was shown it, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownFile<'a> {
    /// The first hexadecimal digits of its content's hash, or of a link's target's.
    pub hash: &'a str,
    /// Its permission bits; `None` for a link.
    pub mode: Option<u32>,
}

/// Reads what a reason says of a file; `None` for a folder, which has no content, and all else.
pub fn read_shown(shown: &str) -> Option<ShownFile<'_>> {
    match shown.split_once(' ')? {
        ("folder", _) => None,
        ("link", hash) => Some(ShownFile { hash, mode: None }),
        (hash, mode) => Some(ShownFile { hash, mode: Some(u32::from_str_radix(mode, 8).ok()?) }),
    }
}

impl Evidence {
    /// The evidence of a build of these parts and files.
    pub fn new(mut parts: Vec<Part>, files: &UsedFiles) -> Self {
        // The hash of all files says nothing that the files themselves do not say.
        parts.retain(|part| part.code != Code::File);
        Self { parts, files: files.files.iter().filter(|file| file.counts).map(FileEvidence::of).collect() }
    }

    /// The differences of `new`: files first, then the parts in the order of their codes, but arguments before instructions.
    pub fn differences(&self, new: &Self) -> Vec<Reason> {
        let old_files: BTreeMap<&str, &FileEvidence> =
            self.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let new_files: BTreeMap<&str, &FileEvidence> =
            new.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut reasons = Vec::new();
        let paths: std::collections::BTreeSet<&str> =
            old_files.keys().chain(new_files.keys()).copied().collect();
        for path in paths {
            let (before, after) = (old_files.get(path), new_files.get(path));
            if before != after {
                reasons.push(Reason {
                    code: Code::File,
                    subject: path.to_owned(),
                    before: before.map(|file| file.shown()),
                    after: after.map(|file| file.shown()),
                });
            }
        }
        // A folder is told only when nothing inside it is: its own appearance says nothing more.
        let told: Vec<String> = reasons.iter().map(|reason| format!("{}/", reason.subject)).collect();
        let inside = |folder: &str| reasons.iter().any(|reason| reason.subject.starts_with(folder));
        let keep: Vec<bool> = told.iter().map(|folder| !inside(folder)).collect();
        let mut keep = keep.into_iter();
        reasons.retain(|_| keep.next().unwrap_or(true));
        let mut parts = part::differences(&self.parts, &new.parts);
        let args: Vec<String> =
            parts.iter().filter(|it| it.code == Code::Arg).map(|it| it.subject.clone()).collect();
        parts.retain(|reason| !is_echo(reason, &args));
        // An argument that changed is what other instructions changed by.
        parts.sort_by_key(
            |reason| if reason.code == Code::Arg { (Code::Dockerfile, 0) } else { (reason.code, 1) },
        );
        reasons.extend(parts);
        reasons
    }
}

/// An `ARG` instruction holds the value that the argument came to: when that is told, it says nothing more.
fn is_echo(reason: &Reason, args: &[String]) -> bool {
    let names = |value: &Option<String>| -> Option<Vec<String>> {
        let list: Vec<String> = serde_json::from_str(value.as_deref()?.strip_prefix("ARG ")?).ok()?;
        Some(list.iter().map(|arg| arg.split('=').next().unwrap_or_default().to_owned()).collect())
    };
    match (names(&reason.before), names(&reason.after)) {
        (Some(before), Some(after)) => before == after && after.iter().all(|name| args.contains(name)),
        _ => false,
    }
}

/// The folder of all evidence of a repository.
#[derive(Clone, Debug)]
pub struct EvidenceStore {
    folder: StateFolder,
}

impl EvidenceStore {
    /// Evidence in a folder of the state, which is made when the first is written.
    pub fn new(folder: StateFolder) -> Self {
        Self { folder }
    }

    /// The evidence of the build with this key, if it was kept and is whole.
    pub fn load(&self, key: &ContentHash) -> Option<Evidence> {
        let packed = self.folder.read(&key.to_string())?;
        let mut bytes = Vec::new();
        ZlibDecoder::new(packed.as_slice()).read_to_end(&mut bytes).ok()?;
        rmp_serde::from_slice(&bytes).ok()
    }

    /// Keeps the evidence of the build with this key.
    ///
    /// # Errors
    /// When the file cannot be written; the build counts all the same.
    pub fn save(&self, key: &ContentHash, evidence: &Evidence) -> std::io::Result<()> {
        let bytes = rmp_serde::to_vec(evidence).map_err(std::io::Error::other)?;
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes)?;
        self.folder.replace(&key.to_string(), &encoder.finish()?)
    }

    /// Removes the evidence of every key that `keep` does not want, once there is more than `room`.
    pub fn prune(&self, room: usize, keep: impl Fn(&ContentHash) -> bool) {
        let entries = self.folder.names().unwrap_or_default();
        if entries.len() <= room {
            return;
        }
        for name in entries {
            if name.parse().ok().is_none_or(|key| !keep(&key)) {
                // Evidence that cannot be removed only takes room.
                let _ = self.folder.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Evidence {
        let files = list
            .iter()
            .map(|(path, content)| UsedFile {
                path: (*path).into(),
                kind: if content.is_empty() { FileKind::Folder } else { FileKind::File },
                mode: 0o644,
                size_bytes: 0,
                counts: true,
                mtime_ns: 0,
                hash: ContentHash::of(content.as_bytes()),
                target: String::new(),
            })
            .collect();
        Evidence::new(vec![], &UsedFiles { files })
    }

    #[test]
    fn files_added_removed_and_changed_are_told_by_path() {
        let old = files(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let new = files(&[("b", "2"), ("c", "1"), ("d", ""), ("d/e", "1")]);
        let told: Vec<_> = old
            .differences(&new)
            .into_iter()
            .map(|reason| (reason.subject, reason.before.is_some(), reason.after.is_some()))
            .collect();
        let expected = [("a", true, false), ("b", true, true), ("d/e", false, true)];
        assert_eq!(told, expected.map(|(path, before, after)| (path.to_owned(), before, after)));
    }

    #[test]
    fn an_argument_that_changed_is_told_once() {
        let of = |value: &str, more: &str| Evidence {
            parts: vec![
                Part::new(Code::Arg, "V", value),
                Part::new(Code::Dockerfile, "", format!("ARG [\"V={value}\"{more}]")),
            ],
            files: vec![],
        };
        let codes = |old: &Evidence, new: &Evidence| -> Vec<Code> {
            old.differences(new).into_iter().map(|reason| reason.code).collect()
        };
        assert_eq!(codes(&of("1", ""), &of("2", "")), [Code::Arg]);
        assert_eq!(codes(&of("1", ""), &of("2", ",\"W=1\"")), [Code::Arg, Code::Dockerfile]);
    }

    #[test]
    fn what_is_shown_of_a_file_can_be_read_back() {
        let shown = |list| files(list).files.first().map(FileEvidence::shown).unwrap_or_default();
        let file = shown(&[("a", "1")]);
        assert_eq!(
            read_shown(&file),
            Some(ShownFile { hash: &ContentHash::of(b"1").short(8), mode: Some(0o644) })
        );
        assert_eq!(read_shown("link a1b2c3d4"), Some(ShownFile { hash: "a1b2c3d4", mode: None }));
        assert_eq!(read_shown(&shown(&[("a", "")])), None);
        assert_eq!(read_shown("special"), None);
    }

    #[test]
    fn what_was_kept_comes_back_and_damage_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = EvidenceStore::new(StateFolder::at(folder.path()).sub("evidence"));
        let (key, other) = (ContentHash::of(b"k"), ContentHash::of(b"o"));
        let evidence = files(&[("a", "1")]);
        store.save(&key, &evidence).unwrap();
        store.save(&other, &evidence).unwrap();
        assert_eq!(store.load(&key), Some(evidence));
        store.folder.replace(&key.to_string(), b"garbage").unwrap();
        assert_eq!(store.load(&key), None);
        store.prune(2, |_| false);
        assert!(store.load(&other).is_some());
        store.prune(1, |kept| *kept == key);
        assert_eq!(store.folder.names().unwrap(), [key.to_string()]);
    }
}
