//! Tells the queries how things are: Dockerfiles, contexts, what the engine has.
//!
//! Compares before it sets, since salsa counts every setting as a change. The
//! engine is asked while the files are looked at, on the guess that it is the
//! same engine as last time.

use std::collections::{BTreeMap, BTreeSet};

use salsa::Setter;

use crate::engine::{EngineError, EngineIdentity};
use crate::model::name;
use crate::query::graph::{self, Order};
use crate::query::inputs::{Context, Image, OutsideBase};
use crate::query::problem::Problem;
use crate::query::recipe::recipe;
use crate::session::add_sources;
use crate::session::inputs;
use crate::session::inventory;
use crate::session::named_contexts;
use crate::session::open::Session;
use crate::session::overlays;
use crate::session::platforms;
use crate::session::project;
use crate::session::project::Declared;
use crate::session::select::{self, Lying, Names, Unknown, select};
use crate::source::tree::{Overlay, OverlaySide};
use crate::source::tree::{Selection, SourceTree};
use crate::syntax::reads::Reads;
use crate::syntax::resolve::Recipe;

/// The state of things, as far as some targets need it.
#[derive(Debug)]
pub struct Synced {
    /// The targets themselves.
    pub targets: BTreeSet<String>,
    /// The targets and what they need, bases first.
    pub order: Order,
    /// Where the files of each image are.
    pub selections: BTreeMap<String, Selection>,
    /// The identity of the engine, or why it did not answer.
    pub engine: Result<EngineIdentity, EngineError>,
    /// The engine of the last run, where that is another than the one that answers.
    pub engine_before: Option<EngineIdentity>,
    /// Images whose recorded result is gone from the engine.
    pub missing: BTreeSet<String>,
}

/// Why nothing can be said of the targets.
#[derive(Debug)]
pub enum SyncError {
    /// Words that mean no image.
    Unknown(Vec<Unknown>),
    /// Names that must be in the lock file and are not.
    Unlocked(Vec<Problem>),
    /// Images that would take each other's tags.
    SharedTags(Vec<Problem>),
}

/// Brings the inputs up to date for `words`, all images when there are none.
///
/// # Errors
/// See [`SyncError`].
pub fn sync(session: &mut Session, words: &[String]) -> Result<Synced, SyncError> {
    if let Some(identity) = &session.memory.default_identity {
        session.executor.default_engine().assume_identity(identity);
    }
    let asked = inventory::begin(session);
    inputs::sync_images(session);
    set_target(session, words)?;
    asked.want(inputs::wanted(session, &order_of(session, words)?));
    let mut settled = settle(session, words)?;
    let mut answer = asked.answer();
    let known = session.workspace().engine(&session.db);
    if let Ok(identity) = &mut answer.identity
        && session.executor.pool().default_node().unreachable().is_some()
        && !known.is_empty()
    {
        // The default engine is unreachable: what it built is not asked for again, only for that.
        known.clone_into(&mut identity.id);
    }
    if let Ok(identity) = &answer.identity
        && inputs::set_engine(session, identity)
    {
        settled = settle_again(session, words, &settled)?;
    }
    let before = session.memory.default_identity.as_ref().map(|cached| cached.identity.clone());
    let engine_before = before.filter(|before| answer.identity.as_ref().is_ok_and(|now| now != before));
    let mut outside = answer.outside;
    // Triggers of a base outside can name further bases outside; each round learns at least one.
    while inputs::set_outside(session, &settled.order, &mut outside) {
        settled = settle_again(session, words, &settled)?;
    }
    all_locked(session, &settled.order)?;
    add_sources::set_remotes(session, &settled.order);
    let missing = inventory::mark_missing(session, &answer.has);
    Ok(Synced { engine: answer.identity, engine_before, missing, ..settled })
}

/// `--target`: the images that are asked for, and not their bases, end at another stage.
fn set_target(session: &mut Session, words: &[String]) -> Result<(), SyncError> {
    let Some(stage) = session.target.clone() else { return Ok(()) };
    for name in targets(session, words)? {
        if let Some(declared) = session.project.images.get_mut(&name) {
            declared.options.target = Some(stage.clone());
        }
    }
    inputs::sync_images(session);
    Ok(())
}

/// The images that `words` mean; no Dockerfile is read unless edges are asked for.
///
/// # Errors
/// See [`SyncError`].
pub fn choose(session: &mut Session, words: &[String]) -> Result<BTreeSet<String>, SyncError> {
    // Names are known without asking anybody.
    session.git_sources.ask_nobody();
    inputs::sync_images(session);
    targets(session, words)
}

