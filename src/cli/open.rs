//! Opens the repository that the command line means.

use std::path::Path;
use std::sync::Arc;

use super::args::Global;
use super::failure::{Failure, open_error};
use crate::drive::project::Overrides;
use crate::drive::session::{Opening, STATE, Session};
use crate::engine::{Cancel, DockerEngine, Endpoint, Engine, Environment};
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::source::git::GitStore;
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
        tree: Arc::clone(&tree),
        cancel: cancel.clone(),
        environment: std::env::vars_os().collect(),
        exclusive,
    };
    let waiting = |holder: &str| {
        let who = if holder.is_empty() { "another imk" } else { holder };
        anstream::eprintln!("waiting for {who}, which is building in this repository");
    };
    let mut session = Session::open(opening, recipes, waiting).map_err(|error| {
        let text_of = |path: &str| String::from_utf8(tree.read(path).ok()??).ok();
        open_error(error, text_of)
    })?;
    session.on_fetch(Arc::new(|url: &str| anstream::eprintln!("fetching from {url}")));
    Ok(session)
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
        offline: global.offline,
    }
}

/// Says which branches and tags could not be asked about, and what is used instead.
pub fn away(session: &Session) {
    for away in session.away() {
        let when = i64::try_from(away.when).ok().and_then(|when| jiff::Timestamp::from_second(when).ok());
        let when = when.map_or_else(String::new, |when| when.strftime(" of %F %H:%M UTC").to_string());
        let commit = &away.commit[..12.min(away.commit.len())];
        anstream::eprintln!(
            "warning: `{}` cannot be asked where `{}` stands: {}; imk goes on with the last answer,{when}: commit {commit}",
            away.url,
            away.name,
            away.why
        );
    }
}
