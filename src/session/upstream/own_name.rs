//! Bases that bear the name of the image built on them: `FROM nginx` in the image `nginx`.
//!
//! Once imk has tagged its result, that name leads to the result, on the engine and, after a push, in the
//! registry. The base stays what the name led to before; else each run would build on the last one.

use super::Upstream;
use crate::engine::{Engine, ImageInfo};
use crate::query::inputs::OutsideBase;
use crate::state::ledger::Record;
use crate::syntax::reference::Reference;

impl Upstream {
    /// The id that the engine has under the name, or had before imk put its own result there.
    pub(super) fn before_ours(
        &self,
        engine: &dyn Engine,
        name: &Reference,
        base: &OutsideBase,
        info: Option<ImageInfo>,
    ) -> Option<ImageInfo> {
        match info {
            Some(info) if !self.built(|record| record.id == info.id.0) => {
                self.memory.lock().stands(name, &base.platform, &info.id.0);
                Some(info)
            }
            _ => {
                let before = self.memory.lock().stood(name, &base.platform)?;
                engine.inspect(&before).ok().flatten()
            }
        }
    }

    /// The registry's digest, or its last one before imk published its own result there.
    pub(super) fn not_ours(
        &self,
        name: &Reference,
        base: &OutsideBase,
        digest: Option<String>,
    ) -> Option<String> {
        let digest = digest?;
        let is_it = |at: &String| at.rsplit_once('@').is_some_and(|(_, published)| published == digest);
        let ours = self.built(|record| record.published.as_ref().is_some_and(is_it));
        let mut memory = self.memory.lock();
        if ours {
            return memory.published_before(name, &base.platform);
        }
        memory.is_published(name, &base.platform, &digest);
        Some(digest)
    }

    fn built(&self, is_it: impl Fn(&Record) -> bool) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.newest(is_it).is_some())
    }
}
