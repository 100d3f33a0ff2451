//! The real engine: Docker, or what speaks like it.
//!
//! Small questions go through bollard, builds through `session` or, where
//! there is no BuildKit, `archive`. Connects on the first question, not before.
//! Every method blocks its thread and may be called from many at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bollard::Docker;
use bollard::models::ImageInspect;
use bollard::query_parameters::{
    ListImagesOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};

use super::{
    About, ArchiveWriter, BuildEvent, BuildRequest, CachedIdentity, Cancel, CheckFinding, Engine,
    EngineError, EngineIdentity, ImageId, ImageInfo, Inventory, carry, control, session,
};
use crate::model::content;
use crate::model::own_bases;
use crate::syntax::reference::{self, normalized};

mod building;
mod client;
mod events;
mod housekeeping;
mod identity;
mod known;
mod layouts;
mod load;
mod manifests;
mod podman;
mod save;

pub use client::DockerEngine;
pub(crate) use client::{client, refused};
pub use known::Builder;
use known::{Known, Source};

/// Questions under way at once: more gains little and loads the engine.
const AT_ONCE: usize = 4;

/// How often a name is given again that somebody else was giving, and the pause before that, times the number of tries.
const TAG_TRIES: u32 = 5;
const TAG_PAUSE: Duration = Duration::from_millis(20);

/// The tags of an answer; an image without any is told as `<none>:<none>` by some engines.
fn tags(told: Option<Vec<String>>) -> BTreeSet<String> {
    told.unwrap_or_default().into_iter().filter(|tag| !tag.starts_with("<none>")).collect()
}

impl DockerEngine {
    /// The ids among `ids` that the engine has, out of the list of all images.
    async fn listed(&self, docker: &Docker, ids: &BTreeSet<ImageId>) -> Result<Inventory, EngineError> {
        // `all` shows what the classic builder keeps between its steps; an image of ours may be one of those.
        let options = ListImagesOptionsBuilder::default().all(true).build();
        let images = docker.list_images(Some(options)).await;
        let images = images.map_err(|error| self.error("listing the engine's images", error))?;
        self.count(images.len());
        Ok(images
            .into_iter()
            .map(|image| (ImageId(image.id), tags(Some(image.repo_tags))))
            .filter(|(id, _)| ids.contains(id))
            .collect())
    }

    async fn inspected(&self, docker: &Docker, reference: &str) -> Result<Option<ImageInspect>, EngineError> {
        match docker.inspect_image(reference).await {
            Ok(image) => Ok(Some(image)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.error(&format!("inspecting `{reference}`"), error)),
        }
    }
}

impl Engine for DockerEngine {
    fn identity(&self) -> Result<EngineIdentity, EngineError> {
        Ok(self.known_from(&[Source::Recognized, Source::Answered])?.identity)
    }

    fn about(&self) -> Result<About, EngineError> {
        housekeeping::about(self)
    }

    fn assume_identity(&self, cached: &CachedIdentity) {
        self.assume(cached);
    }

    fn cached_identity(&self) -> Option<CachedIdentity> {
        self.remembered()
    }

    fn inventory(&self, ids: &BTreeSet<ImageId>) -> Result<Inventory, EngineError> {
        if ids.is_empty() {
            return Ok(Inventory::new());
        }
        let known = self.known()?;
        let docker = self.docker()?;
        let inventory = self.runtime()?.block_on(async {
            if listing_is_cheaper(&known, ids.len()) {
                return self.listed(&docker, ids).await;
            }
            if known.tells_by_events() {
                return self.by_events(&docker, ids).await;
            }
            let answers =
                futures_util::stream::iter(ids.iter().cloned().map(|id| {
                    let docker = &docker;
                    async move {
                        Ok(self.inspected(docker, &id.0).await?.map(|image| (id, tags(image.repo_tags))))
                    }
                }));
            let found: Vec<Option<(ImageId, BTreeSet<String>)>> =
                answers.buffer_unordered(AT_ONCE).try_collect().await?;
            Ok(found.into_iter().flatten().collect::<Inventory>())
        })?;
        if inventory.len() == ids.len() {
            self.recognize();
        }
        Ok(inventory)
    }

