//! The Imagefile of an import is read back before anybody has it: what would be refused is left out, and told.
//!
//! Knows how `write` lays an Imagefile out, and nothing of where it came from.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Image, fill};
use super::shape::Shaped;
use super::{Note, NoteKind, quoted, write};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::imagefile::{self, Declaration, Imagefile};

/// Matrices that are tried one by one, where not all of them can be written as such.
const MOST_TRIES: usize = 30;

/// The text of an Imagefile that can be read. What cannot stand in one is taken out of `shaped`, with a note.
///
/// # Errors
/// When nothing can be left out to make it readable.
pub(super) fn written(shaped: &mut Shaped, source: &str) -> Result<String, Vec<SyntaxError>> {
    loop {
        let text = write::write(shaped, source);
        let errors = match imagefile::read(&text, &BTreeMap::new()) {
            Ok(plain) => return Ok(with_matrices(shaped, source, text, &plain)),
            Err(errors) => errors,
        };
        let leave = errors.first().filter(|error| leave_out(shaped, &text, error));
        if leave.is_none() {
            let error = errors.into_iter().next().map_or_else(String::new, |error| error.message);
            let message = format!("the Imagefile of this file could not be read: {error}");
            let hint = "this is a mistake of imk: please tell its authors, with the file";
            return Err(vec![SyntaxError::new(Span::default(), message).hint(hint)]);
        }
    }
}

/// The same Imagefile with every matrix as one that means the same as its images one by one.
fn with_matrices(shaped: &Shaped, source: &str, plain_text: String, plain: &Imagefile) -> String {
    let blocks = shaped.images.iter().filter_map(|image| Some(image.draft.matrix.as_ref()?.block));
    let blocks: BTreeSet<usize> = blocks.collect();
    if blocks.is_empty() {
        return plain_text;
    }
    let meant = meaning(plain);
    let same = |folded: &BTreeSet<usize>| {
        let text = write::written(shaped, source, folded);
        imagefile::read(&text, &BTreeMap::new()).is_ok_and(|read| meaning(&read) == meant).then_some(text)
    };
    if let Some(text) = same(&blocks) {
        return text;
    }
    let (mut folded, mut best) = (BTreeSet::new(), plain_text);
    for block in blocks.into_iter().take(MOST_TRIES) {
        folded.insert(block);
        match same(&folded) {
            Some(text) => best = text,
            None => drop(folded.remove(&block)),
        }
    }
    best
}

/// All that an Imagefile says, without where it says it and which images a matrix made.
fn meaning(imagefile: &Imagefile) -> Vec<String> {
    let all = [format!("{:?} {:?} {:?}", imagefile.prefix, imagefile.default, imagefile.groups)];
    let images = imagefile.images.iter().map(|image| {
        let image = Declaration { choice: BTreeMap::new(), ..image.clone() };
        format!("{image:?}")
    });
    all.into_iter().chain(images).map(|text| without_places(&text)).collect()
}

fn without_places(text: &str) -> String {
    let mut pieces = text.split("Span {");
    let mut left = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        left += piece.split_once('}').map_or(piece, |(_, rest)| rest);
    }
    left
}

/// Leaves out the image that a mistake is in; variables and groups all together. False when it is in none of them.
fn leave_out(shaped: &mut Shaped, text: &str, error: &SyntaxError) -> bool {
    let (section, entry) = place(text, error.span.start);
    let why = &error.message;
    match section {
        "images" => {
            let named = |image: &Image| entry == Some(quoted::quoted(&image.name));
            let Some(at) = shaped.images.iter().position(named) else { return false };
            let image = shaped.images.remove(at);
            let told = format!("the image `{}`: an Imagefile cannot have it: {why}", image.draft.name);
            shaped.notes.push(Note { span: image.draft.span, kind: NoteKind::Lost, text: told });
            shaped.default.retain(|member| *member != image.name);
            shaped.groups.iter_mut().for_each(|(_, members)| members.retain(|member| *member != image.name));
            shaped.groups.retain(|(_, members)| !members.is_empty());
            true
        }
        "vars" if !shaped.vars.is_empty() => {
            let vars = std::mem::take(&mut shaped.vars);
            shaped.each_text(&mut |text| *text = super::draft::literal(&fill(text, &vars)));
            let text = format!("the variables stand by their values: an Imagefile cannot have them: {why}");
            shaped.notes.push(Note { span: Span::default(), kind: NoteKind::Changed, text });
            true
        }
        "groups" | "default" if !(shaped.groups.is_empty() && shaped.default.is_empty()) => {
            shaped.groups.clear();
            shaped.default.clear();
            let text = format!("the groups: an Imagefile cannot have them: {why}");
            shaped.notes.push(Note { span: Span::default(), kind: NoteKind::Lost, text });
            true
        }
        _ => false,
    }
}

/// The key of the file and the quoted name of the entry in it that a place is in.
fn place(text: &str, at: usize) -> (&str, Option<String>) {
    let (mut section, mut entry) = ("", None);
    let mut start = 0;
    for line in text.split_inclusive('\n').take_while(|line| {
        let before = start <= at;
        start += line.len();
        before
    }) {
        let word = line.trim_start();
        match line.len() - word.len() {
            4 => (section, entry) = (word.split(':').next().unwrap_or_default(), None),
            8 => entry = word.split_once(": (").map(|(name, _)| name.to_owned()).or(entry),
            _ => {}
        }
    }
    (section, entry)
}
