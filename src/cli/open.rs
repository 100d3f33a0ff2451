//! Opens the repository that the command line means.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::Global;
use super::failure::{Failure, open_error, sync_error};
use super::{VERBS, words};
use crate::drive::affected::{Affected, affected};
use crate::drive::project::Overrides;
use crate::drive::session::{OpenError, Opening, STATE, Session};
use crate::drive::states::{Asked, States, StatesError};
use crate::drive::sync::Synced;
use crate::drive::upstream::Asking;
use crate::engine::{Cancel, DockerEngine, Endpoint, Engine, Environment};
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::source::git::{GitStore, GitTree};
use crate::source::locate::{Located, locate};
use crate::source::tree::{ReadError, SourceTree};

/// The repository around the current folder, `-C` or `-f`.
pub fn located(global: &Global) -> Result<Located, Failure> {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    Ok(locate(start, global.file.as_deref())?)
}

/// Opens it; `exclusive` verbs wait for each other.
pub fn session(global: &Global, exclusive: bool, cancel: &Cancel) -> Result<Session, Failure> {
    let located = located(global)?;
    let state = located.root.join(STATE);
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open(&located.root, &state)?);
    let root = located.root.clone();
    let only = match &global.since {
        None => None,
        Some(rev) => {
            let git = GitStore::open(&root)?;
            Some(names(&since(global, &located, &git, rev, &git.work_tree()?)?))
        }
    };
    let mut session = open(global, located, tree, || discover(&root, &state), exclusive, cancel)?;
    session.only = only;
    Ok(session)
}

/// Opens it to look at the files of a commit. To be looked at only: what is
/// saved of such a session would be taken for the work tree's.
pub fn session_at(global: &Global, rev: &str) -> Result<Session, Failure> {
    let now = located(global)?;
    let store = GitStore::open(&now.root)?;
    let tree = store.tree(&store.commit(rev)?)?;
    let located = tree.located(&now, global.file.is_some())?;
    let only = match &global.since {
        None => None,
        Some(since) => Some(names(&self::since(global, &now, &store, since, &tree)?)),
    };
    let shared: Arc<dyn SourceTree> = Arc::new(tree.clone());
    let mut session = open(global, located, shared, || tree.recipes(), false, &Cancel::default())?;
    session.only = only;
    Ok(session)
}

fn names(affected: &Affected) -> BTreeSet<String> {
    affected.images.iter().map(|differing| differing.image.clone()).collect()
}

/// The images that are not at `after` what they were at a commit. Says so when all are, for want of a before.
pub fn since(
    global: &Global,
    located: &Located,
    git: &Arc<GitStore>,
    rev: &str,
    after: &GitTree,
) -> Result<Affected, Failure> {
    let overrides = overrides(global);
    let asked = Asked { located, named: global.file.is_some(), overrides: &overrides };
    let before = git.tree(&git.since(rev)?)?;
    let affected = affected(&asked, &before, after).map_err(|error| states_error(error, after))?;
    if affected.nothing_before.is_some() {
        anstream::eprintln!(
            "warning: nothing can be said of the images at `{rev}`: every image counts as changed"
        );
    }
    Ok(affected)
}

/// The images of the disk, without engine, ledger and state.
pub fn states_of_disk(global: &Global, located: &Located) -> Result<States, Failure> {
    let state = located.root.join(STATE);
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open(&located.root, &state)?);
    let overrides = overrides(global);
    let asked = Asked { located, named: global.file.is_some(), overrides: &overrides };
    States::of(&asked, Arc::clone(&tree), || discover(&located.root, &state))
        .map_err(|error| states_error(error, &*tree))
}

/// Why nothing can be said of the images of a tree.
pub fn states_error(error: StatesError, tree: &dyn SourceTree) -> Failure {
    let text_of = |path: &str| String::from_utf8(tree.read(path).ok()??).ok();
    match error {
        StatesError::Project(error) => open_error(OpenError::Project(error), text_of),
        StatesError::Circles(problems) => Failure::problems(&problems, text_of),
    }
}

/// A path that was typed, below the repository's root.
pub fn path(global: &Global, located: &Located, typed: &str) -> Result<String, Failure> {
    let start = global.directory.as_deref().unwrap_or(Path::new(".")).canonicalize()?;
    let root = located.root.canonicalize()?;
    let mut whole = PathBuf::new();
    for part in start.join(typed).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    let inside = whole.strip_prefix(&root).ok().and_then(Path::to_str);
    inside.map(str::to_owned).ok_or_else(|| {
        let message = format!("`{typed}` is not in the repository at `{}`", located.root.display());
        Failure::with_hint(message, "paths are read from the folder you are in, or from -C DIR")
    })
}

fn open(
    global: &Global,
    located: Located,
    tree: Arc<dyn SourceTree>,
    recipes: impl FnOnce() -> Result<Vec<String>, ReadError>,
    exclusive: bool,
    cancel: &Cancel,
) -> Result<Session, Failure> {
    let environment = Environment::from_lookup(|name| std::env::var(name).ok());
    let endpoint = Endpoint::resolve(&environment).map_err(|error| Failure::engine(&error))?;
    let engine: Arc<dyn Engine> = Arc::new(DockerEngine::new(endpoint));
    let opening = Opening {
        located,
        overrides: overrides(global),
        engine,
        registry: Arc::new(crate::registry::FakeRegistry::new()),
        asking: asking(global),
        tree: Arc::clone(&tree),
        cancel: cancel.clone(),
        environment: std::env::vars_os().collect(),
        exclusive,
    };
    let waiting = |holder: &str| {
        let who = if holder.is_empty() { "another imk" } else { holder };
        anstream::eprintln!("waiting for {who}, which is building in this repository");
    };
    Session::open(opening, recipes, waiting).map_err(|error| {
        let text_of = |path: &str| String::from_utf8(tree.read(path).ok()??).ok();
        open_error(error, text_of)
    })
}

/// Brings the inputs up to date, and tells what a person should know of the bases outside.
pub fn synced(session: &mut Session, words: &[String]) -> Result<Synced, Failure> {
    let synced = session.sync(words).map_err(|error| sync_error(error, session, VERBS))?;
    for line in words::notes(&session.upstream.take_notes()) {
        anstream::eprintln!("warning: {line}");
    }
    Ok(synced)
}

fn asking(global: &Global) -> Asking {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Asking { offline: global.offline, locked: global.locked, anew: global.pull, now }
}

/// What the command line and the environment add to the Imagefile.
pub fn overrides(global: &Global) -> Overrides {
    const VAR: &str = "IMK_VAR_";
    let from_env = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str()?.strip_prefix(VAR)?.to_owned();
        Some((name, value.to_str()?.to_owned()))
    });
    let mut vars: std::collections::BTreeMap<String, String> = from_env.collect();
    vars.extend(global.vars.iter().cloned());
    Overrides {
        vars,
        args: global.build_args.iter().cloned().collect(),
        platform: global.platform.clone(),
        prefix: global.prefix.clone(),
        target: global.target.clone(),
    }
}
