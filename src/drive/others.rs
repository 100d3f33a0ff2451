//! Other repositories that images use: looked up once a session, and put where the images want them.
//!
//! Only what the images of an order read is looked up, all repositories at once. Knows
//! declarations and trees; how a repository is reached is for `source/git/remote`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::project::Declared;
use super::session::Session;
use super::upstream::at_once;
use crate::name;
use crate::query::graph::Order;
use crate::query::inputs::Context;
use crate::query::problem::Problem;
use crate::query::recipe::recipe;
use crate::source::git::GitTree;
use crate::source::git::remote::{Asking, Fetching, Head, RemoteError, Remotes, key};
use crate::source::mounted::MountedTree;
use crate::source::overlay::{Overlay, Place};
use crate::source::tree::{ReadError, SourceTree};
use crate::state::folder::StateFolder;
use crate::syntax::error::Span;
use crate::syntax::git_source::{GitSource, GitUrl, Wanted};
use crate::syntax::glob::is_within;
use crate::syntax::imagefile::{OverlaySource, Policy};
use crate::syntax::lockfile::Lockfile;

/// How old an answer may be before a repository is asked again. Nothing is taken on trust: who pushes
/// and then runs imk means the new commit, and one `ls-remote` costs less than an image that is not it.
const MAX_AGE: Duration = Duration::ZERO;

/// What a session knows of other repositories.
pub struct Others {
    remotes: Remotes,
    tree: Arc<MountedTree>,
    asking: Asking,
    /// Commits by Imagefile.lock, by address as shown and [`key`] of what is wanted.
    pinned: BTreeMap<(String, String), String>,
    /// What the lock file does not have is an error.
    locked: bool,
    /// What was looked up in this session, by address as shown.
    found: BTreeMap<(String, Wanted), Result<Found, RemoteError>>,
}

struct Found {
    tree: GitTree,
    head: Head,
}

/// A branch or tag that could not be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    /// The repository's address, without secrets.
    pub url: String,
    /// The branch or tag.
    pub name: String,
    /// The commit that is used instead of an answer.
    pub commit: String,
    /// Seconds since 1970 when it was the answer.
    pub when: u64,
    /// Why there is none now.
    pub why: String,
}

impl Others {
    pub(super) fn new(
        root: &Path,
        state: &StateFolder,
        environment: &BTreeMap<OsString, OsString>,
        offline: bool,
        tree: Arc<dyn SourceTree>,
    ) -> Self {
        Self {
            remotes: Remotes::new(root, state, environment.clone()),
            tree: Arc::new(MountedTree::new(tree)),
            asking: Asking { offline, max_age: MAX_AGE },
            pinned: BTreeMap::new(),
            locked: false,
            found: BTreeMap::new(),
        }
    }

    /// The repository's files, and those of contexts from git.
    pub(super) fn tree(&self) -> Arc<dyn SourceTree> {
        self.tree.clone()
    }

    /// Has the commits of a lock file stand for branches and tags; with `locked` nothing else does.
    pub(super) fn pin(&mut self, pinned: BTreeMap<(String, String), String>, locked: bool) {
        self.pinned = pinned;
        self.locked = locked;
        self.found.clear();
    }

    /// Where branches and tags stand now, whatever a lock file says, by address as shown and [`key`].
    pub(super) fn standing<'a>(
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
        let asking = Asking { offline: false, max_age: Duration::ZERO };
        let answers = at_once(&open, |(url, wanted)| self.remotes.heads(url, wanted, &asking));
        let mut standing = BTreeMap::new();
        for ((url, _), heads) in open.iter().zip(answers) {
            for (wanted, head) in heads {
                let commit = head.and_then(|head| match head.away {
                    // An answer of an earlier day is no answer to this question.
                    Some(why) => Err(RemoteError::Unreachable(why)),
                    None => Ok(head.commit),
                });
                standing.insert((url.shown.clone(), key(&wanted)), commit);
            }
        }
        standing
    }

    /// The commit that a source stands for, as far as it is known without fetching anything.
    pub(super) fn commit(&self, source: &GitSource) -> Option<String> {
        if let Some(commit) = self.pinned.get(&(source.url.shown.clone(), key(&source.wanted))) {
            return Some(commit.clone());
        }
        let wanted = BTreeSet::from([source.wanted.clone()]);
        let heads = self.remotes.heads(&source.url, &wanted, &self.asking);
        heads.into_values().next()?.ok().map(|head| head.commit)
    }

    /// From now on, what is remembered must do.
    pub(super) fn ask_nobody(&mut self) {
        self.asking.offline = true;
    }

    /// The commits that were looked up of each address, by the folder that keeps them.
    fn commits<'a>(
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
        commits
    }

    /// Looks up what is not looked up yet.
    fn look_up<'a>(&mut self, sources: impl Iterator<Item = &'a GitSource>) {
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
            false => self.remotes.heads(url, &open, &self.asking),
        };
        let fixed = wanted.iter().filter(|one| self.locked && matches!(one, Wanted::Commit(_)));
        heads.extend(self.remotes.heads(url, &fixed.cloned().collect(), &self.asking));
        for one in wanted {
            if let Some(commit) = pin(one) {
                heads.insert(one.clone(), Ok(Head { commit: commit.clone(), when: 0, away: None }));
            }
        }
        let tree = |one: &Wanted, head: Head| {
            let tree = self.remotes.tree(url, &head.commit, one, self.asking.offline)?;
            Ok(Found { tree, head })
        };
        heads.into_iter().map(|(one, head)| (one.clone(), head.and_then(|head| tree(&one, head)))).collect()
    }

    /// The tree that a source means.
    fn source(&self, source: &GitSource) -> Result<GitTree, (String, String)> {
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

/// What is wanted and is not in the lock file. A commit needs no lock.
fn unlocked(wanted: Wanted) -> Option<(Wanted, Result<Head, RemoteError>)> {
    if matches!(wanted, Wanted::Commit(_)) {
        return None;
    }
    let why = format!("`{}` of it is not in Imagefile.lock; `imk update` writes it there", wanted.shown());
    Some((wanted, Err(RemoteError::NotKnown(why))))
}

/// The repositories that an image wants something of.
fn sources(declared: &Declared) -> impl Iterator<Item = &GitSource> {
    let overlays = declared.overlays.iter().filter_map(|overlay| match &overlay.from {
        OverlaySource::Git(source) => Some(source),
        OverlaySource::Path(_) => None,
    });
    declared.git.iter().chain(overlays)
}

/// Where a part of a context is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The path below the context; `""` for all of it.
    pub at: String,
    /// A path of the repository, or an address as docker writes it.
    pub from: String,
    /// The commit, if it is from git and known.
    pub commit: Option<String>,
}