/// The order of `words` and all they need; contexts and engine are left alone.
///
/// # Errors
/// See [`SyncError`].
pub fn order(session: &mut Session, words: &[String]) -> Result<Order, SyncError> {
    inputs::sync_images(session);
    set_target(session, words)?;
    order_of(session, words)
}

fn order_of(session: &Session, words: &[String]) -> Result<Order, SyncError> {
    Ok(graph::order(&session.db, &targets(session, words)?))
}

/// The mistakes in the Dockerfiles of an order, circles of images among them.
pub fn dockerfile_problems(session: &Session, order: &Order) -> Vec<Problem> {
    let images = order.names.iter().filter_map(|name| session.image(name));
    let own = images.filter_map(|image| recipe(&session.db, image).as_ref().err()).flatten();
    own.chain(order.circles.values()).cloned().collect()
}

/// The order of the targets and the contexts of all they need, as the inputs stand.
pub(crate) fn settle(session: &mut Session, words: &[String]) -> Result<Synced, SyncError> {
    let targets = targets(session, words)?;
    Ok(settle_names(session, targets))
}

/// As [`settle`], after an input changed that is no file: files that were looked at a moment ago are not looked at again.
fn settle_again(session: &mut Session, words: &[String], before: &Synced) -> Result<Synced, SyncError> {
    let targets = targets(session, words)?;
    Ok(settle_but(session, targets, &before.selections))
}

/// As [`settle`], for images that are known by name.
pub(crate) fn settle_names(session: &mut Session, targets: BTreeSet<String>) -> Synced {
    settle_but(session, targets, &BTreeMap::new())
}

/// Selections of `answered` have been answered in this sync.
fn settle_but(
    session: &mut Session,
    targets: BTreeSet<String>,
    answered: &BTreeMap<String, Selection>,
) -> Synced {
    let order = graph::order(&session.db, &targets);
    let mut selections = BTreeMap::new();
    let mut contexts: BTreeMap<String, Context> = BTreeMap::new();
    overlays::look_up_overlays(session, &order);
    for name in &order.names {
        let Some(image) = session.image(name) else { continue };
        let Ok(recipe) = recipe(&session.db, image) else { continue };
        // Nothing is read for an image that cannot be built, and nobody waits for it.
        if let Some(problem) = order.circles.get(name) {
            contexts.insert(name.clone(), Context::Refused(problem.clone()));
            continue;
        }
        match selected(session, name, image, recipe) {
            Ok(selection) => drop(selections.insert(name.clone(), selection)),
            Err(found) => drop(contexts.insert(name.clone(), found)),
        }
    }
    let is_answered = |name: &String, selection: &Selection| {
        let image = session.image(name);
        answered.get(name) == Some(selection)
            && image.is_some_and(|image| matches!(image.context(&session.db), Context::Is(_)))
    };
    let open = selections.iter().filter(|(name, selection)| !is_answered(name, selection));
    let (names, list): (Vec<String>, Vec<Selection>) =
        open.map(|(name, selection)| (name.clone(), selection.clone())).unzip();
    let answers = if list.is_empty() { Vec::new() } else { session.executor.tree.select(&list) };
    for (name, answer) in names.iter().zip(answers) {
        let answer = answer.map_or_else(|error| overlays::unreadable(session, name, error), Context::Is);
        contexts.insert(name.clone(), answer);
    }
    for (name, context) in contexts {
        if let Some(image) = session.image(&name)
            && *image.context(&session.db) != context
        {
            session.changed = true;
            image.set_context(&mut session.db).to(context);
        }
    }
    let engine = Err(EngineError::Interrupted);
    Synced { targets, order, selections, engine, engine_before: None, missing: BTreeSet::new() }
}

/// Where the files of an image are that its instructions read; else what there is to say of its context.
fn selected(session: &Session, name: &str, image: Image, recipe: &Recipe) -> Result<Selection, Context> {
    let paths = image.paths(&session.db);
    let tree = &*session.executor.tree;
    match tree.is_folder(&paths.context) {
        Err(error) => return Err(Context::Unreadable(error)),
        Ok(false) => return Err(Context::Absent),
        Ok(true) if recipe.reads_nothing() => return Err(Context::Unread),
        Ok(true) => {}
    }
    let overlays = overlays::overlays(session, name).map_err(Context::Refused)?;
    let named = named_contexts::of(session, name, recipe).map_err(Context::Refused)?;
    let own = selection(tree, &paths.dockerfile, &paths.context, &recipe.reads, overlays);
    let mut selection = Selection { named, ..own.map_err(Context::Unreadable)? };
    if session.editing {
        look_past_editors(&mut selection);
    }
    Ok(selection)
}

