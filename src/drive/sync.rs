//! Tells the queries how things are: Dockerfiles, contexts, what the engine has.
//!
//! Compares before it sets, since salsa counts every setting as a change. The
//! engine is asked while the files are looked at, on the guess that it is the
//! same engine as last time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salsa::Setter;

use super::inventory;
use super::project;
use super::session::Session;
use super::watch;
use crate::engine::{EngineError, EngineIdentity};
use crate::name;
use crate::query::graph::{self, Order};
use crate::query::inputs::{Context, Exact, Image, Outside, OutsideBase, Text, Workspace};
use crate::query::problem::Problem;
use crate::query::recipe::recipe;
use crate::source::overlay::{Overlay, Place};
use crate::source::tree::{Selection, SourceTree};
use crate::syntax::reads::Reads;

use super::select::{Names, Unknown, select};

/// The state of things, as far as some targets need it.
#[derive(Debug)]
pub struct Synced {
    /// The targets themselves.
    pub targets: BTreeSet<String>,
    /// The targets and what they need, bases first.
    pub order: Order,
    /// Where the files of each image are.
    pub selections: BTreeMap<String, Selection>,
    /// Whether the engine answered, and who it is.
    pub engine: Result<EngineIdentity, EngineError>,
    /// Images whose recorded result is gone from the engine.
    pub lost: BTreeSet<String>,
}

/// Why nothing can be said of the targets.
#[derive(Debug)]
pub enum SyncError {
    /// Words that mean no image.
    Unknown(Vec<Unknown>),
    /// Images built on each other in a circle.
    Cycles(Vec<Problem>),
    /// Names that must be in the lock file and are not.
    Unlocked(Vec<Problem>),
    /// Images that would take each other's tags.
    SharedTags(Vec<Problem>),
}

