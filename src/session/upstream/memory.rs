//! Answers of registries, kept in `.imk/upstream` for the next process.
//!
//! A disposable cache: without it registries are asked again. Knows no
//! policy; whoever asks says until when an answer holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::hash::ContentHash;
use crate::model::time::UnixSeconds;
use crate::query::inputs::Brings;
use crate::state::folder::StateFolder;
use crate::state::seal;
use crate::syntax::reference::Reference;

const FILE: &str = "upstream";

/// All that is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// By name in full and platform.
    bases: BTreeMap<String, Answer>,
    /// By digest; what a digest stands for never changes.
    configurations: BTreeMap<String, Brings>,
    /// Files on the web, by address.
    #[serde(default)]
    files: BTreeMap<String, Answer>,
    /// Where an image bears its base's name: the id that the name had on the engine before imk's own tag.
    #[serde(default)]
    engine_before: BTreeMap<String, String>,
    /// Likewise the digest that the name had in its registry.
    #[serde(default)]
    registry_before: BTreeMap<String, String>,
    /// Registries that did not answer, by host.
    #[serde(rename = "silent")]
    unavailable: BTreeMap<String, Unavailable>,
    #[serde(skip)]
    changed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    digest: String,
    /// The moment of the answer.
    at: UnixSeconds,
}

#[derive(Debug, Serialize, Deserialize)]
struct Unavailable {
    why: String,
    at: UnixSeconds,
}

/// The name of an answer.
pub fn key(name: &Reference, platform: &str) -> String {
    format!("{name} {platform}")
}

/// An address may hold a password or a signature, which no file of ours is to hold.
fn address(url: &str) -> String {
    ContentHash::of(url.as_bytes()).to_string()
}

impl Memory {
    /// The memory that the last process left, if it can be read.
    pub fn read(state: &StateFolder) -> Self {
        let read = |bytes: Vec<u8>| serde_json::from_slice(seal::open(&bytes)?).ok();
        state.read(FILE).and_then(read).unwrap_or_default()
    }

    /// Writes it, if anything is new, without what no answer refers to.
    pub fn save(&mut self, state: &StateFolder) -> std::io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let used: BTreeSet<&str> = self.bases.values().map(|answer| answer.digest.as_str()).collect();
        // Locked digests are in no answer, and few: only a long list is thinned.
        if self.configurations.len() > 2 * used.len() + 200 {
            let used: BTreeSet<String> = used.into_iter().map(str::to_owned).collect();
            self.configurations.retain(|digest, _| used.contains(digest));
        }
        state.replace(FILE, &seal::seal(serde_json::to_vec(self)?))?;
        self.changed = false;
        Ok(())
    }

    /// The last answer, if it still holds by the time it was given.
    pub fn holding(
        &self,
        name: &Reference,
        platform: &str,
        holds: impl Fn(UnixSeconds) -> bool,
    ) -> Option<String> {
        let answer = self.bases.get(&key(name, platform))?;
        holds(answer.at).then(|| answer.digest.clone())
    }

    /// The last answer, however old.
    pub fn last(&self, name: &Reference, platform: &str) -> Option<String> {
        self.holding(name, platform, |_| true)
    }

    /// Why a registry did not answer, if that was not long ago.
    pub fn unavailable(&self, host: &str, recent: impl Fn(UnixSeconds) -> bool) -> Option<String> {
        self.unavailable
            .get(host)
            .filter(|unavailable| recent(unavailable.at))
            .map(|unavailable| unavailable.why.clone())
    }

    /// The validators of a file, if that answer still holds.
    pub fn file(&self, url: &str, holds: impl Fn(UnixSeconds) -> bool) -> Option<String> {
        self.files.get(&address(url)).filter(|answer| holds(answer.at)).map(|answer| answer.digest.clone())
    }

    /// A server told the state of a file, or that there is none.
    pub fn saw_file(&mut self, url: &str, state: Option<&str>, at: UnixSeconds) {
        match state {
            Some(state) => {
                self.files.insert(address(url), Answer { digest: state.to_owned(), at });
                self.changed = true;
            }
            None => self.changed |= self.files.remove(&address(url)).is_some(),
        }
    }

    /// A registry answered.
    pub fn record(&mut self, name: &Reference, platform: &str, digest: &str, at: UnixSeconds) {
        self.bases.insert(key(name, platform), Answer { digest: digest.to_owned(), at });
        self.unavailable.remove(&name.registry);
        self.changed = true;
    }

    /// A registry said that it has no such image.
    pub fn absent(&mut self, name: &Reference, platform: &str) {
        self.changed |= self.bases.remove(&key(name, platform)).is_some();
        self.changed |= self.unavailable.remove(&name.registry).is_some();
    }

    /// A registry did not answer.
    pub fn record_unavailable(&mut self, host: &str, why: &str, at: UnixSeconds) {
        self.unavailable.insert(host.to_owned(), Unavailable { why: why.to_owned(), at });
        self.changed = true;
    }

    /// How many answers are about none of these names.
    pub fn unused(&self, used: &BTreeSet<String>) -> usize {
        self.bases.keys().filter(|key| !used.contains(*key)).count()
    }

    /// Keeps the answers about these names alone.
    pub fn keep(&mut self, used: &BTreeSet<String>) {
        let before = self.bases.len();
        self.bases.retain(|key, _| used.contains(key));
        self.changed |= self.bases.len() != before;
    }

    /// Triggers and environment that the image of a digest brings.
    pub fn configuration(&self, digest: &str) -> Option<Brings> {
        self.configurations.get(digest).cloned()
    }

    /// Remembers what the image of a digest brings.
    pub fn learn(&mut self, digest: &str, brings: &Brings) {
        self.configurations.insert(digest.to_owned(), brings.clone());
        self.changed = true;
    }

    /// The engine has this id under a name, and imk did not make it.
    pub fn stands(&mut self, name: &Reference, platform: &str, id: &str) {
        let before = self.engine_before.insert(key(name, platform), id.to_owned());
        self.changed |= before.as_deref() != Some(id);
    }

    /// The id that [`Self::stands`] told last.
    pub fn stood(&self, name: &Reference, platform: &str) -> Option<String> {
        self.engine_before.get(&key(name, platform)).cloned()
    }

    /// The registry has this digest under a name, and imk did not publish it.
    pub fn is_published(&mut self, name: &Reference, platform: &str, digest: &str) {
        let before = self.registry_before.insert(key(name, platform), digest.to_owned());
        self.changed |= before.as_deref() != Some(digest);
    }

    /// The digest that [`Self::is_published`] told last.
    pub fn published_before(&self, name: &Reference, platform: &str) -> Option<String> {
        self.registry_before.get(&key(name, platform)).cloned()
    }
}
