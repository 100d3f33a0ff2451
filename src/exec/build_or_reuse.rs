//! The effect of `image`: ask the ledger, else have an engine build, then write it down.
//!
//! Knows engines, ledger, evidence and files. Decides nothing about freshness: the key it is handed has
//! decided. Whichever engine has the result of the key, it is the result. How bases come to the
//! engine that builds is in `placement.rs`.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use super::base_substitutions::BaseSubstitutions;
use super::executor::{Executor, JobEvent, Repositories};
use super::push::PublishError;
use super::remote_cache::{CacheLookup, Published};
use crate::engine::{AddedRepository, BuildRequest, ContextFiles, EngineError, ImageId, Node};
use crate::model::content::KEY_LABEL;
use crate::model::file::{UsedFile, UsedFiles};
use crate::model::hash::{ContentHash, FieldHasher};
use crate::model::own_bases::{self, OwnBase};
use crate::model::reason::Reason;
use crate::parallel::apart;
use crate::query::effect::{BuildError, BuildJob, BuildOutcome, Built, Effect};
use crate::query::inputs::{Context, Exact, Text};
use crate::source::contexts;
use crate::source::tree::{Selection, SourceTree};
use crate::state::evidence::Evidence;
use crate::state::ledger::Record;
use crate::syntax::reference::{Reference, normalized};
use crate::syntax::resolve::{ReachedStage, platform};

impl Effect for Executor {
    fn build_or_reuse(&self, job: BuildJob<'_>) -> BuildOutcome {
        match self.try_build(&job) {
            Ok(built) => BuildOutcome::Result(Ok(built)),
            Err(BuildError::Engine(EngineError::Interrupted)) => BuildOutcome::Interrupted,
            Err(_) if self.cancel.is_cancelled() => BuildOutcome::Interrupted,
            Err(error) => BuildOutcome::Result(Err(error)),
        }
    }
}

