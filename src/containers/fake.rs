//! Containers for tests of the rooms above: no engine, no process, no network. Never used outside tests.
//!
//! Commands answer as they are told to, everything that is asked is written down, and any request can fail: refused
//! before it is done, done with the answer lost, or with the caller stopped in the middle of it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::api::{
    Channel, ContainerId, ContainerSpec, Containers, Control, Conversation, End, Exec, FileFacts, ImageFacts,
    Labelled, Limit, Output, Reach, State,
};
use crate::engine::{Cancel, EngineError};

/// How a request fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is not done.
    Refused,
    /// It is not done, since there is no room for another network.
    Full,
    /// It is done, and the answer never comes.
    AnswerLost,
    /// It is done, and somebody asks to stop.
    Stopped(Cancel),
    /// It is not done, and neither is anything after it: the engine is gone, or whoever asked is.
    Gone,
}

/// The deed of a command.
#[derive(Clone, Debug)]
pub enum Act {
    /// It ends with this output.
    Ends(Output),
    /// It ends only when it is killed.
    Hangs,
}

/// The containers of the tests.
pub struct FakeContainers {
    world: Mutex<World>,
    reach: Reach,
}

/// A container as the fake has it.
#[derive(Clone, Debug, Default)]
struct Made {
    spec: ContainerSpec,
    is_running: bool,
    was_started: bool,
    status: i64,
    looks: usize,
}

type Labels = BTreeMap<String, String>;

#[derive(Default)]
struct World {
    images: BTreeMap<String, (ImageFacts, Labels)>,
    containers: BTreeMap<String, Made>,
    networks: BTreeMap<String, Labels>,
    volumes: BTreeMap<String, Labels>,
    files: BTreeMap<String, (FileFacts, Vec<u8>)>,
    acts: BTreeMap<String, Vec<Act>>,
    health: Vec<&'static str>,
    asked: Vec<String>,
    faults: BTreeMap<usize, Fault>,
    is_gone: bool,
    count: usize,
}

impl Default for FakeContainers {
    fn default() -> Self {
        Self::at(Reach::Here)
    }
}

impl FakeContainers {
    /// An engine that has nothing.
    pub fn at(reach: Reach) -> Self {
        Self { world: Mutex::default(), reach }
    }

    /// It has an image.
    pub fn with_image(self, id: &str, config: serde_json::Value) -> Self {
        let facts = ImageFacts { id: id.to_owned(), config, size: 1000 };
        self.world.lock().images.insert(id.to_owned(), (facts, Labels::new()));
        self
    }

    /// Every container has a file.
    pub fn with_file(self, path: &str, content: &str) -> Self {
        let facts = FileFacts { kind: "file", mode: 0o644, uid: 0, gid: 0, target: None };
        self.world.lock().files.insert(path.to_owned(), (facts, content.as_bytes().to_vec()));
        self
    }

    /// A command does these things, one a time; the last of them ever after. One that nobody told does nothing, well.
    pub fn with_command(self, words: &str, acts: &[Act]) -> Self {
        self.world.lock().acts.insert(words.to_owned(), acts.to_vec());
        self
    }

