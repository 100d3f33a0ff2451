//! Opens the repository that the command line means.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::Global;
use super::failure::{Failure, open_error, sync_error};
use super::{VERBS, ci, engines, out, words};
use crate::credentials::Credentials;
use crate::engine::{Cancel, Environment, NoEngine};
use crate::explain::affected::{Affected, affected};
use crate::explain::tree_state::{Asked, States, StatesError};
use crate::plan::ready;
use crate::registry::{OciRegistry, Options, Stop};
use crate::session::open::{Kept, OpenError, Opening, Session};
use crate::session::overlays;
use crate::session::project::Overrides;
use crate::session::sync::Synced;
use crate::session::upstream::Asking;
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::source::git::history::Commit;
use crate::source::git::{GitStore, GitTree};
use crate::source::locate::{LocateError, Located, Trust, locate, passed_over};
use crate::source::tree::{ReadError, SourceTree};
use crate::state::folder::{StateFolder, Tell};
use crate::state::place::{self, Wish};

/// The repository around the current folder, `-C` or `-f`.
pub fn located(global: &Global) -> Result<Located, Failure> {
    let located = located_silently(global)?;
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    if global.file.is_none()
        && located.imagefile.is_none()
        && let Some(above) = passed_over(start)
    {
        let (above, root) = (above.display(), located.root.display());
        out::warning(format_args!(
            "`{above}` is outside the git work tree `{root}` and is not used; -f names it"
        ));
    }
    ci::begin_paths_at(&located.root);
    Ok(located)
}

/// The state of the repository: in its `.imk`, or where that is not to be. Says so on standard error then, once.
pub fn state(global: &Global, located: &Located) -> Result<StateFolder, Failure> {
    state_telling(global, located, Arc::new(warn))
}

/// As [`state`], for those who must not say anything.
pub fn state_silently(global: &Global, located: &Located) -> Result<StateFolder, Failure> {
    state_telling(global, located, Arc::new(|_: &str| {}))
}

fn state_telling(global: &Global, located: &Located, tell: Tell) -> Result<StateFolder, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let wish = Wish {
        named: global.state_dir.as_deref().map(|path| place(global, path)),
        cache: absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache"))),
    };
    place::find(&located.root, &wish, &tell).map_err(|error| {
        Failure::with_hint(error.to_string(), "--state-dir and IMK_STATE_DIR name a folder of your own")
    })
}

/// Says something on standard error, once a process.
fn warn(line: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.insert(line.to_owned()) {
        out::warning(line);
    }
}

/// As [`located`], without a word on the screen.
pub fn located_silently(global: &Global) -> Result<Located, Failure> {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    let trust = Trust::of_this_user(std::env::var("SUDO_UID").ok().as_deref());
    locate(start, global.directory.is_some(), global.file.as_deref(), &trust).map_err(|error| match error {
        LocateError::Unreadable(error) => error.into(),
        LocateError::Foreign { path, owner } => {
            let folder = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
            let folder = folder.unwrap_or(Path::new("/")).display().to_string();
            Failure::with_hint(
                format!("`{}` belongs to another user (number {owner}), and is not taken up unasked", path.display()),
                format!(
                    "look at what it says; then `-f {}` takes it once, `git config --global --add safe.directory {folder}` for good",
                    path.display()
                ),
            )
        }
    })
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
    let state = state(global, &located)?;
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open(&located.root, &state)?);
    let root = located.root.clone();
    let only = match &global.since {
        None => None,
        Some(rev) => {
            let git = GitStore::open(&root)?;
            Some(names(&since(global, &located, &git, rev, &git.work_tree()?)?))
        }
    };
    let overrides = overrides(global);
    let recipes = || discover(&root, &state);
    let at = (located, state.clone());
    let mut session = open(global, overrides, at, tree, recipes, exclusive, cancel, kept)?;
    session.only = only;
    Ok(session)
}

/// Opens it to look at the files of a commit. To be looked at only: what is
/// saved of such a session would be taken for the work tree's.
pub fn session_at(global: &Global, rev: &str) -> Result<Session, Failure> {
    let now = located(global)?;
    let store = store(global, &now, None)?;
    let commit = store.commit(rev)?;
    let tree = store.tree(&commit)?;
    let mut session = session_of(global, &now, &tree, &commit, false, &Cancel::default())?;
    session.only = match &global.since {
        None => None,
        Some(since) => Some(names(&self::since(global, &now, &store, since, &tree)?)),
    };
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
        out::warning(format_args!(
            "nothing can be said of the images at `{rev}`: every image counts as changed"
        ));
    }
    Ok(affected)
}

