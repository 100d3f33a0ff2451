//! `clean`: takes away what imk knows of some images or of all, and on request the images too.
//!
//! Asks nobody whether that is wise: state is disposable, and of the images only those go that
//! imk built here and nobody else has a hold on.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::EngineError;
use crate::gc::engine_images::{self, OwnedImage, Stays};
use crate::model::time::UnixSeconds;
use crate::session::inputs;
use crate::session::open::Session;
use crate::session::removed_images;
use crate::state::files::StateFile;
use crate::state::ledger::Record;

/// The files that stay while anybody may hold the lock, and those that mark the folder.
const STAYS: &[&str] = &["lock", ".gitignore", "CACHEDIR.TAG", "mark"];

/// The extent of a cleaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent<'a> {
    /// Everything.
    All,
    /// The state of these images.
    Images(&'a BTreeSet<String>),
}

/// The files and images that would go, or went.
#[derive(Debug, Default)]
pub struct Cleaning {
    /// Files and folders of the state, with their sizes.
    pub state: Vec<StateFile>,
    /// Builds that are forgotten.
    pub builds: usize,
    /// Images on the engines.
    pub images: Vec<OwnedImage>,
    /// Images that stay, and why.
    pub stays: Vec<(OwnedImage, Stays)>,
}

/// The files and images that `clean` would take away.
///
/// # Errors
/// When an engine does not say what it has, and images are asked for.
pub fn to_clean(session: &Session, extent: Extent<'_>, images: bool) -> Result<Cleaning, EngineError> {
    let concerns = |record: &&Record| match extent {
        Extent::All => true,
        Extent::Images(names) => names.contains(&record.image),
    };
    let records: Vec<Record> =
        session.executor.ledger.records().into_iter().chain(session.executor.ledger.left()).collect();
    let mut cleaning = Cleaning { builds: records.iter().filter(concerns).count(), ..Cleaning::default() };
    cleaning.state = match extent {
        Extent::All => {
            let mut files = session.state().list().unwrap_or_default();
            files.retain(|file| !STAYS.contains(&file.name.as_str()));
            files
        }
        Extent::Images(names) => {
            let keys: BTreeSet<String> =
                records.iter().filter(concerns).map(|record| record.key.to_string()).collect();
            let shared: BTreeSet<String> = records
                .iter()
                .filter(|record| !concerns(record))
                .map(|record| record.key.to_string())
                .collect();
            let evidence = keys.difference(&shared).map(|key| format!("evidence/{key}"));
            let logs = names.iter().map(|name| removed_images::log_name(name));
            let file = |name: String| {
                let size_bytes = session.state().size(&name);
                (size_bytes > 0).then_some(StateFile { name, size_bytes, written: UnixSeconds::default() })
            };
            logs.chain(evidence).filter_map(file).collect()
        }
    };
    if images {
        let others: BTreeSet<&String> =
            records.iter().filter(|record| !concerns(record)).map(|record| &record.id).collect();
        for node in session.executor.pool().nodes() {
            node.unreachable().map_or(Ok(()), |error| Err(error.clone()))?;
            // One result may serve two images; the one that stays keeps it.
            let own = records.iter().filter(concerns).filter(|record| !others.contains(&record.id));
            let mut held: Vec<OwnedImage> = engine_images::owned_images(node, own)?.into_values().collect();
            engine_images::ask_sizes(node, &mut held);
            let containers = node.engine.containers()?;
            for held in held {
                match engine_images::may_go(session, &held, &containers) {
                    Ok(()) => cleaning.images.push(held),
                    Err(why) => cleaning.stays.push((held, why)),
                }
            }
        }
    }
    Ok(cleaning)
}

/// Takes it away. The images first: without the ledger nobody knows which were ours.
///
/// # Errors
/// When the state cannot be changed. Images that stay after all are in the answer.
pub fn clean(session: &mut Session, extent: Extent<'_>, mut cleaning: Cleaning) -> std::io::Result<Cleaning> {
    let mut gone = Vec::new();
    for held in std::mem::take(&mut cleaning.images) {
        match engine_images::remove_image(session, &held) {
            Ok(()) => gone.push(held),
            Err(why) => cleaning.stays.push((held, why)),
        }
    }
    cleaning.images = gone;
    for file in &cleaning.state {
        session.state().remove(&file.name)?;
    }
    if let Extent::Images(names) = extent {
        session.executor.ledger.drop_records(|record| names.contains(&record.image))?;
        forget_results(session, names);
        session.save()?;
    }
    Ok(cleaning)
}

/// Has the queries of some images run again, as of images never built.
fn forget_results(session: &mut Session, names: &BTreeSet<String>) {
    inputs::sync_images(session);
    for name in names {
        session.memory.results.remove(name);
        inputs::invalidate(session, name);
    }
}

/// The bytes of some images at most: layers that they share are counted for each.
pub fn at_most<'h>(images: impl IntoIterator<Item = &'h OwnedImage>) -> u64 {
    let sizes: BTreeMap<_, _> = images
        .into_iter()
        .map(|held| ((&held.engine, &held.id), held.size_bytes.unwrap_or_default()))
        .collect();
    sizes.values().sum()
}
