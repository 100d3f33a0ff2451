//! Images that were in the Imagefile and are not any more: their state goes, their results stay.
//!
//! `.imk/images` lists what each Imagefile of the folder declared when it was last built from, so that
//! images of another Imagefile are not taken for removed ones. A run that may write compares, and drops
//! history, evidence and logs of those that went. Results are for `gc`. An image that is only called
//! differently now has the same key; it takes the history over.

use std::collections::{BTreeMap, BTreeSet};

use super::session::Session;
use crate::hash::ContentHash;
use crate::state::seal;

/// The file, below the state folder.
const FILE: &str = "images";

/// How discovery is called in the list.
const DISCOVERED: &str = "";

/// Images by Imagefile.
pub(super) type Declarations = BTreeMap<String, BTreeSet<String>>;

impl Session {
    /// Drops what is kept of images that went from the Imagefile. `keys` are those of the results that
    /// this run came to: an image without history that has the key of a gone one is that one renamed.
    /// A session that only looks changes nothing.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn forget_gone(&self, keys: &BTreeMap<String, ContentHash>) -> std::io::Result<()> {
        if !self.is_exclusive() {
            return Ok(());
        }
        let (before, now) = (self.declarations(), self.declared_now());
        let gone = self.gone(&before, &now);
        if !gone.is_empty() {
            let ledger = &self.executor.ledger;
            let with_history = ledger.images();
            let new: BTreeSet<&String> =
                self.project.images.keys().filter(|name| !with_history.contains(*name)).collect();
            let records = ledger.records();
            let mut forgotten = BTreeSet::new();
            let mut taken = BTreeSet::new();
            let mut undecided = false;
            for name in &gone {
                let of_it: BTreeSet<ContentHash> =
                    records.iter().filter(|record| record.image == *name).map(|record| record.key).collect();
                let heir = new.iter().copied().find(|heir| {
                    keys.get(*heir).is_some_and(|key| of_it.contains(key)) && !taken.contains(*heir)
                });
                match heir {
                    Some(heir) => {
                        taken.insert(heir);
                        ledger.rename(name, heir)?;
                    }
                    // One that was not looked at in this run may be the heir: the next run decides.
                    None if new.iter().any(|name| !keys.contains_key(*name)) && !of_it.is_empty() => {
                        undecided = true;
                        continue;
                    }
                    None => drop(forgotten.insert(name.clone())),
                }
                self.state().remove(&log_name(name))?;
            }
            ledger.forget(&forgotten)?;
            let kept: BTreeSet<ContentHash> = ledger.records().into_iter().map(|record| record.key).collect();
            self.executor.evidence.prune(0, |key| kept.contains(key));
            if undecided {
                return Ok(());
            }
        }
        if before.get(self.imagefile()) != now.get(self.imagefile()) {
            let text = serde_json::to_vec(&now)?;
            self.state().replace(FILE, &seal::seal(text))?;
        }
        Ok(())
    }

    /// What was declared when the state was last written.
    pub(super) fn declarations(&self) -> Declarations {
        let read = |bytes: Vec<u8>| serde_json::from_slice(seal::open(&bytes)?).ok();
        self.state().read(FILE).and_then(read).unwrap_or_default()
    }

    /// Images that were declared before and that no Imagefile declares now.
    fn gone(&self, before: &Declarations, now: &Declarations) -> BTreeSet<String> {
        let there: BTreeSet<&String> = now.values().flatten().collect();
        let own = before.get(self.imagefile()).into_iter().flatten();
        own.filter(|name| !there.contains(*name)).cloned().collect()
    }

    /// What is declared now; an Imagefile that is not there any more declares nothing.
    pub(super) fn declared_now(&self) -> Declarations {
        let mut declared = self.declarations();
        // Where an Imagefile is new it says what discovery said before.
        let is_new = !declared.contains_key(self.imagefile());
        declared.retain(|file, _| match file.as_str() {
            DISCOVERED => !is_new,
            file => self.executor.tree.read(file).is_ok_and(|text| text.is_some()),
        });
        declared.insert(self.imagefile().to_owned(), self.project.images.keys().cloned().collect());
        declared
    }

    fn imagefile(&self) -> &str {
        self.project.imagefile.as_deref().unwrap_or(DISCOVERED)
    }
}

/// The log of an image's last build, below the state folder.
pub fn log_name(image: &str) -> String {
    format!("logs/{image}.log")
}
