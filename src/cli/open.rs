//! Opens the repository that the command line means.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::Global;
use super::failure::{Failure, open_error, sync_error};
use super::{VERBS, ci, words};
use crate::drive::project::Overrides;
use crate::drive::session::{Opening, STATE, Session};
use crate::drive::sync::Synced;
use crate::drive::upstream::Asking;
use crate::engine::{Cancel, DockerEngine, Endpoint, Engine, Environment};
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::source::git::GitStore;
use crate::source::locate::{Located, locate};
use crate::source::tree::{ReadError, SourceTree};

/// The repository around the current folder, `-C` or `-f`.
pub fn located(global: &Global) -> Result<Located, Failure> {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    let located = locate(start, global.file.as_deref())?;
    ci::begin_paths_at(&located.root);
    Ok(located)
}

/// A path that was typed, below `-C`.
pub fn place(global: &Global, path: &Path) -> PathBuf {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    start.join(path)
}

/// A file of a tree; nothing when it is not there or no text.
pub fn text(tree: &dyn SourceTree, path: &str) -> Option<String> {
    String::from_utf8(tree.read(path).ok()??).ok()
}

/// Opens it; `exclusive` verbs wait for each other.
pub fn session(global: &Global, exclusive: bool, cancel: &Cancel) -> Result<Session, Failure> {
    let located = located(global)?;
    let state = located.root.join(STATE);
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open(&located.root, &state)?);
    let root = located.root.clone();
    open(global, located, tree, || discover(&root, &state), exclusive, cancel)
}

/// Opens it to look at the files of a commit. To be looked at only: what is
/// saved of such a session would be taken for the work tree's.
pub fn session_at(global: &Global, rev: &str) -> Result<Session, Failure> {
    let now = located(global)?;
    let store = GitStore::open(&now.root)?;
    let tree = store.tree(&store.commit(rev)?)?;
    let located = tree.located(&now, global.file.is_some())?;
    let shared: Arc<dyn SourceTree> = Arc::new(tree.clone());
    open(global, located, shared, || tree.recipes(), false, &Cancel::default())
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
    Session::open(opening, recipes, waiting).map_err(|error| open_error(error, |path| text(&*tree, path)))
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
    let pairs = |prefix: &str, typed: &[(String, String)]| {
        let from_env = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix(prefix)?.to_owned();
            Some((name, value.to_str()?.to_owned()))
        });
        // The later of two wins: what was typed.
        from_env.chain(typed.iter().cloned()).collect()
    };
    Overrides {
        vars: pairs("IMK_VAR_", &global.vars),
        args: pairs("IMK_BUILD_ARG_", &global.build_args),
        platform: global.platform.clone(),
        prefix: global.prefix.clone(),
        target: global.target.clone(),
    }
}
