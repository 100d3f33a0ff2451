//! Other repositories: where their branches stand, and the trees of their commits.
//!
//! Looking up a head costs one `git ls-remote`, and nothing is fetched unless a commit
//! is new: then that one commit, without its history, goes into a bare repository below
//! `.imk/git`, where libgit2 reads it. Whoever is away is answered for from memory, and the
//! answer says so. Knows nothing of images.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use git2::Oid;
use parking_lot::Mutex;

use super::heads::{Answer, Heads};
use super::keep;
use super::program::Program;
use super::{GitStore, GitTree};
use crate::model::hash::ContentHash;
use crate::model::time::UnixSeconds;
use crate::patience::Patience;
use crate::state::folder::StateFolder;
use crate::syntax::git_source::{GitUrl, Scheme, Wanted};

pub use super::program::RemoteError;

/// How heads are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Ask nobody; what is remembered must do.
    pub offline: bool,
    /// An answer not older than this is as good as a new one.
    pub max_age: Duration,
}

/// Where a branch or tag stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Forty hexadecimal digits.
    pub commit: String,
    /// The moment when the repository said so.
    pub when: UnixSeconds,
    /// Why it could not be asked now, if that was tried in vain.
    pub unreachable: Option<String>,
}

/// All other repositories that one repository uses.
pub struct Remotes {
    /// Where relative paths begin.
    root: PathBuf,
    /// The part of the state that is ours.
    state: StateFolder,
    environment: BTreeMap<OsString, OsString>,
    heads: Mutex<Heads>,
    stores: Mutex<BTreeMap<PathBuf, Arc<GitStore>>>,
    fetching: Option<Fetching>,
    patience: Patience,
}

/// Is told the address, as shown, of a repository before it is fetched from: that may take its time.
pub type Fetching = Arc<dyn Fn(&str) + Send + Sync>;

impl Remotes {
    /// The remotes of the repository at `root`, whose state lies in `state`. Nothing is asked or made yet.
    pub fn new(root: &Path, state: &StateFolder, environment: BTreeMap<OsString, OsString>) -> Self {
        let state = state.sub("git");
        Self {
            root: root.to_owned(),
            heads: Mutex::new(Heads::load(&state)),
            state,
            environment,
            stores: Mutex::default(),
            fetching: None,
            patience: Patience::default(),
        }
    }

    /// Has somebody told of every fetch.
    pub fn on_fetch(&mut self, fetching: Fetching) {
        self.fetching = Some(fetching);
    }

    /// Waits for their servers as a run waits for everybody.
    pub fn wait_by(&mut self, patience: &Patience) {
        self.patience = patience.clone();
    }

    /// Where what is wanted of a repository stands. It is asked once for all of it, if at all.
    pub fn heads(
        &self,
        url: &GitUrl,
        wanted: &BTreeSet<Wanted>,
        options: &RemoteOptions,
    ) -> BTreeMap<Wanted, Result<Head, RemoteError>> {
        let now = UnixSeconds::now();
        let mut found = BTreeMap::new();
        let mut open = BTreeSet::new();
        for one in wanted {
            let known = self.remembered(url, one);
            match (one, known) {
                (Wanted::Commit(id), _) => {
                    found.insert(one.clone(), Ok(Head { commit: id.clone(), when: now, unreachable: None }));
                }
                (_, Some(head)) if options.offline || now.since(head.when) < options.max_age => {
                    found.insert(one.clone(), Ok(head));
                }
                (_, None) if options.offline => {
                    let why =
                        format!("imk is not to ask it, and does not know where `{}` stands", one.shown());
                    found.insert(one.clone(), Err(RemoteError::NotKnown(why)));
                }
                _ => drop(open.insert(one.clone())),
            }
        }
        if open.is_empty() {
            return found;
        }
        match self.list(url, &open) {
            Ok(refs) => {
                let mut heads = self.heads.lock();
                for one in open {
                    let head = standing(&one, &refs);
                    let answer = head.map(|commit| {
                        heads.set(&url.shown, &key(&one), Answer { commit: commit.clone(), asked: now });
                        Head { commit, when: now, unreachable: None }
                    });
                    found.insert(one, answer);
                }
                // Remembering serves the next run only.
                let _ = heads.save(&self.state);
            }
            Err(error) => {
                for one in open {
                    // Only who does not answer at all is answered for; a refusal is an answer.
                    let answer = match (&error, self.remembered(url, &one)) {
                        (RemoteError::Unreachable(why), Some(head)) => {
                            Ok(Head { unreachable: Some(why.clone()), ..head })
                        }
                        _ => Err(error.clone()),
                    };
                    found.insert(one, answer);
                }
            }
        }
        found
    }

