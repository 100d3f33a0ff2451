//! Replay of history: every commit planned with the real queries, nothing built.
//!
//! One database lives through all commits and is told only what differs. The
//! ledger is simulated: an action key that was met before needs no build, and
//! the content of a base is its action key, so a change that does not count
//! ends where it is made. Bases outside the repository count by name, since
//! history does not say what a registry had. Knows no engine, and never prints.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::causes::{self, ImageState};
use super::costs::{Job, Replay, Step};
use super::rules;
use super::tree_cursor::TreeCursor;
use crate::model::hash::ContentHash;
use crate::model::part::Part;
use crate::model::reason::{Code, Reason};
use crate::query::action_key::{action_key, input_hash, parts, platform};
use crate::query::graph::bases;
use crate::query::inputs::Context;
use crate::query::problem::Problem;
use crate::session::inputs;
use crate::session::open::Session;
use crate::session::project::{self, Overrides, ProjectError};
use crate::session::sync::{self, SyncError, Synced};
use crate::source::git::history::{Commit, Range};
use crate::source::git::{GitStore, GitTree};
use crate::source::locate::Located;
use crate::source::tree::{ReadError, SourceTree as _};

/// The question of a replay.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which commits.
    pub range: Range,
    /// Leave out what merges brought in.
    pub first_parent: bool,
    /// Which images; those of bare `imk` when empty.
    pub words: Vec<String>,
    /// True if somebody named the Imagefile or the folder.
    pub named: bool,
}

type ImageStates = BTreeMap<String, Arc<ImageState>>;

/// Replays history.
///
/// # Errors
/// When the repository or the range cannot be read. Commits with mistakes are no error.
pub fn replay(located: &Located, overrides: &Overrides, asked: &Asked) -> Result<Replay, ReadError> {
    let store = GitStore::open(&located.root)?;
    let history = store.history(&asked.range, asked.first_parent)?;
    let Some(first) = history.start.as_ref().or(history.commits.first()) else {
        return Ok(Replay { start: history.start, steps: Vec::new(), unknown: BTreeSet::new() });
    };
    let tree = Arc::new(TreeCursor::new(store.tree(first)?));
    let mut walk = Walk {
        session: Session::detached(located, tree.clone()),
        tree,
        located,
        overrides,
        asked,
        seen: Seen::default(),
        states: HashMap::new(),
        last: Arc::default(),
        unknown: asked.words.iter().cloned().collect(),
    };
    if let Some(start) = &history.start {
        walk.visit(&store, start);
    }
    let steps = history.commits.iter().map(|commit| walk.visit(&store, commit)).collect();
    Ok(Replay { start: history.start, steps, unknown: walk.unknown })
}

struct Walk<'a> {
    session: Session,
    tree: Arc<TreeCursor>,
    located: &'a Located,
    overrides: &'a Overrides,
    asked: &'a Asked,
    seen: Seen,
    /// By commit.
    states: HashMap<String, Arc<ImageStates>>,
    /// Of the commit visited last: stands in for parents outside the range.
    last: Arc<ImageStates>,
    /// Words that have meant nothing so far.
    unknown: BTreeSet<String>,
}

/// Keys that have a result.
#[derive(Default)]
struct Seen {
    imk: HashSet<ContentHash>,
    context: HashSet<ContentHash>,
    shipwright: HashSet<ContentHash>,
}