    /// Started containers are as healthy as this, a word a look; the last of them ever after.
    pub fn with_health(self, words: &[&'static str]) -> Self {
        self.world.lock().health = words.to_vec();
        self
    }

    /// Somebody else's things: a container, a network, a volume and an image with these labels.
    pub fn put_there(&self, name: &str, labels: &Labels) {
        let mut world = self.world.lock();
        let spec = ContainerSpec { labels: labels.clone(), ..ContainerSpec::default() };
        world.containers.insert(name.to_owned(), Made { spec, is_running: true, ..Made::default() });
        world.networks.insert(name.to_owned(), labels.clone());
        world.volumes.insert(name.to_owned(), labels.clone());
        world.images.insert(name.to_owned(), (ImageFacts::default(), labels.clone()));
    }

    /// The request of this number fails so, the first being 0.
    pub fn fails_at(&self, number: usize, fault: Fault) {
        self.world.lock().faults.insert(number, fault);
    }

    /// It answers again.
    pub fn is_back(&self) {
        let mut world = self.world.lock();
        world.is_gone = false;
        world.faults.clear();
    }

    /// Everything that was asked, in order.
    pub fn asked(&self) -> Vec<String> {
        self.world.lock().asked.clone()
    }

    /// Everything that is there but images without labels, by kind and name.
    pub fn there(&self) -> Vec<String> {
        let world = self.world.lock();
        let images = world.images.iter().filter(|(_, (_, labels))| !labels.is_empty()).map(|(id, _)| id);
        let kinds: [(&str, Vec<&String>); 4] = [
            ("container", world.containers.keys().collect()),
            ("image", images.collect()),
            ("network", world.networks.keys().collect()),
            ("volume", world.volumes.keys().collect()),
        ];
        kinds
            .iter()
            .flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {name}")))
            .collect()
    }

    /// Writes a request down, and does it unless it fails.
    fn request<T>(&self, what: String, act: impl FnOnce(&mut World) -> T) -> Result<T, EngineError> {
        let mut world = self.world.lock();
        let fault = world.faults.get(&world.asked.len()).cloned();
        world.asked.push(what.clone());
        let refused = |why: &str| EngineError::Refused { what: what.clone(), why: why.to_owned() };
        if world.is_gone {
            return Err(EngineError::Unreachable { tried: what, why: "it is gone".to_owned() });
        }
        match fault {
            None => Ok(act(&mut world)),
            Some(Fault::Refused) => Err(refused("the test wants it to fail")),
            Some(Fault::Full) => {
                Err(refused("could not find an available, non-overlapping IPv4 address pool"))
            }
            Some(Fault::AnswerLost) => {
                act(&mut world);
                Err(refused("the answer was lost"))
            }
            Some(Fault::Stopped(cancel)) => {
                let done = act(&mut world);
                cancel.cancel();
                Ok(done)
            }
            Some(Fault::Gone) => {
                world.is_gone = true;
                Err(EngineError::Unreachable { tried: what, why: "it is gone".to_owned() })
            }
        }
    }

    fn missing<T>(what: &str, found: Option<T>) -> Result<T, EngineError> {
        let why = "there is no such container".to_owned();
        found.ok_or_else(|| EngineError::Refused { what: what.to_owned(), why })
    }
}

impl World {
    /// The deed of a command this time.
    fn act(&mut self, words: &str) -> Act {
        match self.acts.get_mut(words) {
            Some(acts) if acts.len() > 1 => acts.remove(0),
            Some(acts) => acts.first().cloned().unwrap_or(Act::Ends(Output::default())),
            None => Act::Ends(Output::default()),
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }
}

fn words_of(spec: &ContainerSpec) -> String {
    let words = spec.entrypoint.iter().flatten().chain(spec.command.iter().flatten());
    words.map(String::as_str).collect::<Vec<_>>().join(" ")
}

impl Containers for FakeContainers {
    fn reach(&self) -> Reach {
        self.reach.clone()
    }

    fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError> {
        self.request(format!("image {reference}"), |world| {
            world.images.get(reference).map(|(facts, _)| facts.clone())
        })
    }

    fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, EngineError> {
        let network = spec.network.as_deref().unwrap_or("-");
        self.request(format!("create {} `{}` in {network}", spec.image, words_of(spec)), |world| {
            let id = world.name("c");
            world.containers.insert(id.clone(), Made { spec: spec.clone(), ..Made::default() });
            ContainerId(id)
        })
    }

    fn start(&self, container: &ContainerId) -> Result<(), EngineError> {
        let what = format!("start {container}");
        let started = self.request(what.clone(), |world| {
            let spec = world.containers.get(&container.0)?.spec.clone();
            let act = world.act(&words_of(&spec));
            let made = world.containers.get_mut(&container.0)?;
            made.was_started = true;
            match act {
                Act::Hangs => made.is_running = true,
                Act::Ends(output) => {
                    // A server is one that nobody told to end.
                    (made.is_running, made.status) = (output == Output::default(), output.status);
                }
            }
            Some(())
        })?;
        Self::missing(&what, started)
    }

    fn converse(&self, container: &ContainerId, mut with: Conversation<'_>) -> Result<End, EngineError> {
        let what = format!("converse {container}");
        let act = self.request(what.clone(), |world| {
            let spec = world.containers.get(&container.0)?.spec.clone();
            Some(world.act(&words_of(&spec)))
        })?;
        match Self::missing(&what, act)? {
            Act::Ends(output) => {
                (with.output)(Channel::Out, &output.out);
                (with.output)(Channel::Err, &output.err);
                Ok(End::Exited(output.status))
            }
            Act::Hangs => loop {
                match with.control.blocking_recv() {
                    Some(Control::Signal(name)) if name == "KILL" => return Ok(End::Exited(137)),
                    Some(Control::Detach) | None => return Ok(End::Detached),
                    Some(_) => {}
                }
            },
        }
    }