/// The commits in use, by the folder of `.imk/git` that keeps them; none where not all are known.
pub(crate) fn git_commits(session: &Session) -> BTreeMap<String, BTreeSet<String>> {
    session.others.commits(session.project.images.values().flat_map(sources))
}

/// Every repository that an image wants something of, by its address as shown, and whether it answers.
pub fn reach_others(session: &Session) -> BTreeMap<String, Result<(), RemoteError>> {
    let urls: BTreeMap<&String, &GitUrl> = session
        .project
        .images
        .values()
        .flat_map(sources)
        .map(|source| (&source.url.shown, &source.url))
        .collect();
    let urls: Vec<&GitUrl> = urls.into_values().collect();
    let remotes = &session.others.remotes;
    let answers = super::upstream::at_once(&urls, |url| remotes.reach(url));
    urls.into_iter().map(|url| url.shown.clone()).zip(answers).collect()
}

/// How many commits are kept beside these.
pub(crate) fn unused_commits(session: &Session, folder: &str, used: &BTreeSet<String>) -> usize {
    session.others.remotes.unused(folder, used).len()
}

/// Drops the commits that are kept beside these.
pub(crate) fn drop_commits(session: &Session, folder: &str, used: &BTreeSet<String>) {
    session.others.remotes.drop_unused(folder, used);
}

/// Has a lock file's commits stand for branches and tags, but for images that float.
pub(crate) fn pin_others(session: &mut Session, lock: &Lockfile, locked: bool) {
    let mut pinned = lock.git.clone();
    for declared in session.project.images.values() {
        if !locked && matches!(declared.options.upstream, Policy::Float | Policy::Every(_)) {
            for source in sources(declared) {
                pinned.remove(&(source.url.shown.clone(), key(&source.wanted)));
            }
        }
    }
    session.others.pin(pinned, locked);
}

/// Where the branches and tags that images use stand now, by address and name.
pub(crate) fn standing(
    session: &Session,
    images: &BTreeSet<String>,
) -> BTreeMap<(String, String), Result<String, RemoteError>> {
    let declared = images.iter().filter_map(|name| session.project.images.get(name));
    session.others.standing(declared.flat_map(sources))
}

/// Has somebody told of every fetch from another repository.
pub fn on_fetch(session: &mut Session, fetching: Fetching) {
    session.others.remotes.on_fetch(fetching);
}

/// Where the parts of an image's context are from that are not its own folder.
pub fn origins(session: &Session, name: &str) -> Vec<Origin> {
    let Some(declared) = session.project.images.get(name) else { return Vec::new() };
    let git = |at: &str, source: &GitSource| {
        let found = session.others.found.get(&(source.url.shown.clone(), source.wanted.clone()));
        let commit = found.and_then(|found| Some(found.as_ref().ok()?.head.commit.clone()));
        Origin { at: at.to_owned(), from: source.shown(), commit }
    };
    let overlays = declared.overlays.iter().map(|overlay| match &overlay.from {
        OverlaySource::Git(source) => git(&overlay.at, source),
        OverlaySource::Path(path) => {
            let from = if path.is_empty() { "." } else { path };
            Origin { at: overlay.at.clone(), from: from.to_owned(), commit: None }
        }
    });
    declared.git.iter().map(|source| git("", source)).chain(overlays).collect()
}

