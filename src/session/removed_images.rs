//! Images that were in the Imagefile and are not any more: their state goes, their results stay.
//!
//! `.imk/images` lists what each Imagefile of the folder declared when it was last built from, so that
//! images of another Imagefile are not taken for removed ones. A run that may write compares, and drops
//! history, evidence and logs of those that went. Results are for `gc`. An image that is only called
//! differently now has the same key; it takes the history over.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::hash::ContentHash;
use crate::model::name;
use crate::session::open::Session;
use crate::state::seal;

/// The file, below the state folder.
const FILE: &str = "images";

/// How discovery is called in the list.
const DISCOVERED: &str = "";

/// Images by Imagefile.
pub(super) type Declarations = BTreeMap<String, BTreeSet<String>>;

/// Drops what is kept of images that went from the Imagefile. `keys` are those of the results that
/// this run came to: an image without history that has the key of a gone one is that one renamed.
/// A session that only looks changes nothing.
///
/// # Errors
/// When the state cannot be written.
pub fn forget_gone(session: &Session, keys: &BTreeMap<String, ContentHash>) -> std::io::Result<()> {
    if !session.is_exclusive() {
        return Ok(());
    }
    let (before, now) = (declarations(session), declared_now(session));
    let gone = gone(session, &before, &now);
    if !gone.is_empty() {
        let ledger = &session.executor.ledger;
        let with_history = ledger.images();
        let new: BTreeSet<&String> =
            session.project.images.keys().filter(|name| !with_history.contains(*name)).collect();
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
            session.state().remove(&log_name(name))?;
        }
        ledger.forget(&forgotten)?;
        let kept: BTreeSet<ContentHash> = ledger.records().into_iter().map(|record| record.key).collect();
        session.executor.evidence.prune(0, |key| kept.contains(key));
        if undecided {
            return Ok(());
        }
    }
    if before.get(imagefile(session)) != now.get(imagefile(session)) {
        let text = serde_json::to_vec(&now)?;
        session.state().replace(FILE, &seal::seal(text))?;
    }
    Ok(())
}

/// The declarations as of the last time that the state was written.
pub(crate) fn declarations(session: &Session) -> Declarations {
    let read = |bytes: Vec<u8>| serde_json::from_slice(seal::open(&bytes)?).ok();
    session.state().read(FILE).and_then(read).unwrap_or_default()
}

/// Images that were declared before and that no Imagefile declares now.
fn gone(session: &Session, before: &Declarations, now: &Declarations) -> BTreeSet<String> {
    let there: BTreeSet<&String> = now.values().flatten().collect();
    let own = before.get(imagefile(session)).into_iter().flatten();
    own.filter(|name| !there.contains(*name)).cloned().collect()
}

/// The declarations as of now; an Imagefile that is not there any more declares nothing.
pub(crate) fn declared_now(session: &Session) -> Declarations {
    let mut declared = declarations(session);
    // Where an Imagefile is new it says what discovery said before.
    let is_new = !declared.contains_key(imagefile(session));
    declared.retain(|file, _| match file.as_str() {
        DISCOVERED => !is_new,
        file => session.executor.tree.read(file).is_ok_and(|text| text.is_some()),
    });
    declared.insert(imagefile(session).to_owned(), session.project.images.keys().cloned().collect());
    declared
}

fn imagefile(session: &Session) -> &str {
    session.project.imagefile.as_deref().unwrap_or(DISCOVERED)
}

/// The log of an image's last build, below the state folder.
pub fn log_name(image: &str) -> String {
    format!("logs/{}.log", name::file_name(image))
}
