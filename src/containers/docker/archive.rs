//! Files of a container, which the engine hands out as a tar archive: no tool need be in the image.

use std::io::Read;

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::StreamExt;

use super::client::{DockerContainers, is_absence};
use crate::containers::api::{ContainerId, FileFacts};
use crate::engine::EngineError;

/// Links to follow before a chain of them counts as a circle, as in the kernel.
const MOST_LINKS: usize = 40;

/// The bytes of a file. A link is followed inside of the container.
pub(super) async fn file(
    containers: &DockerContainers,
    container: &ContainerId,
    path: &str,
    most: u64,
) -> Result<Option<Vec<u8>>, EngineError> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Some(bytes) = entry(containers, container, &path, most).await? else { return Ok(None) };
        let mut archive = tar::Archive::new(bytes.as_slice());
        let Some(Ok(mut entry)) = archive.entries().ok().and_then(|mut entries| entries.next()) else {
            return Ok(None);
        };
        match entry.header().entry_type() {
            kind if kind.is_file() => {
                let mut content = Vec::new();
                let read = entry.by_ref().take(most).read_to_end(&mut content);
                return Ok(read.ok().map(|_| content));
            }
            kind if kind.is_symlink() => {
                let Ok(Some(target)) = entry.link_name() else { return Ok(None) };
                let target = target.to_string_lossy().into_owned();
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                path = if target.starts_with('/') { target } else { format!("{folder}/{target}") };
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The header of a path, as the archive has it.
pub(super) async fn facts(
    containers: &DockerContainers,
    container: &ContainerId,
    path: &str,
) -> Result<Option<FileFacts>, EngineError> {
    let Some(bytes) = entry(containers, container, path, 0).await? else { return Ok(None) };
    let mut archive = tar::Archive::new(bytes.as_slice());
    let Some(Ok(entry)) = archive.entries().ok().and_then(|mut entries| entries.next()) else {
        return Ok(None);
    };
    let header = entry.header();
    let kind = match header.entry_type() {
        kind if kind.is_file() => "file",
        kind if kind.is_dir() => "folder",
        kind if kind.is_symlink() => "link",
        _ => "other",
    };
    let target = entry.link_name().ok().flatten().map(|target| target.to_string_lossy().into_owned());
    Ok(Some(FileFacts {
        kind,
        mode: header.mode().unwrap_or_default() & 0o7777,
        uid: header.uid().unwrap_or_default(),
        gid: header.gid().unwrap_or_default(),
        target: target.filter(|_| kind == "link"),
    }))
}

/// The beginning of the archive of a path: headers and `most` bytes of content.
async fn entry(
    containers: &DockerContainers,
    container: &ContainerId,
    path: &str,
    most: u64,
) -> Result<Option<Vec<u8>>, EngineError> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let mut chunks = containers.docker.download_from_container(&container.0, Some(options));
    // A long name takes two headers of its own in front of the one of 512 bytes.
    let enough = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(16 * 512);
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(containers.error(&format!("reading `{path}` of the container"), error)),
        }
        if bytes.len() >= enough {
            break;
        }
    }
    Ok(Some(bytes))
}
