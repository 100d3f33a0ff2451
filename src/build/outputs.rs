//! Outputs written after a build, and images that nothing is kept of.
//!
//! Says what happened with each; knows no form and no destination.

use std::collections::BTreeMap;
use std::io;

use crate::build::summary::OutputDone;
use crate::engine::{EngineError, ImageId};
use crate::exec::push::PublishError;
use crate::outputs::write::{self, Source};
use crate::plan::outputs::{self, Lacking};
use crate::query::effect::Built;
use crate::session::inputs;
use crate::session::open::Session;
use crate::session::sync::Synced;

/// Writes the outputs of targets that have a result and whose outputs are not as that has them.
pub(super) fn write_lacking(
    session: &Session,
    synced: &Synced,
    results: &BTreeMap<String, Built>,
) -> Vec<OutputDone> {
    let contents = results.iter().map(|(name, built)| (name.clone(), built.content)).collect();
    let mut by_image: BTreeMap<String, Vec<Lacking>> = BTreeMap::new();
    for lacking in outputs::lacking(session, synced, &contents) {
        by_image.entry(lacking.image.clone()).or_default().push(lacking);
    }
    let mut done = Vec::new();
    for (name, lacking) in by_image {
        let Some(built) = results.get(&name) else { continue };
        let result = write_image(session, &name, built, &lacking);
        done.extend(lacking.into_iter().map(|lacking| OutputDone {
            image: name.clone(),
            place: lacking.shown(session),
            result: result.clone(),
        }));
    }
    done
}

fn write_image(session: &Session, name: &str, built: &Built, lacking: &[Lacking]) -> Result<(), String> {
    let declared = session.project.images.get(name).ok_or("it is not declared any more")?;
    let executor = &session.executor;
    let cancel = executor.cancel.clone();
    let (node, id) = match executor.holder(&built.id).map_err(|error| error.to_string())? {
        Some(node) => (node, built.id.clone()),
        None => {
            let fetched =
                executor.pull_to_default(name, built).map_err(|error: PublishError| error.to_string())?;
            let id: ImageId = fetched.ok_or("neither an engine nor a registry has the image")?;
            (executor.pool().default_node().clone(), id)
        }
    };
    let image = outputs::image(declared, built.content);
    let places: Vec<_> = lacking.iter().map(|it| (it.output.clone(), it.place.clone())).collect();
    let save = |into: &mut dyn io::Write| {
        node.engine.save(&id, into, &cancel).map_err(|error: EngineError| io::Error::other(error.to_string()))
    };
    let stored = node.engine.stored(&id, &cancel).map_err(|error| error.to_string())?;
    let source = stored.map_or(Source::Save(&save), Source::Files);
    write::write(session.state(), &image, &places, source).map_err(|error| error.to_string())
}

/// Does with the results of builds that withheld outputs what a build does with its own: writes what lacks, and keeps
/// nothing of what was only to be shown to build.
pub fn finish(session: &mut Session, synced: &Synced, results: &BTreeMap<String, Built>) -> Vec<OutputDone> {
    let done = write_lacking(session, synced, results);
    remove_proofs(session, synced, results);
    done
}

/// Removes the images of targets that were only to be shown to build.
pub(super) fn remove_proofs(session: &mut Session, synced: &Synced, results: &BTreeMap<String, Built>) {
    for name in outputs::proofs(session, synced) {
        let Some(built) = results.get(&name) else { continue };
        // It is not looked for by the next run, which finds out anew whether it was ever built.
        session.changed |= session.memory.results.remove(&name).is_some();
        inputs::invalidate(session, &name);
        if let Ok(Some(node)) = session.executor.holder(&built.id) {
            // An engine takes the only name away with the image: what bears one is somebody's.
            let info = node.engine.inspect(&built.id.0);
            let is_named = |tags: &[String]| tags.iter().any(|tag| !tag.starts_with("<none>"));
            if info.is_ok_and(|info| info.is_some_and(|info| !is_named(&info.tags))) {
                let _ = node.engine.remove(&built.id);
            }
        }
    }
}
