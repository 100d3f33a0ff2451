//! How containers stand, and the images, networks and volumes around them.

use std::collections::{BTreeMap, HashMap};

use bollard::container::LogOutput;
use bollard::models::{ContainerConfig, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, LogsOptionsBuilder, RemoveImageOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};
use futures_util::StreamExt;

use super::client::{DockerContainers, is_absence};
use crate::containers::api::{ContainerId, Labelled, State};
use crate::engine::EngineError;

/// Lines of a log that are asked for: its end.
const LINES: &str = "1000";
/// Bytes of a log that are kept: its end.
const MOST_LOG: usize = 256 * 1024;

pub(super) async fn state(
    containers: &DockerContainers,
    container: &ContainerId,
) -> Result<Option<State>, EngineError> {
    let found = match containers.docker.inspect_container(&container.0, None).await {
        Ok(found) => found,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(containers.error("asking how the container stands", error)),
    };
    let state = found.state.unwrap_or_default();
    let health = state.health.and_then(|health| health.status).map(|status| status.to_string());
    let settings = found.network_settings.unwrap_or_default();
    let networks: Vec<_> = settings.networks.unwrap_or_default().into_values().collect();
    let mut addresses = networks.iter().filter_map(|network| network.ip_address.clone());
    let address = addresses.find(|address| !address.is_empty());
    let networks = networks.into_iter().filter_map(|network| network.network_id).collect();
    let ports = settings.ports.unwrap_or_default().into_iter().filter_map(|(name, bindings)| {
        let inside = name.strip_suffix("/tcp")?.parse().ok()?;
        let outside = bindings?.into_iter().find_map(|binding| binding.host_port?.parse().ok())?;
        Some((inside, outside))
    });
    Ok(Some(State {
        running: state.running.unwrap_or_default(),
        status: state.exit_code.unwrap_or_default(),
        health: health.filter(|health| !health.is_empty() && health != "none"),
        address,
        networks,
        ports: ports.collect(),
    }))
}

pub(super) async fn logs(
    containers: &DockerContainers,
    container: &ContainerId,
) -> Result<Vec<u8>, EngineError> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(LINES).build();
    let mut lines = containers.docker.logs(&container.0, Some(options));
    let mut log = Vec::new();
    while let Some(piece) = lines.next().await {
        match piece {
            Ok(piece) => log.extend_from_slice(&LogOutput::into_bytes(piece)),
            Err(error) if is_absence(&error) => break,
            Err(error) => return Err(containers.error("reading the container's log", error)),
        }
        if log.len() > 2 * MOST_LOG {
            log.drain(..log.len() - MOST_LOG);
        }
    }
    Ok(log)
}

pub(super) async fn commit(
    containers: &DockerContainers,
    container: &ContainerId,
) -> Result<String, EngineError> {
    let options = CommitContainerOptionsBuilder::default().container(&container.0).build();
    let made = containers.docker.commit_container(options, ContainerConfig::default()).await;
    made.map(|made| made.id).map_err(|error| containers.error("keeping what a setup left", error))
}

pub(super) async fn remove_image(containers: &DockerContainers, id: &str) -> Result<(), EngineError> {
    let options = RemoveImageOptionsBuilder::default().build();
    match containers.docker.remove_image(id, Some(options), None).await {
        Err(error) if !is_absence(&error) => {
            Err(containers.error(&format!("removing the image {id}"), error))
        }
        _ => Ok(()),
    }
}

pub(super) async fn create_network(
    containers: &DockerContainers,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), EngineError> {
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(labels.clone().into_iter().collect()),
        ..NetworkCreateRequest::default()
    };
    let made = containers.docker.create_network(request).await;
    made.map(drop).map_err(|error| containers.error("making a network", error))
}

pub(super) async fn remove_network(containers: &DockerContainers, name: &str) -> Result<(), EngineError> {
    match containers.docker.remove_network(name).await {
        Err(error) if !is_absence(&error) => {
            Err(containers.error(&format!("removing the network {name}"), error))
        }
        _ => Ok(()),
    }
}

pub(super) async fn create_volume(
    containers: &DockerContainers,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), EngineError> {
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(labels.clone().into_iter().collect()),
        ..VolumeCreateRequest::default()
    };
    let made = containers.docker.create_volume(request).await;
    made.map(drop).map_err(|error| containers.error("making a volume", error))
}

pub(super) async fn remove_volume(containers: &DockerContainers, name: &str) -> Result<(), EngineError> {
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    match containers.docker.remove_volume(name, Some(options)).await {
        Err(error) if !is_absence(&error) => {
            Err(containers.error(&format!("removing the volume {name}"), error))
        }
        _ => Ok(()),
    }
}

pub(super) async fn labelled(
    containers: &DockerContainers,
    label: &str,
    value: &str,
) -> Result<Labelled, EngineError> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{label}={value}")])]);
    let sorted = |labels: Option<HashMap<String, String>>| labels.unwrap_or_default().into_iter().collect();
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let found = containers.docker.list_containers(Some(options)).await;
    let found = found.map_err(|error| containers.error("listing containers", error))?;
    let mut all = Labelled {
        containers: found.into_iter().filter_map(|it| Some((it.id?, sorted(it.labels)))).collect(),
        ..Labelled::default()
    };
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let found = containers.docker.list_networks(Some(options)).await;
    let found = found.map_err(|error| containers.error("listing networks", error))?;
    all.networks = found.into_iter().filter_map(|it| Some((it.id?, sorted(it.labels)))).collect();
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let found = containers.docker.list_volumes(Some(options)).await;
    let found = found.map_err(|error| containers.error("listing volumes", error))?;
    let volumes = found.volumes.unwrap_or_default().into_iter();
    all.volumes = volumes.map(|it| (it.name, it.labels.into_iter().collect())).collect();
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    let found = containers.docker.list_images(Some(options)).await;
    let found = found.map_err(|error| containers.error("listing images", error))?;
    all.images = found.into_iter().map(|it| (it.id, it.labels.into_iter().collect())).collect();
    Ok(all)
}
