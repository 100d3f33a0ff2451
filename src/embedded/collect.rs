//! Collection: what no image and no recent step needs goes.
//!
//! | stays | because |
//! |---|---|
//! | an image that is named or that `imk` has not let go of | somebody may want it |
//! | its configuration, its layers in every form, their headers | it is made of them |
//! | the result of a step that was used within [`RECENT`] | the next build finds it |
//! | unpacked layers and caches of `RUN` of the last [`RECENT`] | so does the next command |
//! | drafts of a living process | it is writing them |
//!
//! Runs only while nobody builds, and starts again where it was killed.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, SystemTime};

use fs_err as fs;

use super::config::Config;
use super::layer::layers::Form;
use super::names;
use super::store::{NoteKind, Store};
use super::trouble::{During, Result};

/// How long what a step made is kept for the next build.
pub const RECENT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Takes away what nothing needs; answers with the bytes that were freed. Nothing goes while somebody builds.
pub fn collect(store: &Store) -> Result<u64> {
    if !store.root().exists() {
        return Ok(0);
    }
    let Some(_alone) = store.hold(true)? else { return Ok(0) };
    let mut blobs: BTreeSet<String> = BTreeSet::new();
    let mut layers: BTreeSet<String> = BTreeSet::new();
    for id in store.names(NoteKind::Images)? {
        let config = store.read(&id).ok().and_then(|bytes| Config::parse(&bytes).ok());
        // An image whose configuration cannot be read cannot be judged: what it would need is not known.
        let Some(config) = config else { continue };
        layers.extend(config.diff_ids);
        blobs.insert(id);
    }
    for key in store.names(NoteKind::Steps)? {
        match store.noted::<String>(NoteKind::Steps, &key) {
            Some(diff_id) if store.age(NoteKind::Steps, &key) < RECENT => drop(layers.insert(diff_id)),
            _ => store.forget(NoteKind::Steps, &key)?,
        }
    }
    for diff_id in &layers {
        blobs.insert(diff_id.clone());
        let forms: Vec<Form> = store.noted(NoteKind::Layers, diff_id).unwrap_or_default();
        blobs.extend(forms.into_iter().map(|form| form.digest));
    }
    for kind in [NoteKind::Index, NoteKind::Layers] {
        for diff_id in store.names(kind)? {
            if !layers.contains(&diff_id) {
                store.forget(kind, &diff_id)?;
            }
        }
    }
    let mut freed = 0;
    let what = || "collecting the image store".to_owned();
    for entry in fs::read_dir(store.root().join("blobs/sha256")).during(what)? {
        let entry = entry.during(what)?;
        let name = entry.file_name();
        let kept = name.to_str().is_some_and(|hex| blobs.contains(&format!("sha256:{hex}")));
        if !kept {
            freed += entry.metadata().map_or(0, |data| data.len());
            fs::remove_file(entry.path()).during(what)?;
        }
    }
    names::forget_gone(store, |id| blobs.contains(id)).during(what)?;
    freed += folders(store, &layers).during(what)?;
    Ok(freed)
}

/// Drafts of the dead, unpacked layers that nothing needs, and caches that nobody used for long.
fn folders(store: &Store, layers: &BTreeSet<String>) -> io::Result<u64> {
    let mut freed = 0;
    let kept: BTreeSet<String> = layers.iter().map(|layer| super::run::tree_name(layer)).collect();
    for (folder, keeps) in [("drafts", false), ("trees", true), ("caches", true)] {
        for entry in fs::read_dir(store.root().join(folder))? {
            let entry = entry?;
            let data = entry.metadata()?;
            let age = data.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            let young = age.is_none_or(|age| age < RECENT);
            let name = entry.file_name();
            let wanted = match folder {
                "trees" => name.to_str().is_some_and(|name| kept.contains(name)) && young,
                _ => young,
            };
            if keeps && wanted {
                continue;
            }
            freed += super::run::remove(&entry.path())?;
        }
    }
    Ok(freed)
}
