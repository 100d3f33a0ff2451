//! Indexes by their digest. A digest never changes its meaning, so nothing here grows old.
//!
//! Every file is checked against its name when it is read; a damaged one is as
//! good as none, and one that cannot be written costs a question next time.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::registry::digest;
use crate::state::folder::StateFolder;

/// Documents by digest, in memory and perhaps in a folder.
pub(super) struct Cache {
    folder: Option<StateFolder>,
    memory: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Cache {
    pub(super) fn new(folder: Option<StateFolder>) -> Self {
        Self { folder, memory: Mutex::default() }
    }

    /// The document with that digest.
    pub(super) fn get(&self, digest: &str) -> Option<Vec<u8>> {
        if let Some(bytes) = self.memory.lock().get(digest) {
            return Some(bytes.clone());
        }
        let bytes = self.folder.as_ref()?.read(&file(digest)?)?;
        if !digest::is(digest, &bytes) {
            return None;
        }
        self.memory.lock().insert(digest.to_owned(), bytes.clone());
        Some(bytes)
    }

    /// Keeps a document, which was checked to be what its digest says.
    pub(super) fn put(&self, digest: &str, bytes: &[u8]) {
        self.memory.lock().insert(digest.to_owned(), bytes.to_vec());
        if let (Some(folder), Some(file)) = (&self.folder, file(digest)) {
            // Without the file it is asked for again next time.
            let _ = folder.replace(&file, bytes);
        }
    }
}

/// The file of a digest. Digests come from outside, so only plain ones become names.
fn file(digest: &str) -> Option<String> {
    let (kind, digits) = digest.split_once(':')?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain(kind) && plain(digits)).then(|| format!("{kind}-{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_outlives_the_process_and_a_damaged_one_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let cache = || Cache::new(Some(StateFolder::at(folder.path()).sub("deep")));
        let digest = digest::of(b"abc");
        assert_eq!(cache().get(&digest), None);
        cache().put(&digest, b"abc");
        assert_eq!(cache().get(&digest), Some(b"abc".to_vec()));
        StateFolder::at(folder.path()).sub("deep").replace(&file(&digest).unwrap(), b"abd").unwrap();
        assert_eq!(cache().get(&digest), None);
    }

    #[test]
    fn without_a_folder_it_remembers_for_now() {
        let cache = Cache::new(None);
        let digest = digest::of(b"abc");
        cache.put(&digest, b"abc");
        assert_eq!(cache.get(&digest), Some(b"abc".to_vec()));
    }

    #[test]
    fn a_digest_never_leaves_the_folder() {
        assert_eq!(file("sha256:../../etc/passwd"), None);
        assert_eq!(file("../x:a"), None);
        assert_eq!(file("sha256:"), None);
        assert_eq!(file("sha256:ab"), Some("sha256-ab".into()));
    }
}
