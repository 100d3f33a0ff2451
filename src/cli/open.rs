//! Opens the repository that the command line means.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::Global;
use super::failure::{Failure, open_error, sync_error};
use super::{VERBS, words};
use crate::credentials::Credentials;
use crate::drive::project::Overrides;
use crate::drive::session::{Kept, Opening, STATE, Session};
use crate::drive::sync::Synced;
use crate::drive::upstream::Asking;
use crate::engine::{Cancel, DockerEngine, Endpoint, Engine, Environment};
use crate::registry::{OciRegistry, Options, Stop};
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::source::git::history::Commit;
use crate::source::git::{GitStore, GitTree};
use crate::source::locate::{Located, locate};
use crate::source::state_folder::StateFolder;
use crate::source::tree::{ReadError, SourceTree};

/// The repository around the current folder, `-C` or `-f`.
pub fn located(global: &Global) -> Result<Located, Failure> {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    Ok(locate(start, global.file.as_deref())?)
}

/// Opens it; `exclusive` verbs wait for each other.
pub fn session(global: &Global, exclusive: bool, cancel: &Cancel) -> Result<Session, Failure> {
    session_with(global, exclusive, cancel, &mut None)
}

/// As [`session`], with what an earlier session of this process left.
pub fn session_with(
    global: &Global,
    exclusive: bool,
    cancel: &Cancel,
    kept: &mut Option<Kept>,
) -> Result<Session, Failure> {
    let located = located(global)?;
    let state = located.root.join(STATE);
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open(&located.root, &state)?);
    let root = located.root.clone();
    open(global, overrides(global), located, tree, || discover(&root, &state), exclusive, cancel, kept)
}

/// Opens it to look at the files of a commit. To be looked at only: what is
/// saved of such a session would be taken for the work tree's.
pub fn session_at(global: &Global, rev: &str) -> Result<Session, Failure> {
    let now = located(global)?;
    let store = store(&now, None)?;
    let commit = store.commit(rev)?;
    let tree = store.tree(&commit)?;
    session_of(global, &now, &tree, &commit, false, &Cancel::default())
}

/// The git repository around a located one, with what was learned of it. Hooks are told git's own folder.
pub fn store(now: &Located, git_dir: Option<&Path>) -> Result<Arc<GitStore>, Failure> {
    Ok(GitStore::remembering(&now.root, StateFolder(now.root.join(STATE)), git_dir)?)
}

/// As [`session_at`], for a commit that was found. What such a session builds counts as all that was built does.
pub fn session_of(
    global: &Global,
    now: &Located,
    tree: &GitTree,
    commit: &Commit,
    exclusive: bool,
    cancel: &Cancel,
) -> Result<Session, Failure> {
    let located = tree.located(now, global.file.is_some())?;
    let shared: Arc<dyn SourceTree> = Arc::new(tree.clone());
    let overrides = Overrides { commit: Some(commit.id.clone()), ..overrides(global) };
    open(global, overrides, located, shared, || tree.recipes(), exclusive, cancel, &mut None)
}

#[allow(clippy::too_many_arguments, reason = "three ways to open end here, each with its own of everything")]
fn open(
    global: &Global,
    overrides: Overrides,
    located: Located,
    tree: Arc<dyn SourceTree>,
    recipes: impl FnOnce() -> Result<Vec<String>, ReadError>,
    exclusive: bool,
    cancel: &Cancel,
    kept: &mut Option<Kept>,
) -> Result<Session, Failure> {
    let environment = Environment::from_lookup(|name| std::env::var(name).ok());
    let endpoint = Endpoint::resolve(&environment).map_err(|error| Failure::engine(&error))?;
    let engine: Arc<dyn Engine> = Arc::new(DockerEngine::new(endpoint).with_credentials(credentials()));
    let registry = Arc::new(OciRegistry::new(registries(global, &located, cancel)));
    let opening = Opening {
        located,
        overrides,
        engine,
        registry,
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
    let mut session = Session::open_with(opening, recipes, waiting, kept).map_err(|error| {
        let text_of = |path: &str| String::from_utf8(tree.read(path).ok()??).ok();
        open_error(error, text_of)
    })?;
    session.on_fetch(Arc::new(|url: &str| anstream::eprintln!("fetching from {url}")));
    Ok(session)
}

/// Brings the inputs up to date, and tells what a person should know of the bases outside.
pub fn synced(session: &mut Session, words: &[String]) -> Result<Synced, Failure> {
    let synced = session.sync(words).map_err(|error| sync_error(error, session, VERBS))?;
    for line in words::notes(&session.upstream.take_notes()) {
        anstream::eprintln!("warning: {line}");
    }
    away(session);
    Ok(synced)
}

/// Tells which registries did not say whether they have an image.
pub fn silent(session: &Session) {
    for error in session.hands.shelves.take_silent() {
        anstream::eprintln!("warning: {error}; nobody knows whether it has what was built here or elsewhere");
    }
}

fn registries(global: &Global, located: &Located, cancel: &Cancel) -> Options {
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (host, url) in &global.mirrors {
        mirrors.entry(host.clone()).or_default().push(url.clone());
    }
    let cancel = cancel.clone();
    Options {
        credentials: credentials(),
        insecure: global.insecure_registries.iter().cloned().collect(),
        mirrors,
        cache_folder: Some(located.root.join(STATE).join("registry")),
        stop: Stop::when(move || cancel.is_cancelled()),
        ..Options::default()
    }
}

fn credentials() -> Credentials {
    Credentials::from_lookup(|name| std::env::var(name).ok())
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
    let mut vars: BTreeMap<String, String> = from_env.collect();
    vars.extend(global.vars.iter().cloned());
    Overrides {
        vars,
        args: global.build_args.iter().cloned().collect(),
        platform: global.platform.clone(),
        prefix: global.prefix.clone(),
        target: global.target.clone(),
        build_number: global.build_number.clone(),
        commit: None,
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
