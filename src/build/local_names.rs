//! The names that results bear on an engine, and the images that bore them before.
//!
//! A name is one for the whole engine: another repository may have given it to a result of its own, and
//! a result that is only in a registry leaves it on an older image. Neither happens without a word, and
//! no image that this repository does not know is left without a name, since an engine's clean-up
//! takes those. Knows no templates: `tags` says which names a result should bear.

use crate::build::summary::{OutdatedName, Summary, TakenName};
use crate::engine::{EngineError, ImageId, Node};
use crate::exec::executor::Executor;
use crate::plan::tags::tagging::Tagging;
use crate::query::effect::Built;

/// Digits of an id in the name that an image is left with.
const KEPT: usize = 16;

/// Gives a result the tags it lacks. `is_new` when it was built in this run: a fresh image is only tagged.
pub(super) fn give(
    executor: &Executor,
    tagging: &Tagging,
    name: &str,
    built: &Built,
    is_new: bool,
    summary: &mut Summary,
) {
    let names = tagging.references(name, &built.id, &built.key);
    // What only a registry has is given its tags there, when it is pushed, or here, when it is fetched.
    // What is on an engine that is gone keeps those it has there.
    match executor.has(&built.id) {
        Ok(false) => return summary.outdated_names.extend(behind(executor, name, built, &names)),
        Err(_) if !executor.pool().is_one() => return,
        _ => {}
    }
    // An engine that does not say is asked for each tag, and says then what is wrong.
    let lacks = tagging.lacks(executor, name, &built.id, &built.key);
    let lacks = lacks.unwrap_or_else(|_| names.clone());
    summary.names.insert(name.to_owned(), names);
    let skipped = tagging.of(name, Some(&built.key)).skipped.into_iter();
    summary.skipped_tags.extend(skipped.map(|skipped| (name.to_owned(), skipped)));
    for tag in lacks {
        let taken = executor
            .holder_or_default(&built.id)
            .and_then(|node| make_way(executor, &node, name, &built.id, &tag));
        match taken.and_then(|taken| executor.tag(&built.id, &tag).map(|()| taken)) {
            Ok(taken) => {
                summary.taken_names.extend(taken);
                if !is_new {
                    summary.retagged.insert(name.to_owned());
                }
            }
            Err(error) => summary.untagged.push((tag, error)),
        }
    }
}

/// Sees to it that the image which bears a name has another one, if this repository does not know it.
pub(super) fn make_way(
    executor: &Executor,
    node: &Node,
    name: &str,
    id: &ImageId,
    tag: &str,
) -> Result<Option<TakenName>, EngineError> {
    let Some(bearer) = node.engine.inspect(tag)? else { return Ok(None) };
    if bearer.id == *id || executor.ledger.has_id(name, &bearer.id.0) {
        return Ok(None);
    }
    let mut kept_as = None;
    if bearer.tags.len() <= 1
        && let Some((repository, _)) = tag.rsplit_once(':')
    {
        let hex = bearer.id.0.rsplit(':').next().unwrap_or_default();
        let other = format!("{repository}:imk-{}", &hex[..hex.len().min(KEPT)]);
        node.tag(&bearer.id, &other)?;
        kept_as = Some(other);
    }
    Ok(Some(TakenName { tag: tag.to_owned(), from: bearer.id, kept_as }))
}

/// Which of these names another image bears on the default engine. State may have been lost since that was built, so
/// the engine is asked and not the ledger.
fn behind(executor: &Executor, name: &str, built: &Built, names: &[String]) -> Vec<OutdatedName> {
    let default = executor.default_engine();
    let on_other = |tag: &&String| {
        let bearer = default.inspect(tag).ok().flatten();
        bearer.is_some_and(|bearer| bearer.id != built.id)
    };
    names
        .iter()
        .filter(on_other)
        .map(|tag| OutdatedName { image: name.to_owned(), tag: tag.clone() })
        .collect()
}
