//! imk as a library on an engine that only pretends: what a no-op costs without Docker.

use std::path::Path;
use std::sync::Arc;

use imk::build::run::{self, BuildOptions, Summary};
use imk::engine::{Cancel, FakeEngine};
use imk::session::open::{Opening, Session};
use imk::session::project::Overrides;
use imk::session::sync;
use imk::source::discover::discover;
use imk::source::disk::DiskTree;
use imk::source::locate::{Located, Trust, locate};
use imk::source::tree::{ReadError, SourceTree};
use imk::state::folder::{StateFolder, Tell};
use imk::state::place::{self, Wish};

/// A whole run: opens the repository, builds what is stale, saves.
pub fn build(root: &Path, engine: &Arc<FakeEngine>) -> Summary {
    let located = locate(root, true, None, &Trust::of_this_user(None)).expect("the repository is there");
    let root = located.root.clone();
    let state = state(&root);
    let tree = DiskTree::open(&root, &state).expect("the repository opens");
    let mut session = open(located, Arc::new(tree), engine, true, || discover(&root, &state));
    let synced = sync::sync(&mut session, &[]).unwrap_or_else(|error| panic!("{error:?}"));
    let options = BuildOptions { jobs: 2, ..BuildOptions::default() };
    let summary = run::build(&mut session, &synced, &options, &(Arc::new(|_| {}) as _));
    session.save().expect("the state is writable");
    summary
}

/// Its state, found as the program finds it.
fn state(root: &Path) -> StateFolder {
    let tell: Tell = Arc::new(|line| panic!("{line}"));
    place::find(root, &Wish::default(), &tell).expect("the state is there")
}

/// Opens a repository and loads its state.
pub fn open(
    located: Located,
    tree: Arc<dyn SourceTree>,
    engine: &Arc<FakeEngine>,
    exclusive: bool,
    discover: impl FnOnce() -> Result<Vec<String>, ReadError>,
) -> Session {
    let opening = Opening {
        state: state(&located.root),
        located,
        overrides: Overrides::default(),
        engine: Arc::clone(engine) as _,
        tree,
        registry: std::sync::Arc::new(imk::registry::FakeRegistry::new()),
        lookups: imk::session::upstream::LookupOptions::default(),
        cancel: Cancel::default(),
        environment: Default::default(),
        exclusive,
    };
    Session::open(opening, discover, |_| {}).unwrap_or_else(|error| panic!("{error:?}"))
}
