//! Where the paths of a source lead: from its own folder to the Imagefile's.
//!
//! Knows which words are no paths at all. Never looks whether something is there.

use super::Source;
use super::draft::{Draft, Drafts};
use crate::model::name;
use crate::syntax::error::Span;

/// Why a path cannot stand in an Imagefile.
pub(super) enum Elsewhere {
    /// It names something to be fetched.
    Remote,
    /// It is above the Imagefile's folder, or absolute.
    Outside,
}

/// The folder a source stands in, below the Imagefile's.
fn folder<'a>(source: &Source<'a>) -> &'a str {
    source.path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path relative to the source's folder, as one below the Imagefile's.
pub(super) fn path(source: &Source<'_>, path: &str) -> Result<String, Elsewhere> {
    below(folder(source), path)
}

fn below(folder: &str, path: &str) -> Result<String, Elsewhere> {
    let git = path.starts_with("git@") || path.starts_with("github.com/");
    if git || path.contains("://") || path == "-" {
        return Err(Elsewhere::Remote);
    }
    if path.starts_with('/') {
        return Err(Elsewhere::Outside);
    }
    let whole = if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
    name::clean_path(&whole).ok_or(Elsewhere::Outside)
}

/// Sets an image's context and Dockerfile, the second relative to the first as
/// every builder here has it. False, with a note, when the image cannot be declared.
pub(super) fn set(
    draft: &mut Draft,
    drafts: &mut Drafts,
    source: &Source<'_>,
    context: (&str, Span),
    dockerfile: (&str, Span),
) -> bool {
    let name = draft.name.clone();
    match path(source, context.0) {
        Ok(path) => draft.context = path,
        Err(why) => {
            drafts.lost(context.1, format!("the image `{name}`: its context {}", told(context.0, &why)));
            return false;
        }
    }
    match below(&draft.context, dockerfile.0) {
        Ok(path) => draft.dockerfile = path,
        Err(why) => {
            drafts.lost(
                dockerfile.1,
                format!("the image `{name}`: its Dockerfile {}", told(dockerfile.0, &why)),
            );
            return false;
        }
    }
    true
}

/// Why a path below the Imagefile's folder is none; nothing when it is one.
pub(super) fn leads_out(path: &str) -> Option<String> {
    below("", path).err().map(|why| told(path, &why))
}

fn told(path: &str, why: &Elsewhere) -> String {
    match why {
        Elsewhere::Remote => format!("`{path}` is not in the repository"),
        Elsewhere::Outside => format!("`{path}` is not below the Imagefile's folder"),
    }
}
