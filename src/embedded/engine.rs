//! The embedded builder as an engine like every other.
//!
//! Its identity is its store's; an image's id is the digest of its configuration, as it is on a Docker
//! engine, so the same image has the same id on every machine. It runs no containers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::assemble::build::Build;
use super::collect;
use super::images::{Image, Images, Note};
use super::layer::layers::Layers;
use super::names;
use super::push;
use super::run::{Isolation, Runner};
use super::save;
use super::store::{NoteKind, Store};
use super::trouble::{Result, refusal, refused};
use crate::engine::agent::PrivateAgent;
use crate::engine::{
    About, BuildEvent, BuildRequest, Cancel, Engine, EngineError, EngineIdentity, ImageId, ImageInfo,
    Inventory, SshSource, StoredImage,
};
use crate::model::content;
use crate::model::own_bases;
use crate::registry::Registry;
use crate::syntax::reference::{self, Reference, normalized};

/// The word that asks for this engine, and the kind of builder that keys name.
pub const NAME: &str = "embedded";

/// The engine that builds without a daemon.
pub struct EmbeddedEngine {
    store: Store,
    registry: Arc<dyn Registry>,
    isolation: Isolation,
    /// Somebody has read what commands lack.
    told: AtomicBool,
}

impl EmbeddedEngine {
    /// Keeps its images in a folder, which is made by the first build, and takes bases from registries.
    pub fn new(store: PathBuf, registry: Arc<dyn Registry>) -> Self {
        let (store, isolation) = (Store::at(store), Isolation::Namespaces);
        Self { store, registry, isolation, told: AtomicBool::new(false) }
    }

