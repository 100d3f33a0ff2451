//! An engine for tests of the rooms above: no network, no clock but the delays it is told.
//!
//! Ids depend on what a real engine's would: the Dockerfile with the bases it
//! names, target, arguments, labels and files. Everything asked of it is
//! recorded. Never used outside tests.

mod made;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    About, BuildEvent, BuildFailure, BuildRequest, Cancel, Engine, EngineError, EngineIdentity, ImageId,
    ImageInfo, Inventory, docker,
};
use crate::model::file::FileKind;
use crate::model::hash::ContentHash;
use crate::syntax::reference::normalized;

use parking_lot::{Mutex, MutexGuard};
pub use state::{Failures, FakeBuild, ImageStore};
use state::{State, full_name};

/// The engine of the tests.
pub struct FakeEngine {
    state: Mutex<State>,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeEngine {
    /// An engine without images.
    pub fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// Another engine that has the same images and names and goes its own way from here.
    pub fn fork(&self) -> Self {
        Self { state: Mutex::new(self.state().clone()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Makes builds of `image` fail.
    pub fn fail(&self, image: &str, failures: Failures) {
        self.state().failures.insert(image.to_owned(), failures);
    }

    /// Lets `image` succeed again.
    pub fn mend(&self, image: &str) {
        self.state().failures.remove(image);
    }

    /// Makes builds of `image` take so long; they still heed a [`Cancel`].
    pub fn delay(&self, image: &str, delay: Duration) {
        self.state().delays.insert(image.to_owned(), delay);
    }

    /// Makes the id of `image` independent of its files, as of an image rebuilt to the same.
    pub fn ignore_files(&self, image: &str) {
        self.state().ignores_files.insert(image.to_owned());
    }

    /// Makes `image` come out as on no other engine, as a clock or a random number does.
    pub fn salt(&self, image: &str, salt: &str) {
        self.state().salts.insert(image.to_owned(), salt.to_owned());
    }

    /// Speaks as another engine would.
    pub fn pose_as(&self, identity: EngineIdentity) {
        self.state().identity = Some(identity);
    }

    /// Gives it a registry to push to and to pull from.
    pub fn connect(&self, store: Arc<dyn ImageStore>) {
        self.state().store = Some(store);
    }

    /// Stops or begins to answer.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.state().unreachable = unreachable;
    }

    /// Makes it stop answering for good when it has begun to build `image`.
    pub fn die_of(&self, image: &str) {
        self.state().deadly.insert(image.to_owned());
    }

    /// How many questions and orders reached it.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    /// An image that was always there, such as an upstream base.
    pub fn add_image(&self, reference: &str, info: ImageInfo) {
        let mut state = self.state();
        state.tags.insert(full_name(reference), info.id.clone());
        state.images.insert(info.id.clone(), info);
    }

    /// Does not tell what it pushed, as Podman.
    pub fn push_silently(&self) {
        self.state().silent_pushes = true;
    }

    /// Has somebody else move tags that begin so, just before they are pushed, so many times.
    pub fn cross(&self, tag: &str, times: usize) {
        self.state().crossed = Some((tag.to_owned(), times));
    }

    /// Makes a container of an image.
    pub fn run_container(&self, id: &ImageId, name: &str) {
        self.state().containers.entry(id.clone()).or_default().insert(name.to_owned());
    }

    /// The ids of all images.
    pub fn images(&self) -> BTreeSet<ImageId> {
        self.state().images.keys().cloned().collect()
    }

    /// Removes an image and its names, as `docker rmi -f` does.
    pub fn forget(&self, id: &ImageId) {
        let mut state = self.state();
        state.images.remove(id);
        state.tags.retain(|_, tagged| tagged != id);
    }

    /// Removes every image and name.
    pub fn forget_all(&self) {
        let mut state = self.state();
        state.images.clear();
        state.tags.clear();
    }

    /// Every build asked for, in the order they began.
    pub fn builds(&self) -> Vec<FakeBuild> {
        self.state().builds.clone()
    }

    /// Names of the images built, in the order the builds began.
    pub fn built(&self) -> Vec<String> {
        self.state().builds.iter().map(|build| build.image.clone()).collect()
    }

    /// Every image pulled, in order.
    pub fn pulls(&self) -> Vec<String> {
        self.state().pulls.clone()
    }

    /// Forgets what was recorded, not the images.
    pub fn clear_record(&self) {
        let mut state = self.state();
        state.builds.clear();
        state.pulls.clear();
        state.asked = 0;
        state.most_at_once = state.running;
    }

    /// The most builds that ran at one moment.
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// Every name and what it stands for.
    pub fn tags(&self) -> BTreeMap<String, ImageId> {
        self.state().tags.clone()
    }

    fn answering(&self) -> Result<MutexGuard<'_, State>, EngineError> {
        let mut state = self.state();
        state.asked += 1;
        if state.unreachable {
            return Err(EngineError::Unreachable { tried: "fake://".into(), why: "the test said so".into() });
        }
        Ok(state)
    }

    fn run(&self, request: &BuildRequest, cancel: &Cancel) -> Result<ImageId, EngineError> {
        let delay = self.state().delays.get(&request.image).copied().unwrap_or_default();
        let end = Instant::now() + delay;
        loop {
            if cancel.is_cancelled() {
                return Err(EngineError::Interrupted);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(Duration::from_millis(5)));
        }
        read_all(request)?;
        let mut state = self.answering()?;
        let fails = match state.failures.get_mut(&request.image) {
            None | Some(Failures::Times(0)) => false,
            Some(Failures::Always) => true,
            Some(Failures::Times(left)) => {
                *left -= 1;
                true
            }
        };
        if fails {
            return Err(EngineError::Failed(BuildFailure {
                step: "[1/1] RUN false".into(),
                message: "the fake engine was told to fail".into(),
                exit_code: Some(1),
                lines: None,
            }));
        }
        let info = made::made(&state, request);
        let id = info.id.clone();
        state.images.entry(id.clone()).or_insert(info);
        Ok(id)
    }
}

/// Reads and checks every file, as sending them would.
fn read_all(request: &BuildRequest) -> Result<(), EngineError> {
    for file in request.files.list().files.iter().filter(|file| file.kind == FileKind::File) {
        let mut bytes = Vec::new();
        let refused = |why: String| EngineError::Refused { what: format!("opening `{}`", file.path), why };
        let mut source = request.files.open(file).map_err(refused)?;
        source.read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
        if ContentHash::of(&bytes) != file.hash {
            return Err(EngineError::FileChanged { path: file.path.clone() });
        }
    }
    Ok(())
}

fn no_registry(doing: &str, reference: &str) -> EngineError {
    let why = "this engine has no such image, or no registry".to_owned();
    EngineError::Refused { what: format!("{doing} `{reference}`"), why }
}

/// Whether it is a tag, and not the digest that an image was fetched by.
fn is_tag(name: &str) -> bool {
    !name.contains('@')
}

impl Engine for FakeEngine {
    fn identity(&self) -> Result<EngineIdentity, EngineError> {
        Ok(self.answering()?.identity.clone().unwrap_or_else(|| EngineIdentity {
            id: "FAKE".into(),
            version: "1.0".into(),
            builder: "buildkit/fake".into(),
            platform: "linux/amd64".into(),
        }))
    }

    fn about(&self) -> Result<About, EngineError> {
        let images = self.answering()?.images.len();
        Ok(About { place: "in this process".into(), images, ..About::default() })
    }

    fn inventory(&self, ids: &BTreeSet<ImageId>) -> Result<Inventory, EngineError> {
        let state = self.answering()?;
        let has = ids.iter().filter(|id| state.images.contains_key(*id));
        let tags = |id: &ImageId| {
            let names = state.tags.iter().filter(|(name, of)| *of == id && is_tag(name));
            names.map(|(tag, _)| tag.clone()).collect()
        };
        Ok(has.map(|id| (id.clone(), tags(id))).collect())
    }

    fn references(&self, repositories: &BTreeSet<String>) -> Result<BTreeMap<String, ImageId>, EngineError> {
        let state = self.answering()?;
        let within = |tag: &str| {
            let repository = docker::split_tag(tag).0;
            repositories.iter().any(|wanted| normalized(wanted) == normalized(repository))
        };
        Ok(state
            .tags
            .iter()
            .filter(|(tag, _)| is_tag(tag) && within(tag))
            .map(|(tag, id)| (tag.clone(), id.clone()))
            .collect())
    }

    fn inspect(&self, reference: &str) -> Result<Option<ImageInfo>, EngineError> {
        let state = self.answering()?;
        let id =
            state.tags.get(&full_name(reference)).cloned().unwrap_or_else(|| ImageId(reference.to_owned()));
        Ok(state.images.get(&id).map(|info| {
            let names = state.tags.iter().filter(|(name, tagged)| **tagged == id && is_tag(name));
            ImageInfo { tags: names.map(|(name, _)| name.clone()).collect(), ..info.clone() }
        }))
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &(dyn Fn(BuildEvent) + Sync),
        cancel: &Cancel,
    ) -> Result<ImageId, EngineError> {
        assert!(
            docker::has_from(&request.dockerfile),
            "a bug in imk: a Dockerfile without FROM was sent for `{}`, which kills a 20.10 engine",
            request.image
        );
        let at = {
            let mut state = self.answering()?;
            state.running += 1;
            state.most_at_once = state.most_at_once.max(state.running);
            let (image, dockerfile) = (request.image.clone(), request.dockerfile.clone());
            let start = Instant::now();
            state.unreachable |= state.deadly.contains(&image);
            state.builds.push(FakeBuild { image, dockerfile, start, end: None, result: None });
            start
        };
        let id = format!("step of {}", request.image);
        events(BuildEvent::Step {
            id: id.clone(),
            name: "[1/1] FAKE".into(),
            number: Some(1),
            total: Some(1),
        });
        let result = self.run(request, cancel);
        let error = result.as_ref().err().map(ToString::to_string);
        events(BuildEvent::StepDone { id, cached: false, error, took: None });
        let mut state = self.state();
        state.running -= 1;
        // The record may have been cleared meanwhile, so the build is looked up rather than counted.
        let mine = |build: &&mut FakeBuild| build.image == request.image && build.start == at;
        if let Some(build) = state.builds.iter_mut().find(mine) {
            build.end = Some(Instant::now());
            build.result = Some(result.clone());
        }
        result
    }

    fn tag(&self, id: &ImageId, reference: &str) -> Result<(), EngineError> {
        let mut state = self.answering()?;
        if !state.images.contains_key(id) {
            let what = format!("tagging {id} as `{reference}`");
            return Err(EngineError::Refused { what, why: "no such image".into() });
        }
        state.tags.insert(full_name(reference), id.clone());
        Ok(())
    }

    fn untag(&self, reference: &str) -> Result<(), EngineError> {
        let mut state = self.answering()?;
        let Some(id) = state.tags.remove(&full_name(reference)) else { return Ok(()) };
        // As docker does: the last name takes its image along, and the digest it was fetched by is none.
        if !state.tags.iter().any(|(name, tagged)| *tagged == id && is_tag(name)) {
            state.images.remove(&id);
            state.tags.retain(|_, tagged| *tagged != id);
        }
        Ok(())
    }

    fn remove(&self, id: &ImageId) -> Result<(), EngineError> {
        let mut state = self.answering()?;
        let named = state.tags.iter().any(|(name, tagged)| tagged == id && is_tag(name));
        if named || state.containers.contains_key(id) {
            let why = "conflict: it bears a name or a container uses it".to_owned();
            return Err(EngineError::Refused { what: format!("removing the image {id}"), why });
        }
        state.images.remove(id);
        state.tags.retain(|_, tagged| tagged != id);
        Ok(())
    }

    fn containers(&self) -> Result<BTreeMap<ImageId, BTreeSet<String>>, EngineError> {
        Ok(self.answering()?.containers.clone())
    }

    fn push(&self, reference: &str, _: &Cancel) -> Result<Option<String>, EngineError> {
        let mut image = self.inspect(reference)?.ok_or_else(|| no_registry("pushing", reference))?;
        made::cross(&mut self.state(), reference, &mut image);
        let store = self.state().store.clone();
        let digest = store.ok_or_else(|| no_registry("pushing", reference))?.put(reference, &image)?;
        Ok(Some(digest).filter(|_| !self.state().silent_pushes))
    }

    fn save(&self, id: &ImageId, _: &mut dyn std::io::Write, _: &Cancel) -> Result<(), EngineError> {
        let why = "an image that is only imagined has no layers".to_owned();
        Err(EngineError::Refused { what: format!("reading the image {id}"), why })
    }

    fn pull(&self, reference: &str, _: &Cancel) -> Result<Option<ImageId>, EngineError> {
        let store = self.answering()?.store.clone();
        let Some(image) = store.ok_or_else(|| no_registry("pulling", reference))?.get(reference)? else {
            return Ok(None);
        };
        let mut state = self.answering()?;
        state.pulls.push(reference.to_owned());
        state.tags.insert(full_name(reference), image.id.clone());
        let id = image.id.clone();
        state.images.insert(id.clone(), image);
        Ok(Some(id))
    }
}

#[cfg(test)]
mod tests;
