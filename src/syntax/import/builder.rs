//! A builder script's list of names and sources.
//!
//! `images: {name: {path: folder}}`, `{name: folder}`, or a list of
//! `- name: n` with `source:`, `from:` or `path:`; `git:` with `branch:` where the source is a
//! repository. All of it may stand below `builder:`. `dockerfile`, `target`, `args` and `tags` are taken too.

use super::draft::{Draft, Drafts, literal};
use super::{Source, place};
use crate::syntax::error::Span;
use crate::syntax::git_source;
use crate::syntax::yaml::{Node, Value};

/// Keys that name a source, the first that is there counting.
const SOURCES: &[&str] = &["git", "repository", "url", "source", "from", "path", "folder", "context"];

pub(super) fn read(root: &Node, source: &Source<'_>) -> Drafts {
    let mut drafts = Drafts::default();
    for (key, value) in root.entries() {
        if key.text == "builder" && value.get("images").is_some() {
            let inner = read(value, source);
            drafts.images.extend(inner.images);
            drafts.notes.extend(inner.notes);
            continue;
        }
        if key.text != "images" {
            drafts.lost(key.span, format!("{}: imk does not know this key", key.text));
            continue;
        }
        for (key, value) in value.entries() {
            image(&key.text, key.span, value, &mut drafts, source);
        }
        if let Value::List(items) = &value.value {
            for item in items {
                match item.get("name").and_then(|name| name.text()) {
                    Some(name) => image(name, item.span, item, &mut drafts, source),
                    None => drafts.lost(item.span, "an image without a `name`"),
                }
            }
        }
    }
    drafts
}

fn image(name: &str, span: Span, node: &Node, drafts: &mut Drafts, source: &Source<'_>) {
    let found = SOURCES.iter().find_map(|key| Some((*key, node.get(key)?.text()?)));
    let Some((key, folder)) = found.or_else(|| node.text().map(|text| ("", text))) else {
        return drafts.lost(span, format!("the image `{name}`: it has neither a `path` nor a `source`"));
    };
    let field = |names: &[&str]| names.iter().find_map(|name| node.get(name)?.text());
    let is_git = matches!(key, "git" | "repository" | "url");
    let wanted = field(&["branch", "tag", "commit", "ref"]);
    let inside = is_git.then(|| field(&["path", "folder", "context"])).flatten();
    let context = match (wanted, inside) {
        (None, None) => folder.to_owned(),
        (wanted, None) => format!("{folder}#{}", wanted.unwrap_or_default()),
        (wanted, Some(inside)) => format!("{folder}#{}:{inside}", wanted.unwrap_or_default()),
    };
    if (is_git || wanted.is_some()) && !git_source::is_remote(&context) {
        let why = "imk knows no such address; `Git(url: …)` takes any";
        return drafts
            .lost(span, format!("the image `{name}`: its source is the git repository `{folder}`: {why}"));
    }
    let mut draft = Draft { name: name.to_owned(), span, ..Draft::default() };
    for (key, value) in node.entries() {
        let text = value.text().map(literal);
        match key.text.as_str() {
            "name" | "dockerfile" | "branch" | "tag" | "commit" | "ref" => {}
            other if SOURCES.contains(&other) => {}
            "target" => draft.target = text,
            "description" => draft.description = text,
            "args" => {
                let pairs = value.entries().iter();
                draft.args = pairs
                    .filter_map(|(key, value)| Some((key.text.clone(), literal(value.text()?))))
                    .collect();
            }
            "tags" => {
                // Its name as it can stand in a reference.
                let valid = crate::model::name::check(name).is_ok();
                let name = if valid { name.to_owned() } else { crate::model::name::from_path(name) };
                for tag in value.items().iter().filter_map(|tag| tag.text()) {
                    draft.references.push((literal(&format!("{name}:{tag}")), key.span));
                }
            }
            other => drafts.lost(key.span, format!("{other} of `{name}`: imk does not know this key")),
        }
    }
    let dockerfile = literal(field(&["dockerfile"]).unwrap_or("Dockerfile"));
    if place::set(&mut draft, drafts, source.folder(), (&literal(&context), span), (&dockerfile, span)) {
        drafts.images.push(draft);
    }
}
