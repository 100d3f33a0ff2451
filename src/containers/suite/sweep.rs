//! Removal of what runs of tests left that were killed. Only what bears this owner's label is looked at.

use std::collections::BTreeMap;

use crate::containers::api::{ContainerId, Containers, LABEL};
use crate::engine::EngineError;

/// Removes what runs of this owner left that are over, as `is_over` says by a run's name. With the number of things.
///
/// # Errors
/// When the engine does not list or remove them.
pub fn sweep(
    containers: &dyn Containers,
    owner: &str,
    is_over: impl Fn(&str) -> bool,
) -> Result<usize, EngineError> {
    let found = containers.labelled("imk.owner", owner)?;
    let goes = |labels: &BTreeMap<String, String>| {
        labels.get(LABEL).is_some_and(|made_for| made_for == "test")
            && !labels.contains_key("imk.kept")
            && labels.get("imk.run").is_some_and(|run| is_over(run))
    };
    let mut count = 0;
    for (id, _) in found.containers.iter().filter(|(_, labels)| goes(labels)) {
        containers.remove(&ContainerId(id.clone()))?;
        count += 1;
    }
    for (name, _) in found.volumes.iter().filter(|(_, labels)| goes(labels)) {
        containers.remove_volume(name)?;
        count += 1;
    }
    for (id, _) in found.networks.iter().filter(|(_, labels)| goes(labels)) {
        containers.remove_network(id)?;
        count += 1;
    }
    Ok(count)
}