    fn references(&self, repositories: &BTreeSet<String>) -> Result<BTreeMap<String, ImageId>, EngineError> {
        let familiar =
            |name: &String| reference::parse(name).map_or_else(|_| name.clone(), |it| it.familiar());
        // The engine reads a pattern there, and an IPv6 host stands in brackets.
        let patterns: Vec<String> =
            repositories.iter().map(|name| familiar(name).replace('[', "\\[")).collect();
        if patterns.is_empty() {
            return Ok(BTreeMap::new());
        }
        let wanted: BTreeSet<String> = repositories.iter().map(|name| normalized(name)).collect();
        // Podman 4.3 takes several patterns for conditions that all must hold: it is asked for everything.
        let patterns = (!self.known()?.podman()).then_some(patterns);
        let filters: HashMap<_, _> =
            patterns.map(|patterns| ("reference".to_owned(), patterns)).into_iter().collect();
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let docker = self.docker()?;
        let images = self.runtime()?.block_on(docker.list_images(Some(options)));
        let images = images.map_err(|error| self.error("listing the engine's tags", error))?;
        let named = images.into_iter().flat_map(|image| {
            let id = ImageId(image.id);
            tags(Some(image.repo_tags)).into_iter().map(move |tag| (tag, id.clone()))
        });
        // An image that was found by one of its names may have others.
        Ok(named.filter(|(tag, _)| wanted.contains(&normalized(split_tag(tag).0))).collect())
    }

    fn inspect(&self, reference: &str) -> Result<Option<ImageInfo>, EngineError> {
        check_reference(reference, "inspecting")?;
        let docker = self.docker()?;
        let podman = self.known()?.podman();
        let image = self.runtime()?.block_on(async {
            let mut image = match self.known()?.containerd_store() {
                true => manifests::described(&self.endpoint, &self.patience, reference).await?,
                false => self.inspected(&docker, reference).await?,
            };
            if let Some(image) = image.as_mut().filter(|_| podman) {
                podman::complete(&self.endpoint, &self.patience, image).await?;
            }
            Ok(image)
        })?;
        Ok(image.map(|image| image_info(reference, image)))
    }

    fn build(
        &self,
        request: &BuildRequest,
        events: &(dyn Fn(BuildEvent) + Sync),
        cancel: &Cancel,
    ) -> Result<ImageId, EngineError> {
        if !has_from(&request.dockerfile) {
            // Not only useless: it kills a 20.10 engine, and every other build with it.
            return Err(session::refused(request, "its Dockerfile has no FROM, so it was not sent".into()));
        }
        if cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        session::withheld(&self.credentials, request)?;
        let known = self.confirmed()?;
        let request = &self.with_proxies(request);
        if request.layouts.is_empty() || (known.buildkit() && known.containerd_store()) {
            return self.build_by(&known, request, events, cancel);
        }
        // Its BuildKit takes images from registries and its own store alone.
        layouts::with_loaded(self, request, events, cancel, |request, events| {
            self.build_by(&known, request, events, cancel)
        })
    }

    fn takes_layouts(&self) -> bool {
        true
    }

    fn tag(&self, id: &ImageId, reference: &str) -> Result<(), EngineError> {
        let what = format!("tagging {id} as `{reference}`");
        check_reference(reference, "tagging an image as")?;
        let (repo, tag) = split_tag(reference);
        let docker = self.docker()?;
        let options = TagImageOptionsBuilder::default().repo(repo).tag(tag).build();
        self.touched.lock().insert(id.clone());
        let runtime = self.runtime()?;
        let mut tries = 0;
        loop {
            match runtime.block_on(docker.tag_image(&id.0, Some(options.clone()))) {
                // Two that give one name at once meet on the containerd store; the second has but to ask again.
                Err(error) if tries < TAG_TRIES && error.to_string().contains("already exists") => tries += 1,
                done => return done.map_err(|error| self.error(&what, error)),
            }
            std::thread::sleep(TAG_PAUSE * tries);
        }
    }

    fn untag(&self, reference: &str) -> Result<(), EngineError> {
        check_reference(reference, "untagging")?;
        let docker = self.docker()?;
        // Without `noprune` the engine may remove layers an unfinished plan still wants; without
        // `force` it refuses to take the last name from an image that a stopped container uses.
        let options = RemoveImageOptionsBuilder::default().noprune(true).build();
        match self.runtime()?.block_on(docker.remove_image(reference, Some(options), None)) {
            Ok(_) => Ok(()),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(self.error(&format!("removing the name `{reference}`"), error)),
        }
    }

    fn remove(&self, id: &ImageId) -> Result<(), EngineError> {
        housekeeping::remove(self, id)
    }

    fn containers(&self) -> Result<BTreeMap<ImageId, BTreeSet<String>>, EngineError> {
        housekeeping::containers(self)
    }

    fn push(&self, reference: &str, cancel: &Cancel) -> Result<Option<String>, EngineError> {
        check_reference(reference, "pushing")?;
        let podman = self.known()?.podman();
        self.runtime()?.block_on(carry::push(self.link(), podman, &self.credentials, reference, cancel))
    }

