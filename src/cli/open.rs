//! Opens the repository that the command line means.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, open_error};
use crate::cli::{embedded, engines, locate, monitor, out, overrides, registries};
use crate::embedded::NAME;
use crate::engine::{Cancel, Environment, NoEngine};
use crate::explain::affected::{Affected, affected};
use crate::explain::tree_state::{Asked, TreeState};
use crate::model::time::UnixSeconds;
use crate::registry::{OciRegistry, Registry};
use crate::session::open::{Kept, OpenError, Opening, Session};
use crate::session::overlays;
use crate::session::project::{Overrides, ProjectError};
use crate::session::upstream::LookupOptions;
use crate::source::discover::{discover, discover_watched};
use crate::source::disk::DiskTree;
use crate::source::git::checked_out::CheckedOut;
use crate::source::git::fetcher::{Fetcher, Fetching};
use crate::source::git::history::Commit;
use crate::source::git::{GitStore, GitTree};
use crate::source::locate::Located;
use crate::source::tree::{ReadError, SourceTree};
use crate::state::folder::StateFolder;

/// Opens it; `exclusive` verbs wait for each other.
pub fn session(global: &Global, exclusive: bool, cancel: &Cancel) -> Result<Session, Failure> {
    session_with(global, exclusive, cancel, &mut None)
}

/// As [`session`], for a verb that goes on to look at the files of what `words` mean. Where they mean everything, that
/// begins at once, beside the reading of the Imagefile.
pub fn session_to_look(
    global: &Global,
    words: &[String],
    exclusive: bool,
    cancel: &Cancel,
) -> Result<Session, Failure> {
    let ahead = words.is_empty() && global.since.is_none();
    session_of_disk(global, ahead, exclusive, cancel, &mut None)
}

/// As [`session`], with what an earlier session of this process left.
pub fn session_with(
    global: &Global,
    exclusive: bool,
    cancel: &Cancel,
    kept: &mut Option<Kept>,
) -> Result<Session, Failure> {
    session_of_disk(global, false, exclusive, cancel, kept)
}

fn session_of_disk(
    global: &Global,
    ahead: bool,
    exclusive: bool,
    cancel: &Cancel,
    kept: &mut Option<Kept>,
) -> Result<Session, Failure> {
    let located = locate::located(global)?;
    let state = locate::state(global, &located)?;
    let monitor = monitor::monitor(global, &located);
    let tree = DiskTree::open_watched(&located.root, &state, monitor.clone())?;
    if ahead {
        tree.look_ahead();
    }
    let tree: Arc<dyn SourceTree> = Arc::new(tree);
    let root = located.root.clone();
    let only = match &global.since {
        None => None,
        Some(rev) => {
            let git = GitStore::open(&root)?;
            Some(names(&since(global, &located, &git, rev, &git.work_tree()?)?))
        }
    };
    let overrides = overrides::overrides(global);
    let recipes = || discover_watched(&root, &state, monitor.as_deref());
    let files = Files { located, state: state.clone(), tree, commit: None, recipes };
    let mut session = open(global, overrides, files, exclusive, cancel, kept)?;
    session.only = only;
    Ok(session)
}

/// Opens it to look at the files of a commit. To be looked at only: what is
/// saved of such a session would be taken for the work tree's.
pub fn session_at(global: &Global, rev: &str) -> Result<Session, Failure> {
    let now = locate::located(global)?;
    let store = locate::store(global, &now, None)?;
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
    let overrides = overrides::overrides(global);
    let asked = Asked { located, named: global.file.is_some(), overrides: &overrides };
    let before = git.tree(&git.since(rev)?)?;
    let affected = affected(&asked, &before, after).map_err(|error| tree_state_error(error, after))?;
    if affected.nothing_before.is_some() {
        out::warning(format_args!(
            "nothing can be said of the images at `{rev}`: every image counts as changed"
        ));
    }
    Ok(affected)
}

/// The images of the disk, without engine, ledger and state.
pub fn tree_state_of_disk(global: &Global, located: &Located) -> Result<TreeState, Failure> {
    let state = locate::state(global, located)?;
    let monitor = monitor::monitor(global, located);
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open_watched(&located.root, &state, monitor.clone())?);
    let overrides = overrides::overrides(global);
    let asked = Asked { located, named: global.file.is_some(), overrides: &overrides };
    TreeState::of(&asked, Arc::clone(&tree), || discover_watched(&located.root, &state, monitor.as_deref()))
        .map_err(|error| tree_state_error(error, &*tree))
}

