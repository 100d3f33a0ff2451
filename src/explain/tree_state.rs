//! The state of all images at one tree, without an engine and without the ledger, and how two such states differ.
//!
//! Commits, the work tree as git would commit it, and the disk under a
//! supposition are compared this way. The content of a base is its key: an image
//! differs when anything behind it does, though its base may come out the same
//! once it is built. Bases outside the repository count by the lock file, else by
//! name. A source that is missing is no mistake here: it may be made before the build.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::explain::why::Chain;
use crate::model::hash::ContentHash;
use crate::model::part::{self, Part};
use crate::model::reason::{Code, Reason};
use crate::query::action_key::{action_key, known_parts};
use crate::query::graph::bases;
use crate::query::inputs::{Context, Image, Text};
use crate::query::problem::Problem;
use crate::query::recipe::recipe;
use crate::session::inputs;
use crate::session::open::Session;
use crate::session::project::{self, Overrides, ProjectError};
use crate::session::sync::{self, Synced};
use crate::source::git::GitTree;
use crate::source::locate::Located;
use crate::source::tree::{ReadError, Selection, SourceTree};
use crate::state::evidence::Evidence;

/// Which repository's images, and what the caller adds to its Imagefile, whatever tree it is read from.
#[derive(Clone)]
pub struct Asked<'a> {
    /// The repository.
    pub located: &'a Located,
    /// True if somebody named the Imagefile or the folder.
    pub named: bool,
    /// Additions of the caller to the Imagefile.
    pub overrides: &'a Overrides,
}

/// All images at one tree.
pub struct TreeState {
    /// To ask pure questions of: its inputs are those of the tree.
    pub session: Session,
    /// The session's view of the tree: names in building order, edges, and where files are.
    pub synced: Synced,
    /// The images.
    pub images: BTreeMap<String, State>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct State {
    /// Everything that counts, bases included.
    pub key: ContentHash,
    /// The parts of its own key, bases aside.
    pub parts: Vec<Part>,
    /// The keys of its bases.
    pub on: Vec<Part>,
    /// Bytes of all files it reads: what a build sends at the most.
    pub bytes: u64,
    /// Why it could not be built, if so.
    pub mistake: Option<String>,
    selection: Option<Selection>,
}

/// An image that is another one in a second state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// Its name.
    pub image: String,
    /// The way to the root of it, and the causes there.
    pub chain: Chain,
}

impl TreeState {
    /// The states of all images of a commit, or of the work tree as git would commit it.
    ///
    /// # Errors
    /// When the Imagefile or git cannot be read. An image with mistakes is a state like others.
    pub fn of_git(asked: &Asked<'_>, tree: &GitTree) -> Result<Self, ProjectError> {
        let located = tree.located(asked.located, asked.named).map_err(unreadable)?;
        let shared: Arc<dyn SourceTree> = Arc::new(tree.clone());
        Self::of(&Asked { located: &located, ..asked.clone() }, shared, || tree.recipes())
    }

    /// The states of all images of any tree.
    ///
    /// # Errors
    /// When the Imagefile cannot be read.
    pub fn of(
        asked: &Asked<'_>,
        tree: Arc<dyn SourceTree>,
        recipes: impl FnOnce() -> Result<Vec<String>, ReadError>,
    ) -> Result<Self, ProjectError> {
        let mut session = Session::detached(asked.located, Arc::clone(&tree));
        session.project = project::read(asked.located, &*tree, recipes, asked.overrides)?;
        session.upstream.relock(session.project.lock.clone());
        inputs::sync_images(&mut session);
        let all: BTreeSet<String> = session.project.images.keys().cloned().collect();
        let mut synced = sync::settle_names(&mut session, all.clone());
        let mut known = BTreeMap::new();
        while inputs::set_outside(&mut session, &synced.order, &mut known) {
            synced = sync::settle_names(&mut session, all.clone());
        }
        let mut images: BTreeMap<String, State> = BTreeMap::new();
        for name in &synced.order.names {
            let Some(image) = session.input(name) else { continue };
            let mut state = state(&session, image);
            state.selection = synced.selections.get(name).cloned();
            for edge in &bases(session.db(), image).inside {
                let key = images.get(&edge.base).map(|base| base.key.to_string()).unwrap_or_default();
                let part = Part::new(Code::Base, &edge.base, key);
                if !state.on.contains(&part) {
                    state.on.push(part);
                }
            }
            images.insert(name.clone(), State { key: state.computed(), ..state });
        }
        Ok(Self { session, synced, images })
    }

    /// Supposes something of an image's own: every image on it becomes another too.
    pub fn suppose(&mut self, image: &str, part: &Part) {
        if let Some(state) = self.images.get_mut(image) {
            state
                .parts
                .retain(|other| (other.code, &other.name) != (part.code, &part.name) || part.name.is_empty());
            state.parts.push(part.clone());
        }
        for name in &self.synced.order.names {
            let Some(mut state) = self.images.get(name).cloned() else { continue };
            for base in &mut state.on {
                base.value = self.images.get(&base.name).map(|base| base.key.to_string()).unwrap_or_default();
            }
            self.images.insert(name.clone(), State { key: state.computed(), ..state });
        }
    }

