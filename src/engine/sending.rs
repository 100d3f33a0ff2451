//! Reading files of a context for an engine, and proof that they are the ones in the key.
//!
//! Knows no protocol: file sync and the archive both read through this.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{BuildEvent, ContextFiles, EngineError};
use crate::model::file::{FileKind, UsedFile, UsedFiles};
use crate::model::hash::ContentHash;

/// Traffic of one build: what was sent, and whether that failed. Written by the side that sends, read by the other.
#[derive(Default)]
pub(super) struct Traffic {
    files: AtomicU64,
    bytes: AtomicU64,
    /// Pieces of the engine's answer that have come.
    heard: AtomicU64,
    failure: Mutex<Option<EngineError>>,
    failed: Notify,
}

impl Traffic {
    pub fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    pub fn add_bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The engine said something.
    pub fn heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that grows with whatever passes in either direction: the engine is there.
    pub fn pulse(&self) -> u64 {
        [&self.files, &self.bytes, &self.heard].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The amount sent so far; `None` while that is nothing.
    pub fn sent(&self) -> Option<BuildEvent> {
        let (files, bytes) = (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        (files > 0 || bytes > 0).then_some(BuildEvent::Sent { files, bytes })
    }

    /// Records the first failure and wakes whoever waits for one.
    pub fn fail(&self, error: EngineError) {
        self.failure.lock().get_or_insert(error);
        self.failed.notify_one();
    }

    /// The failure, when there was one.
    pub fn failure(&self) -> Option<EngineError> {
        self.failure.lock().clone()
    }

    /// Waits for a failure, perhaps for ever.
    pub async fn failed(&self) -> EngineError {
        loop {
            if let Some(error) = self.failure() {
                return error;
            }
            self.failed.notified().await;
        }
    }
}

/// A file's bytes, which turn into an error when they are not the announced ones.
pub(crate) struct CheckedFile<'a> {
    file: &'a UsedFile,
    source: Box<dyn Read + Send>,
    hasher: blake3::Hasher,
    count: u64,
    finished: bool,
}

impl<'a> CheckedFile<'a> {
    pub fn open(files: &dyn ContextFiles, file: &'a UsedFile) -> Result<Self, EngineError> {
        let source = files.open(file).map_err(|why| EngineError::Refused {
            what: format!("opening `{}` to send it to the engine", file.path),
            why,
        })?;
        Ok(Self { file, source, hasher: blake3::Hasher::new(), count: 0, finished: false })
    }

    /// Reads into `buffer` until it is full or the file ends; zero at the end.
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<usize, EngineError> {
        let mut filled = 0;
        while filled < buffer.len() && !self.finished {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => {
                    self.finished = true;
                    if self.count != self.file.size_bytes
                        || *self.hasher.finalize().as_bytes() != self.file.hash.0
                    {
                        return Err(self.changed());
                    }
                }
                Ok(count) => {
                    self.hasher.update(&buffer[filled..filled + count]);
                    self.count += count as u64;
                    filled += count;
                    // A file that grows for ever must not be read for ever.
                    if self.count > self.file.size_bytes {
                        return Err(self.changed());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(EngineError::Refused {
                        what: format!("reading `{}` to send it to the engine", self.file.path),
                        why: error.to_string(),
                    });
                }
            }
        }
        Ok(filled)
    }

    fn changed(&self) -> EngineError {
        EngineError::FileChanged { path: self.file.path.clone() }
    }
}

impl Read for CheckedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(io::Error::other)
    }
}

/// The engine error inside an I/O error, when there is one.
pub(super) fn engine_error(error: &io::Error) -> Option<EngineError> {
    error.get_ref()?.downcast_ref::<EngineError>().cloned()
}

/// The files and every folder above them, in the order that BuildKit's file
/// sync insists on: by component, so that `a/b` comes before `a.b`.
pub(super) fn with_parents(files: &UsedFiles) -> Vec<UsedFile> {
    let mut all = std::collections::BTreeMap::<Vec<&str>, UsedFile>::new();
    for file in &files.files {
        let parts: Vec<&str> = file.path.split('/').filter(|part| !part.is_empty()).collect();
        for length in 1..parts.len() {
            let parent = || UsedFile {
                counts: false,
                path: parts[..length].join("/"),
                kind: FileKind::Folder,
                mode: 0o755,
                size_bytes: 0,
                mtime_ns: 0,
                hash: ContentHash::of(b""),
                target: String::new(),
            };
            all.entry(parts[..length].to_vec()).or_insert_with(parent);
        }
        // The root itself is never announced.
        if !parts.is_empty() {
            all.insert(parts, file.clone());
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(UsedFiles, &'static [u8]);

    impl ContextFiles for One {
        fn list(&self) -> &UsedFiles {
            &self.0
        }

        fn open(&self, _: &UsedFile) -> Result<Box<dyn Read + Send>, String> {
            Ok(Box::new(self.1))
        }
    }

    fn read(promised: &[u8], served: &'static [u8]) -> Result<Vec<u8>, EngineError> {
        let file = UsedFile {
            counts: true,
            path: "f".into(),
            kind: FileKind::File,
            mode: 0o644,
            size_bytes: promised.len() as u64,
            mtime_ns: 0,
            hash: ContentHash::of(promised),
            target: String::new(),
        };
        let mut bytes = Vec::new();
        let mut checked = CheckedFile::open(&One(UsedFiles::default(), served), &file)?;
        let mut buffer = [0; 2];
        loop {
            match checked.next(&mut buffer)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn the_promised_bytes_pass_and_no_others() {
        let changed = Err(EngineError::FileChanged { path: "f".into() });
        assert_eq!(read(b"12345", b"12345"), Ok(b"12345".to_vec()));
        assert_eq!(read(b"", b""), Ok(Vec::new()));
        for other in [b"12346".as_slice(), b"1234", b"123456", b""] {
            assert_eq!(read(b"12345", other), changed);
        }
    }
}