/// Why nothing can be said of the images of a tree.
pub fn tree_state_error(error: ProjectError, tree: &dyn SourceTree) -> Failure {
    open_error(OpenError::Project(error), |path| String::from_utf8(tree.read(path).ok()??).ok())
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
    let state = locate::state(global, now)?;
    let shared: Arc<dyn SourceTree> = Arc::new(CheckedOut::new(tree.clone(), &now.root, &state)?);
    let overrides = Overrides { commit: Some(commit.id.clone()), ..overrides::overrides(global) };
    let files = Files { located, state, tree: shared, commit: Some(tree), recipes: || tree.recipes() };
    open(global, overrides, files, exclusive, cancel, &mut None)
}

/// The files that a session is opened over: of the disk or of a commit.
struct Files<'a, Recipes> {
    located: Located,
    state: StateFolder,
    tree: Arc<dyn SourceTree>,
    /// The commit, where they are of one.
    commit: Option<&'a GitTree>,
    /// Finds the Dockerfiles where no Imagefile names them.
    recipes: Recipes,
}

/// The one way in which every session of the command line is opened.
fn open<Recipes: FnOnce() -> Result<Vec<String>, ReadError>>(
    global: &Global,
    overrides: Overrides,
    files: Files<'_, Recipes>,
    exclusive: bool,
    cancel: &Cancel,
    kept: &mut Option<Kept>,
) -> Result<Session, Failure> {
    let Files { located, state, tree, commit, recipes } = files;
    let here = locate::path(global, &located, ".").unwrap_or_default();
    let environment = Environment::from_lookup(|name| std::env::var(name).ok());
    let patience = registries::patience(global);
    let fetching: Fetching = Arc::new(|url: &str| out::note(format_args!("fetching from {url}")));
    if let Some(commit) = commit {
        let mut fetcher = Fetcher::new(&located.root, &state, std::env::vars_os().collect());
        fetcher.on_fetch(Arc::clone(&fetching));
        fetcher.wait_by(&patience);
        commit.fetch_modules(fetcher, global.offline);
    }
    let registry: Arc<dyn Registry> =
        Arc::new(OciRegistry::new(registries::registries(global, &state, cancel, &patience)?));
    let opening = Opening {
        located,
        overrides,
        // Which engines there are is known when the Imagefile has been read.
        engine: Arc::new(NoEngine),
        registry: Arc::clone(&registry),
        lookups: lookups(global),
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
        .map_err(|error| open_error(error, |path| locate::text(&*tree, path)))?;
    let maker = embedded::Maker::new(global, registry)?;
    let around = engines::Around { environment: &environment, patience: &patience };
    let makers =
        engines::Makers { embedded: &|| maker.engine(), buildkitd: &|daemon| maker.buildkitd(daemon) };
    let pool = engines::engine_pool(&global.engines, &session.project, &around, &makers)?;
    let chosen = global.engines.is_empty() && pool.default_node().name == NAME;
    session.executor.enlist(pool);
    if exclusive {
        if chosen {
            out::note(format_args!(
                "note: no engine is configured here, so imk builds by itself; `--engine` names one"
            ));
        }
        embedded::tell_of_switch(&session);
    }
    session.here = here;
    overlays::wait_by(&mut session, &patience);
    overlays::on_fetch(&mut session, fetching);
    Ok(session)
}

/// Opens it as if nothing had been remembered: no snapshot, no hashes of files, which are taken to `nowhere`.
pub fn fresh_session(global: &Global, nowhere: &Path) -> Result<Session, Failure> {
    let located = locate::located(global)?;
    let state = locate::state(global, &located)?;
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open(&located.root, &StateFolder::at(nowhere))?);
    let root = located.root.clone();
    let recipes = || discover(&root, &state);
    let (overrides, cancel) = (overrides::overrides(global), Cancel::default());
    let files = Files { located, state: state.clone(), tree, commit: None, recipes };
    let mut session = open(global, overrides, files, false, &cancel, &mut None)?;
    session.start_over();
    Ok(session)
}

fn lookups(global: &Global) -> LookupOptions {
    let now = UnixSeconds::now();
    LookupOptions { offline: global.offline, locked: global.locked, anew: global.pull, now }
}
