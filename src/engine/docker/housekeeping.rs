//! Housekeeping by Docker's API: removal, users of images, and an engine's words on itself.
//!
//! Never forces. Knows nothing of why an image goes.

use std::collections::{BTreeMap, BTreeSet};

use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveImageOptionsBuilder};

use super::client::DockerEngine;
use crate::engine::{About, EngineError, ImageId};

pub(super) fn remove(engine: &DockerEngine, id: &ImageId) -> Result<(), EngineError> {
    let docker = engine.docker()?;
    // With `noprune`, for the reason that `untag` has.
    let options = RemoveImageOptionsBuilder::default().noprune(true).build();
    match engine.runtime()?.block_on(docker.remove_image(&id.0, Some(options), None)) {
        Ok(_) => Ok(()),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        Err(error) => Err(engine.error(&format!("removing the image {id}"), error)),
    }
}

pub(super) fn containers(engine: &DockerEngine) -> Result<BTreeMap<ImageId, BTreeSet<String>>, EngineError> {
    let docker = engine.docker()?;
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let listed = engine.runtime()?.block_on(docker.list_containers(Some(options)));
    let listed = listed.map_err(|error| engine.error("listing the engine's containers", error))?;
    let mut containers: BTreeMap<ImageId, BTreeSet<String>> = BTreeMap::new();
    for container in listed {
        let Some(image) = container.image_id else { continue };
        let names = container.names.unwrap_or_default();
        let name = names.first().map(|name| name.trim_start_matches('/').to_owned());
        let name = name.or(container.id).unwrap_or_default();
        containers.entry(ImageId(image)).or_default().insert(name);
    }
    Ok(containers)
}

pub(super) fn about(engine: &DockerEngine) -> Result<About, EngineError> {
    let docker = engine.docker()?;
    let asked = engine.runtime()?.block_on(async { tokio::join!(docker.info(), docker.version()) });
    let info = asked.0.map_err(|error| engine.error("asking the engine who it is", error))?;
    let version = asked.1.map_err(|error| engine.error("asking the engine for its version", error))?;
    Ok(About {
        place: engine.endpoint.to_string(),
        api: version.api_version.unwrap_or_default(),
        time: info.system_time.unwrap_or_default(),
        images: info.images.and_then(|count| usize::try_from(count).ok()).unwrap_or_default(),
        store: info.driver.unwrap_or_default(),
    })
}
