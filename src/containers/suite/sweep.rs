//! Removal of what runs of tests left that were killed. Only what bears this owner's label is looked at.

use std::collections::BTreeMap;

use crate::containers::api::{ContainerId, Containers, LABEL};
use crate::engine::EngineError;

/// The outcome of a sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many things were removed.
    pub count: usize,
    /// Why one of them could not be; the next run tries again.
    pub left: Option<EngineError>,
}

/// Removes what runs of this owner left that are over, as `is_over` says by a run's name. Each thing is tried, whatever
/// became of the others.
///
/// # Errors
/// When the engine does not list them.
pub fn sweep(
    containers: &dyn Containers,
    owner: &str,
    is_over: impl Fn(&str) -> bool,
) -> Result<Swept, EngineError> {
    let found = containers.labelled("imk.owner", owner)?;
    let goes = |labels: &BTreeMap<String, String>| {
        labels.get(LABEL).is_some_and(|made_for| made_for == "test")
            && labels.get("imk.owner").is_some_and(|it| it == owner)
            && !labels.contains_key("imk.kept")
            && labels.get("imk.run").is_some_and(|run| is_over(run))
    };
    let mut swept = Swept::default();
    let mut note = |removed: Result<(), EngineError>| match removed {
        Ok(()) => swept.count += 1,
        Err(error) => swept.left = swept.left.take().or(Some(error)),
    };
    for (id, _) in found.containers.iter().filter(|(_, labels)| goes(labels)) {
        note(containers.remove(&ContainerId(id.clone())));
    }
    // As they are listed, the newest first: one that another was made of goes after that one.
    for (id, _) in found.images.iter().filter(|(_, labels)| goes(labels)) {
        note(containers.remove_image(id));
    }
    for (name, _) in found.volumes.iter().filter(|(_, labels)| goes(labels)) {
        note(containers.remove_volume(name));
    }
    for (id, _) in found.networks.iter().filter(|(_, labels)| goes(labels)) {
        note(containers.remove_network(id));
    }
    Ok(swept)
}
