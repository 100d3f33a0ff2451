//! No engine at all: for looks at history, which ask none.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    About, BuildEvent, BuildRequest, Cancel, Engine, EngineError, EngineIdentity, ImageId, ImageInfo,
    Inventory,
};

/// Answers every question with "there is no engine".
#[derive(Clone, Copy, Debug)]
pub struct NoEngine;

fn none<T>() -> Result<T, EngineError> {
    Err(EngineError::Unreachable { tried: "nowhere".into(), why: "history is read without one".into() })
}

impl Engine for NoEngine {
    fn identity(&self) -> Result<EngineIdentity, EngineError> {
        none()
    }
    fn about(&self) -> Result<About, EngineError> {
        none()
    }
    fn inventory(&self, _: &BTreeSet<ImageId>) -> Result<Inventory, EngineError> {
        none()
    }
    fn references(&self, _: &BTreeSet<String>) -> Result<BTreeMap<String, ImageId>, EngineError> {
        none()
    }
    fn inspect(&self, _: &str) -> Result<Option<ImageInfo>, EngineError> {
        none()
    }
    fn build(
        &self,
        _: &BuildRequest,
        _: &(dyn Fn(BuildEvent) + Sync),
        _: &Cancel,
    ) -> Result<ImageId, EngineError> {
        none()
    }
    fn tag(&self, _: &ImageId, _: &str) -> Result<(), EngineError> {
        none()
    }
    fn untag(&self, _: &str) -> Result<(), EngineError> {
        none()
    }
    fn remove(&self, _: &ImageId) -> Result<(), EngineError> {
        none()
    }
    fn containers(&self) -> Result<BTreeMap<ImageId, BTreeSet<String>>, EngineError> {
        none()
    }
    fn push(&self, _: &str, _: &Cancel) -> Result<Option<String>, EngineError> {
        none()
    }
    fn save(&self, _: &ImageId, _: &mut dyn std::io::Write, _: &Cancel) -> Result<(), EngineError> {
        none()
    }
    fn pull(&self, _: &str, _: &Cancel) -> Result<Option<ImageId>, EngineError> {
        none()
    }
}
