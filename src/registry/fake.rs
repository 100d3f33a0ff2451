//! A registry for tests of the rooms above: in memory, any number of hosts.
//!
//! Keeps what it is given and checks it as a real one would. Can be told to fail
//! or to take its time, host by host, and records every question. Knows no
//! network; never used outside tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::document::{self, Document};
use super::{Descriptor, Manifest, Registry, RegistryError, digest, pointer};
use crate::syntax::reference::{self, Reference};

mod answers;

/// The fault of a host that does not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FakeFault {
    /// Gives no answer.
    Unreachable,
    /// Lets nobody in.
    Denied,
    /// Has had enough, and says how many seconds to wait or does not.
    Throttled(Option<u64>),
    /// Says no, in these words.
    Refused(String),
    /// Answers nonsense.
    Corrupt,
}

/// One question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Name of the method: `head`, `put_manifest`…
    pub verb: &'static str,
    /// About what, in full: `r.example/app:1`.
    pub name: String,
}

/// The registries of the tests, all hosts in one.
#[derive(Default)]
pub struct FakeRegistry {
    state: Mutex<State>,
}

/// A host that is told to fail.
struct Faulty {
    fault: FakeFault,
    /// Questions that it answers first.
    after: usize,
    /// Questions that it fails then; all of them when `None`.
    times: Option<usize>,
}

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    faults: BTreeMap<String, Faulty>,
    delays: BTreeMap<String, Duration>,
    immutable: BTreeSet<String>,
    keeping: BTreeSet<String>,
    questions: Vec<Question>,
    running: usize,
    most_at_once: usize,
    /// Files on the web, by their address: what tells their states apart.
    files: BTreeMap<String, String>,
    /// After so many more questions, this happens once.
    interruption: Option<(usize, Interruption)>,
    /// Messages that were sent: address, headers, body.
    posted: Vec<Message>,
    /// Seconds since 1970 that the next attached document claims.
    clock: i64,
}

/// A message to an address: that, headers, body.
pub type Message = (String, BTreeMap<String, String>, Vec<u8>);

/// An act of somebody else, at a question.
type Interruption = Box<dyn FnOnce(&FakeRegistry) + Send>;

#[derive(Default)]
struct Repository {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Manifest>,
    tags: BTreeMap<String, String>,
    /// Artifacts by what they are attached to, oldest first: type and blob.
    attached: BTreeMap<String, Vec<(String, String)>>,
}

impl FakeRegistry {
    /// Registries with nothing in them.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Makes a host (`docker.io`, `localhost:5000`) do this from now on.
    pub fn fail(&self, host: &str, fault: FakeFault) {
        self.fail_after(host, 0, None, fault);
    }

    /// Makes a host do this for the next so many questions.
    pub fn fail_times(&self, host: &str, times: usize, fault: FakeFault) {
        self.fail_after(host, 0, Some(times), fault);
    }

    /// Makes a host answer some questions and do this for the next so many, or for all that follow.
    pub fn fail_after(&self, host: &str, after: usize, times: Option<usize>, fault: FakeFault) {
        self.state().faults.insert(host.to_owned(), Faulty { fault, after, times });
    }

    /// Makes somebody else act between two questions, after so many.
    pub fn interrupt(&self, after: usize, act: impl FnOnce(&Self) + Send + 'static) {
        self.state().interruption = Some((after, Box::new(act)));
    }

    /// Lets a host answer again.
    pub fn mend(&self, host: &str) {
        self.state().faults.remove(host);
    }

    /// Makes every answer of a host take so long.
    pub fn delay(&self, host: &str, delay: Duration) {
        self.state().delays.insert(host.to_owned(), delay);
    }

    /// Makes a host refuse to give a tag a second time, even to the same manifest.
    pub fn make_immutable(&self, host: &str) {
        self.state().immutable.insert(host.to_owned());
    }

    /// Makes a host take no tag away.
    pub fn keep_tags(&self, host: &str) {
        self.state().keeping.insert(host.to_owned());
    }

    /// Puts an image of one layer there and gives its digest. The same content gives the same digest.
    pub fn add_image(&self, name: &str, content: &str) -> String {
        let at = parsed(name);
        let manifest = self.tiny(&at, content);
        let mut state = self.state();
        let repository = state.repositories.entry(at.name()).or_default();
        repository.tag(&at, &manifest);
        manifest.digest
    }

