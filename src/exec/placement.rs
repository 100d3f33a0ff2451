//! Where a job is built, and how its bases come to be there under exact names.
//!
//! A base that another engine has is published under its key and fetched by digest, once for all who
//! need it. One whose name has no registry cannot travel, so its users go where it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::base_substitutions::BaseSubstitutions;
use super::executor::{Discrepancy, Executor, JobEvent};
use super::layouts;
use super::provisional::Offer;
use super::push::PublishError;
use crate::engine::pool::{EnginePool, Slot, Unplaced, Wanted};
use crate::engine::{EngineError, ImageId, Node};
use crate::model::hash::ContentHash;
use crate::model::own_bases;
use crate::model::part::Part;
use crate::model::time::UnixSeconds;
use crate::query::effect::{BuildError, BuildJob, Built};
use crate::query::inputs::Exact;
use crate::state::ledger::Record;
use crate::syntax::layout_source;
use crate::syntax::reference::{self, Reference};

impl Executor {
    /// Waits for the engine that is to build a job.
    pub(super) fn choose<'f>(
        &self,
        job: &BuildJob<'_>,
        pool: &'f EnginePool,
    ) -> Result<Slot<'f>, BuildError> {
        let mut wanted = Wanted {
            platform: job.platform.to_owned(),
            labels: self.run().engine_labels.get(job.name).cloned().unwrap_or_default(),
            builder: job.builder.to_owned(),
            ..Wanted::default()
        };
        if !pool.is_one() {
            self.look_for_bases(job, pool, &mut wanted)?;
        }
        let mut taken = pool.take(&wanted, &self.cancel);
        if wanted.only.is_some() && matches!(taken, Err(Unplaced::Nobody)) {
            // No engine that has its bases fits. One that fits says then which of them it lacks.
            taken = pool.take(&Wanted { only: None, ..wanted.clone() }, &self.cancel);
        }
        taken.map_err(|unplaced| match unplaced {
            Unplaced::Interrupted => BuildError::Engine(EngineError::Interrupted),
            Unplaced::Nobody => BuildError::NoEngine {
                platform: wanted.platform,
                labels: wanted.labels.into_iter().collect(),
                engines: pool.described(),
            },
        })
    }

    /// Which engines have which bases, and which of those cannot leave them.
    fn look_for_bases(
        &self,
        job: &BuildJob<'_>,
        pool: &EnginePool,
        wanted: &mut Wanted,
    ) -> Result<(), BuildError> {
        let nodes = pool.nodes();
        wanted.near = vec![0; nodes.len()];
        let mut only = vec![true; nodes.len()];
        let mut weigh = |ids: &BTreeSet<ImageId>, travels: bool| {
            let has = |node: &Arc<Node>| {
                node.unreachable().is_none() && ids.iter().any(|id| self.there(pool, node, id))
            };
            let there: Vec<bool> = nodes.iter().map(has).collect();
            for (near, there) in wanted.near.iter_mut().zip(&there) {
                *near += usize::from(*there);
            }
            if !travels && there.contains(&true) {
                only.iter_mut().zip(&there).for_each(|(only, there)| *only &= there);
            }
        };
        for part in job.on {
            let records = self.ledger.with_content(&content_of(part)?);
            let travels = records.iter().any(|record| record.published.is_some())
                || self.remote_cache.repository(&part.name).is_some();
            weigh(&records.into_iter().map(|record| ImageId(record.id)).collect(), travels);
        }
        for (base, exact) in &job.outside {
            if let Exact::Local(exact) = exact {
                let local = |node: &Arc<Node>| self.local_base(node, &base.reference, exact).ok().flatten();
                let alive = nodes.iter().filter(|node| node.unreachable().is_none());
                weigh(&alive.filter_map(local).collect(), false);
            }
        }
        wanted.only = only.contains(&false).then_some(only);
        Ok(())
    }

    /// Whether an engine has an image. One that does not answer has none, and is used no more.
    fn there(&self, pool: &EnginePool, node: &Node, id: &ImageId) -> bool {
        match node.has(id) {
            Ok(there) => there,
            Err(error) => {
                pool.is_unreachable_after(node, &error);
                false
            }
        }
    }

    /// An exact name on the engine that builds for each reference whose image is known.
    pub(super) fn pin_bases(
        &self,
        job: &BuildJob<'_>,
        node: &Arc<Node>,
    ) -> Result<BaseSubstitutions, BuildError> {
        let mut substitutions = BaseSubstitutions::default();
        let mut gone = None;
        for part in job.on {
            let reference = match self.pin(job, part, node) {
                // The others are looked at all the same, so that the next try finds all of them.
                Err(error @ BuildError::BaseMissing(_)) => {
                    gone.get_or_insert(error);
                    continue;
                }
                pinned => pinned?,
            };
            for edge in job.edges.iter().filter(|edge| edge.base == part.name) {
                let used = (edge.reference.clone(), edge.platform.clone());
                substitutions.inside.insert(used, reference.clone());
            }
        }
        if let Some(gone) = gone {
            return Err(gone);
        }
        for (base, exact) in &job.outside {
            let exact = match exact {
                Exact::Digest(digest) if layout_source::is(&base.reference) => Some(layouts::name(digest)),
                Exact::Digest(digest) => reference::parse(&base.reference)
                    .ok()
                    .map(|name| Reference { tag: None, digest: Some(digest.clone()), ..name }.to_string()),
                Exact::Local(id) => {
                    let there = self.local_base(node, &base.reference, id).map_err(BuildError::Engine)?;
                    let pin = there.map_or(Ok(None), |id| self.pin_local(node, &id));
                    let pin = pin.map_err(BuildError::Engine)?;
                    if pin.is_none() && node.name != self.pool().default_node().name {
                        return Err(self.stuck(&base.reference, node, "no registry has it"));
                    }
                    pin
                }
                Exact::Unknown | Exact::Refused { .. } => None,
            };
            if exact.is_none() && base.own && self.is_ours(node, &base.reference)? {
                let why = "the name leads to imk's own result there, and no registry was found to have the image that bore it before; `docker pull` it";
                return Err(self.stuck(&base.reference, node, why));
            }
            if let Some(exact) = exact {
                substitutions.outside.insert((base.reference.clone(), base.platform.clone()), exact);
            }
        }
        Ok(substitutions)
    }

    /// Whether an engine has one of imk's own results under a name.
    fn is_ours(&self, node: &Node, reference: &str) -> Result<bool, BuildError> {
        let info = node.engine.inspect(reference).map_err(BuildError::Engine)?;
        let name = reference::normalized(reference);
        Ok(info.is_some_and(|info| {
            info.own_bases.as_deref().is_some_and(|mark| own_bases::bears(mark, &name))
                || self.ledger.newest(|record| record.id == info.id.0).is_some()
        }))
    }

    /// The id under which an engine has a base from outside that no registry has: it is known by that, or by the digest of
    /// its manifest, which an engine does not find it by.
    fn local_base(&self, node: &Node, reference: &str, exact: &str) -> Result<Option<ImageId>, EngineError> {
        let id = ImageId(exact.to_owned());
        if node.has(&id)? {
            return Ok(Some(id));
        }
        let named = node.engine.inspect(reference)?.filter(|info| info.manifest.as_deref() == Some(exact));
        Ok(named.map(|info| info.id))
    }

    /// A name that nothing else moves, for an image that this engine has.
    /// None when it is gone since it was looked at: the engine then says what is wrong.
    fn pin_local(&self, node: &Node, id: &ImageId) -> Result<Option<String>, EngineError> {
        if !node.has(id)? {
            return Ok(None);
        }
        let reference = Self::pin_name(&self.run().nonce, id);
        node.tag(id, &reference)?;
        Ok(Some(reference))
    }

    /// Gives the exact base a name that nothing else moves, for a Dockerfile
    /// can only name images, and a BuildKit of 20.10 takes no id in `FROM`.
    fn pin(&self, job: &BuildJob<'_>, base: &Part, node: &Arc<Node>) -> Result<String, BuildError> {
        let content = content_of(base)?;
        let pool = self.pool();
        let transfer = self.transfer(&content);
        let _turn = transfer.lock();
        let records = self.ledger.with_content(&content);
        for record in &records {
            let here = self.pin_local(node, &ImageId(record.id.clone()));
            if let Some(reference) = here.map_err(BuildError::Engine)? {
                return Ok(reference);
            }
        }
        for record in &records {
            let Some(at) = &record.published else { continue };
            if let Some(reference) = self.pull_base(job, record, at, node)? {
                return Ok(reference);
            }
        }
        let others = |node: &&Arc<Node>| !pool.is_one() && node.unreachable().is_none();
        for other in pool.nodes().iter().filter(others).filter(|other| other.name != node.name) {
            for record in &records {
                if !self.there(&pool, other, &ImageId(record.id.clone())) {
                    continue;
                }
                match self.push_base(&pool, other, record, node, &base.name)? {
                    Some(offer) => {
                        let brought = self.pull_base(job, record, &offer.at, node);
                        offer.transfer.iter().for_each(|transfer| self.remove_transfer_tag(transfer));
                        match brought? {
                            Some(reference) => return Ok(reference),
                            None => continue,
                        }
                    }
                    None => break,
                }
            }
        }
        // It was there when it was last looked at: the next try builds it, and this image on it.
        self.request_rerun(&base.name, Discrepancy::ResultMissing);
        self.request_rerun(job.name, Discrepancy::BaseMissing(base.name.clone()));
        Err(BuildError::BaseMissing(base.name.clone()))
    }

    /// Has the engine that has a base send it to its registry, and says where it is. None when it is of no use any
    /// more: the engine is gone, or another machine published another result of the same key.
    fn push_base(
        &self,
        pool: &EnginePool,
        from: &Arc<Node>,
        record: &Record,
        to: &Node,
        base: &str,
    ) -> Result<Option<Offer>, BuildError> {
        let built = Built { key: record.key, id: ImageId(record.id.clone()), content: record.content };
        match self.offer(from, &record.image, &built) {
            Ok(Some(offer)) if offer.content == built.content => Ok(Some(offer)),
            Ok(Some(_)) => Ok(None),
            Ok(None) => Err(self.stuck(base, to, "its name has no registry")),
            Err(PublishError::Engine(error)) if pool.is_unreachable_after(from, &error) => {
                let why = error.to_string();
                self.report(base, JobEvent::EngineUnreachable { engine: from.name.clone(), why });
                Ok(None)
            }
            Err(PublishError::Engine(EngineError::Interrupted)) => {
                Err(BuildError::Engine(EngineError::Interrupted))
            }
            Err(error) => Err(self.stuck(base, to, &error.to_string())),
        }
    }

    /// Fetches a published base, and pins it.
    fn pull_base(
        &self,
        job: &BuildJob<'_>,
        record: &Record,
        at: &str,
        node: &Arc<Node>,
    ) -> Result<Option<String>, BuildError> {
        let fetched = self.fetch_to(node, &record.image, at, &record.key).map_err(BuildError::Engine)?;
        let Some(id) = fetched else { return Ok(None) };
        if !self.pool().is_one() {
            let engine = self.engine_id(job, node).map_err(BuildError::Engine)?;
            let arrived = Record {
                engine,
                id: id.0.clone(),
                at: UnixSeconds::now(),
                took_ms: 0,
                reasons: Vec::new(),
                published: self.doubts(&record.image).is_empty().then(|| at.to_owned()),
                ..record.clone()
            };
            // Only saves a transfer: what cannot be written down travels again.
            let _ = self.ledger.record(arrived);
        }
        self.pin_local(node, &id).map_err(BuildError::Engine)
    }

    fn stuck(&self, base: &str, to: &Node, why: &str) -> BuildError {
        BuildError::Stuck { base: base.to_owned(), engine: to.name.clone(), why: why.to_owned() }
    }
}

fn content_of(base: &Part) -> Result<ContentHash, BuildError> {
    base.value.parse().map_err(|_| BuildError::Base(base.name.clone()))
}
