//! The request for a container, in the engine's words. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, EndpointSettings, HostConfig, HostConfigLogConfig,
    Mount as EngineMount, MountType, NetworkingConfig, PortBinding, ResourcesUlimits,
};

use crate::containers::api::ContainerSpec;
use crate::syntax::container::{Gpus, Limits, Mount, Port, Source};

/// The body of the request.
pub(super) fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let env = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let networking = spec.network.as_ref().filter(|_| !spec.aliases.is_empty()).map(|network| {
        let settings =
            EndpointSettings { aliases: Some(spec.aliases.clone()), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some(HashMap::from([(network.clone(), settings)])) }
    });
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: spec.command.clone(),
        // An empty list means the image's to the engine; a list of one empty text means none.
        entrypoint: spec
            .entrypoint
            .clone()
            .map(|words| if words.is_empty() { vec![String::new()] } else { words }),
        env: Some(env),
        user: spec.user.clone(),
        working_dir: spec.workdir.clone(),
        hostname: spec.hostname.clone(),
        labels: Some(spec.labels.clone().into_iter().collect()),
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin),
        stdin_once: Some(spec.stdin),
        attach_stdin: Some(spec.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: Some(spec.ports.iter().map(Port::name).collect()),
        volumes: Some(anonymous(&spec.mounts)),
        host_config: Some(host(spec)),
        networking_config: networking,
        ..ContainerCreateBody::default()
    }
}

fn host(spec: &ContainerSpec) -> HostConfig {
    let Limits { memory, nano_cpus, shm_size, ulimits, gpus, devices, capabilities, read_only } =
        &spec.limits;
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &spec.ports {
        let binding = PortBinding {
            host_ip: port.address.clone(),
            host_port: Some(port.host.map_or_else(String::new, |port| port.to_string())),
        };
        bindings.entry(port.name()).or_default().get_or_insert_default().push(binding);
    }
    let tmpfs = spec.mounts.iter().filter_map(|mount| match &mount.source {
        Source::Tmpfs(options) => Some((mount.target.clone(), options.clone())),
        _ => None,
    });
    HostConfig {
        init: Some(spec.init),
        auto_remove: Some(spec.remove),
        log_config: spec
            .keeps_no_log
            .then(|| HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        network_mode: spec.network.clone(),
        port_bindings: Some(bindings),
        mounts: Some(spec.mounts.iter().filter_map(mount).collect()),
        tmpfs: Some(tmpfs.collect()),
        extra_hosts: Some(spec.hosts.clone()),
        group_add: Some(spec.groups.clone()).filter(|groups| !groups.is_empty()),
        memory: *memory,
        nano_cpus: *nano_cpus,
        shm_size: *shm_size,
        readonly_rootfs: *read_only,
        cap_add: Some(capabilities.clone()).filter(|list| !list.is_empty()),
        ulimits: Some(
            ulimits
                .iter()
                .map(|it| ResourcesUlimits {
                    name: Some(it.name.clone()),
                    soft: Some(it.soft),
                    hard: Some(it.hard),
                })
                .collect(),
        ),
        devices: Some(
            devices
                .iter()
                .map(|it| DeviceMapping {
                    path_on_host: Some(it.host.clone()),
                    path_in_container: Some(it.container.clone()),
                    cgroup_permissions: Some(it.permissions.clone()),
                })
                .collect(),
        ),
        device_requests: gpus.as_ref().map(|gpus| vec![request(gpus)]),
        ..HostConfig::default()
    }
}

/// Volumes that go with the container are declared as an image declares them.
fn anonymous(mounts: &[Mount]) -> Vec<String> {
    let anonymous = mounts.iter().filter(|mount| mount.source == Source::Anonymous);
    anonymous.map(|mount| mount.target.clone()).collect()
}

fn mount(mount: &Mount) -> Option<EngineMount> {
    let (typ, source) = match &mount.source {
        Source::Path(path) => (MountType::BIND, path.clone()),
        Source::Volume(name) => (MountType::VOLUME, name.clone()),
        Source::Anonymous | Source::Tmpfs(_) => return None,
    };
    Some(EngineMount {
        target: Some(mount.target.clone()),
        source: Some(source),
        typ: Some(typ),
        read_only: Some(mount.read_only),
        ..EngineMount::default()
    })
}

fn request(gpus: &Gpus) -> DeviceRequest {
    let (count, ids) = match gpus {
        Gpus::All => (Some(-1), None),
        Gpus::Count(count) => (Some(*count), None),
        Gpus::Ids(ids) => (None, Some(ids.clone())),
    };
    let capabilities = Some(vec![vec!["gpu".to_owned()]]);
    DeviceRequest { count, device_ids: ids, capabilities, ..DeviceRequest::default() }
}
