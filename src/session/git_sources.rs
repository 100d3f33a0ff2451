//! Other repositories that images use: looked up once a session, and put where the images want them.
//!
//! Only what the images of an order read is looked up, all repositories at once. Knows
//! declarations and trees; how a repository is reached is for `source/git/remote`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::model::time::UnixSeconds;
use crate::parallel::at_once;
use crate::session::project::{Declared, Project};
use crate::source::git::GitTree;
use crate::source::git::remote::{Head, RemoteError, RemoteOptions, Remotes, key};
use crate::source::mounted::MountedTree;
use crate::source::tree::SourceTree;
use crate::state::folder::StateFolder;
use crate::syntax::git_source::{GitSource, GitUrl, Wanted};
use crate::syntax::imagefile::{OverlaySource, Policy};
use crate::syntax::lockfile::Lockfile;

/// How old an answer may be before a repository is asked again. Nothing is taken on trust: who pushes
/// and then runs imk means the new commit, and one `ls-remote` costs less than an image that is not it.
const MAX_AGE: Duration = Duration::ZERO;

/// The other repositories of a session, as far as they are known.
pub struct GitSources {
    pub(crate) remotes: Remotes,
    pub(crate) tree: Arc<MountedTree>,
    options: RemoteOptions,
    /// Commits by Imagefile.lock, by address as shown and [`key`] of what is wanted.
    pinned: BTreeMap<(String, String), String>,
    /// True if a name that the lock file does not have is an error.
    locked: bool,
    /// The trees that were looked up in this session, by address as shown.
    pub(crate) found: BTreeMap<(String, Wanted), Result<Found, RemoteError>>,
}

pub(crate) struct Found {
    pub(crate) tree: GitTree,
    pub(crate) head: Head,
}

/// A branch or tag that could not be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleAnswer {
    /// The repository's address, without secrets.
    pub url: String,
    /// The branch or tag.
    pub name: String,
    /// The commit that is used instead of an answer.
    pub commit: String,
    /// The moment when it was the answer.
    pub when: UnixSeconds,
    /// Why there is none now.
    pub why: String,
}

impl GitSources {
    pub(crate) fn new(
        root: &Path,
        state: &StateFolder,
        environment: &BTreeMap<OsString, OsString>,
        offline: bool,
        tree: Arc<dyn SourceTree>,
    ) -> Self {
        Self {
            remotes: Remotes::new(root, state, environment.clone()),
            tree: Arc::new(MountedTree::new(tree)),
            options: RemoteOptions { offline, max_age: MAX_AGE },
            pinned: BTreeMap::new(),
            locked: false,
            found: BTreeMap::new(),
        }
    }

    /// Has a lock file's commits stand for branches and tags, but for images that float.
    pub(crate) fn pin_locked(&mut self, project: &Project, lock: &Lockfile, locked: bool) {
        let mut pinned = lock.git.clone();
        for declared in project.images.values() {
            if !locked && matches!(declared.options.upstream, Policy::Float | Policy::Every(_)) {
                for source in sources(declared) {
                    pinned.remove(&(source.url.shown.clone(), key(&source.wanted)));
                }
            }
        }
        self.pin(pinned, locked);
    }

    /// The repository's files, and those of contexts from git.
    pub(crate) fn tree(&self) -> Arc<dyn SourceTree> {
        self.tree.clone()
    }

    /// Has the commits of a lock file stand for branches and tags; with `locked` nothing else does.
    pub(crate) fn pin(&mut self, pinned: BTreeMap<(String, String), String>, locked: bool) {
        self.pinned = pinned;
        self.locked = locked;
        self.found.clear();
    }