    /// How commands are kept apart from the machine.
    pub fn isolated(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Where its images are.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn with<T>(&self, work: impl FnOnce(&Images<'_>) -> Result<T>) -> Result<T> {
        let layers = Layers::new(&self.store, &*self.registry);
        work(&Images::new(&layers, &*self.registry))
    }

    fn native() -> String {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        format!("linux/{architecture}")
    }

    fn info(&self, image: &Image, tags: Vec<String>) -> ImageInfo {
        let note: Note = self.store.noted(NoteKind::Images, &image.id).unwrap_or_default();
        let pairs = image.config.list("Env");
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        let layers = Layers::new(&self.store, &*self.registry);
        let size = |diff_id: &String| {
            let plain = self.store.blob(diff_id).and_then(|path| path.metadata().ok()).map(|it| it.len());
            plain.or_else(|| layers.forms(diff_id).first().map(|form| form.size)).unwrap_or_default()
        };
        ImageInfo {
            id: ImageId(image.id.clone()),
            platform: image.config.platform(),
            repo_digests: note.digests.into_iter().collect(),
            tags,
            onbuild: image.config.list("OnBuild"),
            own_bases: image.config.settings()["Labels"][own_bases::LABEL].as_str().map(str::to_owned),
            environment: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            size_bytes: image.config.diff_ids.iter().map(size).sum(),
            manifest: None,
            content: content::text(&image.config.diff_ids, &image.config.settings()),
        }
    }
}

impl Engine for EmbeddedEngine {
    fn identity(&self) -> Result<EngineIdentity> {
        Ok(EngineIdentity {
            id: format!("{NAME}-{}", self.store.identity()?),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            builder: format!("{NAME}/store"),
            platform: Self::native(),
        })
    }

    fn about(&self) -> Result<About> {
        Ok(About {
            place: format!("imk's own builder, with its images in `{}`", self.store.root().display()),
            api: "none".into(),
            time: String::new(),
            images: self.store.names(NoteKind::Images)?.len(),
            store: "content store".into(),
        })
    }

    fn inventory(&self, ids: &BTreeSet<ImageId>) -> Result<Inventory> {
        if ids.is_empty() {
            return Ok(Inventory::new());
        }
        let there = |id: &&ImageId| {
            self.store.noted::<Note>(NoteKind::Images, &id.0).is_some() && self.store.has(&id.0)
        };
        let mut inventory: Inventory =
            ids.iter().filter(there).map(|id| (id.clone(), BTreeSet::new())).collect();
        for (name, id) in self.with(|images| images.tags())? {
            if let Some(tags) = inventory.get_mut(&ImageId(id)) {
                tags.insert(familiar(&name));
            }
        }
        Ok(inventory)
    }

    fn references(&self, repositories: &BTreeSet<String>) -> Result<BTreeMap<String, ImageId>> {
        let wanted: BTreeSet<String> = repositories.iter().map(|name| normalized(name)).collect();
        let tags = self.with(|images| images.tags())?.into_iter();
        let named = tags.filter(|(name, _)| {
            let repository = reference::parse(name).map(|it| normalized(&it.name()));
            repository.is_ok_and(|repository| wanted.contains(&repository))
        });
        Ok(named.map(|(name, id)| (familiar(&name), ImageId(id))).collect())
    }

    fn inspect(&self, reference: &str) -> Result<Option<ImageInfo>> {
        let Some(image) = self.with(|images| images.find(reference))? else { return Ok(None) };
        let tags = names::of(&self.store, &image.id)?.iter().map(|name| familiar(name)).collect();
        Ok(Some(self.info(&image, tags)))
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &(dyn Fn(BuildEvent) + Sync),
        cancel: &Cancel,
    ) -> Result<ImageId> {
        if cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        refuse(request)?;
        let (agents, _own) = agents_of(request)?;
        // More is run anew than was asked for, and nothing less.
        let anew =
            (!request.no_cache_stages.is_empty()).then(|| BuildRequest { no_cache: true, ..request.clone() });
        let request = anew.as_ref().unwrap_or(request);
        let _held = self.store.hold(false)?;
        // The first stage that fails stops the others, and nobody else.
        let stop = cancel.part();
        let runner = Runner::new(&self.store, (self.isolation, &self.told), &stop);
        let native = Self::native();
        let layers = Layers::new(&self.store, &*self.registry);
        let images = Images::new(&layers, &*self.registry).with_layouts(&request.layouts);
        let mut build = Build::new(request, &images, &runner, &native, events, &stop)?;
        build.agents = agents;
        build.run().map(ImageId)
    }

    fn takes_layouts(&self) -> bool {
        true
    }

    fn tag(&self, id: &ImageId, reference: &str) -> Result<()> {
        self.with(|images| match images.find(&id.0)? {
            Some(image) => images.name(&image.id, reference),
            None => refused(format!("tagging {id} as `{reference}`"), "there is no such image in the store"),
        })
    }

    fn untag(&self, reference: &str) -> Result<()> {
        self.store.forget(NoteKind::Names, &normalized(reference))
    }

    fn remove(&self, id: &ImageId) -> Result<()> {
        if let Some(name) = names::of(&self.store, &id.0)?.first() {
            return refused(format!("removing {id}"), format!("it bears the name `{}`", familiar(name)));
        }
        self.store.forget(NoteKind::Images, &id.0)
    }

    fn containers(&self) -> Result<BTreeMap<ImageId, BTreeSet<String>>> {
        Ok(BTreeMap::new())
    }

    fn push(&self, reference: &str, cancel: &Cancel) -> Result<Option<String>> {
        let _held = self.store.hold(false)?;
        self.with(|images| push::push(images, reference, cancel)).map(Some)
    }

    fn save(&self, id: &ImageId, to: &mut dyn std::io::Write, cancel: &Cancel) -> Result<()> {
        let _held = self.store.hold(false)?;
        self.with(|images| match images.find(&id.0)? {
            Some(image) => save::save(images, &image, to, cancel),
            None => refused(format!("writing the image {id}"), "there is no such image in the store"),
        })
    }

    fn stored(&self, id: &ImageId, cancel: &Cancel) -> Result<Option<StoredImage>> {
        let _held = self.store.hold(false)?;
        self.with(|images| match images.find(&id.0)? {
            Some(image) => save::stored(images, &image, cancel).map(Some),
            None => refused(format!("reading the image {id}"), "there is no such image in the store"),
        })
    }

    fn pull(&self, reference: &str, cancel: &Cancel) -> Result<Option<ImageId>> {
        if cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        let _held = self.store.hold(false)?;
        let pulled = self.with(|images| {
            let pulled = images.pull(reference, &Self::native())?;
            if let Some(image) = &pulled
                && reference::parse(reference).is_ok_and(|at| at.digest.is_none())
            {
                images.name(&image.id, reference)?;
            }
            Ok(pulled)
        })?;
        Ok(pulled.map(|image| ImageId(image.id)))
    }

    fn collect(&self) -> Result<u64> {
        collect::collect(&self.store)
    }
}

/// Refuses what this builder gives no command.
fn refuse(request: &BuildRequest) -> Result<()> {
    if request.sandbox.is_usual() {
        return Ok(());
    }
    let why = "the embedded builder gives commands no hosts and limits of their own; a Docker engine does";
    refused(format!("building `{}`", request.image), why)
}

/// The sockets of the agents that commands may use, by id, and the agents of imk's own among them.
fn agents_of(request: &BuildRequest) -> Result<(BTreeMap<String, PathBuf>, Vec<PrivateAgent>)> {
    let (mut sockets, mut own) = (BTreeMap::new(), Vec::new());
    for (id, source) in &request.ssh {
        let socket = match source {
            SshSource::Agent(socket) => socket.clone(),
            SshSource::Keys(keys) => {
                let agent = PrivateAgent::start(keys)
                    .map_err(|why| refusal(format!("giving `{}` the ssh keys `{id}`", request.image), why))?;
                let socket = agent.socket().to_owned();
                own.push(agent);
                socket
            }
        };
        sockets.insert(id.clone(), socket);
    }
    Ok((sockets, own))
}

/// A name as people write it.
fn familiar(name: &str) -> String {
    match reference::parse(name) {
        Ok(at) => {
            let tag = at.tag.clone().unwrap_or_else(|| "latest".into());
            format!("{}:{tag}", Reference { tag: None, digest: None, ..at }.familiar())
        }
        Err(_) => name.to_owned(),
    }
}