    fn checks(
        &self,
        request: &BuildRequest,
        cancel: &Cancel,
    ) -> Result<Option<Vec<CheckFinding>>, EngineError> {
        if !has_from(&request.dockerfile) || !self.known()?.buildkit() {
            return Ok(None);
        }
        self.runtime()?.block_on(control::checks(self.link(), &self.credentials, request, cancel))
    }

    fn save(&self, id: &ImageId, to: &mut dyn std::io::Write, cancel: &Cancel) -> Result<(), EngineError> {
        check_reference(&id.0, "reading the image")?;
        self.runtime()?.block_on(save::save(self.link(), id, to, cancel))
    }

    fn load(&self, archive: &mut ArchiveWriter<'_>, cancel: &Cancel) -> Result<ImageId, EngineError> {
        load::load(self.runtime()?, self.link(), archive, cancel)
    }

    fn pull(&self, reference: &str, cancel: &Cancel) -> Result<Option<ImageId>, EngineError> {
        check_reference(reference, "pulling")?;
        let podman = self.known()?.podman();
        let pulled = carry::pull(self.link(), podman, &self.credentials, reference, cancel);
        let pulled = self.runtime()?.block_on(pulled)?;
        if !pulled {
            return Ok(None);
        }
        match self.inspect(reference)? {
            Some(info) => Ok(Some(info.id)),
            None => Err(EngineError::Refused {
                what: format!("pulling `{reference}`"),
                why: "the engine does not know it afterwards".into(),
            }),
        }
    }
}

/// Listing costs the engine about 0.07 ms for each image there is, inspecting 0.5 ms for each
/// asked for (20.10). On the containerd store each *listed* image costs 10 ms, so never there.
fn listing_is_cheaper(known: &Known, asked: usize) -> bool {
    !known.containerd_store() && known.images < asked.saturating_mul(6)
}

fn image_info(reference: &str, image: ImageInspect) -> ImageInfo {
    let content = content(&image);
    let mut platform = format!(
        "{}/{}",
        image.os.as_deref().unwrap_or("linux"),
        image.architecture.as_deref().unwrap_or_default()
    );
    if let Some(variant) = image.variant.as_deref().filter(|variant| !variant.is_empty()) {
        platform = format!("{platform}/{variant}");
    }
    let environment = environment(&image);
    let labels = image.config.as_ref().and_then(|config| config.labels.as_ref());
    let mark = labels.and_then(|labels| labels.get(own_bases::LABEL)).cloned();
    let of_platform = manifests::of_platform(&image);
    let manifest = of_platform.and_then(|it| it.descriptor.digest.clone());
    // There the image's own size is that of its packed layers.
    let size = of_platform.and_then(|it| Some(it.image_data.as_ref()?.size.unpacked)).or(image.size);
    ImageInfo {
        id: ImageId(image.id.unwrap_or_else(|| reference.to_owned())),
        platform,
        repo_digests: image.repo_digests.unwrap_or_default(),
        tags: image.repo_tags.unwrap_or_default(),
        environment,
        onbuild: image.config.and_then(|config| config.on_build).unwrap_or_default(),
        own_bases: mark,
        size_bytes: size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        manifest,
        content,
    }
}

fn environment(image: &ImageInspect) -> BTreeMap<String, String> {
    let pairs = image.config.iter().flat_map(|config| config.env.iter().flatten());
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// See [`crate::model::content`].
fn content(image: &ImageInspect) -> String {
    let layers = image.root_fs.as_ref().and_then(|root| root.layers.clone()).unwrap_or_default();
    content::text(&layers, &serde_json::to_value(&image.config).unwrap_or_default())
}

/// bollard puts a reference into a path as it is, so a `?` or a space would ask for something else.
fn check_reference(reference: &str, doing: &str) -> Result<(), EngineError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@[]".contains(c);
    if !reference.is_empty() && reference.chars().all(plain) && !reference.contains("..") {
        return Ok(());
    }
    let why = "an image's name has letters, digits and `. _ - / : @` only".to_owned();
    Err(EngineError::Refused { what: format!("{doing} `{reference}`"), why })
}

/// `repository`, `tag`. A colon before the last slash belongs to a port.
pub(super) fn split_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repo, tag)) if !tag.contains('/') => (repo, tag),
        _ => (reference, "latest"),
    }
}

/// Whether any line begins with FROM. The text was parsed before it came here; this is the last fence.
pub(super) fn has_from(dockerfile: &str) -> bool {
    dockerfile.lines().any(|line| {
        let mut words = line.trim_start_matches('\u{feff}').split_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("from")) && words.next().is_some()
    })
}

#[cfg(test)]
mod tests;
