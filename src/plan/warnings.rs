//! Warnings of what works and deserves a word: told with a plan and before a build.
//!
//! Knows what recipes warn of, and what can be said only with the ignore file
//! or the other images at hand. Stops nothing.

use std::collections::BTreeSet;

use super::{names, unsaid};
use crate::query::graph::bases;
use crate::query::inputs::{Context, Image};
use crate::query::recipe::recipe;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::source::git::GitStore;
use crate::source::tree::Selection;
use crate::syntax::dockerfile::Frontend;
use crate::syntax::dockerignore;
use crate::syntax::imagefile::RenamedKey;
use crate::syntax::reads::ReadSource;
use crate::syntax::resolve::{How, Recipe};
use crate::syntax::suggest::nearest;

/// One remark, and the images it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Names in the order of the plan; none when it is about all of them.
    pub images: Vec<String>,
    /// A sentence without a full stop.
    pub message: String,
}

/// All remarks on an order, each once for all its images if it is not about one of them.
pub fn warnings(session: &Session, synced: &Synced) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    // What is given for all images must mean something to one of them.
    let mut idle: BTreeSet<&String> = session.overrides.args.keys().collect();
    for name in &synced.order.names {
        let Some(image) = session.input(name) else { continue };
        let Ok(recipe) = recipe(session.db(), image) else { continue };
        if let Some(syntax) = recipe.syntax.as_ref().filter(|_| recipe.frontend != Frontend::Builtin) {
            let message = format!(
                "`{syntax}` reads the Dockerfile, and imk does not know how: the whole context counts"
            );
            match warnings.iter_mut().find(|warning| warning.message == message) {
                Some(warning) => warning.images.push(name.clone()),
                None => warnings.push(Warning { images: vec![name.clone()], message }),
            }
        }
        idle.retain(|name| recipe.undeclared.contains(name));
        let own = recipe.warnings.iter().map(|warning| warning.message.clone());
        let typed = |name: &&String| session.overrides.args.contains_key(*name);
        let undeclared = recipe.undeclared.iter().filter(|name| !typed(name));
        let own = own
            .chain(undeclared.map(|name| format!("the argument `{name}` is given, and nothing declares it")));
        let declared = session.project.images.get(name).map(|image| &image.own_contexts);
        let idle_contexts =
            recipe.idle_contexts.iter().filter(|name| declared.is_some_and(|own| own.contains(*name)));
        let own = own.chain(idle_contexts.map(|name| {
            format!("the context `{name}` is declared, and no FROM, COPY --from or --mount=from names it")
        }));
        let hidden = hidden(recipe, synced.selections.get(name).and_then(|it| it.ignore.as_deref()));
        let unmatched = unmatched(session, image, recipe).into_iter().filter(|_| hidden.is_empty());
        let unmatched: Vec<String> = unmatched.collect();
        let here = beyond_git(session, synced.selections.get(name), image);
        let own = own.chain(hidden).chain(unmatched).chain(here);
        for message in own.chain(brought(session, image, recipe)).chain(names::remarks(session, image)) {
            let warning = Warning { images: vec![name.clone()], message };
            // Each once for all its images: a template's mistake is one mistake.
            match warnings.iter_mut().find(|other| other.message == warning.message) {
                Some(other) if other.images.contains(name) => {}
                Some(other) => other.images.push(name.clone()),
                None => warnings.push(warning),
            }
        }
    }
    warnings.extend(empty_submodules(session, synced));
    warnings.extend(unused_vars(session));
    let idle = idle.into_iter().filter(|_| !synced.order.names.is_empty());
    warnings.extend(idle.map(|name| Warning {
        images: Vec::new(),
        message: format!("the argument `{name}` is given, and none of the images declares it"),
    }));
    warnings.extend(renamed_key(session));
    let proposals = unsaid::proposals(session).into_iter();
    warnings.extend(proposals.map(|message| Warning { images: Vec::new(), message }));
    warnings
}

/// The one remark on keys of the Imagefile that are written by old names. A commit's Imagefile cannot be
/// changed any more, so it has none.
fn renamed_key(session: &Session) -> Option<Warning> {
    let (key, line) = session.project.renamed_key.as_ref()?;
    let file = session.project.imagefile.as_ref().filter(|_| session.overrides.commit.is_none())?;
    let RenamedKey { old, new, .. } = key;
    Some(Warning {
        images: Vec::new(),
        message: format!("{file}:{line}: the key `{old}` is called `{new}` now; `imk fmt` rewrites it"),
    })
}