    /// Where branches and tags stand now, whatever a lock file says, by address as shown and [`key`].
    pub(crate) fn standing<'a>(
        &self,
        sources: impl Iterator<Item = &'a GitSource>,
    ) -> BTreeMap<(String, String), Result<String, RemoteError>> {
        let mut open: BTreeMap<&str, (&GitUrl, BTreeSet<Wanted>)> = BTreeMap::new();
        for GitSource { url, wanted, .. } in sources {
            if !matches!(wanted, Wanted::Commit(_)) {
                open.entry(&url.shown).or_insert_with(|| (url, BTreeSet::new())).1.insert(wanted.clone());
            }
        }
        let open: Vec<_> = open.into_values().collect();
        let options = RemoteOptions { offline: false, max_age: Duration::ZERO };
        let answers = at_once(&open, |(url, wanted)| self.remotes.heads(url, wanted, &options));
        let mut standing = BTreeMap::new();
        for ((url, _), heads) in open.iter().zip(answers) {
            for (wanted, head) in heads {
                let commit = head.and_then(|head| match head.unreachable {
                    // An answer of an earlier day is no answer to this question.
                    Some(why) => Err(RemoteError::Unreachable(why)),
                    None => Ok(head.commit),
                });
                standing.insert((url.shown.clone(), key(&wanted)), commit);
            }
        }
        standing
    }

    /// Where a source stands, as far as that is known without fetching anything.
    pub(crate) fn head(&self, source: &GitSource) -> Option<Head> {
        if let Some(commit) = self.pinned.get(&(source.url.shown.clone(), key(&source.wanted))) {
            return Some(Head { commit: commit.clone(), when: UnixSeconds::default(), unreachable: None });
        }
        let wanted = BTreeSet::from([source.wanted.clone()]);
        let heads = self.remotes.heads(&source.url, &wanted, &self.options);
        heads.into_values().next()?.ok()
    }

    /// Where a source was found to stand in this session.
    pub(crate) fn found_head(&self, source: &GitSource) -> Option<&Head> {
        let found = self.found.get(&(source.url.shown.clone(), source.wanted.clone()))?;
        Some(&found.as_ref().ok()?.head)
    }

    /// Remotes and how they are asked, for builds that fetch what `ADD` names.
    pub(crate) fn for_additions(&self) -> (Remotes, RemoteOptions) {
        (self.remotes.sibling(), self.options.clone())
    }

    /// From now on, what is remembered must do.
    pub(crate) fn ask_nobody(&mut self) {
        self.options.offline = true;
    }

    /// The commits that were looked up of each address, by the folder that keeps them.
    pub(crate) fn commits<'a>(
        &self,
        sources: impl Iterator<Item = &'a GitSource>,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let mut commits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        for GitSource { url, wanted, .. } in sources {
            let of_url = commits.entry(Remotes::folder_name(url)).or_default();
            match self.found.get(&(url.shown.clone(), wanted.clone())) {
                Some(Ok(found)) => drop(of_url.insert(found.head.commit.clone())),
                Some(Err(_)) | None => drop(unknown.insert(Remotes::folder_name(url))),
            }
        }
        // Where something could not be looked up nothing is unused for sure.
        unknown.iter().for_each(|folder| commits.get_mut(folder).into_iter().for_each(BTreeSet::clear));
        for (folder, modules) in self.remotes.modules() {
            if !unknown.contains(&folder) {
                commits.entry(folder).or_default().extend(modules);
            }
        }
        commits
    }

    /// Looks up what is not looked up yet.
    pub(crate) fn look_up<'a>(&mut self, sources: impl Iterator<Item = &'a GitSource>) {
        let mut open: BTreeMap<&str, (&GitUrl, BTreeSet<Wanted>)> = BTreeMap::new();
        for GitSource { url, wanted, .. } in sources {
            if !self.found.contains_key(&(url.shown.clone(), wanted.clone())) {
                open.entry(&url.shown).or_insert_with(|| (url, BTreeSet::new())).1.insert(wanted.clone());
            }
        }
        if open.is_empty() {
            return;
        }
        let this = &*self;
        // Servers are waited for, not computed with: a thread each, whatever the processors.
        let found: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> =
                open.values().map(|(url, wanted)| scope.spawn(move || this.ask(url, wanted))).collect();
            let joined = asked.into_iter().map(|one| match one.join() {
                Ok(found) => found,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect()
        });
        for (url, found) in open.into_keys().map(str::to_owned).zip(found) {
            for (wanted, found) in found {
                self.found.insert((url.clone(), wanted), found);
            }
        }
    }

    /// Asks one repository for all that is wanted of it.
    fn ask(&self, url: &GitUrl, wanted: &BTreeSet<Wanted>) -> BTreeMap<Wanted, Result<Found, RemoteError>> {
        let pin = |one: &Wanted| self.pinned.get(&(url.shown.clone(), key(one)));
        let open: BTreeSet<Wanted> = wanted.iter().filter(|one| pin(one).is_none()).cloned().collect();
        let mut heads = match self.locked {
            true => open.into_iter().filter_map(unlocked).collect(),
            false => self.remotes.heads(url, &open, &self.options),
        };
        let fixed = wanted.iter().filter(|one| self.locked && matches!(one, Wanted::Commit(_)));
        heads.extend(self.remotes.heads(url, &fixed.cloned().collect(), &self.options));
        for one in wanted {
            if let Some(commit) = pin(one) {
                heads.insert(
                    one.clone(),
                    Ok(Head { commit: commit.clone(), when: UnixSeconds::default(), unreachable: None }),
                );
            }
        }
        let tree = |one: &Wanted, head: Head| {
            let tree = self.remotes.tree(url, &head.commit, one, self.options.offline)?;
            Ok(Found { tree, head })
        };
        heads.into_iter().map(|(one, head)| (one.clone(), head.and_then(|head| tree(&one, head)))).collect()
    }

    /// The tree that a source means.
    pub(crate) fn source(&self, source: &GitSource) -> Result<GitTree, (String, String)> {
        let told = |error: &RemoteError| {
            (format!("cannot use `{}`: {error}", source.shown()), error.hint().to_owned())
        };
        let not_asked = RemoteError::NotKnown("it was not looked up".into());
        let place = (source.url.shown.clone(), source.wanted.clone());
        let found = self.found.get(&place).map_or(Err(&not_asked), Result::as_ref).map_err(told)?;
        match found.tree.below(&source.subdir) {
            Ok(Some(tree)) => Ok(tree),
            Ok(None) => {
                let commit = &found.head.commit[..12.min(found.head.commit.len())];
                let what = format!("there is no folder `{}` in its commit {commit}", source.subdir);
                let hint = "`subdir` is a folder below the repository's root, and no link to one outside";
                Err((format!("cannot use `{}`: {what}", source.shown()), hint.into()))
            }
            Err(error) => Err(told(&RemoteError::Broken(error.to_string()))),
        }
    }
}

/// The error for a name that the lock file does not have. A commit needs no lock.
fn unlocked(wanted: Wanted) -> Option<(Wanted, Result<Head, RemoteError>)> {
    if matches!(wanted, Wanted::Commit(_)) {
        return None;
    }
    let why = format!("`{}` of it is not in Imagefile.lock; `imk update` writes it there", wanted.shown());
    Some((wanted, Err(RemoteError::NotKnown(why))))
}

/// The repositories that an image wants something of.
pub(crate) fn sources(declared: &Declared) -> impl Iterator<Item = &GitSource> {
    let overlays = declared.overlays.iter().filter_map(|overlay| match &overlay.from {
        OverlaySource::Git(source) => Some(source),
        OverlaySource::Path(_) => None,
    });
    declared.git.iter().chain(overlays).chain(context_sources(declared).map(|(_, source)| source))
}

/// The repositories that its named contexts are from, by the names of those.
pub(crate) fn context_sources(declared: &Declared) -> impl Iterator<Item = (&String, &GitSource)> {
    declared.context_files.iter().filter_map(|(name, files)| match &files.from {
        OverlaySource::Git(source) => Some((name, source)),
        OverlaySource::Path(_) => None,
    })
}
