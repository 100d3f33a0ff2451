//! Identity of an engine, worked out from its answers. Asks nothing.

use bollard::models::{SystemInfo, SystemVersion};

use super::podman;
use crate::engine::EngineIdentity;

/// Which builder is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit, unless the engine has none.
    #[default]
    BuildKitIfAny,
    /// The engine's old builder, even beside BuildKit.
    Classic,
}

/// BuildKit through `/build` came with this API.
const BUILDKIT_SINCE: (u32, u32) = (1, 39);

/// Sessions beside `/build` are deprecated since this API (Docker 29).
const SERVICE_SINCE: (u32, u32) = (1, 53);

/// The identity of an engine, and how we know.
#[derive(Clone)]
pub(super) struct Known {
    pub identity: EngineIdentity,
    /// Images when we asked; decides only how the inventory is taken.
    pub images: usize,
    pub source: Source,
    /// Its clock is this machine's, so that it can be asked by times.
    pub same_clock: bool,
    /// Of the way there, taken before anything was asked.
    pub mark: Option<String>,
    /// Builds go by BuildKit's own service where that is there.
    pub service_first: bool,
}

/// How we know who an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An earlier process said so.
    Remembered,
    /// As before, and it has all that was asked for.
    Recognized,
    /// It said so itself.
    Answered,
}

impl Known {
    pub fn containerd_store(&self) -> bool {
        self.identity.builder.ends_with("/containerd")
    }

    /// Whether its events are asked in place of its images: they cost it much, it is on this machine, and so its clock.
    pub fn tells_by_events(&self) -> bool {
        self.containerd_store() && self.same_clock && self.mark.is_some()
    }

    pub fn podman(&self) -> bool {
        self.identity.builder.starts_with("podman/")
    }

    pub fn buildkit(&self) -> bool {
        self.identity.builder.starts_with("buildkit/")
    }
}

/// The answers of an engine about itself.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub info: SystemInfo,
    pub version: SystemVersion,
    /// It is Podman. Its API's version promises BuildKit, and it has none.
    pub podman: bool,
}

/// An identity from what an engine says of itself.
pub(super) fn introduce(said: &Said, builder: Builder) -> Known {
    let Said { info, version, podman: is_podman } = said;
    let os = info.os_type.clone().unwrap_or_else(|| "linux".into());
    let architecture = match info.architecture.as_deref().unwrap_or_default() {
        // `/info` speaks as `uname` does, images as Go does.
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" => "arm/v7",
        "armv6l" => "arm/v6",
        "i386" | "i686" => "386",
        other => other,
    };
    // 20.10 does not announce BuildKit though it has it, so the API's version decides.
    let api = api_version(version.api_version.as_deref().unwrap_or_default());
    let classic = builder == Builder::Classic || os == "windows" || api < BUILDKIT_SINCE;
    let snapshotter = |pair: &Vec<String>| pair.iter().any(|text| text.contains("containerd.snapshotter"));
    let store = if info.driver_status.iter().flatten().any(snapshotter) {
        "containerd"
    } else {
        info.driver.as_deref().unwrap_or("unknown")
    };
    let kind = match () {
        () if *is_podman => "podman",
        () if classic => "classic",
        () => "buildkit",
    };
    let identity = EngineIdentity {
        id: if *is_podman { podman::id(info) } else { info.id.clone().unwrap_or_default() },
        version: version.version.clone().unwrap_or_default(),
        builder: format!("{kind}/{store}"),
        platform: format!("{os}/{architecture}"),
    };
    let images = info.images.and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    Known {
        identity,
        images,
        source: Source::Answered,
        same_clock: false,
        mark: None,
        service_first: api >= SERVICE_SINCE,
    }
}

fn api_version(text: &str) -> (u32, u32) {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    (major.parse().unwrap_or_default(), minor.parse().unwrap_or_default())
}