    /// Puts an index of such images there, each for a platform (`linux/arm/v7`), and gives its digest.
    pub fn add_index(&self, name: &str, images: &[(&str, &str)]) -> String {
        let at = parsed(name);
        let mut entries = Vec::new();
        for (platform, content) in images {
            let manifest = self.tiny(&at, content);
            let mut entry = document::entry(&manifest.descriptor());
            let mut parts = platform.split('/');
            let mut part = || parts.next().unwrap_or_default();
            entry["platform"] =
                serde_json::json!({ "os": part(), "architecture": part(), "variant": part() });
            entries.push(entry);
        }
        let manifest = Manifest::new(document::INDEX, document::index(&entries));
        self.state().repositories.entry(at.name()).or_default().tag(&at, &manifest);
        manifest.digest
    }

    fn tiny(&self, at: &Reference, content: &str) -> Manifest {
        let mut state = self.state();
        let repository = state.repositories.entry(at.name()).or_default();
        let config = format!(r#"{{"architecture":"amd64","os":"linux","comment":{content:?}}}"#);
        let mut blob = |media_type: &str, bytes: &[u8]| {
            let digest = digest::of(bytes);
            repository.blobs.insert(digest.clone(), bytes.to_vec());
            Descriptor { media_type: media_type.to_owned(), digest, size: bytes.len() as u64 }
        };
        let config = blob("application/vnd.oci.image.config.v1+json", config.as_bytes());
        let layer = blob("application/vnd.oci.image.layer.v1.tar", content.as_bytes());
        let manifest = Manifest::new(document::MANIFEST, document::image(&config, &[layer]));
        repository.manifests.insert(manifest.digest.clone(), manifest.clone());
        manifest
    }

    /// Puts a file on the web, or another state of it.
    pub fn put_file(&self, url: &str, state: &str) {
        self.state().files.insert(url.to_owned(), state.to_owned());
    }

    /// Takes everything away.
    pub fn clear(&self) {
        self.state().repositories.clear();
    }

    /// Takes a tag or a manifest away.
    pub fn remove(&self, name: &str) {
        let at = parsed(name);
        let mut state = self.state();
        let Some(repository) = state.repositories.get_mut(&at.name()) else { return };
        repository.tags.remove(pointer(&at));
        if let Some(manifest) = repository.manifests.remove(pointer(&at)) {
            repository.tags.retain(|_, digest| *digest != manifest.digest);
        }
    }

    /// The digest that a name stands for, without asking: nothing is recorded and no host has a fault.
    pub fn digest(&self, name: &str) -> Option<String> {
        let at = parsed(name);
        let state = self.state();
        state.repositories.get(&at.name())?.find(&at).map(|manifest| manifest.digest.clone())
    }

    /// The tags of a repository, without asking.
    pub fn tags_of(&self, name: &str) -> Vec<String> {
        let state = self.state();
        let found = state.repositories.get(&parsed(name).name());
        found.map(|it| it.tags.keys().cloned().collect()).unwrap_or_default()
    }

    /// Every message that was sent, in order.
    pub fn posted(&self) -> Vec<Message> {
        self.state().posted.clone()
    }

    /// Every question asked, in order.
    pub fn questions(&self) -> Vec<Question> {
        self.state().questions.clone()
    }

    /// How many questions were asked by that method.
    pub fn count(&self, verb: &str) -> usize {
        self.state().questions.iter().filter(|question| question.verb == verb).count()
    }

    /// Forgets the questions, not the content.
    pub fn clear_record(&self) {
        let mut state = self.state();
        state.questions.clear();
        state.most_at_once = state.running;
    }

    /// The most questions that were under way at one moment.
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }
}

/// A name that a test wrote.
fn parsed(name: &str) -> Reference {
    reference::parse(name).unwrap_or_else(|why| panic!("`{name}`: {why}"))
}

impl Repository {
    fn find(&self, at: &Reference) -> Option<&Manifest> {
        let pointer = pointer(at);
        self.manifests.get(self.tags.get(pointer).map_or(pointer, |digest| digest))
    }

    fn tag(&mut self, at: &Reference, manifest: &Manifest) {
        self.manifests.insert(manifest.digest.clone(), manifest.clone());
        if let Some(tag) = &at.tag {
            self.tags.insert(tag.clone(), manifest.digest.clone());
        }
    }

    /// The first thing that a manifest names and that is not here.
    fn missing(&self, manifest: &Manifest) -> Result<Option<String>, String> {
        let document = Document::parse(&manifest.bytes)?;
        let blobs = document.blobs().into_iter().filter(|blob| !self.blobs.contains_key(&blob.digest));
        let manifests = document.manifests.iter().filter(|it| !self.manifests.contains_key(&it.digest));
        Ok(blobs.chain(manifests).next().map(|entry| entry.digest.clone()))
    }
}

#[cfg(test)]
mod tests;
