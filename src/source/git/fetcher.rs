//! Fetches commits of other repositories into the state, each alone and without its history.
//!
//! A commit that is there is never fetched again, and nobody is asked for it. Knows neither branches nor what is in
//! a commit. An address is somebody's: the user's own, or one that a checkout names, for which git goes fewer ways.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::keep::{self, Namer};
use super::object_id;
use super::program::{Place, Program, RemoteError};
use crate::model::hash::ContentHash;
use crate::patience::Patience;
use crate::state::folder::StateFolder;
use crate::syntax::git_source::{GitUrl, Scheme, Wanted};

/// Is told the address, as shown, of a repository before it is fetched from: that may take its time.
pub type Fetching = Arc<dyn Fn(&str) + Send + Sync>;

/// Commits by the folder that keeps them.
pub(super) type Commits = BTreeMap<String, BTreeSet<String>>;

/// Fetches commits into one state. Clones share nothing but what they met.
#[derive(Clone)]
pub struct Fetcher {
    /// Where relative paths begin.
    root: PathBuf,
    /// The part of the state that is ours.
    state: StateFolder,
    environment: BTreeMap<OsString, OsString>,
    fetching: Option<Fetching>,
    patience: Patience,
    /// Commits of submodules that were had of it.
    modules: Arc<Mutex<Commits>>,
}

impl Fetcher {
    /// One for the repository at `root`, whose state lies in `state`. Nothing is asked or made yet.
    pub fn new(root: &Path, state: &StateFolder, environment: BTreeMap<OsString, OsString>) -> Self {
        Self {
            root: root.to_owned(),
            state: state.sub("git"),
            environment,
            fetching: None,
            patience: Patience::default(),
            modules: Arc::default(),
        }
    }

    /// Has somebody told of every fetch.
    pub fn on_fetch(&mut self, fetching: Fetching) {
        self.fetching = Some(fetching);
    }

    /// Waits for servers as a run waits for everybody.
    pub fn wait_by(&mut self, patience: &Patience) {
        self.patience = patience.clone();
    }

    /// The kept repository that has a commit, fetched unless it is there. `wanted` helps with servers that give no
    /// commit by its id.
    ///
    /// # Errors
    /// When it can't be had.
    pub(super) fn commit(
        &self,
        namer: Namer,
        url: &GitUrl,
        commit: &str,
        wanted: &Wanted,
        offline: bool,
    ) -> Result<PathBuf, RemoteError> {
        let name = folder_name(url);
        let folder = self.kept(&name);
        if namer == Namer::Checkout {
            self.modules.lock().entry(name).or_default().insert(commit.to_owned());
        }
        if !has(&folder, commit) {
            if offline {
                let short = &commit[..12.min(commit.len())];
                let why = format!("imk is not to ask it, and does not have its commit {short}");
                return Err(RemoteError::NotKnown(why));
            }
            keep::bare(&folder, object_id::format_of(commit)).map_err(cannot_keep)?;
            self.fetch(namer, url, &folder, commit, wanted)?;
        }
        keep::bare_unless_whole(&folder).map_err(cannot_keep)
    }

    /// Commits of submodules that were had of this one and its clones.
    pub(super) fn modules(&self) -> Commits {
        self.modules.lock().clone()
    }

    /// Where the commits of a folder of ours are.
    pub(super) fn kept(&self, folder: &str) -> StateFolder {
        self.state.sub(folder)
    }

    /// The part of the state that is ours.
    pub(super) fn state(&self) -> &StateFolder {
        &self.state
    }

    /// The environment in which git is run.
    pub(super) fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.environment
    }

    /// The git program, for questions to a repository whose address the user named.
    pub(super) fn question<'a>(&'a self, url: &'a GitUrl) -> Program<'a> {
        self.program(Namer::User, url, None)
    }

    /// The address that git is given.
    pub(super) fn address(&self, url: &GitUrl) -> String {
        match url.scheme {
            Scheme::Local => self.root.join(&url.address).to_string_lossy().into_owned(),
            _ => url.address.clone(),
        }
    }

    fn fetch(
        &self,
        namer: Namer,
        url: &GitUrl,
        folder: &StateFolder,
        commit: &str,
        wanted: &Wanted,
    ) -> Result<(), RemoteError> {
        let turn = folder.open_file("imk.lock", false).map_err(cannot_keep)?;
        turn.lock().map_err(cannot_keep)?;
        if has(folder, commit) {
            return Ok(());
        }
        if let Some(fetching) = &self.fetching {
            fetching(&url.shown);
        }
        let address = self.address(url);
        let program = self.program(namer, url, Some(folder));
        let only = format!("+{commit}:refs/imk/{commit}");
        let shallow = ["fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--depth=1", "--"];
        let mut last = match program.run(&[&shallow[..], &[&address, &only]].concat()) {
            Ok(_) => return Ok(()),
            // Away or closed for one way is away or closed for every other.
            Err(error @ (RemoteError::Unreachable(_) | RemoteError::Refused(_))) => return Err(error),
            Err(error) => error,
        };
        // An old server gives the heads of branches only, and a dumb one only everything.
        for name in wanted.names() {
            let head = format!("+{name}:refs/imk/{commit}");
            let got = program.run(&[&shallow[..], &[&address, &head]].concat());
            if got.is_ok() && has(folder, commit) {
                return Ok(());
            }
        }
        let all = ["fetch", "--progress", "--no-recurse-submodules", "--", &address];
        let everything = ["+refs/heads/*:refs/imk/heads/*", "+refs/tags/*:refs/imk/tags/*"];
        match program.run(&[&all[..], &everything[..]].concat()) {
            Ok(_) if has(folder, commit) => return Ok(()),
            Ok(_) => {}
            Err(error) => last = error,
        }
        match last {
            RemoteError::NoRef(_) => {
                Err(RemoteError::NoRef(format!("commit {}", &commit[..12.min(commit.len())])))
            }
            other => Err(other),
        }
    }

    fn program<'a>(&'a self, namer: Namer, url: &'a GitUrl, folder: Option<&'a StateFolder>) -> Program<'a> {
        let place = folder.map_or(Place::Nowhere, Place::Kept);
        Program { environment: &self.environment, url, place, patience: &self.patience, namer }
    }
}

/// The name of the folder that keeps an address's commits.
pub(super) fn folder_name(url: &GitUrl) -> String {
    ContentHash::of(url.shown.as_bytes()).short(32)
}

fn cannot_keep(error: std::io::Error) -> RemoteError {
    RemoteError::Broken(format!("cannot keep what is fetched: {error}"))
}

/// Whether a commit is there, with all that it holds: a fetch is all or nothing.
pub(super) fn has(folder: &StateFolder, commit: &str) -> bool {
    let found = keep::open(folder)
        .and_then(|repository| object_id::parse(commit).ok().map(|id| repository.find_commit(id).is_ok()));
    found.unwrap_or(false)
}
