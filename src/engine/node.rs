//! One engine of several: its name, what it is for, and what it was found to have.
//!
//! Remembers what the engine answered, so that it is asked once. Chooses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use super::endpoint::Endpoint;
use super::{Engine, EngineError, ImageId, Inventory};
use crate::syntax::reference::normalized;

/// An engine among others.
pub struct Node {
    /// Its name, as a person calls it; empty for one that is alone.
    pub name: String,
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Its labels: abilities such as `jdk17` or `gpu`.
    pub labels: BTreeSet<String>,
    /// Its platforms, such as `linux/arm64`; when empty, its own first and others by emulation.
    pub platforms: Vec<String>,
    /// How many jobs at once, at the most.
    pub jobs: Option<usize>,
    /// Where Docker's API is spoken, for what goes beyond images; `None` where it is not.
    pub endpoint: Option<Endpoint>,
    /// Its answers for ids: an image's tags, or that it has no such image.
    present: Mutex<BTreeMap<ImageId, Option<BTreeSet<String>>>>,
    /// Why it is used no more.
    unreachable: OnceLock<EngineError>,
}

impl Node {
    /// An engine without labels and limits.
    pub fn new(name: &str, engine: Arc<dyn Engine>) -> Self {
        Self {
            name: name.to_owned(),
            engine,
            labels: BTreeSet::new(),
            platforms: Vec::new(),
            jobs: None,
            endpoint: None,
            present: Mutex::default(),
            unreachable: OnceLock::new(),
        }
    }

    /// As it is, reached through Docker's API at this endpoint.
    pub fn at(self, endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..self }
    }

    /// Why it is used no more, if so.
    pub fn unreachable(&self) -> Option<&EngineError> {
        self.unreachable.get()
    }

    /// Uses it no more. True the first time.
    pub(super) fn mark_unreachable(&self, error: EngineError) -> bool {
        self.unreachable.set(error).is_ok()
    }

    /// Takes over what it was found to have or lack, so that it is not asked again.
    pub fn know(&self, asked: &BTreeSet<ImageId>, has: &Inventory) {
        let mut present = self.present();
        for id in asked {
            present.insert(id.clone(), has.get(id).cloned());
        }
    }

    /// Whether an image was asked for already.
    pub fn knows(&self, id: &ImageId) -> bool {
        self.present().contains_key(id)
    }

    /// It has an image that was made or fetched just now.
    pub fn learned(&self, id: &ImageId) {
        self.present().insert(id.clone(), Some(BTreeSet::new()));
    }

    /// Whether it is known to have an image; nothing is asked.
    pub fn surely_has(&self, id: &ImageId) -> bool {
        matches!(self.present().get(id), Some(Some(_)))
    }

    /// Whether it has an image.
    ///
    /// # Errors
    /// When it does not answer: that is not an absence.
    pub fn has(&self, id: &ImageId) -> Result<bool, EngineError> {
        self.tags(id).map(|tags| tags.is_some())
    }

    /// The tags an image bears there; `None` when it does not have it.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn tags(&self, id: &ImageId) -> Result<Option<BTreeSet<String>>, EngineError> {
        if let Some(known) = self.present().get(id) {
            return Ok(known.clone());
        }
        let asked = BTreeSet::from([id.clone()]);
        let has = self.engine.inventory(&asked)?;
        self.know(&asked, &has);
        Ok(has.get(id).cloned())
    }

    /// Names an image.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn tag(&self, id: &ImageId, reference: &str) -> Result<(), EngineError> {
        self.engine.tag(id, reference)?;
        let mut present = self.present();
        for (other, tags) in present.iter_mut() {
            if let Some(tags) = tags {
                tags.retain(|tag| normalized(tag) != normalized(reference));
                if other == id {
                    tags.insert(reference.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Takes the names away that were given for a moment. The last name of an image
    /// stays: an engine removes an image together with it.
    pub fn release(&self, is_temporary: impl Fn(&str) -> bool) {
        if self.unreachable().is_some() {
            return;
        }
        for tags in self.present().values_mut().flatten() {
            let pins: Vec<String> = tags.iter().filter(|tag| is_temporary(tag)).cloned().collect();
            if tags.len() > pins.len() {
                for pin in pins {
                    // A name that stays behind is taken away by the next run.
                    let _ = self.engine.untag(&pin);
                    tags.remove(&pin);
                }
            }
        }
    }

    /// Its name and what it is for: for messages.
    pub(super) fn described(&self) -> String {
        let mut about = Vec::new();
        if !self.labels.is_empty() {
            about.push(self.labels.iter().cloned().collect::<Vec<_>>().join("+"));
        }
        about.extend(Some(self.platforms.join("+")).filter(|platforms| !platforms.is_empty()));
        about.extend(self.unreachable().map(|why| format!("unreachable: {why}")));
        let name = if self.name.is_empty() { "default" } else { &self.name };
        if about.is_empty() {
            format!("`{name}` (no labels)")
        } else {
            format!("`{name}` ({})", about.join("; "))
        }
    }

    fn present(&self) -> MutexGuard<'_, BTreeMap<ImageId, Option<BTreeSet<String>>>> {
        // It is whole after every statement.
        self.present.lock()
    }
}