impl Session {
    /// Brings the inputs up to date for `words`, all images when there are none.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub fn sync(&mut self, words: &[String]) -> Result<Synced, SyncError> {
        if let Some(home) = &self.memory.home {
            self.executor.default_engine().assume_identity(home);
        }
        self.sync_images();
        self.set_target(words)?;
        let questions = self.questions();
        let known = self.wanted(&self.order_of(words)?);
        let executor = Arc::clone(&self.executor);
        let upstream = Arc::clone(&self.upstream);
        let (answer, settled) = std::thread::scope(|scope| {
            let answer = scope.spawn(|| inventory::ask(&executor.pool(), &upstream, &questions, &known));
            let settled = self.settle(words);
            let answer = answer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (answer, settled)
        });
        let mut settled = settled?;
        let mut answer = answer;
        let known = self.workspace().engine(&self.db);
        if let Ok(identity) = &mut answer.identity
            && self.executor.pool().default_node().gone().is_some()
            && !known.is_empty()
        {
            // Home is away: what it built is not asked for again, only for that.
            known.clone_into(&mut identity.id);
        }
        if let Ok(identity) = &answer.identity
            && self.set_engine(identity)
        {
            settled = self.settle(words)?;
        }
        let mut outside = answer.outside;
        // Triggers of a base outside can name further bases outside; each round learns at least one.
        while self.set_outside(&settled.order, &mut outside) {
            settled = self.settle(words)?;
        }
        self.all_locked(&settled.order)?;
        self.set_remotes(&settled.order);
        let shared = self.shared_tags();
        if !shared.is_empty() {
            return Err(SyncError::SharedTags(shared));
        }
        let lost = self.mark_lost(&answer.has);
        Ok(Synced { engine: answer.identity, lost, ..settled })
    }

    /// `--target`: the images that are asked for, and not their bases, end at another stage.
    fn set_target(&mut self, words: &[String]) -> Result<(), SyncError> {
        let Some(stage) = self.target.clone() else { return Ok(()) };
        for name in self.targets(words)? {
            if let Some(declared) = self.project.images.get_mut(&name) {
                declared.options.target = Some(stage.clone());
            }
        }
        self.sync_images();
        Ok(())
    }

    /// The images that `words` mean; no Dockerfile is read unless edges are asked for.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub fn choose(&mut self, words: &[String]) -> Result<BTreeSet<String>, SyncError> {
        // Names are known without asking anybody.
        self.others.ask_nobody();
        self.sync_images();
        self.targets(words)
    }

    /// The order of `words` and all they need; contexts and engine are left alone.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub fn order(&mut self, words: &[String]) -> Result<Order, SyncError> {
        self.sync_images();
        self.set_target(words)?;
        self.order_of(words)
    }

    fn order_of(&self, words: &[String]) -> Result<Order, SyncError> {
        graph::order(&self.db, &self.targets(words)?).map_err(SyncError::Cycles)
    }

    /// The mistakes in the Dockerfiles of an order.
    pub fn dockerfile_problems(&self, order: &Order) -> Vec<Problem> {
        let images = order.names.iter().filter_map(|name| self.image(name));
        images.filter_map(|image| recipe(&self.db, image).as_ref().err()).flatten().cloned().collect()
    }

    /// The input that stands for an image, to ask queries of.
    pub fn input(&self, name: &str) -> Option<Image> {
        self.image(name)
    }

    /// The engine whose results count, by its id.
    pub fn engine(&self) -> String {
        self.workspace().engine(&self.db).to_owned()
    }

    pub(super) fn workspace(&self) -> Workspace {
        Workspace::get(&self.db)
    }

    pub(super) fn image(&self, name: &str) -> Option<Image> {
        self.workspace().images(&self.db).get(name).copied()
    }

    /// One input for each declared image, with its options and its Dockerfile.
    pub(super) fn sync_images(&mut self) {
        self.mount_contexts();
        let known = Workspace::try_get(&self.db);
        let old = known.map(|workspace| workspace.images(&self.db).clone()).unwrap_or_default();
        let mut images = BTreeMap::new();
        for (name, declared) in &self.project.images {
            let text = match self.not_mounted(declared) {
                Some(problem) => Text::Refused(problem),
                None => read_text(&*self.executor.tree, &declared.paths.dockerfile),
            };
            let (options, paths) = (declared.options.clone(), declared.paths.clone());
            let image = match old.get(name) {
                None => {
                    self.changed = true;
                    Image::new(&self.db, name.clone(), options, paths, text, Context::Unread, 0)
                }
                Some(image) => {
                    if *image.options(&self.db) != options {
                        self.changed = true;
                        image.set_options(&mut self.db).to(options);
                    }
                    if *image.paths(&self.db) != paths {
                        self.changed = true;
                        image.set_paths(&mut self.db).to(paths);
                    }
                    if *image.dockerfile(&self.db) != text {
                        self.changed = true;
                        image.set_dockerfile(&mut self.db).to(text);
                    }
                    *image
                }
            };
            images.insert(name.clone(), image);
        }
        let prefixes = self.project.prefixes.clone();
        match known {
            None => {
                self.changed = true;
                let platform = format!("linux/{}", go_architecture(std::env::consts::ARCH));
                let (engine, builder) = (String::new(), "unknown".to_owned());
                Workspace::new(
                    &self.db,
                    images,
                    prefixes,
                    engine,
                    builder,
                    platform,
                    BTreeMap::new(),
                    BTreeMap::new(),
                );
            }
            Some(workspace) => {
                if *workspace.images(&self.db) != images {
                    self.changed = true;
                    workspace.set_images(&mut self.db).to(images);
                }
                if *workspace.prefixes(&self.db) != prefixes {
                    self.changed = true;
                    workspace.set_prefixes(&mut self.db).to(prefixes);
                }
            }
        }
    }

    /// The order of the targets and the contexts of all they need, as the inputs stand.
    pub(super) fn settle(&mut self, words: &[String]) -> Result<Synced, SyncError> {
        let targets = self.targets(words)?;
        let order = graph::order(&self.db, &targets).map_err(SyncError::Cycles)?;
        let mut selections = BTreeMap::new();
        let mut contexts: BTreeMap<String, Context> = BTreeMap::new();
        self.look_up_overlays(&order);
        for name in &order.names {
            let Some(image) = self.image(name) else { continue };
            let Ok(recipe) = recipe(&self.db, image) else { continue };
            let paths = image.paths(&self.db);
            let found = match self.executor.tree.is_folder(&paths.context) {
                Err(error) => Context::Unreadable(error),
                Ok(false) => Context::Absent,
                Ok(true) if recipe.reads.sources.is_empty() => Context::Unread,
                Ok(true) => {
                    let (dockerfile, context) = (&paths.dockerfile, &paths.context);
                    let overlays = match self.overlays(name) {
                        Ok(overlays) => overlays,
                        Err(problem) => {
                            contexts.insert(name.clone(), Context::Refused(problem));
                            continue;
                        }
                    };
                    match selection(&*self.executor.tree, dockerfile, context, &recipe.reads, overlays) {
                        Ok(mut selection) => {
                            if self.editing {
                                watch::look_past_editors(&mut selection);
                            }
                            selections.insert(name.clone(), selection);
                            continue;
                        }
                        Err(error) => Context::Unreadable(error),
                    }
                }
            };
            contexts.insert(name.clone(), found);
        }
        let list: Vec<Selection> = selections.values().cloned().collect();
        let answers = self.executor.tree.select(&list);
        for (name, answer) in selections.keys().zip(answers) {
            let answer = answer.map_or_else(|error| self.unreadable(name, error), Context::Is);
            contexts.insert(name.clone(), answer);
        }
        for (name, context) in contexts {
            if let Some(image) = self.image(&name)
                && *image.context(&self.db) != context
            {
                self.changed = true;
                image.set_context(&mut self.db).to(context);
            }
        }
        let engine = Err(EngineError::Interrupted);
        Ok(Synced { targets, order, selections, engine, lost: BTreeSet::new() })
    }

    fn targets(&self, words: &[String]) -> Result<BTreeSet<String>, SyncError> {
        let mut targets = self.meant(words)?;
        if let Some(only) = &self.only {
            targets.retain(|name| only.contains(name));
        }
        Ok(targets)
    }

    fn meant(&self, words: &[String]) -> Result<BTreeSet<String>, SyncError> {
        let images: BTreeSet<String> = self.project.images.keys().cloned().collect();
        let words = if words.is_empty() { &self.project.default } else { words };
        if words.is_empty() {
            return Ok(images);
        }
        let edges = |image: &Image| {
            let inside = &graph::bases(&self.db, *image).inside;
            inside.iter().map(|edge| edge.base.clone()).collect()
        };
        // Edges are wanted only for `+name` and `name+`, and cost a look at every Dockerfile.
        let bases = if words.iter().any(|word| word.starts_with('+') || word.ends_with('+')) {
            let all = self.workspace().images(&self.db);
            all.iter().map(|(name, image)| (name.clone(), edges(image))).collect()
        } else {
            BTreeMap::new()
        };
        let names = Names { images: &images, groups: &self.project.groups, bases: &bases };
        select(words, &names).map_err(SyncError::Unknown)
    }

    pub(super) fn set_engine(&mut self, identity: &EngineIdentity) -> bool {
        let workspace = self.workspace();
        let same = workspace.engine(&self.db) == identity.id
            && workspace.builder_kind(&self.db) == identity.builder
            && workspace.platform(&self.db) == identity.platform;
        if !same {
            self.changed = true;
            workspace.set_engine(&mut self.db).to(identity.id.clone());
            workspace.set_builder_kind(&mut self.db).to(identity.builder.clone());
            workspace.set_platform(&mut self.db).to(identity.platform.clone());
        }
        !same
    }

    /// The bases outside that the images of an order are built on.
    pub fn wanted(&self, order: &Order) -> BTreeSet<OutsideBase> {
        let images = order.names.iter().filter_map(|name| self.image(name));
        images.flat_map(|image| graph::bases(&self.db, image).outside.iter().cloned()).collect()
    }

    /// Sets what is known of the bases outside, asking for those not in `answers`. True when something changed.
    pub(super) fn set_outside(
        &mut self,
        order: &Order,
        answers: &mut BTreeMap<OutsideBase, Outside>,
    ) -> bool {
        let wanted = self.wanted(order);
        let new = wanted.iter().filter(|base| !answers.contains_key(*base)).cloned().collect();
        answers.extend(self.upstream.look(&*self.executor.default_engine(), &new));
        let mut outside = self.workspace().outside(&self.db).clone();
        for (base, answer) in answers.iter().filter(|(base, _)| wanted.contains(*base)) {
            // Nobody could say, perhaps for want of an engine: what was known is believed.
            if answer.exact != Exact::Unknown || !outside.contains_key(base) {
                outside.insert(base.clone(), answer.clone());
            }
        }
        let changed = outside != *self.workspace().outside(&self.db);
        if changed {
            self.changed = true;
            self.workspace().set_outside(&mut self.db).to(outside);
        }
        changed
    }

    /// Refuses an order whose bases are not all in the lock file where they must be.
    fn all_locked(&self, order: &Order) -> Result<(), SyncError> {
        let wanted = self.wanted(order);
        let path = project::lock_path(self.project.imagefile.as_deref());
        let problem = |base: &OutsideBase| {
            let what = format!("`{}` for {} is not in {path}", base.reference, base.platform);
            Problem::of("", what, "`imk update` asks its registry and writes it there")
        };
        let problems: Vec<Problem> = self.upstream.unlocked(wanted.iter()).into_iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(SyncError::Unlocked(problems)) }
    }

    /// Makes the query of an image run again though no other input changed.
    pub(super) fn ask_again(&mut self, name: &str) {
        if let Some(image) = self.image(name) {
            self.changed = true;
            let epoch = image.epoch(&self.db);
            image.set_epoch(&mut self.db).to(epoch + 1);
        }
    }
}

