//! The effect of `image`: ask the ledger, else have the engine build, then write it down.
//!
//! Knows engine, ledger, evidence and files. Decides nothing about freshness:
//! the key it is handed has decided.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use super::graph::Edge;
use super::hands::{Hands, JobEvent};
use super::image::{BuildError, Built};
use super::inputs::{Context, Exact, Options, OutsideBase, Text};
use super::pins::Pins;
use super::shelf::{Published, Shelf};
use crate::content::KEY_LABEL;
use crate::engine::{BuildRequest, ContextFiles, EngineError, ImageId};
use crate::evidence::Evidence;
use crate::file::{UsedFile, UsedFiles};
use crate::hash::{ContentHash, FieldHasher};
use crate::ledger::{Record, now};
use crate::part::Part;
use crate::reason::Reason;
use crate::source::tree::{Selection, SourceTree};
use crate::syntax::reference::{self, Reference};
use crate::syntax::resolve::Recipe;

/// What `image` hands over.
pub(super) struct Job<'a> {
    pub name: &'a str,
    pub options: &'a Options,
    pub dockerfile: &'a Text,
    pub context: &'a Context,
    pub engine: &'a str,
    pub key: ContentHash,
    pub recipe: &'a Recipe,
    pub parts: Vec<Part>,
    /// The content of each base, by image name.
    pub on: &'a [Part],
    pub edges: &'a [Edge],
    /// What the bases outside are, by the key.
    pub outside: Vec<(OutsideBase, Exact)>,
}

/// How it came out.
pub(super) enum Produced {
    Result(Result<Built, BuildError>),
    Interrupted,
}

impl Hands {
    pub(super) fn produce(&self, job: Job<'_>) -> Produced {
        match self.try_produce(&job) {
            Ok(built) => Produced::Result(Ok(built)),
            Err(BuildError::Engine(EngineError::Interrupted)) => Produced::Interrupted,
            Err(_) if self.cancel.is_cancelled() => Produced::Interrupted,
            Err(error) => Produced::Result(Err(error)),
        }
    }

