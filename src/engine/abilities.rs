//! Abilities of an engine's BuildKit, by the engine's version and its way of keeping images.
//!
//! Reads identities and requests; asks nobody. What an engine refuses itself, by name and before it builds, is not
//! repeated here; what it would pass over in silence, or find out after the build, is.

use super::session::refused;
use super::{BuildRequest, EngineError, EngineIdentity};

/// `docker build --shm-size` and `--ulimit` reach BuildKit since then (BuildKit 0.10); 20.10 passes them over.
const LIMITS_SINCE: u64 = 23;

/// Named contexts came with version 1.4 of the Dockerfile frontend, which is in BuildKit 0.10.
const CONTEXTS_SINCE: u64 = 23;

/// The first thing of a request that an engine would not do.
pub(super) fn refusal(engine: &EngineIdentity, request: &BuildRequest) -> Option<String> {
    limits(&engine.version, request)
        .or_else(|| contexts(&engine.version, request))
        .or_else(|| caches(engine, request))
}

/// The refusal of an engine that builds, and lets nobody speak with its BuildKit, for what only that knows.
pub(super) fn needs_service(request: &BuildRequest, what: &str, error: &EngineError) -> EngineError {
    let why = match error {
        EngineError::Refused { why, .. } => why.clone(),
        other => other.to_string(),
    };
    let remedy = "an engine that is reached without a proxy in between has it, and so has a BuildKit of its own (--engine buildkit+tcp://…)";
    refused(request, format!("`{what}` is for BuildKit itself, and {why}; {remedy}"))
}

/// Whether a version is before a release. What has no version is no release: it is taken for a new one.
fn is_before(version: &str, release: u64) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
    major.is_some_and(|major| major < release)
}

/// An older Dockerfile frontend takes the name of such a context for an image's, and asks a registry for it.
fn contexts(version: &str, request: &BuildRequest) -> Option<String> {
    let name = request.contexts.keys().next().filter(|_| is_before(version, CONTEXTS_SINCE))?;
    Some(format!(
        "Docker {version} knows no contexts of files, such as `{name}`; put the files over the context with `overlays`, or use an engine from {CONTEXTS_SINCE} on"
    ))
}

fn limits(version: &str, request: &BuildRequest) -> Option<String> {
    let is_old = is_before(version, LIMITS_SINCE);
    let (key, what) = match &request.sandbox {
        sandbox if is_old && sandbox.shm_size_bytes.is_some() => ("shm_size", "the size of /dev/shm"),
        sandbox if is_old && !sandbox.ulimits.is_empty() => ("ulimits", "limits of processes"),
        _ => return None,
    };
    Some(format!(
        "Docker {version} builds without a word on {what}; leave `{key}` out, or use an engine from {LIMITS_SINCE} on"
    ))
}

/// Which caches BuildKit has inside an engine (`builder-next/controller.go` there).
fn caches(engine: &EngineIdentity, request: &BuildRequest) -> Option<String> {
    let (to, from) = (&request.cache.to, &request.cache.other_from);
    let foreign = to.iter().chain(from).find(|cache| matches!(cache.kind.as_str(), "s3" | "azblob"));
    if let Some(cache) = foreign {
        return Some(format!(
            "no Docker engine has caches of type `{}`, which only a BuildKit of its own has (--engine buildkit+tcp://…); `type=registry` does the same",
            cache.kind
        ));
    }
    if engine.builder.ends_with("/containerd") {
        return None;
    }
    let store = "this engine keeps images with a storage driver";
    let remedy = "the containerd image store (Docker 24 or newer) has them";
    if let Some(cache) = to.first() {
        return Some(format!(
            "{store}, and leaves layers in the image alone (type=inline), not in caches of type `{}`; {remedy}",
            cache.kind
        ));
    }
    let gha = from.iter().find(|cache| cache.kind == "gha");
    gha.map(|_| {
        format!("{store}, and takes layers from registries alone, not from caches of type `gha`; {remedy}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Caches;
    use crate::engine::podman::tests::plain;
    use crate::model::layer_cache::LayerCache;
    use crate::model::sandbox::Sandbox;

    fn engine(version: &str, builder: &str) -> EngineIdentity {
        EngineIdentity {
            id: "x".into(),
            version: version.into(),
            builder: builder.into(),
            platform: "linux/amd64".into(),
        }
    }

    #[test]
    fn an_old_engine_would_take_a_context_of_files_for_an_image() {
        let plain = plain();
        let contexts = [("lib".to_owned(), std::sync::Arc::clone(&plain.files))].into();
        let request = BuildRequest { contexts, ..plain };
        let old = refusal(&engine("20.10.24", "buildkit/overlay2"), &request).unwrap();
        assert!(old.contains("`lib`") && old.contains("`overlays`"), "{old}");
        assert_eq!(refusal(&engine("23.0.1", "buildkit/overlay2"), &request), None);
    }

    #[test]
    fn what_an_old_engine_would_pass_over_is_refused_by_name() {
        let shm =
            BuildRequest { sandbox: Sandbox { shm_size_bytes: Some(1), ..Sandbox::default() }, ..plain() };
        let limits = [("nofile".to_owned(), (1, 2))].into();
        let limits = BuildRequest { sandbox: Sandbox { ulimits: limits, ..Sandbox::default() }, ..plain() };
        let told = |version: &str, request| refusal(&engine(version, "buildkit/overlay2"), request);
        assert!(told("20.10.24", &shm).unwrap().contains("`shm_size`"));
        assert!(told("20.10.24", &limits).unwrap().contains("`ulimits`"));
        for new in ["23.0.0", "28.5.2", "dev"] {
            assert_eq!(told(new, &shm), None, "{new}");
        }
        assert_eq!(told("20.10.24", &plain()), None);
    }

    #[test]
    fn a_cache_that_an_engine_has_not_is_refused_with_what_would_have_it() {
        let cache = |kind: &str| vec![LayerCache { kind: kind.into(), attributes: Default::default() }];
        let to = |kind| BuildRequest { cache: Caches { to: cache(kind), ..Caches::default() }, ..plain() };
        let from =
            |kind| BuildRequest { cache: Caches { other_from: cache(kind), ..Caches::default() }, ..plain() };
        let old = engine("28.5.2", "buildkit/overlay2");
        let new = engine("28.5.2", "buildkit/containerd");
        for request in [to("registry"), to("gha"), from("gha")] {
            assert!(refusal(&old, &request).unwrap().contains("containerd image store"));
            assert_eq!(refusal(&new, &request), None);
        }
        assert_eq!(refusal(&old, &from("registry")), None);
        for request in [to("s3"), from("azblob")] {
            assert!(refusal(&new, &request).unwrap().contains("buildkit+tcp"));
        }
    }
}
