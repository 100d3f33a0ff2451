//! The stage of one test: network, volumes, containers. All of it goes when the stage is dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::containers::api::{ContainerId, ContainerSpec, Containers, LABEL, Limit, State};
use crate::engine::EngineError;
use crate::syntax::container::suite::{Service, Step, Test};
use crate::syntax::container::{Mount, Port, Source};

use super::probe::{self, Beside, refused};

/// How soon a container that becomes ready is seen to be.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes of a file that patterns are tried on.
pub(super) const MOST: u64 = 4 << 20;

/// The image under test, and what its tests may refer to.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its id on the engine.
    pub id: String,
    /// Ids of the other images, by the names that tests give them.
    pub images: BTreeMap<String, String>,
    /// Labels of all that is made.
    pub labels: BTreeMap<String, String>,
    /// Begins the names of what is made, and is unique.
    pub mark: String,
    /// The stage of a failed test is left for a person to look at.
    pub keep: bool,
}

/// The things that one try of a test has made.
pub struct Stage<'a> {
    pub(super) containers: &'a dyn Containers,
    pub(super) subject: &'a Subject,
    pub(super) test: &'a Test,
    pub(super) limit: Limit,
    network: Option<String>,
    made: Vec<ContainerId>,
    volumes: BTreeMap<String, String>,
    images: Vec<String>,
    /// A container of the image that never runs: its files can be looked at.
    still: Option<ContainerId>,
    /// The started container of the image.
    pub(super) started: Option<ContainerId>,
    /// It is left as it is.
    pub(super) kept: bool,
}

impl<'a> Stage<'a> {
    /// Makes the network, the volumes and the services, which are ready when this returns.
    pub(super) fn set(
        containers: &'a dyn Containers,
        subject: &'a Subject,
        test: &'a Test,
        limit: Limit,
    ) -> Result<Self, EngineError> {
        let mut stage = Self {
            containers,
            subject,
            test,
            limit,
            network: None,
            made: Vec::new(),
            volumes: BTreeMap::new(),
            images: Vec::new(),
            still: None,
            started: None,
            kept: false,
        };
        // An engine has room for some thirty networks: a test that needs none takes none.
        if needs_network(test) {
            stage.network = Some(subject.mark.clone());
            stage.make_network()?;
        }
        for (number, name) in test.volumes.keys().enumerate() {
            // An engine takes few characters in a name, and a person any.
            let volume = format!("{}-{number}", subject.mark);
            stage.volumes.insert(name.clone(), volume.clone());
            containers.create_volume(&volume, &subject.labels)?;
        }
        for (name, service) in &test.services {
            stage.serve(name, service)?;
        }
        Ok(stage)
    }

    /// Makes the network. When the engine has no room for one more, some other test's goes soon.
    fn make_network(&self) -> Result<(), EngineError> {
        loop {
            match self.containers.create_network(&self.subject.mark, &self.subject.labels) {
                Err(EngineError::Refused { why, .. })
                    if why.contains("address pool") && !self.limit.is_over() =>
                {
                    std::thread::sleep(LOOK);
                }
                Err(_) if self.limit.cancel.is_cancelled() => return Err(EngineError::Interrupted),
                made => return made,
            }
        }
    }

    fn serve(&mut self, name: &str, service: &Service) -> Result<(), EngineError> {
        let spec = ContainerSpec {
            image: self.image(&service.image),
            command: service.command.clone(),
            env: service.env.clone(),
            aliases: vec![name.to_owned()],
            ..self.spec()
        };
        let container = self.make(&spec)?;
        self.containers.start(&container)?;
        self.ready(&container, service.ready, &format!("the service `{name}`"))
    }

    /// The id of an image by the name that the test gives it.
    pub(super) fn image(&self, name: &str) -> String {
        self.subject.images.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// A container on this stage.
    pub(super) fn spec(&self) -> ContainerSpec {
        ContainerSpec {
            network: self.network.clone(),
            labels: self.subject.labels.clone(),
            init: true,
            ..ContainerSpec::default()
        }
    }

    /// A container of the image under test.
    pub(super) fn own_spec(&self, env: &BTreeMap<String, String>) -> ContainerSpec {
        let mounts = self.test.volumes.iter().filter_map(|(name, path)| {
            let source = Source::Volume(self.volumes.get(name)?.clone());
            Some(Mount { source, target: path.clone(), read_only: false })
        });
        let env = self.test.env.iter().chain(env);
        ContainerSpec {
            image: self.subject.id.clone(),
            env: env.map(|(name, value)| (name.clone(), value.clone())).collect(),
            mounts: mounts.collect(),
            ..self.spec()
        }
    }

    /// Where ports of its containers are looked at from.
    pub(super) fn beside(&self) -> Beside<'_> {
        let helper = self.test.probe.as_deref();
        let helper = helper.map(|name| (name, ContainerSpec { image: self.image(name), ..self.spec() }));
        Beside { containers: self.containers, limit: &self.limit, helper }
    }

    pub(super) fn make(&mut self, spec: &ContainerSpec) -> Result<ContainerId, EngineError> {
        let container = self.containers.create(spec)?;
        self.made.push(container.clone());
        Ok(container)
    }

