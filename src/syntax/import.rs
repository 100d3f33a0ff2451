//! Import of other builders' files: bake, compose, Shipwright, dobi, Skaffold, a builder's list.
//!
//! Text in, text out, with a note for everything that could not be carried
//! over. Each format has a file; all make `draft::Drafts`, which `shape` names and
//! `write` writes down. Opens no file and asks no environment: the caller hands both in.

mod bake;
mod blocks;
mod builder;
mod compose;
mod contexts;
mod dobi;
mod dotenv;
mod draft;
mod evaluate;
mod expression;
mod interpolate;
mod matrix;
mod naming;
mod open_tags;
mod passed;
mod place;
mod quoted;
mod read_back;
mod scalar;
mod shape;
mod shipwright;
mod skaffold;
mod source;
mod variables;
mod write;

use super::error::{Span, SyntaxError};
use super::yaml::{self, Node};
use source::LONGEST;

pub use source::{Note, NoteKind, Source};

/// The names of files that can be imported, in the order in which they are looked for.
pub const KNOWN_NAMES: &[&str] = &[
    "docker-bake.hcl",
    "docker-bake.json",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    ".shipwright.json",
    "dobi.yaml",
    "skaffold.yaml",
];

/// An Imagefile made of another builder's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The Imagefile's text.
    pub imagefile: String,
    /// How many images it declares.
    pub images: usize,
    /// Notes for a person, in the order of their places.
    pub notes: Vec<Note>,
}

/// Reads `source`, whatever of the known formats it is in.
///
/// # Errors
/// What cannot be read at all, each with its place in the source's text.
pub fn import(source: &Source<'_>) -> Result<Imported, Vec<SyntaxError>> {
    if source.text.len() + source.overrides.iter().map(|(_, text)| text.len()).sum::<usize>() > LONGEST {
        let message =
            format!("this file has more than {} KiB: no builder's file is that long", LONGEST / 1024);
        return Err(vec![SyntaxError::new(Span::new(0, 0), message)]);
    }
    let drafts = if source.path.ends_with(".hcl") {
        bake::read(laid_over(blocks::read(source.text)?, source)?, source)?
    } else {
        let documents = yaml::read(source.text).map_err(|error| vec![error])?;
        read_tree(documents, source)?
    };
    let mut shaped = shape::shape(drafts);
    open_tags::settle(&mut shaped, source);
    let imagefile = read_back::written(&mut shaped, source.path)?;
    let images = shaped.images.len();
    let mut notes = shaped.notes;
    notes.sort();
    notes.dedup();
    Ok(Imported { imagefile, images, notes })
}

/// A bake file with those that are laid over it: their blocks come later, and of one name the later one wins.
fn laid_over(mut file: blocks::File, source: &Source<'_>) -> Result<blocks::File, Vec<SyntaxError>> {
    for (path, text) in source.padded() {
        let more = if path.ends_with(".hcl") {
            blocks::read(&text)?
        } else {
            let documents = yaml::read(&text).map_err(|error| vec![error])?;
            documents.first().map(|root| blocks::from_tree(root)).transpose()?.unwrap_or_default()
        };
        file.blocks.extend(more.blocks);
        file.globals.extend(more.globals);
    }
    Ok(file)
}

/// Reads a YAML or JSON file, whose format shows in its keys, whatever its name is.
fn read_tree(
    mut documents: Vec<yaml::Shared>,
    source: &Source<'_>,
) -> Result<draft::Drafts, Vec<SyntaxError>> {
    let unknown = || {
        let message = "this is none of the files that imk can import";
        let hint = "it reads docker-bake.hcl and .json, compose.yaml, .shipwright.json, dobi.yaml, \
                    skaffold.yaml, and a list `images: {name: {path: folder}}`";
        vec![SyntaxError::new(Span::first_of(source.text), message).hint(hint)]
    };
    let first = yaml::Shared::clone(documents.first().ok_or_else(unknown)?);
    let first = &first;
    let has = |key: &str| first.get(key).is_some();
    let skaffold = |node: &Node| {
        node.get("apiVersion").and_then(|v| v.text()).is_some_and(|v| v.starts_with("skaffold/"))
    };
    if documents.iter().any(|document| skaffold(document)) {
        return Ok(skaffold::read(&documents, source));
    }
    if documents.iter().any(|document| document.get("services").is_some()) {
        // A file that is laid over another is as another document of it.
        for (_, text) in source.padded() {
            documents.extend(yaml::read(&text).map_err(|error| vec![error])?);
        }
        return compose::read(&documents, source);
    }
    if first.entries().iter().any(|(key, _)| key.text.contains('=')) {
        return Ok(dobi::read(first, source));
    }
    if has("target") || has("group") || has("variable") {
        return bake::read(laid_over(blocks::from_tree(first)?, source)?, source);
    }
    if has("images") || first.get("builder").is_some_and(|builder| builder.get("images").is_some()) {
        return Ok(builder::read(first, source));
    }
    if has("namespace") || source.path.ends_with(".shipwright.json") {
        return Ok(shipwright::read(first, source));
    }
    Err(unknown())
}

#[cfg(test)]
mod tests;