/// Where an image's files are: its context under the ignore file that governs
/// it. BuildKit takes `NAME.dockerignore` beside the Dockerfile, even an empty
/// one, before the context's `.dockerignore`.
pub(super) fn selection(
    tree: &dyn SourceTree,
    dockerfile: &str,
    context: &str,
    reads: &Reads,
    overlays: Vec<Overlay>,
) -> Result<Selection, crate::source::tree::ReadError> {
    const IGNORE: &str = ".dockerignore";
    let own = tree.read(&format!("{dockerfile}.dockerignore"))?;
    let ignore = match (own, Overlay::over(&overlays, IGNORE)) {
        (Some(text), _) => Some(text),
        (None, Some((Overlay { from: Place::Path(from), .. }, rest))) => {
            tree.read(&name::join(from, rest))?
        }
        (None, Some((Overlay { from: Place::Git(git), .. }, rest))) => git.read(rest)?,
        (None, None) => tree.read(&name::join(context, IGNORE))?,
    };
    let ignore = ignore.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Selection { root: context.to_owned(), ignore, reads: reads.clone(), overlays })
}

fn read_text(tree: &dyn SourceTree, path: &str) -> Text {
    match tree.read(path) {
        Ok(None) => Text::Absent,
        Err(error) => Text::Unreadable(error.why),
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => Text::Is(text),
            Err(_) => Text::Unreadable("it is not UTF-8 text".into()),
        },
    }
}

/// Rust's name of an architecture as Go and Docker spell it.
fn go_architecture(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
