//! Why a commit makes an image stale, and which lines of Dockerfiles let it.
//!
//! A build because of a base is put down to the lines behind the base's own
//! build: that is where it could have been saved.

use std::collections::BTreeSet;

use crate::explain::line;
use crate::model::hash::ContentHash;
use crate::model::part::Part;
use crate::model::reason::{Code, Reason};
use crate::query::inputs::Text;
use crate::query::recipe::recipe;
use crate::replay::costs::{Job, Line};
use crate::replay::rules;
use crate::session::open::Session;
use crate::source::contexts;
use crate::source::git::GitTree;
use crate::source::git::changes::only_in;
use crate::source::tree::Selection;
use crate::state::evidence::Evidence;
use crate::syntax::reads::Reads;
use crate::syntax::resolve::Recipe;
use std::sync::Arc;

/// An image at a commit.
pub struct ImageState {
    /// The commit's files.
    pub tree: Arc<GitTree>,
    pub key: ContentHash,
    pub parts: Arc<[Part]>,
    pub selection: Option<Arc<Selection>>,
    pub rules: rules::Keys,
}

/// The differences of two states of an image.
pub fn reasons(old: &ImageState, new: &ImageState) -> Vec<Reason> {
    let differences = |full: bool| {
        let files = |this: &ImageState, other: &ImageState| {
            let files = this.selection.as_ref().and_then(|selection| match full {
                false if selection.named.is_empty() => only_in(&this.tree, &other.tree, selection).ok(),
                _ => contexts::used_files(&*this.tree, selection).ok(),
            });
            Evidence::new(this.parts.to_vec(), &files.unwrap_or_default())
        };
        files(old, new).differences(&files(new, old))
    };
    let reasons = differences(false);
    // What changed behind a link that did not is found only in the whole lists.
    if reasons.is_empty() { differences(true) } else { reasons }
}

/// The lines behind a build; `built` are the builds of this commit so far, bases first.
pub fn lines(
    session: &Session,
    name: &str,
    old: &ImageState,
    new: &ImageState,
    reasons: &[Reason],
    built: &[Job],
) -> BTreeSet<Line> {
    let db = session.db();
    let Some(image) = session.input(name) else { return BTreeSet::new() };
    let (Ok(recipe), Text::Is(text)) = (recipe(db, image), image.dockerfile(db)) else {
        return BTreeSet::new();
    };
    let path = &image.paths(db).dockerfile;
    let line = |text: String| Line { path: path.clone(), text };
    let mut lines = BTreeSet::new();
    for reason in reasons {
        match reason.code {
            Code::File | Code::Git => {}
            Code::Base => match built.iter().find(|job| job.name == reason.subject) {
                Some(base) if !base.lines.is_empty() => lines.extend(base.lines.iter().cloned()),
                _ => drop(lines.insert(line(from(recipe, text, &reason.subject)))),
            },
            Code::Upstream => drop(lines.insert(line(from(recipe, text, &reason.subject)))),
            Code::Arg => drop(lines.insert(line(format!("ARG {}", reason.subject)))),
            Code::Dockerfile => {
                let canonical = reason.after.as_ref().or(reason.before.as_ref());
                lines.extend(canonical.map(|canonical| line(written(recipe, text, canonical))));
            }
            Code::Config => {
                let path = session.project.imagefile.clone().unwrap_or_default();
                lines.insert(Line { path, text: reason.subject.clone() });
            }
            Code::Builder | Code::Missing | Code::Forced | Code::Test => {}
        }
    }
    if reasons.iter().any(|reason| reason.code == Code::File)
        && let Some(selection) = &new.selection
    {
        let mut found = false;
        let sources =
            selection.parts().flat_map(|(_, part)| part.reads.sources.iter().map(move |it| (part, it)));
        for (part, source) in sources {
            let reads = Reads { sources: vec![source.clone()] };
            let one = Selection { reads, ..part.alone() };
            let sides = [only_in(&old.tree, &new.tree, &one), only_in(&new.tree, &old.tree, &one)];
            if sides[0] != sides[1] {
                found = true;
                lines.insert(line(line::around(recipe, path, text, source.span).text));
            }
        }
        if !found {
            lines.insert(line("(files behind a link)".into()));
        }
    }
    lines
}

/// The line that names a base.
fn from(recipe: &Recipe, text: &str, reference: &str) -> String {
    let base = recipe.bases.iter().find(|base| {
        base.reference == reference
            || base.reference.split(':').next().is_some_and(|r| r.ends_with(reference))
    });
    let span = base.and_then(|base| base.spans.first());
    span.map_or_else(|| format!("FROM {reference}"), |span| line::line(text, span.start).1)
}

/// The line behind a canonical instruction.
fn written(recipe: &Recipe, text: &str, canonical: &str) -> String {
    let words: Vec<&str> = canonical.split(' ').collect();
    if let ["base", number, "is", reference, ..] = words.as_slice() {
        let base = number.parse().ok().and_then(|number: usize| recipe.bases.get(number));
        let span = base.and_then(|base| base.spans.first());
        return span.map_or_else(|| format!("FROM {reference}"), |span| line::line(text, span.start).1);
    }
    let mut all = recipe.stages.iter().flat_map(|stage| &stage.instructions);
    let found = all.find(|instruction| instruction.text == canonical);
    match found {
        Some(instruction) => line::line(text, instruction.span.start).1,
        None => canonical.lines().next().unwrap_or_default().to_owned(),
    }
}