/// Branches and tags that are taken as they were when last asked about.
pub fn away(session: &Session) -> Vec<Away> {
    let found = session.others.found.iter().filter_map(|((url, wanted), found)| {
        let head = &found.as_ref().ok()?.head;
        Some(Away {
            url: url.clone(),
            name: wanted.shown().to_owned(),
            commit: head.commit.clone(),
            when: head.when,
            why: head.away.clone()?,
        })
    });
    found.collect()
}

/// Shows contexts from git where their images look for them.
pub(crate) fn mount_contexts(session: &mut Session) {
    if session.project.images.values().all(|declared| declared.git.is_none()) {
        return;
    }
    session.others.look_up(session.project.images.values().filter_map(|declared| declared.git.as_ref()));
    for declared in session.project.images.values_mut() {
        let Some(source) = &declared.git else { continue };
        let Ok(tree) = session.others.source(source) else { continue };
        let paths = &mut declared.paths;
        if let Some(base) = paths.dockerfile.strip_suffix("/Dockerfile")
            && base == paths.context
            && tree.read("Dockerfile").is_ok_and(|text| text.is_none())
            && tree.read("Containerfile").is_ok_and(|text| text.is_some())
        {
            paths.dockerfile = format!("{base}/Containerfile");
        }
        session.others.tree.mount(&paths.context, tree);
    }
}

/// Why an image's context is not shown, if it is from git and cannot be had.
pub(crate) fn not_mounted(session: &Session, declared: &Declared) -> Option<Problem> {
    let (why, hint) = session.others.source(declared.git.as_ref()?).err()?;
    Some(problem(session, declared.context_place, why, hint))
}

/// Looks up what is put over the contexts of an order, as far as their Dockerfiles read them.
pub(crate) fn look_up_overlays(session: &mut Session, order: &Order) {
    let mut wanted: Vec<&GitSource> = Vec::new();
    for name in &order.names {
        let Some(declared) = session.project.images.get(name) else { continue };
        let mut git = sources(declared).filter(|source| Some(*source) != declared.git.as_ref());
        let Some(first) = git.next() else { continue };
        let Some(image) = session.image(name) else { continue };
        if recipe(&session.db, image).as_ref().is_ok_and(|recipe| !recipe.reads.sources.is_empty()) {
            wanted.push(first);
            wanted.extend(git);
        }
    }
    session.others.look_up(wanted.into_iter());
}

/// What is put over the context of an image.
///
/// # Errors
/// When a repository or what is wanted of it cannot be had, with the place in the Imagefile.
pub(crate) fn overlays(session: &Session, name: &str) -> Result<Vec<Overlay>, Problem> {
    let Some(declared) = session.project.images.get(name) else { return Ok(Vec::new()) };
    let mut overlays = Vec::new();
    if let Some(source) = &declared.git {
        let tree = session.others.source(source);
        let tree = tree.map_err(|(why, hint)| problem(session, declared.context_place, why, hint))?;
        overlays.push(Overlay { at: String::new(), from: Place::Git(tree) });
    }
    for overlay in &declared.overlays {
        let from = match &overlay.from {
            OverlaySource::Path(path) => Place::Path(path.clone()),
            OverlaySource::Git(source) => {
                let tree = session.others.source(source);
                Place::Git(tree.map_err(|(why, hint)| problem(session, Some(overlay.span), why, hint))?)
            }
        };
        overlays.push(Overlay { at: overlay.at.clone(), from });
    }
    Ok(overlays)
}

/// What could not be read of a context; told at the place of the overlay that it is in.
pub(crate) fn unreadable(session: &Session, name: &str, error: ReadError) -> Context {
    let Some(declared) = session.project.images.get(name) else { return Context::Unreadable(error) };
    let source = |path: &OverlaySource| matches!(path, OverlaySource::Path(path) if *path == error.path);
    if let Some(overlay) = declared.overlays.iter().find(|overlay| source(&overlay.from)) {
        let hint = "paths of overlays start at the Imagefile's folder".to_owned();
        return Context::Refused(problem(session, Some(overlay.span), error.to_string(), hint));
    }
    let context = &declared.paths.context;
    let around = |at: &str| is_within(&error.path, &name::join(context, at));
    let overlay = declared.overlays.iter().filter(|overlay| around(&overlay.at));
    let place = match overlay.max_by_key(|overlay| overlay.at.len()) {
        Some(overlay) => Some(overlay.span),
        None => declared.context_place.filter(|_| declared.git.is_some()),
    };
    match place {
        Some(_) => {
            let hint = format!("image `{name}` copies it");
            Context::Refused(problem(session, place, error.to_string(), hint))
        }
        None => Context::Unreadable(error),
    }
}

fn problem(session: &Session, span: Option<Span>, message: String, hint: String) -> Problem {
    let path = session.project.imagefile.clone().unwrap_or_default();
    Problem { path, span, message, hint: Some(hint) }
}
