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

use parking_lot::Mutex;

use super::fetcher::{self, Fetcher};
use super::heads::{Answer, Heads};
use super::keep::Namer;
use super::module_source::ModuleSource;
use super::{GitStore, GitTree};
use crate::model::time::UnixSeconds;
use crate::patience::Patience;
use crate::state::folder::StateFolder;
use crate::syntax::git_source::{GitUrl, Wanted};

pub use super::fetcher::Fetching;
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
    /// All hexadecimal digits.
    pub commit: String,
    /// The moment when the repository said so.
    pub when: UnixSeconds,
    /// Why it could not be asked now, if that was tried in vain.
    pub unreachable: Option<String>,
}

/// All other repositories that one repository uses.
pub struct Remotes {
    fetcher: Fetcher,
    heads: Mutex<Heads>,
    stores: Mutex<BTreeMap<PathBuf, Arc<GitStore>>>,
}

impl Remotes {
    /// The remotes of the repository at `root`, whose state lies in `state`. Nothing is asked or made yet.
    pub fn new(root: &Path, state: &StateFolder, environment: BTreeMap<OsString, OsString>) -> Self {
        let fetcher = Fetcher::new(root, state, environment);
        let heads = Mutex::new(Heads::load(fetcher.state()));
        Self { fetcher, heads, stores: Mutex::default() }
    }

    /// One for other threads, over what is kept of the same repositories.
    pub fn sibling(&self) -> Self {
        let fetcher = self.fetcher.clone();
        let heads = Mutex::new(Heads::load(fetcher.state()));
        Self { fetcher, heads, stores: Mutex::default() }
    }

    /// Has somebody told of every fetch.
    pub fn on_fetch(&mut self, fetching: Fetching) {
        self.fetcher.on_fetch(fetching);
    }

    /// Waits for their servers as a run waits for everybody.
    pub fn wait_by(&mut self, patience: &Patience) {
        self.fetcher.wait_by(patience);
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
                let _ = heads.save(self.fetcher.state());
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
    /// Submodules in it are fetched when something in them is read, as far as they are on the same host.
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
        let path = self.fetcher.commit(Namer::User, url, commit, wanted, offline)?;
        let broken = |error: crate::source::tree::ReadError| RemoteError::Broken(error.to_string());
        let known = self.stores.lock().get(&path).cloned();
        let store = match known {
            Some(store) => store,
            None => {
                let store = GitStore::bare(&path).map_err(broken)?;
                store.fetch_modules(ModuleSource::of_other(self.fetcher.clone(), url, offline));
                store
            }
        };
        self.stores.lock().insert(path, Arc::clone(&store));
        store.commit(commit).and_then(|commit| store.tree(&commit)).map(GitTree::strict).map_err(broken)
    }

    /// Asks a repository for nothing, to see that it answers and lets us in. Fetches nothing and remembers nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn reach(&self, url: &GitUrl) -> Result<(), RemoteError> {
        let address = self.fetcher.address(url);
        let words = ["ls-remote", "--quiet", "--", address.as_str(), "HEAD"];
        self.fetcher.question(url).run(&words).map(drop)
    }

    /// Where the commits of a folder of ours are.
    pub(super) fn kept(&self, folder: &str) -> StateFolder {
        self.fetcher.kept(folder)
    }

    /// The environment in which git is run.
    pub(super) fn environment(&self) -> &BTreeMap<OsString, OsString> {
        self.fetcher.environment()
    }

    /// The name of the folder that keeps an address's commits.
    pub fn folder_name(url: &GitUrl) -> String {
        fetcher::folder_name(url)
    }

    /// Commits of submodules that are used, by the folders that keep them.
    pub fn modules(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.fetcher.modules()
    }

    fn remembered(&self, url: &GitUrl, wanted: &Wanted) -> Option<Head> {
        let heads = self.heads.lock();
        let Answer { commit, asked } = heads.get(&url.shown, &key(wanted))?.clone();
        Some(Head { commit, when: asked, unreachable: None })
    }

    /// Ids by full names of refs; a tag's `^{}` is what it points to.
    fn list(&self, url: &GitUrl, wanted: &BTreeSet<Wanted>) -> Result<BTreeMap<String, String>, RemoteError> {
        let address = self.fetcher.address(url);
        let names: BTreeSet<String> = wanted.iter().flat_map(Wanted::names).collect();
        let peeled: Vec<String> = names.iter().map(|name| format!("{name}^{{}}")).collect();
        let mut words = vec!["ls-remote", "--", address.as_str()];
        words.extend(names.iter().map(String::as_str));
        words.extend(peeled.iter().map(String::as_str));
        let said = self.fetcher.question(url).run(&words)?;
        let pairs = said.lines().filter_map(|line| line.split_once('\t'));
        Ok(pairs.map(|(id, name)| (name.to_owned(), id.to_owned())).collect())
    }
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
        Some(id) => Ok(id.clone()),
        None => Err(RemoteError::NoRef(match wanted {
            Wanted::Head => "`HEAD`: it is empty, or its default branch is gone; name a branch".into(),
            Wanted::Branch(name) => format!("branch `{name}`"),
            Wanted::Tag(name) => format!("tag `{name}`"),
            Wanted::Any(name) | Wanted::Commit(name) => format!("branch or tag `{name}`"),
        })),
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