/// The images of the disk, without engine, ledger and state.
pub fn states_of_disk(global: &Global, located: &Located) -> Result<States, Failure> {
    let state = state(global, located)?;
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

/// The git repository around a located one, with what was learned of it. Hooks are told git's own folder.
pub fn store(global: &Global, now: &Located, git_dir: Option<&Path>) -> Result<Arc<GitStore>, Failure> {
    Ok(GitStore::remembering(&now.root, state(global, now)?, git_dir)?)
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
    let at = (located, state(global, now)?);
    open(global, overrides, at, shared, || tree.recipes(), exclusive, cancel, &mut None)
}

#[expect(clippy::too_many_arguments, reason = "three ways to open end here, each with its own of everything")]
fn open(
    global: &Global,
    overrides: Overrides,
    (located, state): (Located, StateFolder),
    tree: Arc<dyn SourceTree>,
    recipes: impl FnOnce() -> Result<Vec<String>, ReadError>,
    exclusive: bool,
    cancel: &Cancel,
    kept: &mut Option<Kept>,
) -> Result<Session, Failure> {
    let environment = Environment::from_lookup(|name| std::env::var(name).ok());
    let registry = Arc::new(OciRegistry::new(registries(global, &state, cancel)?));
    let opening = Opening {
        located,
        overrides,
        // Which engines there are is known when the Imagefile has been read.
        engine: Arc::new(NoEngine),
        registry,
        asking: asking(global),
        tree: Arc::clone(&tree),
        cancel: cancel.clone(),
        environment: std::env::vars_os().collect(),
        state,
        exclusive,
    };
    let waiting = |holder: &str| {
        let who = if holder.is_empty() { "another imk" } else { holder };
        out::note(format_args!("waiting for {who}, which is building in this repository"));
    };
    let mut session = Session::open_with(opening, recipes, waiting, kept)
        .map_err(|error| open_error(error, |path| text(&*tree, path)))?;
    session.executor.enlist(engines::engine_pool(&global.engines, &session.project, &environment)?);
    overlays::on_fetch(&mut session, Arc::new(|url: &str| out::note(format_args!("fetching from {url}"))));
    Ok(session)
}

/// Brings the inputs up to date, and tells what a person should know of the bases outside.
pub fn synced(session: &mut Session, words: &[String]) -> Result<Synced, Failure> {
    let synced = ready::sync(session, words).map_err(|error| sync_error(error, session, VERBS))?;
    for line in words::notes(&session.upstream.take_notes()) {
        out::warning(format_args!("{line}"));
    }
    away(session);
    gone(session);
    Ok(synced)
}

/// Tells which engines do not answer, each once.
fn gone(session: &Session) {
    for (name, error) in session.executor.pool().take_gone() {
        out::warning(format_args!("engine `{name}` is left out: {error}"));
    }
}

/// Tells which registries did not say whether they have an image, and which engines are gone.
pub fn silent(session: &Session) {
    gone(session);
    for error in session.executor.remote_cache.take_silent() {
        out::warning(format_args!("{error}; nobody knows whether it has what was built here or elsewhere"));
    }
}

/// Opens it as if nothing had been remembered: no snapshot, no hashes of files, which are taken to `nowhere`.
pub fn fresh_session(global: &Global, nowhere: &Path) -> Result<Session, Failure> {
    let located = located(global)?;
    let state = state(global, &located)?;
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open(&located.root, &StateFolder::at(nowhere))?);
    let root = located.root.clone();
    let recipes = || discover(&root, &state);
    let (overrides, cancel) = (overrides(global), Cancel::default());
    let at = (located, state.clone());
    let mut session = open(global, overrides, at, tree, recipes, false, &cancel, &mut None)?;
    session.start_over();
    Ok(session)
}

/// The registries as every session asks them.
pub fn registry(global: &Global, located: &Located) -> Result<OciRegistry, Failure> {
    Ok(OciRegistry::new(registries(global, &state(global, located)?, &Cancel::default())?))
}

fn registries(global: &Global, state: &StateFolder, cancel: &Cancel) -> Result<Options, Failure> {
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (host, url) in &global.mirrors {
        mirrors.entry(host.clone()).or_default().push(url.clone());
    }
    let cancel = cancel.clone();
    Ok(Options {
        credentials: credentials()?,
        insecure: global.insecure_registries.iter().cloned().collect(),
        mirrors,
        cache_folder: Some(state.sub("registry")),
        stop: Stop::when(move || cancel.is_cancelled()),
        ..Options::default()
    })
}

/// Logins of this process and of docker.
pub fn credentials() -> Result<Credentials, Failure> {
    Credentials::from_lookup(|name| std::env::var(name).ok()).map_err(|why| {
        Failure::with_hint(
            why,
            "a login goes to the registry it was given for and to no other; docs/credentials.md",
        )
    })
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
        build_number: global.build_number.clone(),
        commit: None,
    }
}

/// Says which branches and tags could not be asked about, and what is used instead.
pub fn away(session: &Session) {
    for away in overlays::away(session) {
        let when = i64::try_from(away.when).ok().and_then(|when| jiff::Timestamp::from_second(when).ok());
        let when = when.map_or_else(String::new, |when| when.strftime(" of %F %H:%M UTC").to_string());
        let commit = &away.commit[..12.min(away.commit.len())];
        out::warning(format_args!(
            "`{}` cannot be asked where `{}` stands: {}; imk goes on with the last answer,{when}: commit {commit}",
            away.url, away.name, away.why
        ));
    }
}

/// Where the state is, as people are told: below the repository's root, or the whole path.
pub fn shown_state(session: &Session) -> String {
    let path = session.state().path().unwrap_or_default();
    path.strip_prefix(&session.project.root).unwrap_or(&path).display().to_string()
}

/// The state could not be changed.
pub fn state_error(session: &Session, why: &std::io::Error) -> Failure {
    Failure::with_hint(
        format!(
            "cannot change what imk keeps in `{}`: {why}",
            session.state().shown("").trim_end_matches('/')
        ),
        "imk must be able to write there; what was removed before stays removed",
    )
}
