//! Targets that imk's own builder made, put into a Docker engine under their names.
//!
//! An engine that has an image is not sent it again. A name that another repository's image bears there is taken
//! as it is on every engine: not without a word, and not without leaving that image another. Knows no archive.

use super::local_names;
use super::summary::{LoadDone, Summary};
use crate::engine::{ArchiveWriter, EngineError, ImageId, Node};
use crate::exec::executor::Executor;
use crate::plan::outputs;
use crate::query::effect::Built;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::sync::Synced;

/// Puts the targets that have a result into the engine that takes them, where the default one is for building alone.
pub(super) fn load(session: &Session, synced: &Synced, summary: &mut Summary) {
    let pool = session.executor.pool();
    let Some(into) = pool.loading() else { return };
    let proofs = outputs::proofs(session, synced);
    for name in platforms::of_engine(session, &synced.targets) {
        let Some(built) = summary.results.get(&name).filter(|_| !proofs.contains(&name)).cloned() else {
            continue;
        };
        let names = summary.names.get(&name).cloned().unwrap_or_default();
        let result = one(&session.executor, into, &name, &built, &names, summary);
        summary.loads.push(LoadDone { image: name, result });
    }
}

/// Puts one there. `true` when that was something to do.
fn one(
    executor: &Executor,
    into: &Node,
    name: &str,
    built: &Built,
    names: &[String],
    summary: &mut Summary,
) -> Result<bool, EngineError> {
    let from = executor.holder_or_default(&built.id)?;
    let told = |name: &str| from.engine.inspect(name);
    let Some(image) = told(&built.id.0)? else {
        let why = "no engine has it".to_owned();
        return Err(EngineError::Refused { what: format!("reading the image {}", built.id), why });
    };
    let mut lacks = Vec::new();
    let mut there: Option<ImageId> = into.engine.inspect(&built.id.0)?.map(|info| info.id);
    for tag in names {
        match into.engine.inspect(tag)? {
            // An engine with another kind of store calls the same image otherwise.
            Some(info) if info.content == image.content => there = Some(info.id),
            _ => lacks.push(tag),
        }
    }
    let sent = there.is_none();
    let id = match there {
        Some(id) => id,
        None => {
            let cancel = &executor.cancel;
            let archive: &mut ArchiveWriter<'_> = &mut |to| from.engine.save(&built.id, to, cancel);
            into.engine.load(archive, cancel)?
        }
    };
    for tag in &lacks {
        summary.taken_names.extend(local_names::make_way(executor, into, name, &id, tag)?);
        into.tag(&id, tag)?;
    }
    Ok(sent || !lacks.is_empty())
}