impl Walk<'_> {
    fn visit(&mut self, store: &Arc<GitStore>, commit: &Commit) -> Step {
        let most = if self.asked.first_parent { 1 } else { usize::MAX };
        let parents: Vec<Arc<ImageStates>> =
            commit.parents.iter().take(most).filter_map(|parent| self.states.get(parent).cloned()).collect();
        let parents = if parents.is_empty() { vec![Arc::clone(&self.last)] } else { parents };
        let mut step = Step {
            commit: commit.clone(),
            images: Vec::new(),
            skipped: None,
            mistakes: BTreeMap::new(),
            ignored: BTreeMap::new(),
            built: Vec::new(),
            context: Vec::new(),
            shipwright: Vec::new(),
        };
        let states = match self.settle(store, commit) {
            Ok(Some((tree, synced))) => Arc::new(self.images(&mut step, &parents, &tree, &synced)),
            Ok(None) => Arc::clone(&parents[0]),
            Err(why) => {
                step.skipped = Some(why);
                Arc::clone(&parents[0])
            }
        };
        self.states.insert(commit.id.clone(), Arc::clone(&states));
        self.last = states;
        step
    }

    /// Tells the database how things are at a commit; `None` when there is no image.
    fn settle(
        &mut self,
        store: &Arc<GitStore>,
        commit: &Commit,
    ) -> Result<Option<(Arc<GitTree>, Synced)>, String> {
        let tree = Arc::new(store.tree(commit).map_err(|error| error.to_string())?);
        self.tree.move_to(&tree);
        match self.project_of(&tree) {
            Ok(()) => {}
            Err(ProjectError::Nothing { .. }) => return Ok(None),
            Err(ProjectError::Unreadable(error)) => return Err(error.to_string()),
            Err(ProjectError::Mistakes(problems)) => return Err(placed(&problems)),
        }
        inputs::sync_images(&mut self.session);
        let mut words = self.asked.words.clone();
        loop {
            match sync::settle(&mut self.session, &words) {
                Ok(synced) => {
                    words.iter().for_each(|word| {
                        self.unknown.remove(word);
                    });
                    return Ok(Some((tree, synced)));
                }
                Err(SyncError::Unlocked(problems) | SyncError::SharedTags(problems)) => {
                    return Err(placed(&problems));
                }
                Err(SyncError::Unknown(unknown)) => {
                    let bare = |word: &str| word.trim_start_matches('+').trim_end_matches('+').to_owned();
                    let before = words.len();
                    words.retain(|word| !unknown.iter().any(|unknown| unknown.word == bare(word)));
                    // No word left must not come to mean everything.
                    if words.is_empty() || words.len() == before {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn project_of(&mut self, tree: &GitTree) -> Result<(), ProjectError> {
        let located = tree.located(self.located, self.asked.named).map_err(ProjectError::Unreadable)?;
        self.session.project = project::read(&located, tree, || tree.recipes(), self.overrides)?;
        Ok(())
    }

    fn images(
        &mut self,
        step: &mut Step,
        parents: &[Arc<ImageStates>],
        tree: &Arc<GitTree>,
        synced: &Synced,
    ) -> ImageStates {
        let mut states = ImageStates::new();
        for name in &synced.order.names {
            let old = parents.iter().find_map(|states| states.get(name));
            if let Some(path) = self.ignored(step, name, tree, synced) {
                step.ignored.insert(name.clone(), path);
                states.extend(old.map(|old| (name.clone(), Arc::clone(old))));
                continue;
            }
            match self.image(step, name, parents, tree, synced, &states) {
                Ok(state) => {
                    step.images.push(name.clone());
                    if self.seen.imk.insert(state.key) {
                        step.built.push(self.job(step, name, old.map(|old| &**old), &state));
                    }
                    if self.seen.context.insert(state.rules.context) {
                        step.context.push(name.clone());
                    }
                    if self.seen.shipwright.insert(state.rules.shipwright) {
                        step.shipwright.push(name.clone());
                    }
                    states.insert(name.clone(), Arc::new(state));
                }
                Err(why) => {
                    step.mistakes.insert(name.clone(), why);
                    // It is compared with its last good state when it is mended.
                    states.extend(old.map(|old| (name.clone(), Arc::clone(old))));
                }
            }
        }
        states
    }

    /// The first thing that git ignores and an image, or one that it is built on, asks for.
    fn ignored(&self, step: &Step, name: &str, tree: &GitTree, synced: &Synced) -> Option<String> {
        let bases = synced.order.bases.get(name).into_iter().flatten();
        if let Some(path) = bases.filter_map(|base| step.ignored.get(base)).next() {
            return Some(path.clone());
        }
        let image = self.session.input(name)?;
        match image.context(self.session.db()) {
            Context::Is(selected) if !selected.missing.is_empty() => {
                tree.beyond_git(synced.selections.get(name)?).ok()?.into_iter().next()
            }
            _ => None,
        }
    }

    fn image(
        &self,
        step: &Step,
        name: &str,
        parents: &[Arc<ImageStates>],
        tree: &Arc<GitTree>,
        synced: &Synced,
        states: &ImageStates,
    ) -> Result<ImageState, String> {
        let db = self.session.db();
        let image = self.session.input(name).ok_or("it is not declared")?;
        let input_hash = input_hash(db, image).map_err(|problems| first(&problems))?;
        let mut on: Vec<Part> = Vec::new();
        let mut bases_here: Vec<&ImageState> = Vec::new();
        for edge in &bases(db, image).inside {
            if step.mistakes.contains_key(&edge.base) {
                return Err(format!("its base `{}` has mistakes", edge.base));
            }
            let Some(base) = states.get(&edge.base) else { continue };
            let part = Part::new(Code::Base, &edge.base, base.key.to_string());
            if !on.contains(&part) {
                on.push(part);
                bases_here.push(base);
            }
        }
        let key = action_key(platform(db, image), &input_hash, &on);
        let asked = rules::Image { session: &self.session, image, tree, commit: &step.commit.id };
        let before: Vec<&rules::Keys> =
            parents.iter().filter_map(|states| states.get(name)).map(|state| &state.rules).collect();
        let on_rules: Vec<&rules::Keys> = bases_here.iter().map(|base| &base.rules).collect();
        let rules = asked.keys(&before, &on_rules).map_err(|error| error.to_string())?;
        let old = parents.iter().find_map(|states| states.get(name));
        let parts = match old.filter(|old| old.key == key) {
            Some(old) => Arc::clone(&old.parts),
            None => {
                let mut all = parts(db, image).map_err(|problems| first(&problems))?;
                all.extend(on);
                all.into()
            }
        };
        let selection = synced.selections.get(name).map(|now| {
            let same = old.and_then(|old| old.selection.as_ref()).filter(|before| ***before == *now);
            same.map_or_else(|| Arc::new(now.clone()), Arc::clone)
        });
        Ok(ImageState { tree: Arc::clone(tree), key, parts, selection, rules })
    }

    fn job(&self, step: &Step, name: &str, old: Option<&ImageState>, new: &ImageState) -> Job {
        let Some(old) = old else {
            return Job { name: name.into(), reasons: vec![Reason::never_built()], lines: BTreeSet::new() };
        };
        let reasons = causes::reasons(old, new);
        let lines = causes::lines(&self.session, name, old, new, &reasons, &step.built);
        Job { name: name.into(), reasons, lines }
    }
}

/// The first mistake and its file, for a commit; of an image the file is known.
fn placed(problems: &[Problem]) -> String {
    let path = problems.first().map_or("", |problem| &problem.path);
    if path.is_empty() { first(problems) } else { format!("{path}: {}", first(problems)) }
}

fn first(problems: &[Problem]) -> String {
    problems.first().map_or_else(|| "it has mistakes".into(), |problem| problem.message.clone())
}
