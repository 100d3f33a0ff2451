//! The parts of contexts that are not the context's own folder: overlays, and contexts wholly from git.
//!
//! Says which repositories an order reads, and puts their trees where the images want them. Knows
//! declarations; asking and fetching is for `others`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::name;
use crate::parallel::at_once;
use crate::patience::Patience;
use crate::query::graph::Order;
use crate::query::inputs::Context;
use crate::query::problem::Problem;
use crate::query::recipe::recipe;
use crate::session::git_sources::StaleAnswer;
use crate::session::git_sources::{context_sources, sources};
use crate::session::open::Session;
use crate::session::project::Declared;
use crate::source::context_path;
use crate::source::git::remote::Fetching;
use crate::source::git::remote::RemoteError;
use crate::source::tree::SourceTree as _;
use crate::source::tree::{Overlay, OverlaySide, ReadError, SharedTree};
use crate::syntax::error::Span;
use crate::syntax::git_source::GitSource;
use crate::syntax::git_source::GitUrl;
use crate::syntax::glob::is_within;
use crate::syntax::imagefile::OverlaySource;
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
    session.git_sources.commits(session.project.images.values().flat_map(sources))
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
    let remotes = &session.git_sources.remotes;
    let answers = at_once(&urls, |url| remotes.reach(url));
    urls.into_iter().map(|url| url.shown.clone()).zip(answers).collect()
}

/// How many commits are kept beside these.
pub(crate) fn unused_commits(session: &Session, folder: &str, used: &BTreeSet<String>) -> usize {
    session.git_sources.remotes.unused(folder, used).len()
}

/// Drops the commits that are kept beside these.
pub(crate) fn drop_commits(session: &Session, folder: &str, used: &BTreeSet<String>) {
    session.git_sources.remotes.drop_unused(folder, used);
}

/// Where the branches and tags that images use stand now, by address and name.
pub(crate) fn standing(
    session: &Session,
    images: &BTreeSet<String>,
) -> BTreeMap<(String, String), Result<String, RemoteError>> {
    let declared = images.iter().filter_map(|name| session.project.images.get(name));
    session.git_sources.standing(declared.flat_map(sources))
}

/// Has somebody told of every fetch from another repository.
pub fn on_fetch(session: &mut Session, fetching: Fetching) {
    session.git_sources.remotes.on_fetch(fetching);
}

/// Waits for the servers of other repositories as a run waits for everybody.
pub fn wait_by(session: &mut Session, patience: &Patience) {
    session.git_sources.remotes.wait_by(patience);
}