    fn try_produce(&self, job: &Job<'_>) -> Result<Built, BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Engine(EngineError::Interrupted));
        }
        let (forced, publish) = {
            let run = self.run();
            (run.forced.contains(job.name), run.publish.contains(job.name))
        };
        let before = self.ledger.latest(job.name, job.engine);
        let known = self.ledger.lookup(&job.key, job.engine);
        if !forced
            && let Some(record) = &known
            && self.has(&ImageId(record.id.clone())).map_err(BuildError::Engine)?
        {
            return self.reuse(job, record, before.as_ref());
        }
        if !forced {
            match (self.shelves.find(job.name, &job.key), &known) {
                (Shelf::Has(published), _) => return self.found(job, &published),
                // It was there, and nobody says that it is gone.
                (Shelf::Unknown, Some(record)) if record.published.is_some() => {
                    return self.reuse(job, record, before.as_ref());
                }
                _ => {}
            }
        }
        let files = Arc::new(self.files(job)?);
        let evidence = Evidence::new(job.parts.clone(), &files.list);
        let reasons = match &known {
            _ if forced => vec![Reason::forced()],
            Some(record) => vec![Reason::gone(&record.id)],
            None => self.reasons(before.as_ref(), &evidence),
        };
        self.report(job.name, JobEvent::Started(reasons.clone()));
        let pins = self.pin_bases(job)?;
        let request = self.request(job, files, &pins)?;
        let started = Instant::now();
        let report = |event| self.report(job.name, JobEvent::Build(pins.event(event)));
        let built = self.engine.build(&request, &report, &self.cancel);
        let id = built.map_err(|error| BuildError::Engine(pins.error(error)))?;
        let content = self.content(&id).map_err(BuildError::Engine)?;
        let same = before.is_some_and(|before| before.content == content);
        if same {
            self.report(job.name, JobEvent::SameResult);
        }
        // Evidence only explains: a disk too full for it must not lose the build.
        let _ = self.evidence.save(&job.key, &evidence);
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.write_down(job, &id, content, (took_ms, same), reasons, None)?;
        self.learned(&id);
        let built = Built { key: job.key, id, content };
        // Before users are built on it: they must be built on the one that everybody will have.
        let published = publish.then(|| self.publish(job.name, &built)).and_then(Result::ok).flatten();
        match published {
            Some(published) if published.content != content => self.yield_to(job, &published),
            _ => Ok(built),
        }
    }

    /// Another machine has built this key, and the registry has its result.
    fn found(&self, job: &Job<'_>, published: &Published) -> Result<Built, BuildError> {
        self.report(job.name, JobEvent::Found);
        let id = published.id(&self.engine.identity().map_err(BuildError::Engine)?.builder);
        // The same key has the same inputs, so what went into it is known here too.
        if let Ok(files) = self.files(job) {
            let _ = self.evidence.save(&job.key, &Evidence::new(job.parts.clone(), &files.list));
        }
        let at = Some(published.at.to_string());
        self.write_down(job, &id, published.content, (0, false), Vec::new(), at)?;
        Ok(Built { key: job.key, id, content: published.content })
    }

    /// Another machine was faster: its result is everybody's, and is fetched for those who build on it.
    fn yield_to(&self, job: &Job<'_>, published: &Published) -> Result<Built, BuildError> {
        self.report(job.name, JobEvent::Yielded);
        self.fetch(job.name, &published.at.to_string(), &job.key).map_err(BuildError::Engine)?;
        let id = published.id(&self.engine.identity().map_err(BuildError::Engine)?.builder);
        Ok(Built { key: job.key, id, content: published.content })
    }

    /// An older build answers this key: after a revert, or when the snapshot was lost.
    fn reuse(&self, job: &Job<'_>, record: &Record, before: Option<&Record>) -> Result<Built, BuildError> {
        let id = ImageId(record.id.clone());
        if before.is_some_and(|before| before.key != job.key) {
            let evidence = self.evidence.load(&job.key).unwrap_or_default();
            self.report(job.name, JobEvent::Reused(self.reasons(before, &evidence)));
            self.write_down(job, &id, record.content, (0, false), Vec::new(), record.published.clone())?;
        }
        Ok(Built { key: job.key, id, content: record.content })
    }

    fn reasons(&self, before: Option<&Record>, now: &Evidence) -> Vec<Reason> {
        let Some(before) = before else { return vec![Reason::never_built()] };
        let old = self.evidence.load(&before.key);
        old.map(|old| old.differences(now)).unwrap_or_default()
    }

    fn write_down(
        &self,
        job: &Job<'_>,
        id: &ImageId,
        content: ContentHash,
        (took_ms, same): (u64, bool),
        reasons: Vec<Reason>,
        published: Option<String>,
    ) -> Result<(), BuildError> {
        let record = Record {
            key: job.key,
            image: job.name.to_owned(),
            engine: job.engine.to_owned(),
            id: id.0.clone(),
            content,
            at: now(),
            took_ms,
            reasons,
            published,
            same,
        };
        self.ledger.record(record).map_err(|error| BuildError::Ledger(error.to_string()))
    }

    /// The files of a job, checked to be the ones in its key.
    fn files(&self, job: &Job<'_>) -> Result<SentFiles, BuildError> {
        let selection = self.run().selections.get(job.name).cloned();
        let tree = Arc::clone(&self.tree);
        let (Context::Is(selected), Some(selection)) = (job.context, selection) else {
            return Ok(SentFiles { tree, selection: None, list: UsedFiles::default() });
        };
        let list = tree.used_files(&selection).map_err(|_| BuildError::FilesChanged)?;
        if list.hash() != selected.hash {
            return Err(BuildError::FilesChanged);
        }
        Ok(SentFiles { tree, selection: Some(selection), list })
    }

    /// An exact name for each reference whose image is known.
    fn pin_bases(&self, job: &Job<'_>) -> Result<Pins, BuildError> {
        let mut pins = Pins::default();
        for part in job.on {
            let reference = self.pin(job.name, job.engine, part)?;
            for edge in job.edges.iter().filter(|edge| edge.base == part.name) {
                pins.inside.insert(edge.reference.clone(), reference.clone());
            }
        }
        for (base, exact) in &job.outside {
            let exact = match exact {
                Exact::Digest(digest) => reference::parse(&base.reference)
                    .ok()
                    .map(|name| Reference { tag: None, digest: Some(digest.clone()), ..name }.to_string()),
                Exact::Local(id) => self.pin_local(&ImageId(id.clone())).map_err(BuildError::Engine)?,
                Exact::Unknown => None,
            };
            if let Some(exact) = exact {
                pins.outside.insert((base.reference.clone(), base.platform.clone()), exact);
            }
        }
        Ok(pins)
    }

    /// A name that nothing else moves, for an image that only this engine has.
    /// None when it is gone since it was looked at: the engine then says what is wrong.
    fn pin_local(&self, id: &ImageId) -> Result<Option<String>, EngineError> {
        if !self.has(id)? {
            return Ok(None);
        }
        let reference = Self::pin_name(&self.run().nonce, id);
        self.tag(id, &reference)?;
        Ok(Some(reference))
    }

    fn request(&self, job: &Job<'_>, files: Arc<SentFiles>, pins: &Pins) -> Result<BuildRequest, BuildError> {
        let Text::Is(text) = job.dockerfile else {
            return Err(BuildError::Invalid(Vec::new()));
        };
        let run = self.run();
        let mut secrets = BTreeMap::new();
        for (id, value) in run.secrets.get(job.name).into_iter().flatten() {
            let value = value.clone().map_err(BuildError::Secret)?;
            secrets.insert(id.clone(), value);
        }
        let declared = |arg: &String| job.recipe.args.contains_key(arg);
        let proxy = |arg: &String| arg.to_ascii_lowercase().ends_with("_proxy");
        let args = job.options.args.iter().filter(|(arg, _)| declared(arg) || proxy(arg));
        let mut labels = job.options.labels.clone();
        labels.insert(KEY_LABEL.to_owned(), job.key.to_string());
        let share = FieldHasher::new("imk share v1").field(&run.share).field(job.name).finish();
        Ok(BuildRequest {
            image: job.name.to_owned(),
            dockerfile: job.recipe.pinned(text, |base| pins.of(base)),
            target: job.options.target.clone(),
            args: args.map(|(arg, value)| (arg.clone(), value.clone())).collect(),
            labels,
            platform: job.options.platform.clone(),
            network: job.options.network.clone(),
            secrets,
            no_cache: run.no_cache,
            share: share.to_string(),
            files,
        })
    }

    /// Gives the exact base a name that nothing else moves, for a Dockerfile
    /// can only name images, and a BuildKit of 20.10 takes no id in `FROM`.
    fn pin(&self, user: &str, engine: &str, base: &Part) -> Result<String, BuildError> {
        let content: ContentHash = base.value.parse().map_err(|_| BuildError::Base(base.name.clone()))?;
        for record in self.ledger.with_content(&content, engine) {
            if let Some(reference) = self.pin_local(&ImageId(record.id)).map_err(BuildError::Engine)? {
                return Ok(reference);
            }
            let Some(at) = &record.published else { continue };
            if let Some(id) = self.fetch(&record.image, at, &record.key).map_err(BuildError::Engine)?
                && let Some(reference) = self.pin_local(&id).map_err(BuildError::Engine)?
            {
                return Ok(reference);
            }
        }
        // It was there when it was last looked at: the next try builds it, and this image on it.
        self.ask_again(&base.name);
        self.ask_again(user);
        Err(BuildError::BaseGone(base.name.clone()))
    }

    fn content(&self, id: &ImageId) -> Result<ContentHash, EngineError> {
        let what = || format!("reading the image `{id}` that was just built");
        let info = self.engine.inspect(&id.0)?.ok_or_else(|| EngineError::Refused {
            what: what(),
            why: "the engine does not know it".into(),
        })?;
        Ok(ContentHash::of(info.content.as_bytes()))
    }
}

/// The files of one job, opened through the tree they were listed by.
struct SentFiles {
    tree: Arc<dyn SourceTree>,
    selection: Option<Selection>,
    list: UsedFiles,
}

impl ContextFiles for SentFiles {
    fn list(&self) -> &UsedFiles {
        &self.list
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn Read + Send>, String> {
        let selection = self.selection.as_ref().ok_or("nothing of the context was asked for")?;
        self.tree.open_used(selection, &file.path).map_err(|error| error.to_string())
    }
}
