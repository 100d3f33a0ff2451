//! The real side: containers of a Docker engine, through its API.
//!
//! Small requests go through bollard, conversations through `engine::hijack`. Decides nothing.

mod archive;
mod client;
mod conversation;
mod create;
mod exec;
mod things;

use std::collections::BTreeMap;

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};

pub use client::DockerContainers;
use client::is_absence;

use crate::containers::api::{
    ContainerId, ContainerSpec, Containers, Conversation, End, Exec, FileFacts, ImageFacts, Labelled, Limit,
    Output, Reach, State,
};
use crate::engine::EngineError;
use crate::engine::endpoint::Address;

impl Containers for DockerContainers {
    fn reach(&self) -> Reach {
        match &self.endpoint.address {
            Address::Unix(_) | Address::Program { .. } => Reach::Here,
            Address::Tcp { host, .. } if is_loopback(host) => Reach::Here,
            Address::Tcp { host, .. } | Address::Ssh { host, .. } => Reach::Elsewhere(host.clone()),
        }
    }

    fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError> {
        match self.wait(self.docker.inspect_image(reference)) {
            Ok(image) => Ok(Some(ImageFacts {
                id: image.id.unwrap_or_default(),
                size: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                config: serde_json::to_value(&image.config).unwrap_or_default(),
            })),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(self.error(&format!("inspecting `{reference}`"), error)),
        }
    }

    fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, EngineError> {
        let mut options = CreateContainerOptionsBuilder::default();
        if let Some(name) = &spec.name {
            options = options.name(name);
        }
        if let Some(platform) = &spec.platform {
            options = options.platform(platform);
        }
        let options = options.build();
        let make = |spec: &ContainerSpec| {
            self.wait(self.docker.create_container(Some(options.clone()), create::body(spec)))
        };
        let created = match make(spec) {
            // An engine without such a program runs it without one.
            Err(error) if spec.init && lacks_init(&error) => {
                make(&ContainerSpec { init: false, ..spec.clone() })
            }
            created => created,
        };
        let created =
            created.map_err(|error| self.error(&format!("making a container of `{}`", spec.image), error))?;
        Ok(ContainerId(created.id))
    }

    fn start(&self, container: &ContainerId) -> Result<(), EngineError> {
        let started = self.wait(self.docker.start_container(&container.0, None));
        started.map_err(|error| self.error("starting the container", error))
    }

    fn converse(&self, container: &ContainerId, with: Conversation<'_>) -> Result<End, EngineError> {
        self.wait(conversation::converse(self, container, with))
    }

    fn file(&self, container: &ContainerId, path: &str, most: u64) -> Result<Option<Vec<u8>>, EngineError> {
        self.wait(archive::file(self, container, path, most))
    }

    fn put(&self, container: &ContainerId, folder: &str, archive: Vec<u8>) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::default().path(folder).build();
        let body = bollard::body_full(archive.into());
        let put = self.wait(self.docker.upload_to_container(&container.0, Some(options), body));
        put.map_err(|error| self.error(&format!("putting files into `{folder}` of the container"), error))
    }

    fn file_facts(&self, container: &ContainerId, path: &str) -> Result<Option<FileFacts>, EngineError> {
        self.wait(archive::facts(self, container, path))
    }

    fn state(&self, container: &ContainerId) -> Result<Option<State>, EngineError> {
        self.wait(things::state(self, container))
    }

    fn logs(&self, container: &ContainerId) -> Result<Vec<u8>, EngineError> {
        self.wait(things::logs(self, container))
    }

    fn exec(&self, container: &ContainerId, exec: &Exec, limit: &Limit) -> Result<Output, EngineError> {
        self.wait(exec::exec(self, container, exec, limit))
    }

    fn commit(&self, container: &ContainerId) -> Result<String, EngineError> {
        self.wait(things::commit(self, container))
    }

    fn remove_image(&self, id: &str) -> Result<(), EngineError> {
        self.wait(things::remove_image(self, id))
    }

    fn create_network(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<(), EngineError> {
        self.wait(things::create_network(self, name, labels))
    }

    fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.wait(things::remove_network(self, name))
    }

    fn create_volume(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<(), EngineError> {
        self.wait(things::create_volume(self, name, labels))
    }

    fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.wait(things::remove_volume(self, name))
    }

    fn labelled(&self, label: &str, value: &str) -> Result<Labelled, EngineError> {
        self.wait(things::labelled(self, label, value))
    }

    fn remove(&self, container: &ContainerId) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.wait(self.docker.remove_container(&container.0, Some(options))) {
            Err(error) if !is_absence(&error) && !is_under_way(&error) => {
                Err(self.error(&format!("removing the container {container}"), error))
            }
            _ => Ok(()),
        }
    }
}

/// The engine has no program that could be a container's init: Podman's is a package of its own.
fn lacks_init(error: &bollard::errors::Error) -> bool {
    let bollard::errors::Error::DockerResponseServerError { message, .. } = error else { return false };
    message.contains("init binary") || message.contains("docker-init")
}

/// The engine is removing it already.
fn is_under_way(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 409, message } if message.contains("already in progress"))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
