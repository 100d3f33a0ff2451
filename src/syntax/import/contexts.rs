//! Named contexts of a source: the image or the files that each stands for, or a note where it cannot be carried over.
//!
//! Knows the words of bake and compose, and names of images; reads no Dockerfile.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Context, Draft, Drafts, Image, StandsFor, fill, literal};
use super::place;
use super::{Note, NoteKind};
use crate::model::name;
use crate::syntax::error::Span;
use crate::syntax::git_source;
use crate::syntax::layout_source;
use crate::syntax::reference;

/// Takes over one entry of `key`, a written text, for `draft`; `own` is how the format marks what it builds. Paths
/// begin at `folder`.
pub(super) fn take(
    draft: &mut Draft,
    (key, own, folder): (&str, &str, &str),
    entry: (&str, &str, Span),
    drafts: &mut Drafts,
) {
    let (word, value, span) = entry;
    let plain = drafts.plain(value);
    if plain.is_empty() {
        return;
    }
    let lost = |drafts: &mut Drafts, why: String| {
        drafts.lost(span, format!("{key}.{word} of `{}`: {why}", draft.name));
    };
    if reference::context_name(word).is_none() {
        return lost(drafts, "docker looks for no context of that name".to_owned());
    }
    let stands_for = if let Some(target) = plain.strip_prefix(own) {
        StandsFor::Target(target.to_owned())
    } else if let Some(image) = plain.strip_prefix("docker-image:") {
        let image = image.strip_prefix("//").unwrap_or(image);
        if let Err(why) = reference::parse(image) {
            return lost(drafts, format!("`{image}`: {why}"));
        }
        if reference::normalized(image) == reference::normalized(word) {
            return;
        }
        let written = value.strip_prefix("docker-image:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        StandsFor::Image(written.map_or_else(|| literal(image), str::to_owned))
    } else {
        match files(folder, value, &plain) {
            Ok(files) => StandsFor::Files(files),
            Err(why) => return lost(drafts, format!("`{plain}` {why}")),
        }
    };
    draft.contexts.push(Context { word: word.to_owned(), stands_for, span });
}

/// The text of an Imagefile for files, which are all that is left.
fn files(folder: &str, written: &str, plain: &str) -> Result<String, &'static str> {
    if git_source::is_remote(plain) && git_source::parse(plain).is_ok() {
        return Ok(written.to_owned());
    }
    if layout_source::is_meant(plain) {
        return layout(folder, written, plain);
    }
    match place::path(folder, written) {
        Ok(path) if path.is_empty() => Ok(".".to_owned()),
        Ok(path) => Ok(format!("./{path}")),
        Err(place::Elsewhere::Remote) => Err("is an address of neither an image nor a git repository"),
        Err(place::Elsewhere::Outside) => Err("lies outside of the Imagefile's folder"),
    }
}

/// The text of an Imagefile for an OCI layout, whose path begins at `folder` in the source.
fn layout(folder: &str, written: &str, plain: &str) -> Result<String, &'static str> {
    layout_source::parse(plain)
        .map_err(|_| "names no OCI layout as in \"oci-layout://PATH[:TAG][@DIGEST]\"")?;
    let rest = written.strip_prefix("oci-layout:").unwrap_or(written);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, behind) = rest.split_at(rest.find([':', '@']).unwrap_or(rest.len()));
    match place::path(folder, path) {
        Ok(path) if path.is_empty() => Ok(format!("oci-layout://.{behind}")),
        Ok(path) => Ok(format!("oci-layout://{path}{behind}")),
        Err(_) => Err("lies outside of the Imagefile's folder; whoever builds can name it: --build-context"),
    }
}

/// Gives every image the contexts that its names alone do not make: what imk finds by name needs none.
pub(super) fn settle(
    images: &mut [Image],
    prefix: &str,
    vars: &BTreeMap<String, String>,
    notes: &mut Vec<Note>,
) {
    let names: BTreeMap<String, (String, BTreeSet<String>)> = images
        .iter()
        .map(|image| (image.draft.name.clone(), (image.name.clone(), references(image, prefix, vars))))
        .collect();
    for image in images {
        for context in std::mem::take(&mut image.draft.contexts) {
            let Context { word, stands_for, span } = context;
            let value = match stands_for {
                StandsFor::Image(written) => format!("docker-image://{written}"),
                StandsFor::Files(written) => written,
                StandsFor::Target(target) => match names.get(&target) {
                    Some((_, known)) if !is_stage(&word) && known.contains(&reference::normalized(&word)) => {
                        continue;
                    }
                    Some((name, _)) => literal(name),
                    None => {
                        let text = format!(
                            "`{word}` in the Dockerfile of `{}` is `{target}`, which was not carried over",
                            image.name
                        );
                        notes.push(Note { span, kind: NoteKind::Lost, text });
                        continue;
                    }
                },
            };
            image.contexts.insert(word, value);
        }
    }
}

/// Whether a word could be the name of a stage, which a context stands for and a name does not.
fn is_stage(word: &str) -> bool {
    !word.contains(['/', ':'])
}

/// The references that lead to an image by its name and tags.
fn references(image: &Image, prefix: &str, vars: &BTreeMap<String, String>) -> BTreeSet<String> {
    let names = [image.name.clone(), format!("{}{}", fill(prefix, vars), image.name)];
    if name::split(&image.name).1.is_some() {
        return names.iter().map(|name| reference::normalized(name)).collect();
    }
    let tags = image.tags.iter().map(|tag| fill(tag, vars)).chain(["latest".to_owned()]);
    let all = tags.flat_map(|tag| names.clone().map(|name| reference::normalized(&format!("{name}:{tag}"))));
    all.collect()
}
