//! Bases that bear the name of the image built on them: `FROM nginx` in the image `nginx`.
//!
//! Once imk has tagged its result, that name leads to the result, on the engine and, after a push, in the
//! registry. The base stays what the name led to before; else each run would build on the last one. The
//! ledger knows results; where that is lost, the mark on the result says what the base was.

use super::Upstream;
use super::memory::Memory;
use crate::engine::{Engine, ImageInfo};
use crate::model::own_bases::{self, Exact};
use crate::model::time::UnixSeconds;
use crate::query::inputs::OutsideBase;
use crate::registry::document::Document;
use crate::registry::{Registry, by_digest};
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
        let mark = info.as_ref().and_then(|info| info.own_bases.clone());
        let mark = mark.filter(|mark| own_bases::bears(mark, &name.to_string()));
        if let Some(mark) = &mark {
            learn(&mut self.memory.lock(), name, base, mark);
        }
        match info {
            Some(info) if mark.is_none() && !self.built(|record| record.id == info.id.0) => {
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
        let known = self.memory.lock().published_before(name, &base.platform);
        let ours = known.as_ref() != Some(&digest)
            && (self.built(|record| record.published.as_ref().is_some_and(is_it))
                || self.marked(name, base, &digest));
        let mut memory = self.memory.lock();
        if ours {
            return memory.published_before(name, &base.platform);
        }
        memory.is_published(name, &base.platform, &digest);
        Some(digest)
    }

    /// Whether the image of a digest bears imk's mark for this name; what the mark tells is remembered.
    /// A registry that does not show the image says nothing against it.
    fn marked(&self, name: &Reference, base: &OutsideBase, digest: &str) -> bool {
        let mark = mark_in(&*self.registry, &by_digest(name, digest));
        let Some(mark) = mark.filter(|mark| own_bases::bears(mark, &name.to_string())) else { return false };
        learn(&mut self.memory.lock(), name, base, &mark);
        true
    }

    fn built(&self, is_it: impl Fn(&Record) -> bool) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.newest(is_it).is_some())
    }
}

/// Remembers the base that a mark tells, where nothing is remembered of it.
fn learn(memory: &mut Memory, name: &Reference, base: &OutsideBase, mark: &str) {
    let of_base =
        |own: &own_bases::OwnBase| own.reference == name.to_string() && own.platform == base.platform;
    let Some(own) = own_bases::read(mark).into_iter().find(of_base) else { return };
    match own.exact {
        Exact::Id(id) => {
            if memory.stood(name, &base.platform).is_none() {
                memory.stands(name, &base.platform, &id);
            }
        }
        Exact::Digest(digest) => {
            if memory.stood(name, &base.platform).is_none() {
                memory.stands(name, &base.platform, &by_digest(name, &digest).to_string());
            }
            if memory.published_before(name, &base.platform).is_none() {
                memory.is_published(name, &base.platform, &digest);
            }
            // An answer of long ago: it serves where nobody can be asked.
            if memory.last(name, &base.platform).is_none() {
                memory.record(name, &base.platform, &digest, UnixSeconds::default());
            }
        }
    }
}

/// The mark in the configuration of an image in a registry.
fn mark_in(registry: &dyn Registry, exact: &Reference) -> Option<String> {
    let manifest = registry.manifest(exact).ok().flatten()?;
    let document: Document = serde_json::from_slice(&manifest.bytes).ok()?;
    let bytes = registry.blob(exact, &document.config?.digest).ok()?;
    let image: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    image["config"]["Labels"][own_bases::LABEL].as_str().map(str::to_owned)
}
