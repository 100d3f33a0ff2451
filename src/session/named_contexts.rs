//! Named contexts that are files: where an image's Dockerfile reads them, as selections beside its context's.
//!
//! Knows declarations; a folder's own ignore file governs it, as docker's does, and a repository has none.

use std::collections::BTreeMap;

use crate::model::name::join;
use crate::query::problem::Problem;
use crate::session::open::Session;
use crate::source::tree::{Overlay, OverlaySide, ReadError, Selection, SharedTree, SourceTree};
use crate::syntax::imagefile::OverlaySource;
use crate::syntax::reads::Reads;
use crate::syntax::resolve::Recipe;

/// The name of a folder's ignore file.
const IGNORE: &str = ".dockerignore";

/// The selections of the named contexts that a recipe reads.
///
/// # Errors
/// When a folder is not there, or a repository cannot be had, with the place in the Imagefile.
pub(crate) fn of(
    session: &Session,
    name: &str,
    recipe: &Recipe,
) -> Result<BTreeMap<String, Selection>, Problem> {
    let mut found = BTreeMap::new();
    let Some(declared) = session.project.images.get(name) else { return Ok(found) };
    for (context, reads) in &recipe.context_reads {
        let Some(files) = declared.context_files.get(context) else { continue };
        let told = |message: String, hint: String| Problem {
            path: session.project.imagefile.clone().unwrap_or_default(),
            span: files.span,
            message,
            hint: Some(hint),
        };
        let selection = match &files.from {
            OverlaySource::Path(path) => {
                let missing = || {
                    let folder = if path.is_empty() { "." } else { path };
                    told(
                        format!(
                            "the context `{context}` of image `{name}` is missing: there is no folder `{folder}`"
                        ),
                        "paths of contexts start at the Imagefile's folder".to_owned(),
                    )
                };
                let unreadable = |error: ReadError| {
                    told(
                        format!("cannot read the context `{context}` of image `{name}`: {error}"),
                        "imk must be able to read it".to_owned(),
                    )
                };
                let tree = &*session.executor.tree;
                match tree.is_folder(path).map_err(unreadable)? {
                    true => of_folder(tree, path, reads).map_err(unreadable)?,
                    false => return Err(missing()),
                }
            }
            OverlaySource::Git(source) => {
                let tree = session.git_sources.source(source).map_err(|(why, hint)| told(why, hint))?;
                let over = Overlay { at: String::new(), from: OverlaySide::Tree(SharedTree::new(tree)) };
                Selection { overlays: vec![over], ..plain(&source.shown(), None, reads) }
            }
        };
        found.insert(context.clone(), selection);
    }
    Ok(found)
}

fn of_folder(tree: &dyn SourceTree, path: &str, reads: &Reads) -> Result<Selection, ReadError> {
    let ignore = tree.read(&join(path, IGNORE))?;
    let ignore = ignore.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(plain(path, ignore, reads))
}

fn plain(root: &str, ignore: Option<String>, reads: &Reads) -> Selection {
    Selection {
        root: root.to_owned(),
        ignore,
        reads: reads.clone(),
        overlays: Vec::new(),
        named: BTreeMap::new(),
    }
}