/// Where the parts of an image's context are from that are not its own folder.
pub fn origins(session: &Session, name: &str) -> Vec<Origin> {
    let Some(declared) = session.project.images.get(name) else { return Vec::new() };
    let git = |at: &str, source: &GitSource| {
        let found = session.git_sources.found.get(&(source.url.shown.clone(), source.wanted.clone()));
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
    let named = declared.context_files.iter().map(|(name, files)| {
        let at = format!("{name}{}", context_path::MARK);
        match &files.from {
            OverlaySource::Git(source) => git(&at, source),
            OverlaySource::Path(path) => Origin { at, from: path.clone(), commit: None },
        }
    });
    declared.git.iter().map(|source| git("", source)).chain(overlays).chain(named).collect()
}

/// The commit in use of another repository, and the content of a file in it; `None` where it was not looked up.
pub(crate) fn standing_source(
    session: &Session,
    source: &GitSource,
    path: &str,
) -> Option<(String, Option<Vec<u8>>)> {
    let found =
        session.git_sources.found.get(&(source.url.shown.clone(), source.wanted.clone()))?.as_ref().ok()?;
    let tree = session.git_sources.source(source).ok()?;
    Some((found.head.commit.clone(), tree.read(path).ok()?))
}

/// Branches and tags that are taken as they were when last asked about.
pub fn stale_answers(session: &Session) -> Vec<StaleAnswer> {
    let found = session.git_sources.found.iter().filter_map(|((url, wanted), found)| {
        let head = &found.as_ref().ok()?.head;
        Some(StaleAnswer {
            url: url.clone(),
            name: wanted.shown().to_owned(),
            commit: head.commit.clone(),
            when: head.when,
            why: head.unreachable.clone()?,
        })
    });
    found.collect()
}

/// Shows contexts from git where their images look for them.
pub(crate) fn mount_contexts(session: &mut Session) {
    if session.project.images.values().all(|declared| declared.git.is_none()) {
        return;
    }
    session.git_sources.look_up(session.project.images.values().filter_map(|declared| declared.git.as_ref()));
    for declared in session.project.images.values_mut() {
        let Some(source) = &declared.git else { continue };
        let Ok(tree) = session.git_sources.source(source) else { continue };
        let paths = &mut declared.paths;
        if let Some(base) = paths.dockerfile.strip_suffix("/Dockerfile")
            && base == paths.context
            && tree.read("Dockerfile").is_ok_and(|text| text.is_none())
            && tree.read("Containerfile").is_ok_and(|text| text.is_some())
        {
            paths.dockerfile = format!("{base}/Containerfile");
        }
        session.git_sources.tree.mount(&paths.context, tree);
    }
}

/// Why an image's context is not shown, if it is from git and cannot be had.
pub(crate) fn not_mounted(session: &Session, declared: &Declared) -> Option<Problem> {
    let (why, hint) = session.git_sources.source(declared.git.as_ref()?).err()?;
    Some(problem(session, declared.context_span, why, hint))
}

/// Looks up what is put over the contexts of an order, as far as their Dockerfiles read them.
pub(crate) fn look_up_overlays(session: &mut Session, order: &Order) {
    let mut wanted: Vec<&GitSource> = Vec::new();
    for name in &order.names {
        let Some(declared) = session.project.images.get(name) else { continue };
        let mut git = declared.overlays.iter().filter_map(|overlay| overlay.from.git()).peekable();
        let mut named = context_sources(declared).peekable();
        if git.peek().is_none() && named.peek().is_none() {
            continue;
        }
        let Some(image) = session.image(name) else { continue };
        let Ok(recipe) = recipe(&session.db, image) else { continue };
        if !recipe.reads.sources.is_empty() {
            wanted.extend(git);
        }
        let read = |(context, _): &(&String, _)| recipe.context_reads.contains_key(*context);
        wanted.extend(named.filter(read).map(|(_, source)| source));
    }
    session.git_sources.look_up(wanted.into_iter());
}

/// The overlays of an image's context.
///
/// # Errors
/// When a repository or what is wanted of it cannot be had, with the place in the Imagefile.
pub(crate) fn overlays(session: &Session, name: &str) -> Result<Vec<Overlay>, Problem> {
    let Some(declared) = session.project.images.get(name) else { return Ok(Vec::new()) };
    let mut overlays = Vec::new();
    if let Some(source) = &declared.git {
        let tree = session.git_sources.source(source);
        let tree = tree.map_err(|(why, hint)| problem(session, declared.context_span, why, hint))?;
        overlays.push(Overlay { at: String::new(), from: OverlaySide::Tree(SharedTree::new(tree)) });
    }
    for overlay in &declared.overlays {
        let from = match &overlay.from {
            OverlaySource::Path(path) => OverlaySide::Path(path.clone()),
            OverlaySource::Git(source) => {
                let tree = session
                    .git_sources
                    .source(source)
                    .map_err(|(why, hint)| problem(session, Some(overlay.span), why, hint));
                OverlaySide::Tree(SharedTree::new(tree?))
            }
        };
        overlays.push(Overlay { at: overlay.at.clone(), from });
    }
    Ok(overlays)
}

/// An unreadable part of a context, told at the place of the overlay that it is in.
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
        None => declared.context_span.filter(|_| declared.git.is_some()),
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