    /// A container of the image that is made once and never started: its files can be looked at.
    pub(super) fn still(&mut self) -> Result<ContainerId, EngineError> {
        if let Some(container) = &self.still {
            return Ok(container.clone());
        }
        let image = self.containers.image(&self.subject.id)?.unwrap_or_default();
        let has_command = !image.texts("Cmd").is_empty() || !image.texts("Entrypoint").is_empty();
        // An engine refuses a container without a command, though it never runs.
        let command = (!has_command).then(|| vec!["/".to_owned()]);
        let container = self.make(&ContainerSpec { command, ..self.own_spec(&BTreeMap::new()) })?;
        self.still = Some(container.clone());
        Ok(container)
    }

    /// An image of a container as it is, for as long as the stage stands.
    pub(super) fn commit(&mut self, container: &ContainerId) -> Result<String, EngineError> {
        let image = self.containers.commit(container)?;
        self.images.push(image.clone());
        Ok(image)
    }

    /// Starts a container of the image under test.
    pub(super) fn start(
        &mut self,
        env: &BTreeMap<String, String>,
        command: Option<Vec<String>>,
        ready: Option<u16>,
    ) -> Result<(), EngineError> {
        if self.started.is_some() {
            return Err(refused("starting the image", "it is started already; `Stop` comes first"));
        }
        let port = |port: &u16| Port { container: *port, protocol: "tcp".into(), address: None, host: None };
        let spec = ContainerSpec {
            command,
            ports: self.test.ports.iter().map(port).collect(),
            aliases: vec!["image".to_owned()],
            ..self.own_spec(env)
        };
        let container = self.make(&spec)?;
        self.containers.start(&container)?;
        self.started = Some(container.clone());
        self.ready(&container, ready, "the image")
    }

    pub(super) fn stop(&mut self) -> Result<(), EngineError> {
        let container = self.running()?.clone();
        self.started = None;
        self.containers.remove(&container)
    }

    /// The started container.
    pub(super) fn running(&self) -> Result<&ContainerId, EngineError> {
        self.started.as_ref().ok_or_else(|| {
            refused("looking at the started container", "none is started; `Start` comes first")
        })
    }

    /// Waits until a container is healthy; without a health check, until its port listens, or it just runs.
    fn ready(&self, container: &ContainerId, port: Option<u16>, who: &str) -> Result<(), EngineError> {
        let what = format!("waiting until {who} is ready");
        loop {
            let state = self.containers.state(container)?.unwrap_or_default();
            let log =
                || String::from_utf8_lossy(&self.containers.logs(container).unwrap_or_default()).into_owned();
            if !state.running {
                return Err(refused(&what, &format!("it ended with status {}\n{}", state.status, log())));
            }
            match self.is_ready(container, &state, port) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A look that failed because the container ended meanwhile is told as its end, and one that
                // the time ran out on as that.
                Err(_) if !self.containers.state(container)?.unwrap_or_default().running => continue,
                Err(_) if self.limit.is_over() => {}
                Err(error) => return Err(error),
            }
            if self.limit.cancel.is_cancelled() {
                return Err(EngineError::Interrupted);
            }
            if self.limit.is_over() {
                let how = match (&state.health, port) {
                    (Some(health), _) => format!("its health is `{health}`"),
                    (None, Some(port)) => format!("nothing listens at port {port}"),
                    (None, None) => String::new(),
                };
                return Err(refused(&what, &format!("{how} when the time is over\n{}", log())));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn is_ready(
        &self,
        container: &ContainerId,
        state: &State,
        port: Option<u16>,
    ) -> Result<bool, EngineError> {
        match (&state.health, port) {
            (Some(health), _) => Ok(health == "healthy"),
            (None, Some(port)) => probe::listens(&self.beside(), container, port),
            (None, None) => Ok(true),
        }
    }

    /// The log of the started container.
    pub(super) fn log(&self) -> String {
        let log = self.started.as_ref().and_then(|container| self.containers.logs(container).ok());
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Each is tried whatever became of the others; what stays behind, the next run sweeps.
        for container in self.made.iter().rev() {
            let _ = self.containers.remove(container);
        }
        for image in self.images.iter().rev() {
            let _ = self.containers.remove_image(image);
        }
        for volume in self.volumes.values() {
            let _ = self.containers.remove_volume(volume);
        }
        if let Some(network) = &self.network {
            let _ = self.containers.remove_network(network);
        }
    }
}

/// Whether its containers have to find each other.
fn needs_network(test: &Test) -> bool {
    let meets = |step: &Step| matches!(step, Step::Start { .. } | Step::Script { inside: Some(_), .. });
    !test.services.is_empty() || test.steps.iter().any(meets)
}

/// Labels of what one run of tests makes.
pub fn labels(owner: &str, run: &str, keep: bool) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (LABEL.to_owned(), "test".to_owned()),
        ("imk.owner".to_owned(), owner.to_owned()),
        ("imk.run".to_owned(), run.to_owned()),
    ]);
    if keep {
        labels.insert("imk.kept".to_owned(), "yes".to_owned());
    }
    labels
}
