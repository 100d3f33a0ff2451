//! Warnings that were told: a run with nothing to do does not tell them again.
//!
//! One small file of hashes. Knows no warning; a lost file tells all of them once more.

use std::collections::BTreeSet;

use super::folder::StateFolder;
use super::seal;
use crate::model::hash::ContentHash;

const FILE: &str = "told";

/// So many are remembered; then it begins anew.
const MOST: usize = 2000;

/// The warnings that were told in earlier runs.
#[derive(Debug, Default)]
pub struct Told {
    known: BTreeSet<String>,
    changed: bool,
}

impl Told {
    /// Those that are remembered.
    pub fn read(state: &StateFolder) -> Self {
        let read = |bytes: Vec<u8>| serde_json::from_slice(seal::open(&bytes)?).ok();
        Self { known: state.read(FILE).and_then(read).unwrap_or_default(), changed: false }
    }

    /// Takes note of a warning; whether it is new.
    pub fn is_new(&mut self, line: &str) -> bool {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let new = self.known.insert(ContentHash::of(line.as_bytes()).short(24));
        self.changed |= new;
        new
    }

    /// Keeps what was told, if anything is new.
    ///
    /// # Errors
    /// When it cannot be written; it is told once more then.
    pub fn save(&mut self, state: &StateFolder) -> std::io::Result<()> {
        if self.changed {
            state.replace(FILE, &seal::seal(serde_json::to_vec(&self.known)?))?;
            self.changed = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_new_once() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let mut told = Told::read(&state);
        assert!(told.is_new("a") && !told.is_new("a"));
        told.save(&state).unwrap();
        let mut told = Told::read(&state);
        assert!(!told.is_new("a") && told.is_new("b"));
    }
}