/// Submodules that are not checked out and that images copy: docker copies an empty folder, and so does imk.
fn empty_submodules(session: &Session, synced: &Synced) -> Vec<Warning> {
    let tree = &session.executor.tree;
    let has_any = session.overrides.commit.is_none() && matches!(tree.read(".gitmodules"), Ok(Some(_)));
    let store = has_any.then(|| GitStore::open(&session.project.root).ok()).flatten();
    let empty = store.and_then(|store| store.empty_submodules().ok()).unwrap_or_default();
    let copies = |name: &String, path: &str| {
        let Some(selection) = synced.selections.get(name) else { return false };
        let files = tree.used_files(selection).unwrap_or_default().files;
        files.iter().any(|file| file.counts && selection.place_of(&file.path).as_deref() == Some(path))
    };
    let warning = |path: String| {
        let images: Vec<String> =
            synced.order.names.iter().filter(|name| copies(name, &path)).cloned().collect();
        let message = format!(
            "the submodule `{path}` is not checked out, so an empty folder is copied: \
             `git submodule update --init` fetches its files"
        );
        (!images.is_empty()).then_some(Warning { images, message })
    };
    empty.into_iter().filter_map(warning).collect()
}

/// Of a commit: what is taken as it lies in the work tree, since git ignores it.
fn beyond_git(
    session: &Session,
    selection: Option<&Selection>,
    image: crate::query::inputs::Image,
) -> Option<String> {
    let is_complete =
        matches!(image.context(session.db()), Context::Is(selected) if selected.missing.is_empty());
    let paths = session.executor.tree.beyond_git(selection.filter(|_| is_complete)?).ok()?;
    let first = paths.first()?;
    let what = match paths.len() {
        1 => format!("`{first}` is taken as it lies here: git ignores it"),
        more => format!("`{first}` and {} more are taken as they lie here: git ignores them", more - 1),
    };
    Some(format!("{what}, so a commit cannot hold {}", if paths.len() == 1 { "it" } else { "them" }))
}

/// Images of the repository that only a base's triggers name: there is no word to replace by an exact reference.
fn brought(session: &Session, image: Image, recipe: &Recipe) -> Vec<String> {
    let inside = &bases(session.db(), image).inside;
    let by_name = recipe.bases.iter().filter(|base| base.spans.is_empty() && !base.context);
    let ours = by_name.filter(|base| inside.iter().any(|edge| edge.reference == base.reference));
    ours.map(|base| {
            let what = match base.how {
                How::From => "FROM",
                How::Copy => "COPY --from",
                How::Mount => "RUN --mount=from",
            };
            format!(
                "`{what}={0}` comes from an ONBUILD trigger of its base: imk builds `{0}` first, and the engine takes what bears that name then",
                base.reference
            )
        })
        .collect()
}

/// Variables of the environment that mean nothing here. Other repositories may know them.
fn unused_vars(session: &Session) -> Option<Warning> {
    let unused = &session.project.unused_vars;
    let near = unused.iter().find_map(|name| {
        let near = nearest(name, session.project.vars.iter().map(String::as_str))?;
        Some((name, near))
    });
    let (name, near) = near?;
    let message = format!(
        "IMK_VAR_{name} is set, and the Imagefile declares no such variable; did you mean IMK_VAR_{near}?"
    );
    Some(Warning { images: Vec::new(), message })
}

/// Wildcards that match no file: what is there now is copied, and that is nothing.
fn unmatched(session: &Session, image: Image, recipe: &Recipe) -> Vec<String> {
    let Context::Is(selected) = image.context(session.db()) else { return Vec::new() };
    let reads: Vec<&ReadSource> = recipe.all_reads().map(|(_, read)| read).collect();
    let sources = selected.empty.iter().filter_map(|index| reads.get(*index).copied());
    let line =
        |source: &ReadSource| format!("nothing matches `{}`, so nothing is copied by it", source.shown());
    sources.filter(|source| !source.pattern.is_empty() || source.include.is_some()).map(line).collect()
}

/// Sources that never find anything, whatever files there are. A name that is not found is a
/// mistake and told as one; here are those that copy nothing in silence.
fn hidden(recipe: &Recipe, ignore: Option<&str>) -> Vec<String> {
    let Some(ignore) = ignore.and_then(|text| dockerignore::parse(text).ok()) else { return Vec::new() };
    let hides = recipe.reads.sources.iter().filter(|source| !source.required && ignore.hides(source));
    hides
        .map(|source| {
            let what = source.shown();
            format!("nothing of `{what}` is ever copied: the ignore file hides all of it")
        })
        .collect()
}
