//! Identity of the engine, asked no more often than needed.
//!
//! The question is dear: for `/info` and `/version` Docker 20.10 runs `runc`, `docker-init` and
//! `containerd`, some 20 ms of a processor that a run with nothing to do needs for its files. So one
//! process remembers the answer for the next, together with a mark of the way there. It is believed
//! only while the mark is the same *and* the engine has every image that was asked for, and it is
//! asked again before anything is built.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use jiff::Timestamp;

use super::client::DockerEngine;
use super::known::{Known, Said, Source, introduce};
use super::podman;
use crate::engine::endpoint::Address;
use crate::engine::{CachedIdentity, Engine, EngineError, EngineIdentity, ImageId};

impl DockerEngine {
    /// The identity as far as that is known; asks when nothing is.
    pub(super) fn known(&self) -> Result<Known, EngineError> {
        self.known_from(&[Source::Remembered, Source::Recognized, Source::Answered])
    }

    /// The identity from one of these sources; asks when the known one is from another.
    pub(super) fn known_from(&self, sources: &[Source]) -> Result<Known, EngineError> {
        // Held while asking, so that many threads ask once.
        let mut known = self.known.lock();
        if let Some(known) = known.as_ref().filter(|known| sources.contains(&known.source)) {
            return Ok(known.clone());
        }
        let mark = self.mark();
        let docker = self.docker()?;
        let before = Timestamp::now();
        let asked = async {
            tokio::join!(docker.info(), docker.version(), podman::answers(&self.endpoint, &self.patience))
        };
        let asked = self.runtime()?.block_on(asked);
        let info = asked.0.map_err(|error| self.error("asking the engine who it is", error))?;
        let version = asked.1.map_err(|error| self.error("asking the engine for its version", error))?;
        let said = Said { info, version, podman: asked.2? };
        let same_clock = said.info.system_time.as_deref().is_some_and(|time| is_between(before, time));
        let found = Known { mark, same_clock, ..introduce(&said, self.builder) };
        Ok(known.insert(found).clone())
    }

    /// The identity from the engine itself, before something is built.
    ///
    /// # Errors
    /// When it does not answer, and when it is another than the one that was believed to be there: then
    /// what is to be built was worked out for that one.
    pub(super) fn confirmed(&self) -> Result<Known, EngineError> {
        let before = self.known()?;
        let now = self.known_from(&[Source::Answered])?;
        let same = |known: &Known| {
            let EngineIdentity { id, builder, platform, .. } = known.identity.clone();
            (id, builder, platform)
        };
        if same(&before) == same(&now) {
            return Ok(now);
        }
        Err(EngineError::Refused {
            what: format!("building on the engine at {}", self.endpoint),
            why: "it is another engine than in the last run; run imk once more".into(),
        })
    }

    /// The inventory was complete: it is who it is remembered to be.
    pub(super) fn recognize(&self) {
        let mut known = self.known.lock();
        if let Some(known) = known.as_mut().filter(|known| known.source == Source::Remembered) {
            known.source = Source::Recognized;
        }
    }

    /// Looks at the images that were made or named in this run, so that the next one need not ask for each.
    fn look_again(&self) {
        let touched = std::mem::take(&mut *self.touched.lock());
        if touched.is_empty() || !self.known.lock().as_ref().is_some_and(Known::tells_by_events) {
            return;
        }
        let seen = self.seen.lock().as_ref().map(|seen| seen.images.keys().cloned().collect::<BTreeSet<_>>());
        let ids: BTreeSet<ImageId> = seen.into_iter().flatten().chain(touched).collect();
        // Only saves questions.
        let _ = self.inventory(&ids);
    }

    /// Notes the number of its images.
    pub(super) fn count(&self, images: usize) {
        let mut known = self.known.lock();
        if let Some(known) = known.as_mut() {
            known.images = images;
        }
    }

    pub(super) fn assume(&self, cached: &CachedIdentity) {
        let mut known = self.known.lock();
        let mark = self.mark();
        if known.is_none() && mark.as_ref() == Some(&cached.mark) {
            let CachedIdentity { identity, images, same_clock, seen, .. } = cached.clone();
            *self.seen.lock() = seen;
            *known = Some(Known {
                identity,
                images,
                source: Source::Remembered,
                same_clock,
                mark,
                service_first: false,
            });
        }
    }

    pub(super) fn remembered(&self) -> Option<CachedIdentity> {
        self.look_again();
        let known = self.known.lock();
        let Known { identity, images, same_clock, mark, .. } = known.clone()?;
        let seen = self.seen.lock().clone();
        let images = images.next_power_of_two();
        Some(CachedIdentity { mark: mark?, identity, images, same_clock, seen })
    }

    /// A socket of this machine is made anew by each daemon that listens, unless the system listens in
    /// its place; it is never the same one after a start of the machine. Of other ways nothing can be said.
    fn mark(&self) -> Option<String> {
        let Address::Unix(path) = &self.endpoint.address else { return None };
        let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let seen = fs_err::metadata(path).ok()?;
        let (dev, ino, ctime) = (seen.dev(), seen.ino(), (seen.ctime(), seen.ctime_nsec()));
        Some(format!("{} {:?} {} {dev} {ino} {ctime:?}", path.display(), self.builder, boot.trim()))
    }
}

/// Whether an engine that was asked after `before` and has answered told the time of this machine's clock, to
/// some milliseconds.
fn is_between(before: Timestamp, told: &str) -> bool {
    let Ok(told) = told.parse::<Timestamp>() else { return false };
    let off = |one: Timestamp, other: Timestamp| one.as_millisecond() - other.as_millisecond();
    off(told, before) >= -2 && off(told, Timestamp::now()) <= 2
}