    /// The images of `self` that `before` has not, or has as others, in building order.
    pub fn differing(&self, before: Option<&Self>) -> Vec<Differing> {
        let mut found: BTreeMap<&str, Chain> = BTreeMap::new();
        let mut all = Vec::new();
        for name in &self.synced.order.names {
            let Some(now) = self.images.get(name) else { continue };
            let chain = match before.and_then(|before| Some((before, before.images.get(name)?))) {
                Some((_, then)) if then.key == now.key => continue,
                None => Chain { images: vec![name.clone()], causes: vec![Reason::new_image()] },
                Some((before, then)) => {
                    let own = self.own_reasons(before, then, now);
                    let on_base = || now.on.iter().find_map(|base| found.get(base.name.as_str()));
                    match (own.is_empty(), on_base()) {
                        (true, Some(chain)) => {
                            let images = std::iter::once(name).chain(&chain.images).cloned().collect();
                            Chain { images, causes: chain.causes.clone() }
                        }
                        _ => Chain { images: vec![name.clone()], causes: own },
                    }
                }
            };
            found.insert(name, chain.clone());
            all.push(Differing { image: name.clone(), chain });
        }
        all
    }

    /// The images of `before` that are no more.
    pub fn gone<'a>(&self, before: &'a Self) -> Vec<&'a String> {
        before.images.keys().filter(|name| !self.images.contains_key(*name)).collect()
    }

    fn own_reasons(&self, before: &Self, then: &State, now: &State) -> Vec<Reason> {
        if then.parts == now.parts {
            let names =
                |state: &State| -> BTreeSet<String> { state.on.iter().map(|on| on.name.clone()).collect() };
            return if names(then) == names(now) { Vec::new() } else { part::differences(&then.on, &now.on) };
        }
        before.evidence(then).differences(&self.evidence(now))
    }

    fn evidence(&self, state: &State) -> Evidence {
        let files = state
            .selection
            .as_ref()
            .and_then(|selection| self.session.executor.tree.used_files(selection).ok());
        Evidence::new(state.parts.clone(), &files.unwrap_or_default())
    }

    /// Images in groups that can be built one group after the other, each at once.
    pub fn waves<'a>(&self, images: &'a [Differing]) -> Vec<Vec<&'a str>> {
        let mut level: BTreeMap<&str, usize> = BTreeMap::new();
        let mut waves: Vec<Vec<&str>> = Vec::new();
        for differing in images {
            let on = self.synced.order.bases.get(&differing.image).into_iter().flatten();
            let below = on.filter_map(|base| level.get(base.as_str())).max();
            let at = below.map_or(0, |below| below + 1);
            level.insert(&differing.image, at);
            waves.resize_with(waves.len().max(at + 1), Vec::new);
            waves[at].push(&differing.image);
        }
        waves
    }
}

impl State {
    fn computed(&self) -> ContentHash {
        let platform = self.parts.iter().find(|part| part.code == Code::Config && part.name == "platform");
        let platform = platform.map_or("", |part| part.value.as_str());
        action_key(platform, &part::hash("imk spec v1", &self.parts), &self.on)
    }
}

/// The parts of an image itself; one with mistakes counts by its text.
fn state(session: &Session, image: Image) -> State {
    let db = session.db();
    let mut state = State {
        key: ContentHash::default(),
        parts: Vec::new(),
        on: Vec::new(),
        bytes: 0,
        mistake: None,
        selection: None,
    };
    let recipe = match recipe(db, image) {
        Ok(recipe) => recipe,
        Err(problems) => {
            state.mistake = Some(first(problems));
            let text = match image.dockerfile(db) {
                Text::Is(text) => text.clone(),
                Text::Absent | Text::Unreadable(_) | Text::Refused(_) => String::new(),
            };
            state.parts.push(Part::new(Code::Dockerfile, "", text));
            return state;
        }
    };
    state.parts = known_parts(db, image, recipe);
    match image.context(db) {
        Context::Is(selected) => {
            state.parts.push(Part::new(Code::File, "files", selected.hash.to_string()));
            state.bytes = selected.bytes;
        }
        Context::Unread => {}
        Context::Absent => state.mistake = Some("its context is missing".into()),
        Context::Unreadable(error) => state.mistake = Some(error.to_string()),
        Context::Refused(problem) => state.mistake = Some(problem.message.clone()),
    }
    state
}

fn first(problems: &[Problem]) -> String {
    problems.first().map_or_else(|| "it has mistakes".into(), |problem| problem.message.clone())
}

fn unreadable(error: ReadError) -> ProjectError {
    ProjectError::Unreadable(error)
}
