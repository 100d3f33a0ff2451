//! A builder script's list of names and sources.
//!
//! `images: {name: {path: folder}}`, `{name: folder}`, or a list of
//! `- name: n` with `source:` or `path:`; `git:` with `branch:` where the source is a
//! repository. `dockerfile`, `target`, `args` and `tags` are taken too.

use super::draft::{Draft, Drafts, literal};
use super::tree::{Node, Value};
use super::{Source, place};
use crate::syntax::error::Span;

pub(super) fn read(root: &Node, source: &Source<'_>) -> Drafts {
    let mut drafts = Drafts::default();
    for (key, value) in root.entries() {
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
    let field = |names: &[&str]| names.iter().find_map(|name| node.get(name)?.text());
    let folder =
        node.text().or_else(|| field(&["path", "source", "folder", "context", "git", "repository", "url"]));
    let Some(folder) = folder else {
        return drafts.lost(span, format!("the image `{name}`: it has neither a `path` nor a `source`"));
    };
    let is_git = field(&["git", "repository", "url", "branch"]).is_some() || folder.ends_with(".git");
    if is_git {
        let branch = field(&["branch"]).map(|branch| format!(" at `{branch}`")).unwrap_or_default();
        let text = format!("the image `{name}`: its source is the git repository `{folder}`{branch}");
        return drafts.lost(span, text);
    }
    let mut draft = Draft { name: name.to_owned(), span, ..Draft::default() };
    for (key, value) in node.entries() {
        let text = value.text().map(literal);
        match key.text.as_str() {
            "name" | "path" | "source" | "folder" | "context" | "dockerfile" => {}
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
    if place::set(&mut draft, drafts, source.folder(), (&literal(folder), span), (&dockerfile, span)) {
        drafts.images.push(draft);
    }
}
