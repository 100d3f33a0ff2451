//! stub
use super::*;
pub struct DockerEngine;
impl DockerEngine { pub fn from_env() -> Self { Self } }
impl Engine for DockerEngine {
    fn identity(&self) -> Result<EngineIdentity, EngineError> { Err(EngineError::Interrupted) }
    fn inventory(&self, _: &BTreeSet<ImageId>) -> Result<Inventory, EngineError> { todo!() }
    fn inspect(&self, _: &str) -> Result<Option<ImageInfo>, EngineError> { todo!() }
    fn build(&self, _: &BuildRequest, _: &(dyn Fn(BuildEvent) + Sync), _: &Cancel) -> Result<ImageId, EngineError> { todo!() }
    fn tag(&self, _: &ImageId, _: &str) -> Result<(), EngineError> { todo!() }
    fn untag(&self, _: &str) -> Result<(), EngineError> { todo!() }
}