impl Executor {
    /// 1. The ledger: a result of the key that an engine still has is the result.
    /// 2. The remote cache: another machine may have built it.
    /// 3. The build, on an engine that fits and is free, from files that are checked to be the key's.
    /// 4. The ledger again: a result counts once it is written down.
    /// 5. The registry, if it is to be published: before anything is built on it.
    /// 6. Where another machine was faster, its result is taken in place of ours.
    fn try_build(&self, job: &BuildJob<'_>) -> Result<Built, BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Engine(EngineError::Interrupted));
        }
        let (forced, publish, is_proof) = {
            let run = self.run();
            (run.forced.contains(job.name), run.publish.contains(job.name), run.proofs.contains(job.name))
        };
        let pool = self.pool();
        let before = self.last_build(job.name, job.engine);
        let known = self.results_of(&job.key, job.engine);
        // 1.
        for record in known.iter().filter(|_| !forced) {
            match self.has(&ImageId(record.id.clone())) {
                // Of a proof nothing but its record is kept.
                _ if is_proof => return self.reuse(job, record, before.as_ref()),
                Ok(true) => return self.reuse(job, record, before.as_ref()),
                Ok(false) => {}
                // With an engine that is gone goes what only it had.
                Err(error) if pool.alive().next().is_none() || pool.is_one() => {
                    return Err(BuildError::Engine(error));
                }
                Err(_) => {}
            }
        }
        // 2.
        if !forced {
            match (
                self.remote_cache.find(job.name, &job.key),
                known.iter().find(|known| known.published.is_some()),
            ) {
                (CacheLookup::Hit(published), _) => return self.found(job, &published),
                // It was there, and nobody says that it is gone.
                (CacheLookup::Unknown, Some(record)) => return self.reuse(job, record, before.as_ref()),
                _ => {}
            }
        }
        // 3.
        let files = Arc::new(self.files(job)?);
        let evidence = Evidence::new(job.parts.clone(), &files.all);
        let reasons = match known.first() {
            _ if forced => vec![Reason::forced()],
            Some(record) if self.was_here(record, job.engine) => vec![Reason::gone(&record.id)],
            Some(_) => vec![self.ledger.no_result(job.name)],
            None => self.reasons(job.name, before.as_ref(), &evidence),
        };
        self.report(job.name, JobEvent::Started(reasons.clone()));
        let started = Instant::now();
        let (node, id, content) = self.build_somewhere(job, &files)?;
        let took = started.elapsed();
        let same = before.is_some_and(|before| before.content == content);
        if same {
            self.report(job.name, JobEvent::SameResult);
        }
        // 4. Evidence only explains: a disk too full for it must not lose the build.
        let _ = self.evidence.save(&job.key, &evidence);
        let engine = self.engine_id(job, &node).map_err(BuildError::Engine)?;
        let record = Record::fetched(job.key, job.name, engine, id.0.clone(), content, None);
        self.write_down(record.built(took, reasons, same))?;
        node.learned(&id);
        self.note_engine(&id, &node.name);
        let built = Built { key: job.key, id, content };
        // 5. and 6. Before users are built on it: they must be built on the one that everybody will have.
        let published = self.publish_built(publish, &node, job.name, &built)?;
        match published {
            Some(published) if published.content != content => self.yield_to(job, &node, &published),
            _ => Ok(built),
        }
    }

    /// Publishes a new result where that is asked for, which may fail, and where its builder keeps none, which may not.
    /// One whose key is provisional is this run's alone then.
    fn publish_built(
        &self,
        asked: bool,
        node: &Arc<Node>,
        image: &str,
        built: &Built,
    ) -> Result<Option<Published>, BuildError> {
        let keeps = node.engine.keeps_images();
        if !asked && (keeps || !self.doubts(image).is_empty()) {
            return Ok(None);
        }
        match self.publish_from(Some(node), image, built) {
            Ok(published) => Ok(published),
            // It is told when the image is published in the end.
            Err(_) if keeps => Ok(None),
            Err(PublishError::Provisional(_)) => Ok(None),
            Err(error) => Err(BuildError::Engine(EngineError::Refused {
                what: format!("publishing `{image}`, which its builder does not keep"),
                why: error.to_string(),
            })),
        }
    }

    /// Has an engine build it that fits and is free, and another when that one is there no more.
    fn build_somewhere(
        &self,
        job: &BuildJob<'_>,
        files: &Arc<SentFiles>,
    ) -> Result<(Arc<Node>, ImageId, ContentHash), BuildError> {
        let pool = self.pool();
        loop {
            let slot = self.choose(job, &pool)?;
            let node = slot.node();
            if !pool.is_one() {
                self.report(job.name, JobEvent::On(node.name.clone()));
            }
            self.tell_of_emulation(job, node);
            match self.build_on(job, files, node) {
                Ok((id, content)) => return Ok((Arc::clone(node), id, content)),
                Err(BuildError::Engine(error))
                    if !pool.is_one() && pool.is_unreachable_after(node, &error) =>
                {
                    let why = node.unreachable().unwrap_or(&error).to_string();
                    self.report(job.name, JobEvent::EngineUnreachable { engine: node.name.clone(), why });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Files are copied for any platform; commands for another than the engine's take an emulator.
    fn tell_of_emulation(&self, job: &BuildJob<'_>, node: &Node) {
        let Ok(own) = node.engine.identity().map(|identity| identity.platform) else { return };
        let runs = |one: &String| platform::same(one, &own) || node.platforms.contains(one);
        let is_command =
            |stage: &ReachedStage| stage.instructions.iter().any(|it| it.text.starts_with("RUN"));
        let foreign = job.recipe.stages.iter().find(|stage| !runs(&stage.platform) && is_command(stage));
        if let Some(stage) = foreign {
            let event = JobEvent::Emulated { platform: stage.platform.clone(), on: own };
            self.report(job.name, event);
        }
    }

    fn build_on(
        &self,
        job: &BuildJob<'_>,
        files: &Arc<SentFiles>,
        node: &Arc<Node>,
    ) -> Result<(ImageId, ContentHash), BuildError> {
        let substitutions = self.pin_bases(job, node)?;
        let request = self.request(job, Arc::clone(files), &substitutions, node)?;
        let report = |event| self.report(job.name, JobEvent::Build(substitutions.event(event)));
        let built = node.engine.build(&request, &report, &self.cancel);
        let id = built.map_err(|error| BuildError::Engine(substitutions.error(error)))?;
        let content = content(node, &id).map_err(BuildError::Engine)?;
        Ok((id, content))
    }

    /// Another machine has built this key, and the registry has its result.
    fn found(&self, job: &BuildJob<'_>, published: &Published) -> Result<Built, BuildError> {
        self.report(job.name, JobEvent::AlreadyPublished);
        let pool = self.pool();
        let node = pool.alive().next().unwrap_or(pool.default_node());
        let id = published.id(&node.engine.identity().map_err(BuildError::Engine)?.builder);
        let engine = self.engine_id(job, node).map_err(BuildError::Engine)?;
        // The same key has the same inputs, so what went into it is known here too.
        if let Ok(files) = self.files(job) {
            let _ = self.evidence.save(&job.key, &Evidence::new(job.parts.clone(), &files.all));
        }
        let at = Some(published.at.to_string());
        self.write_down(Record::fetched(job.key, job.name, engine, id.0.clone(), published.content, at))?;
        Ok(Built { key: job.key, id, content: published.content })
    }

    /// Another machine was faster: its result is everybody's, and is fetched for those who build on it.
    fn yield_to(&self, job: &BuildJob<'_>, node: &Node, published: &Published) -> Result<Built, BuildError> {
        self.report(job.name, JobEvent::Yielded);
        let at = published.at.to_string();
        self.fetch_to(node, job.name, &at, &job.key).map_err(BuildError::Engine)?;
        let id = published.id(&node.engine.identity().map_err(BuildError::Engine)?.builder);
        self.note_engine(&id, &node.name);
        Ok(Built { key: job.key, id, content: published.content })
    }

    /// An older build answers this key: after a revert, or when the snapshot was lost.
    fn reuse(
        &self,
        job: &BuildJob<'_>,
        record: &Record,
        before: Option<&Record>,
    ) -> Result<Built, BuildError> {
        let id = ImageId(record.id.clone());
        let other_key = before.is_some_and(|before| before.key != job.key);
        if other_key {
            let evidence = self.evidence.load(&job.key).unwrap_or_default();
            self.report(job.name, JobEvent::Reused(self.reasons(job.name, before, &evidence)));
        }
        // The ledger knows it of an engine that was another then, or has a newer one that this engine lacks.
        let adopted = self.pool().is_one()
            && self.ledger.lookup(&job.key, job.engine).is_none_or(|known| known.id != record.id)
            && self.has(&id) == Ok(true);
        if other_key || adopted {
            let published = record.published.clone();
            let engine = if adopted { job.engine.to_owned() } else { record.engine.clone() };
            let again = Record::fetched(job.key, job.name, engine, id.0.clone(), record.content, published);
            // One that is only known under another engine's name until now was built when it was.
            let (at, took_ms) =
                if other_key { (again.at, again.took_ms) } else { (record.at, record.took_ms) };
            self.write_down(Record { at, took_ms, ..again })?;
        }
        Ok(Built { key: job.key, id, content: record.content })
    }

    fn reasons(&self, name: &str, before: Option<&Record>, now: &Evidence) -> Vec<Reason> {
        let Some(before) = before else { return vec![self.ledger.no_result(name)] };
        let old = self.evidence.load(&before.key);
        old.map(|old| old.differences(now)).unwrap_or_default()
    }

    fn write_down(&self, record: Record) -> Result<(), BuildError> {
        self.ledger.record(record).map_err(|error| BuildError::Ledger(error.to_string()))
    }

    /// The files of a job, checked to be the ones in its key.
    fn files(&self, job: &BuildJob<'_>) -> Result<SentFiles, BuildError> {
        let (selection, repositories) = {
            let run = self.run();
            (run.selections.get(job.name).cloned(), run.repositories.clone())
        };
        let tree = Arc::clone(&self.tree);
        let (Context::Is(selected), Some(selection)) = (job.context, selection) else {
            return Ok(SentFiles {
                tree,
                selection: None,
                list: UsedFiles::default(),
                all: UsedFiles::default(),
                repositories,
            });
        };
        let list = apart(|| tree.used_files(&selection)).map_err(|_| BuildError::FilesChanged)?;
        if selection.hash_of(&list) != selected.hash {
            return Err(BuildError::FilesChanged);
        }
        let own = contexts::of_context(&list, None);
        Ok(SentFiles { tree, selection: Some(selection), list: own, all: list, repositories })
    }

    fn request(
        &self,
        job: &BuildJob<'_>,
        files: Arc<SentFiles>,
        substitutions: &BaseSubstitutions,
        node: &Node,
    ) -> Result<BuildRequest, BuildError> {
        let Text::Is(text) = job.dockerfile else {
            return Err(BuildError::Invalid(Vec::new()));
        };
        let run = self.run();
        let mut secrets = BTreeMap::new();
        for (id, value) in run.secrets.get(job.name).into_iter().flatten() {
            let value = value.clone().map_err(BuildError::Secret)?;
            secrets.insert(id.clone(), value);
        }
        let mut ssh = BTreeMap::new();
        for (id, source) in run.ssh.get(job.name).into_iter().flatten() {
            ssh.insert(id.clone(), source.clone().map_err(BuildError::Secret)?);
        }
        let declared = |arg: &String| job.recipe.args.contains_key(arg);
        let proxy = |arg: &String| arg.to_ascii_lowercase().ends_with("_proxy");
        let args = job.options.args.iter().filter(|(arg, _)| declared(arg) || proxy(arg));
        // As docker's own client has it: the builder sets its dates by it, declared or not.
        let epoch =
            job.options.source_date_epoch.iter().map(|value| ("SOURCE_DATE_EPOCH".to_owned(), value.clone()));
        let args = epoch.chain(args.map(|(arg, value)| (arg.clone(), value.clone())));
        let mut labels = job.options.labels.clone();
        labels.insert(KEY_LABEL.to_owned(), job.key.to_string());
        labels.extend(mark_of(job));
        // Another engine may have to be told what the default one builds when nothing is said.
        let own = self.pool().is_one() || node.engine.identity().is_ok_and(|it| it.platform == job.platform);
        let platform = job.options.platform.clone().or_else(|| (!own).then(|| job.platform.to_owned()));
        let share = FieldHasher::new("imk share v1").field(&run.share).field(job.name).finish();
        Ok(BuildRequest {
            image: job.name.to_owned(),
            dockerfile: job.recipe.pinned(text, |base| substitutions.of(base)),
            target: job.options.target.clone(),
            args: args.collect(),
            labels,
            platform,
            network: job.options.network.clone(),
            secrets,
            ssh,
            sandbox: job.options.sandbox.clone(),
            no_cache: run.no_cache,
            no_cache_stages: run.no_cache_stages.get(job.name).cloned().unwrap_or_default(),
            entitlements: run.entitlements.get(job.name).cloned().unwrap_or_default(),
            share: share.to_string(),
            cache: run.caches.get(job.name).cloned().unwrap_or_default(),
            repository: self.remote_cache.repository(job.name).map(Reference::name),
            contexts: files.named(),
            files,
            layouts: self.layouts(job, node)?,
        })
    }
}

/// The mark of a result that bears the name of its own base.
fn mark_of(job: &BuildJob<'_>) -> Option<(String, String)> {
    let own = job.outside.iter().filter(|(base, _)| base.own);
    let marked = own.filter_map(|(base, exact)| {
        let exact = match exact {
            Exact::Digest(digest) => own_bases::Exact::Digest(digest.clone()),
            Exact::Local(id) => own_bases::Exact::Id(id.clone()),
            Exact::Unknown | Exact::Refused { .. } => return None,
        };
        let (reference, platform) = (normalized(&base.reference), base.platform.clone());
        Some(OwnBase { reference, platform, exact })
    });
    let marked: Vec<OwnBase> = marked.collect();
    (!marked.is_empty()).then(|| (own_bases::LABEL.to_owned(), own_bases::write(&marked)))
}

fn content(node: &Node, id: &ImageId) -> Result<ContentHash, EngineError> {
    let info = node.engine.inspect(&id.0)?.ok_or_else(|| EngineError::Refused {
        what: format!("reading the image `{id}` that was just built"),
        why: "the engine does not know it".into(),
    })?;
    Ok(ContentHash::of(info.content.as_bytes()))
}

/// The files of one job, opened through the tree they were listed by.
struct SentFiles {
    tree: Arc<dyn SourceTree>,
    selection: Option<Selection>,
    /// Those of one context.
    list: UsedFiles,
    /// Those of all contexts of the image.
    all: UsedFiles,
    repositories: Option<Repositories>,
}

impl SentFiles {
    /// The files of the named contexts.
    fn named(&self) -> BTreeMap<String, Arc<dyn ContextFiles>> {
        let parts = self.selection.iter().flat_map(|selection| &selection.named);
        let files = |(name, part): (&String, &Selection)| {
            let list = contexts::of_context(&self.all, Some(name));
            let tree = Arc::clone(&self.tree);
            let (selection, all) = (Some(part.clone()), UsedFiles::default());
            let one = Self { tree, selection, list, all, repositories: None };
            (name.clone(), Arc::new(one) as Arc<dyn ContextFiles>)
        };
        parts.map(files).collect()
    }
}

impl ContextFiles for SentFiles {
    fn list(&self) -> &UsedFiles {
        &self.list
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn Read + Send>, String> {
        let selection = self.selection.as_ref().ok_or("nothing of the context was asked for")?;
        self.tree.open_used(selection, &file.path).map_err(|error| error.to_string())
    }

    fn repository(&self, wanted: &AddedRepository<'_>) -> Result<Arc<dyn ContextFiles>, String> {
        let find = self.repositories.as_ref().ok_or("this build has no access to git repositories")?;
        find(wanted)
    }
}
