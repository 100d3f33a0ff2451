//! Which commit is behind a cause: the change of a file, of a Dockerfile or of the Imagefile that made it.
//!
//! Rather silent than wrong: a commit is told only when the file before it
//! did not have what the cause says, and the file after it has. Makes no words.

use std::collections::BTreeMap;

use crate::model::hash::ContentHash;
use crate::model::name;
use crate::model::reason::{Code, Reason};
use crate::query::recipe::of_text;
use crate::session::open::Session;
use crate::session::overlays;
use crate::source::context_path;
use crate::source::git::GitStore;
use crate::source::git::origin::{Origin, Start, Version};
use crate::state::evidence::read_shown;
use crate::syntax::git_source::GitSource;
use crate::syntax::glob::is_within;
use crate::syntax::imagefile::{self, OverlaySource};

/// Where a cause comes from that makes `image` stale, or made it so once; the cause of
/// a stale image begins at the disk. `None` where git has nothing to say.
pub fn origin(
    session: &Session,
    git: Option<&GitStore>,
    image: &str,
    cause: &Reason,
    start: Start<'_>,
) -> Option<Origin> {
    let place = (cause.code == Code::File).then(|| place_of(session, image, &cause.subject)).flatten();
    if let Some(Place::Elsewhere(source, rest)) = place {
        return Some(elsewhere(session, source, &rest, cause));
    }
    let git = git?;
    let options = &session.project.images.get(image)?.options;
    let paths = &session.project.images.get(image)?.paths;
    let imagefile = session.project.imagefile.as_deref();
    match cause.code {
        Code::File => match place {
            Some(Place::Here(path)) => of_file(git, &path, cause, start),
            _ => of_file(git, &name::join(&paths.context, &cause.subject), cause, start),
        },
        Code::Dockerfile => of_instruction(session, git, image, &paths.dockerfile, cause, start),
        Code::Arg if options.args.contains_key(&cause.subject) => of_value(git, imagefile?, cause, start),
        Code::Arg => of_value(git, &paths.dockerfile, cause, start),
        Code::Config => of_value(git, imagefile?, cause, start),
        _ => None,
    }
}

/// Where a file of a context is, when that is not the context's own folder.
enum Place<'a> {
    Here(String),
    Elsewhere(&'a GitSource, String),
}

fn place_of<'a>(session: &'a Session, image: &str, subject: &str) -> Option<Place<'a>> {
    let declared = session.project.images.get(image)?;
    if let (Some(context), rest) = context_path::place(subject) {
        return Some(match &declared.context_files.get(context)?.from {
            OverlaySource::Path(path) => Place::Here(name::join(path, rest)),
            OverlaySource::Git(source) => Place::Elsewhere(source, rest.to_owned()),
        });
    }
    let around = declared.overlays.iter().filter(|overlay| is_within(subject, &overlay.at));
    match around.max_by_key(|overlay| overlay.at.len()) {
        Some(overlay) => {
            let rest = subject[overlay.at.len()..].trim_start_matches('/');
            Some(match &overlay.from {
                OverlaySource::Path(path) => Place::Here(name::join(path, rest)),
                OverlaySource::Git(source) => Place::Elsewhere(source, rest.to_owned()),
            })
        }
        None => declared.git.as_ref().map(|source| Place::Elsewhere(source, subject.to_owned())),
    }
}

/// The repository that a file is from, and its commit in use if that has the file as the cause has it.
fn elsewhere(session: &Session, source: &GitSource, path: &str, cause: &Reason) -> Origin {
    let standing = overlays::standing_source(session, source, path);
    let after = cause.after.as_deref().and_then(read_shown);
    let is_it = |bytes: &Option<Vec<u8>>| match (&cause.after, after, bytes) {
        (None, _, None) => true,
        (Some(_), Some(after), Some(bytes)) => ContentHash::of(bytes).to_string().starts_with(after.hash),
        _ => false,
    };
    let commit = standing.filter(|(_, bytes)| is_it(bytes)).map(|(commit, _)| commit);
    Origin::Elsewhere { from: source.shown(), commit }
}

fn of_instruction(
    session: &Session,
    git: &GitStore,
    image: &str,
    dockerfile: &str,
    cause: &Reason,
    start: Start<'_>,
) -> Option<Origin> {
    let input = session.input(image)?;
    let declared = session.project.images.get(image);
    let is_inline = declared.is_some_and(|declared| declared.dockerfile_inline.is_some());
    let path = session.project.imagefile.as_deref().filter(|_| is_inline).unwrap_or(dockerfile);
    let says = |version: Option<&Version>, instruction: &str| {
        let text = version.map(|version| String::from_utf8_lossy(&version.bytes).into_owned());
        let text = if is_inline { text.and_then(|text| dockerfile_in(&text, image)) } else { text };
        let recipe = text.and_then(|text| of_text(&session.db, input, &text).ok());
        let stages = recipe.map(|recipe| recipe.stages).unwrap_or_default();
        stages.iter().flat_map(|stage| &stage.instructions).any(|one| one.text == instruction)
    };
    git.origin(path, start, &|before, after| {
        let has = |version, value: &Option<String>| value.as_ref().is_none_or(|value| says(version, value));
        let lacks =
            |version, value: &Option<String>| value.as_ref().is_none_or(|value| !says(version, value));
        has(before, &cause.before) && has(after, &cause.after) && {
            lacks(after, &cause.before) || lacks(before, &cause.after)
        }
    })
}

/// The Dockerfile of an image that stood in some version of the Imagefile.
fn dockerfile_in(imagefile: &str, image: &str) -> Option<String> {
    let file = imagefile::read(imagefile, &BTreeMap::new()).ok()?;
    file.images.into_iter().find(|declared| declared.name.text == image)?.dockerfile_inline
}

fn of_file(git: &GitStore, path: &str, cause: &Reason, start: Start<'_>) -> Option<Origin> {
    let [before, after] = [&cause.before, &cause.after].map(|it| read_shown(it.as_deref()?));
    let executable = |mode: Option<u32>| mode.map(|mode| mode & 0o100 != 0);
    match after {
        // A mode that another umask made is no commit's.
        Some(after)
            if before.is_some_and(|before| {
                before.hash == after.hash && executable(before.mode) == executable(after.mode)
            }) =>
        {
            None
        }
        Some(sought) => git.origin(path, start, &|_, after| {
            after.is_some_and(|after| {
                executable(sought.mode).is_none_or(|executable| executable == after.executable)
                    && ContentHash::of(&after.bytes).to_string().starts_with(sought.hash)
            })
        }),
        None if cause.after.is_none() => git.origin(path, start, &|_, after| after.is_none()),
        None => None,
    }
}

/// A value stands in the text of a file; which line of it is meant is not asked.
fn of_value(git: &GitStore, path: &str, cause: &Reason, start: Start<'_>) -> Option<Origin> {
    let says = |version: Option<&Version>, value: &str| {
        version.is_some_and(|version| String::from_utf8_lossy(&version.bytes).contains(value))
    };
    git.origin(path, start, &|before, after| match (&cause.before, &cause.after) {
        (_, Some(value)) => says(after, value) && !says(before, value),
        (Some(value), None) => says(before, value) && !says(after, value),
        (None, None) => false,
    })
}
