//! Drafts, to which every format is brought: images, groups and notes, before imk's own names are given.
//!
//! A *written* text is as an Imagefile would have it: `{NAME}` is a variable and
//! braces are doubled. Knows no format and no RON.

use std::collections::{BTreeMap, BTreeSet};

use super::matrix::Member;
use super::{Note, NoteKind};
use crate::syntax::error::Span;
use crate::syntax::imagefile::SecretSource;

/// The images of a source file.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    /// Variables with their values.
    pub vars: BTreeMap<String, String>,
    /// Sets of keys for images to take over, by the names the source gives them.
    pub templates: Vec<Draft>,
    /// The images in the order of the source.
    pub images: Vec<Draft>,
    /// Groups of names of images and groups.
    pub groups: Vec<Group>,
    /// The targets that are built when nothing is named.
    pub default: Vec<String>,
    /// Where the source says so.
    pub default_span: Span,
    /// Notes on what was not carried over.
    pub notes: Vec<Note>,
}

/// A name for several images.
#[derive(Debug)]
pub(super) struct Group {
    pub name: String,
    pub span: Span,
    pub members: Vec<String>,
}

/// One image. All texts but names are written texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Its name in the source.
    pub name: String,
    pub span: Span,
    /// Below the Imagefile's folder.
    pub context: String,
    /// Below the Imagefile's folder; in the context where that is a git repository.
    pub dockerfile: String,
    /// The Dockerfile's text where it has one of its own: no written text, for an Imagefile takes it as it is.
    pub dockerfile_inline: Option<String>,
    /// Whether the context is the address of a git repository.
    pub from_git: bool,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    pub platforms: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// Whole references it is tagged with.
    pub references: Vec<(String, Span)>,
    /// Tags of the image by facts that only a run knows, as an Imagefile writes them: `{git.branch}`.
    pub tag_templates: Vec<String>,
    pub secrets: BTreeMap<String, SecretSource>,
    pub network: Option<String>,
    /// Layer caches that an engine can be asked for.
    pub cache_from: Vec<String>,
    pub cache_to: Vec<String>,
    pub passed: Passed,
    pub description: Option<String>,
    /// Templates to take keys from, the later one winning.
    pub like: Vec<String>,
    /// Named contexts, in the order of the source.
    pub contexts: Vec<Context>,
    /// The matrix that made it.
    pub matrix: Option<Member>,
}

/// Settings that are handed on to the builder as they are. Written texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed {
    pub output: Vec<String>,
    pub ssh: Vec<String>,
    pub annotations: BTreeMap<String, String>,
    pub extra_hosts: BTreeMap<String, String>,
    pub shm_size: Option<String>,
    pub ulimits: Vec<String>,
    pub no_cache_filter: Vec<String>,
    pub entitlements: Vec<String>,
}

/// A named context of a draft.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// The name that the Dockerfile has for it.
    pub word: String,
    /// Its meaning.
    pub stands_for: StandsFor,
    pub span: Span,
}

/// The meaning of a context.
#[derive(Clone, Debug)]
pub(super) enum StandsFor {
    /// One of the source, by the name it has there.
    Target(String),
    /// One outside, by its reference, a written text.
    Image(String),
    /// Files: a folder or an address, a written text.
    Files(String),
}

/// An image under the name it will have.
pub(super) struct Image {
    pub name: String,
    pub draft: Draft,
    /// Empty where `latest` is all.
    pub tags: Vec<String>,
    /// Any tag of its name means it.
    pub any_tag: bool,
    /// Named contexts by name; written texts.
    pub contexts: BTreeMap<String, String>,
}

impl Drafts {
    /// Notes what is not carried over.
    pub fn lost(&mut self, span: Span, text: impl Into<String>) {
        self.notes.push(Note { span, kind: NoteKind::Lost, text: text.into() });
    }

    /// Notes what is there in another form.
    pub fn changed(&mut self, span: Span, text: impl Into<String>) {
        self.notes.push(Note { span, kind: NoteKind::Changed, text: text.into() });
    }

    /// A written text as the text of a Dockerfile, which has no variables of the Imagefile's.
    pub fn inline(
        &mut self,
        name: &str,
        written: &str,
        span: Span,
        vars: &BTreeMap<String, String>,
    ) -> String {
        let names: BTreeSet<&str> = names_in(written).into_iter().collect();
        if !names.is_empty() {
            let names = names.into_iter().collect::<Vec<_>>().join("`, `");
            let text = format!(
                "the Dockerfile of `{name}`: `{names}` has the value of now in it; an argument would bring in others"
            );
            self.changed(span, text);
        }
        fill(written, vars)
    }

    /// A written text with its variables filled in.
    pub fn plain(&self, written: &str) -> String {
        fill(written, &self.vars)
    }
}

/// A text as an Imagefile has it: braces stand for themselves.
pub(super) fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

/// A written text with its variables filled in. One that is not there stays as it is.
pub(super) fn fill(written: &str, vars: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = written;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, braced) = rest.split_at(at);
        text.push_str(before);
        let brace = &braced[..1];
        rest = &braced[1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
        } else if let Some((name, after)) = rest.split_once('}') {
            match vars.get(name) {
                Some(value) => text.push_str(value),
                None => text.extend(["{", name, "}"]),
            }
            rest = after;
        }
    }
    text + rest
}

/// The variables that a written text names.
pub(super) fn names_in(written: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = written;
    while let Some(at) = rest.find(['{', '}']) {
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            rest = after;
        } else if let Some((name, after)) = rest.split_once('}') {
            names.push(name);
            rest = after;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_and_variables_are_told_apart() {
        let vars = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(literal("a{b}"), "a{{b}}");
        assert_eq!(fill("x{A}-{{A}}{B}", &vars), "x1-{A}{B}");
        assert_eq!(names_in("x{A}-{{C}}{B}"), ["A", "B"]);
    }
}
