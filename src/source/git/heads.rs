//! Which commit a branch or a tag stood at when its repository was last asked.
//!
//! One small file for all repositories, sorted, that people can read. Knows no
//! network: `remote.rs` asks, this remembers. A damaged file remembers nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::time::UnixSeconds;
use crate::state::folder::StateFolder;
use crate::state::seal;

/// The file's name in the folder of git's caches.
const FILE: &str = "heads";

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// All hexadecimal digits.
    pub commit: String,
    /// The moment of the question.
    pub asked: UnixSeconds,
}

/// Answers by address (as shown: no secret is in it), and by what was wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Heads(BTreeMap<String, BTreeMap<String, Answer>>);

impl Heads {
    /// The answers that are remembered in a folder.
    pub fn load(folder: &StateFolder) -> Self {
        let known = folder.read(FILE).and_then(|bytes| serde_json::from_slice(seal::open(&bytes)?).ok());
        known.unwrap_or_default()
    }

    /// Writes it, so that nobody sees half of it.
    ///
    /// # Errors
    /// When the folder cannot be written; nothing but a question is lost.
    pub fn save(&self, folder: &StateFolder) -> std::io::Result<()> {
        folder.replace(FILE, &seal::seal(serde_json::to_vec_pretty(self)?))
    }

    /// The last answer.
    pub fn get(&self, url: &str, wanted: &str) -> Option<&Answer> {
        self.0.get(url)?.get(wanted)
    }

    /// Takes note of an answer.
    pub fn set(&mut self, url: &str, wanted: &str, answer: Answer) {
        self.0.entry(url.to_owned()).or_default().insert(wanted.to_owned(), answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_and_a_damaged_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path()).sub("git");
        let mut heads = Heads::default();
        heads.set("https://h/r", "refs/heads/main", Answer { commit: "0".repeat(40), asked: UnixSeconds(7) });
        heads.save(&state).unwrap();
        assert_eq!(Heads::load(&state), heads);
        state.replace(FILE, b"{\"https").unwrap();
        assert_eq!(Heads::load(&state), Heads::default());
    }
}