fn targets(session: &Session, words: &[String]) -> Result<BTreeSet<String>, SyncError> {
    let mut targets = meant(session, words)?;
    targets.retain(|name| platforms::is_asked(&session.project, name));
    if let Some(only) = &session.only {
        targets.retain(|name| only.contains(name));
    }
    Ok(targets)
}

fn with_paths(words: &[String], session: &Session) -> Vec<String> {
    if words.is_empty() {
        return Vec::new();
    }
    let lying = |(name, image): (&'_ String, &'_ Declared)| (name.clone(), image.paths.clone());
    let images: Vec<_> = session.project.images.iter().map(lying).collect();
    let images: Vec<Lying<'_>> = images
        .iter()
        .map(|(name, paths)| Lying { name, dockerfile: &paths.dockerfile, context: &paths.context })
        .collect();
    select::with_paths(words, &session.here, &images)
}

fn meant(session: &Session, words: &[String]) -> Result<BTreeSet<String>, SyncError> {
    let images: BTreeSet<String> = session.project.images.keys().cloned().collect();
    let typed = with_paths(words, session);
    let words = if words.is_empty() { &session.project.default } else { &typed };
    if words.is_empty() {
        return Ok(images);
    }
    let edges = |image: &Image| {
        let inside = &graph::bases(&session.db, *image).inside;
        inside.iter().map(|edge| edge.base.clone()).collect()
    };
    // Edges are wanted only for `+name` and `name+`, and cost a look at every Dockerfile.
    let bases = if words.iter().any(|word| word.starts_with('+') || word.ends_with('+')) {
        let all = session.workspace().images(&session.db);
        all.iter().map(|(name, image)| (name.clone(), edges(image))).collect()
    } else {
        BTreeMap::new()
    };
    let mut groups = session.project.groups.clone();
    groups.extend(platforms::several(&session.project));
    let names = Names { images: &images, groups: &groups, bases: &bases };
    select(words, &names).map_err(SyncError::Unknown)
}

/// Refuses an order whose bases are not all in the lock file where they must be.
fn all_locked(session: &Session, order: &Order) -> Result<(), SyncError> {
    let wanted = inputs::wanted(session, order);
    let path = project::lock_path(session.project.imagefile.as_deref());
    let problem = |base: &OutsideBase| {
        let what = format!("`{}` for {} is not in {path}", base.reference, base.platform);
        Problem::of("", what, "`imk update` asks its registry and writes it there")
    };
    let problems: Vec<Problem> = session.upstream.unlocked(wanted.iter()).into_iter().map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(SyncError::Unlocked(problems)) }
}

/// Where an image's files are: its context under the ignore file that governs
/// it. BuildKit takes `NAME.dockerignore` beside the Dockerfile, even an empty
/// one, before the context's `.dockerignore`.
pub(crate) fn selection(
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
        (None, Some((Overlay { from: OverlaySide::Path(from), .. }, rest))) => {
            tree.read(&name::join(from, rest))?
        }
        (None, Some((Overlay { from: OverlaySide::Tree(git), .. }, rest))) => git.read(rest)?,
        (None, None) => tree.read(&name::join(context, IGNORE))?,
    };
    let ignore = ignore.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Selection { root: context.to_owned(), ignore, reads: reads.clone(), overlays, named: BTreeMap::new() })
}

/// Files that editors put beside a file while it is edited, or for a moment while it is saved: vim's swap
/// files and its probe, Emacs' locks and autosaves, backups, Kate's and the IDEs' of JetBrains.
const OF_EDITORS: &str = "
**/.*.sw[a-p]
**/.*.swpx
**/4913
**/.#*
**/#*#
**/*~
**/.*.kate-swp
**/*___jb_tmp___
**/*___jb_old___
";

/// Leaves the files of editors out of a selection. An ignore file's text counts for nothing but what
/// it leaves out, so keys are those of a tree in which nobody edits.
fn look_past_editors(selection: &mut Selection) {
    selection.ignore.get_or_insert_default().push_str(OF_EDITORS);
    selection.named.values_mut().for_each(look_past_editors);
}
