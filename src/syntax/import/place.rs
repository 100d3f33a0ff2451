//! Where the paths of a source lead: from its own folder to the Imagefile's.
//!
//! Knows which words are no paths at all. Never looks whether something is there.

use super::draft::{Draft, Drafts};
use crate::model::name;
use crate::syntax::error::Span;
use crate::syntax::git_source;

/// Why a path cannot stand in an Imagefile.
pub(super) enum Elsewhere {
    /// It names something to be fetched.
    Remote,
    /// It is above the Imagefile's folder, or absolute.
    Outside,
}

/// A path relative to a folder, as one below the Imagefile's.
pub(super) fn path(folder: &str, path: &str) -> Result<String, Elsewhere> {
    below(folder, path)
}

fn below(folder: &str, path: &str) -> Result<String, Elsewhere> {
    let path = path.strip_prefix("cwd://").unwrap_or(path);
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

/// Sets an image's context, relative to `folder`, and its Dockerfile, relative to the context as
/// every builder here has it. False, with a note, when the image cannot be declared.
pub(super) fn set(
    draft: &mut Draft,
    drafts: &mut Drafts,
    folder: &str,
    context: (&str, Span),
    dockerfile: (&str, Span),
) -> bool {
    let name = draft.name.clone();
    if git_source::is_remote(&drafts.plain(context.0)) {
        return set_remote(draft, drafts, context, dockerfile);
    }
    match below(folder, context.0) {
        Ok(path) => draft.context = path,
        Err(why) => {
            drafts.lost(context.1, format!("the image `{name}`: its context {}", in_words(context.0, &why)));
            return false;
        }
    }
    // bake's word for a path that starts where it was called.
    let (start, file) = match dockerfile.0.strip_prefix("cwd://") {
        Some(file) => (folder, file),
        None => (draft.context.as_str(), dockerfile.0),
    };
    match below(start, file) {
        Ok(path) => draft.dockerfile = path,
        Err(why) => {
            drafts.lost(
                dockerfile.1,
                format!("the image `{name}`: its Dockerfile {}", in_words(dockerfile.0, &why)),
            );
            return false;
        }
    }
    true
}

/// Sets a context that is a git repository; its Dockerfile is a path in it.
fn set_remote(
    draft: &mut Draft,
    drafts: &mut Drafts,
    context: (&str, Span),
    dockerfile: (&str, Span),
) -> bool {
    let name = draft.name.clone();
    if let Err(why) = git_source::parse(&drafts.plain(context.0)) {
        drafts
            .lost(context.1, format!("the image `{name}`: its context `{}`: {why}", drafts.plain(context.0)));
        return false;
    }
    let Some(file) = name::clean_path(dockerfile.0).filter(|_| !dockerfile.0.contains("://")) else {
        let text = format!("the image `{name}`: its Dockerfile `{}` is not in its repository", dockerfile.0);
        drafts.lost(dockerfile.1, text);
        return false;
    };
    context.0.clone_into(&mut draft.context);
    draft.dockerfile = file;
    draft.from_git = true;
    true
}

/// Why a path below the Imagefile's folder is none; nothing when it is one.
pub(super) fn leads_out(path: &str) -> Option<String> {
    below("", path).err().map(|why| in_words(path, &why))
}

fn in_words(path: &str, why: &Elsewhere) -> String {
    match why {
        Elsewhere::Remote => format!("`{path}` is not in the repository"),
        Elsewhere::Outside => format!("`{path}` is not below the Imagefile's folder"),
    }
}
