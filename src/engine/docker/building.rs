//! One build by whichever builder an engine has: BuildKit in two ways, the classic one, Podman's.
//!
//! Knows which is asked first, and what each is refused. The request is whole when it comes here.

use super::client::DockerEngine;
use super::known::Known;
use crate::engine::archive::{self, Reader};
use crate::engine::podman::{self as podman_builder, Podman};
use crate::engine::{
    BuildEvent, BuildRequest, Cancel, Engine, EngineError, ImageId, abilities, control, session,
};

/// How often a build begins again that lost a race for a cached layer or for its result.
const CACHE_TRIES: u32 = 3;

/// Whether a build failed by another that ran beside it and has ended, so that it has but to be asked for again.
///
/// Two that leave one image at once meet on the containerd store. And BuildKit makes one step of two that are the same:
/// what that read lazily of a client, such as an image of an OCI layout, it reads from the client that was first, even
/// when that one has gone (`source/containerimage` there).
fn is_anothers_doing(message: &str) -> bool {
    let met_another = message.contains("exporting to image") && message.contains("already exists");
    met_another || message.contains("no active session for ")
}

impl DockerEngine {
    /// Builds with BuildKit: by sessions and `/build`, or by its own service, where the request needs that or the engine
    /// would rather have it. An engine that lacks the one has the other.
    async fn by_buildkit(
        &self,
        service_first: bool,
        request: &BuildRequest,
        events: &(dyn Fn(BuildEvent) + Sync),
        cancel: &Cancel,
    ) -> Result<ImageId, EngineError> {
        let (link, credentials, export) = (self.link(), &self.credentials, control::Export::to_engine());
        let needed = control::need(request).is_some();
        let by_service = || control::build(link, credentials, request, &export, events, cancel);
        if service_first || needed {
            match by_service().await {
                Err(error) if control::has_none(&error) => match control::need(request) {
                    None => {}
                    Some(what) => return Err(abilities::needs_service(request, what, &error)),
                },
                built => return built,
            }
        }
        match session::build(link, credentials, request, events, cancel).await {
            Err(error) if !service_first && session::has_none(&error) => by_service().await,
            built => built,
        }
    }

    /// Builds with the builder that the engine was found to have.
    pub(super) fn build_by(
        &self,
        known: &Known,
        request: &BuildRequest,
        events: &(dyn Fn(BuildEvent) + Sync),
        cancel: &Cancel,
    ) -> Result<ImageId, EngineError> {
        let runtime = self.runtime()?;
        if known.buildkit() {
            if let Some(why) = abilities::refusal(&known.identity, request) {
                return Err(session::refused(request, why));
            }
            let mut tries = 0;
            loop {
                match runtime.block_on(self.by_buildkit(known.service_first, request, events, cancel)) {
                    Err(EngineError::Failed(failure))
                        if tries < CACHE_TRIES && is_anothers_doing(&failure.message) =>
                    {
                        tries += 1;
                    }
                    built => return built,
                }
            }
        }
        if let Some(name) = request.contexts.keys().next().filter(|_| !known.podman()) {
            let why = format!(
                "the classic builder knows no contexts of files, such as `{name}`; put the files over the context with `overlays`"
            );
            return Err(session::refused(request, why));
        }
        let reader = match known.podman() {
            true => Reader::Podman(Podman::of(&known.identity.version)),
            false => Reader::Classic,
        };
        if known.podman() {
            for base in podman_builder::exact_bases(&request.dockerfile) {
                if self.inspect(&base)?.is_none() {
                    self.pull(&base, cancel)?;
                }
            }
        }
        let mut tries = 0;
        loop {
            match runtime.block_on(archive::build(self.link(), reader, request, events, cancel)) {
                // Podman 4.3 stumbles over a layer that somebody removes while it looks through its cache.
                Err(EngineError::Failed(failure))
                    if known.podman()
                        && tries < CACHE_TRIES
                        && failure.message.ends_with("layer not known") =>
                {
                    tries += 1;
                }
                built => return built,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_failed_by_another_is_told_from_one_that_failed_itself() {
        for message in [
            "exporting to image: failed to create image: already exists",
            "exporting to image: no active session for imk35: context deadline exceeded",
        ] {
            assert!(is_anothers_doing(message), "{message}");
        }
        for message in
            ["RUN mkdir /a ended with exit code 1: already exists", "exporting to image: no space left"]
        {
            assert!(!is_anothers_doing(message), "{message}");
        }
    }
}