    /// The tree of a commit, fetched unless it is there. `wanted` helps with servers that give no commit by its id.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn tree(
        &self,
        url: &GitUrl,
        commit: &str,
        wanted: &Wanted,
        offline: bool,
    ) -> Result<GitTree, RemoteError> {
        let folder = self.kept(&Self::folder_name(url));
        if !has(&folder, commit) {
            if offline {
                let short = &commit[..12.min(commit.len())];
                let why = format!("imk is not to ask it, and does not have its commit {short}");
                return Err(RemoteError::NotKnown(why));
            }
            keep::bare(&folder).map_err(cannot_keep)?;
            self.fetch(url, &folder, commit, wanted)?;
        }
        let path = keep::bare_unless_whole(&folder).map_err(cannot_keep)?;
        let broken = |error: crate::source::tree::ReadError| RemoteError::Broken(error.to_string());
        let known = self.stores.lock().get(&path).cloned();
        let store = match known {
            Some(store) => store,
            None => GitStore::bare(&path).map_err(broken)?,
        };
        self.stores.lock().insert(path, Arc::clone(&store));
        store.commit(commit).and_then(|commit| store.tree(&commit)).map_err(broken)
    }

    /// Asks a repository for nothing, to see that it answers and lets us in. Fetches nothing and remembers nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn reach(&self, url: &GitUrl) -> Result<(), RemoteError> {
        let address = self.address(url);
        let words = ["ls-remote", "--quiet", "--", address.as_str(), "HEAD"];
        self.program(url, None).run(&words).map(drop)
    }

    /// Where the commits of a folder of ours are.
    pub(super) fn kept(&self, folder: &str) -> StateFolder {
        self.state.sub(folder)
    }

    /// The environment in which git is run.
    pub(super) fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.environment
    }

    /// The name of the folder that keeps an address's commits.
    pub fn folder_name(url: &GitUrl) -> String {
        ContentHash::of(url.shown.as_bytes()).short(32)
    }

    fn remembered(&self, url: &GitUrl, wanted: &Wanted) -> Option<Head> {
        let heads = self.heads.lock();
        let Answer { commit, asked } = heads.get(&url.shown, &key(wanted))?.clone();
        Some(Head { commit, when: asked, unreachable: None })
    }

    /// Ids by full names of refs; a tag's `^{}` is what it points to.
    fn list(&self, url: &GitUrl, wanted: &BTreeSet<Wanted>) -> Result<BTreeMap<String, String>, RemoteError> {
        let address = self.address(url);
        let names: BTreeSet<String> = wanted.iter().flat_map(Wanted::names).collect();
        let peeled: Vec<String> = names.iter().map(|name| format!("{name}^{{}}")).collect();
        let mut words = vec!["ls-remote", "--", address.as_str()];
        words.extend(names.iter().map(String::as_str));
        words.extend(peeled.iter().map(String::as_str));
        let said = self.program(url, None).run(&words)?;
        let pairs = said.lines().filter_map(|line| line.split_once('\t'));
        Ok(pairs.map(|(id, name)| (name.to_owned(), id.to_owned())).collect())
    }

    fn fetch(
        &self,
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
        let program = self.program(url, Some(folder));
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

    fn program<'a>(&'a self, url: &'a GitUrl, folder: Option<&'a StateFolder>) -> Program<'a> {
        Program { environment: &self.environment, url, folder, patience: &self.patience }
    }

    fn address(&self, url: &GitUrl) -> String {
        match url.scheme {
            Scheme::Local => self.root.join(&url.address).to_string_lossy().into_owned(),
            _ => url.address.clone(),
        }
    }
}

fn cannot_keep(error: std::io::Error) -> RemoteError {
    RemoteError::Broken(format!("cannot keep what is fetched: {error}"))
}

/// The name under which an answer is remembered.
pub fn key(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Any(name) => name.clone(),
        Wanted::Commit(id) => id.clone(),
        other => other.names().pop().unwrap_or_default(),
    }
}

/// Where something stands by a list of refs.
fn standing(wanted: &Wanted, refs: &BTreeMap<String, String>) -> Result<String, RemoteError> {
    let names = wanted.names();
    let id = names.iter().find_map(|name| refs.get(&format!("{name}^{{}}")).or_else(|| refs.get(name)));
    match id {
        Some(id) if id.len() == 40 => Ok(id.clone()),
        Some(_) => Err(RemoteError::Broken("its ids are SHA-256, which libgit2 cannot read".into())),
        None => Err(RemoteError::NoRef(match wanted {
            Wanted::Head => "`HEAD`: it is empty, or its default branch is gone; name a branch".into(),
            Wanted::Branch(name) => format!("branch `{name}`"),
            Wanted::Tag(name) => format!("tag `{name}`"),
            Wanted::Any(name) | Wanted::Commit(name) => format!("branch or tag `{name}`"),
        })),
    }
}

/// Whether a commit is there, with all that it holds: a fetch is all or nothing.
fn has(folder: &StateFolder, commit: &str) -> bool {
    let found = keep::open(folder)
        .and_then(|repository| Oid::from_str(commit).ok().map(|id| repository.find_commit(id).is_ok()));
    found.unwrap_or(false)
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
