//! Named contexts as they are declared or typed: the meaning of each name for an image, and where its files are.
//!
//! Values in, values out; reads no file of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::declared::{ContextFiles, Declared};
use crate::query::problem::Problem;
use crate::syntax::imagefile::{self, Declaration, DeclaredContext, Meaning, OverlaySource, StandsFor};
use crate::syntax::layout_source::LayoutSource;
use crate::syntax::resolve::NamedContext;
use crate::syntax::{git_source, reference};

/// The meanings of the names that a declaration gives.
pub(crate) fn meanings(declaration: &Declaration) -> BTreeMap<String, NamedContext> {
    let meaning = |context: &DeclaredContext| match &context.stands_for {
        StandsFor::Image(reference) => NamedContext::Image(reference.clone()),
        StandsFor::Files(_) => NamedContext::Files,
    };
    declaration.contexts.iter().map(|(name, context)| (name.clone(), meaning(context))).collect()
}

/// Where the files of its contexts are.
pub(crate) fn files(declaration: &Declaration) -> BTreeMap<String, ContextFiles> {
    let files = |context: &DeclaredContext| match &context.stands_for {
        StandsFor::Image(_) => None,
        StandsFor::Files(from) => Some(ContextFiles { from: from.clone(), span: Some(context.span) }),
    };
    let all = declaration.contexts.iter();
    all.filter_map(|(name, context)| Some((name.clone(), files(context)?))).collect()
}

/// The contexts that it gives itself, and does not inherit.
pub(crate) fn own(declaration: &Declaration) -> BTreeSet<String> {
    let own = declaration.contexts.iter().filter(|(_, context)| context.own);
    own.map(|(name, _)| name.clone()).collect()
}

/// Contexts as they were typed, by name, and the folder where paths among them begin.
pub type TypedContexts = (BTreeMap<String, String>, PathBuf);

/// Adds the contexts that were typed to every image; they go before what the Imagefile says. Gives the mistakes
/// in those that are nothing that a context can be.
pub(crate) fn add_typed(
    images: &mut BTreeMap<String, Declared>,
    root: &Path,
    (typed, here): &TypedContexts,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, value) in typed {
        let (name, meaning, from) = match meant(key, value, images, root, here) {
            Ok(meant) => meant,
            Err((message, hint)) => {
                problems.push(Problem::of("", format!("--build-context: {message}"), hint));
                continue;
            }
        };
        for (image, declared) in images.iter_mut() {
            if meaning == NamedContext::Image(image.clone()) {
                continue;
            }
            declared.context_files.remove(&name);
            declared.own_contexts.remove(&name);
            declared.options.contexts.insert(name.clone(), meaning.clone());
            let files = from.clone().map(|from| ContextFiles { from, span: None });
            declared.context_files.extend(files.map(|files| (name.clone(), files)));
        }
    }
    problems
}

/// The name and the meaning of a context that was typed, and where its files are; the error is a message and a hint.
fn meant(
    key: &str,
    value: &str,
    images: &BTreeMap<String, Declared>,
    root: &Path,
    here: &Path,
) -> Result<(String, NamedContext, Option<OverlaySource>), (String, String)> {
    let Some(name) = reference::context_name(key) else {
        let hint = "write it as FROM or COPY --from has it: --build-context lib=./lib";
        return Err((format!("docker looks for no context named `{key}`"), hint.to_owned()));
    };
    match imagefile::context(key, value, |name| images.contains_key(name))? {
        Meaning::Image(reference) => return Ok((name, NamedContext::Image(reference), None)),
        Meaning::Layout(layout) => {
            let path = anywhere(root, &here.join(&layout.path))
                .map_err(|why| (format!("`{value}`: {why}"), "is the path right?".to_owned()))?;
            let layout = LayoutSource { path, ..layout };
            return Ok((name, NamedContext::Image(layout.to_string()), None));
        }
        Meaning::Files | Meaning::Word => {}
    }
    let from = match git_source::is_remote(value) {
        true => git_source::parse(value).map(OverlaySource::Git),
        false => below(root, &here.join(value)).map(OverlaySource::Path),
    };
    let hint =
        "a folder of the repository, a git address, docker-image://NAME, oci-layout://PATH or an image here";
    let from = from.map_err(|why| (format!("`{value}`: {why}"), hint.to_owned()))?;
    Ok((name, NamedContext::Files, Some(from)))
}

/// A path as it lies below the repository's root; in full where it lies elsewhere: whoever types it may name any.
fn anywhere(root: &Path, path: &Path) -> Result<String, String> {
    let whole = path.canonicalize().map_err(|error| error.to_string())?;
    match below(root, &whole) {
        Ok(path) => Ok(path),
        Err(_) => whole.to_str().map(str::to_owned).ok_or_else(|| "its name is not UTF-8".to_owned()),
    }
}

/// A path as it lies below the repository's root.
fn below(root: &Path, path: &Path) -> Result<String, String> {
    let path = path.canonicalize().map_err(|error| error.to_string())?;
    let rest = path.strip_prefix(root).map_err(|_| "it lies outside of the repository".to_owned())?;
    rest.to_str().map(str::to_owned).ok_or_else(|| "its name is not UTF-8".to_owned())
}