    fn file(&self, container: &ContainerId, path: &str, most: u64) -> Result<Option<Vec<u8>>, EngineError> {
        self.request(format!("file {container} {path}"), |world| {
            let (_, content) = world.files.get(path)?;
            Some(content.iter().copied().take(usize::try_from(most).unwrap_or(usize::MAX)).collect())
        })
    }

    fn put(&self, container: &ContainerId, folder: &str, _archive: Vec<u8>) -> Result<(), EngineError> {
        self.request(format!("put {container} {folder}"), |_| ())
    }

    fn file_facts(&self, container: &ContainerId, path: &str) -> Result<Option<FileFacts>, EngineError> {
        self.request(format!("file facts {container} {path}"), |world| {
            world.files.get(path).map(|(facts, _)| facts.clone())
        })
    }

    fn state(&self, container: &ContainerId) -> Result<Option<State>, EngineError> {
        self.request(format!("state {container}"), |world| {
            let health = world.health.clone();
            let made = world.containers.get_mut(&container.0)?;
            let health = health.get(made.looks).or(health.last()).map(|word| (*word).to_owned());
            made.looks += 1;
            let ports = made.spec.ports.iter().map(|port| (port.container, 40_000 + port.container));
            Some(State {
                running: made.is_running,
                status: made.status,
                health,
                ports: ports.collect(),
                ..State::default()
            })
        })
    }

    fn logs(&self, container: &ContainerId) -> Result<Vec<u8>, EngineError> {
        self.request(format!("logs {container}"), |_| b"a line of the log\n".to_vec())
    }

    fn exec(&self, container: &ContainerId, exec: &Exec, limit: &Limit) -> Result<Output, EngineError> {
        let words = exec.command.join(" ");
        let what = format!("exec {container} `{}`", words.lines().next().unwrap_or_default());
        let act = self.request(what.clone(), |world| {
            world.containers.get(&container.0).filter(|made| made.is_running)?;
            Some(world.act(&words))
        })?;
        match Self::missing(&what, act)? {
            Act::Ends(output) => Ok(output),
            Act::Hangs => {
                while !limit.is_over() {
                    std::thread::yield_now();
                }
                match limit.cancel.is_cancelled() {
                    true => Err(EngineError::Interrupted),
                    false => {
                        Err(EngineError::Refused { what, why: "it took longer than the test may".into() })
                    }
                }
            }
        }
    }

    fn commit(&self, container: &ContainerId) -> Result<String, EngineError> {
        let what = format!("commit {container}");
        let made = self.request(what.clone(), |world| {
            let labels = world.containers.get(&container.0)?.spec.labels.clone();
            let id = world.name("i");
            world.images.insert(id.clone(), (ImageFacts { id: id.clone(), ..ImageFacts::default() }, labels));
            Some(id)
        })?;
        Self::missing(&what, made)
    }

    fn remove_image(&self, id: &str) -> Result<(), EngineError> {
        self.request(format!("remove image {id}"), |world| drop(world.images.remove(id)))
    }

    fn create_network(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        self.request(format!("create network {name}"), |world| {
            world.networks.insert(name.to_owned(), labels.clone());
        })
    }

    fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.request(format!("remove network {name}"), |world| drop(world.networks.remove(name)))
    }

    fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        self.request(format!("create volume {name}"), |world| {
            world.volumes.insert(name.to_owned(), labels.clone());
        })
    }

    fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.request(format!("remove volume {name}"), |world| drop(world.volumes.remove(name)))
    }

    fn labelled(&self, label: &str, value: &str) -> Result<Labelled, EngineError> {
        self.request(format!("labelled {label}={value}"), |world| {
            let has = |labels: &Labels| labels.get(label).is_some_and(|it| it == value);
            let of = |things: &BTreeMap<String, Labels>| {
                let things = things.iter().filter(|(_, labels)| has(labels));
                things.map(|(name, labels)| (name.clone(), labels.clone())).collect()
            };
            let containers = world.containers.iter().map(|(id, made)| (id.clone(), made.spec.labels.clone()));
            let images = world.images.iter().map(|(id, (_, labels))| (id.clone(), labels.clone()));
            Labelled {
                containers: of(&containers.collect()),
                networks: of(&world.networks),
                volumes: of(&world.volumes),
                images: of(&images.collect()),
            }
        })
    }

    fn remove(&self, container: &ContainerId) -> Result<(), EngineError> {
        self.request(format!("remove {container}"), |world| drop(world.containers.remove(&container.0)))
    }
}
