//! `dobi.yaml`: its `image=` resources, and the aliases that name several of them.
//!
//! Jobs, mounts and compose projects run things; they are told, not carried over.

use std::collections::BTreeMap;

use super::draft::{Draft, Drafts, Group, literal};
use super::{Source, place};
use crate::syntax::error::Span;
use crate::syntax::yaml::{Node, Shared};

pub(super) fn read(root: &Node, source: &Source<'_>) -> Drafts {
    let mut drafts = Drafts::default();
    let mut default = None;
    for (key, value) in root.entries() {
        match key.text.split_once('=') {
            Some(("image", name)) => image(name, key.span, value, &mut drafts, source),
            Some(("alias", name)) => {
                let tasks = value.get("tasks").map(|tasks| tasks.items()).unwrap_or_default();
                let members = tasks.iter().filter_map(|task| task.text()).map(resource).collect();
                drafts.groups.push(Group { name: name.to_owned(), span: key.span, members });
            }
            Some((kind, name)) => {
                drafts.lost(key.span, format!("{kind}={name}: imk builds images and runs nothing"));
            }
            None if key.text == "meta" => {
                default = value.get("default").and_then(|node| node.text()).map(resource);
            }
            None => drafts.lost(key.span, format!("{}: imk does not know this key", key.text)),
        }
    }
    drafts.default.extend(default);
    drafts
}

/// A task names a resource, and perhaps what is to be done with it: `app:build`.
fn resource(task: &str) -> String {
    task.split(':').next().unwrap_or_default().to_owned()
}

fn image(name: &str, span: Span, node: &Shared, drafts: &mut Drafts, source: &Source<'_>) {
    let field = |key: &str| node.get(key).and_then(|node| Some((node.text()?.to_owned(), node.span)));
    if let Some(steps) = node.get("steps") {
        let text =
            format!("the image `{name}`: its Dockerfile stands in `steps`; write it to a file of its own");
        return drafts.lost(steps.span, text);
    }
    let (context, dockerfile) = (field("context"), field("dockerfile"));
    if context.is_none() && dockerfile.is_none() {
        return drafts.lost(span, format!("the image `{name}`: it is pulled, not built"));
    }
    let mut draft = Draft { name: name.to_owned(), span, ..Draft::default() };
    let mut tags = Vec::new();
    for (key, value) in node.entries() {
        let span = key.span;
        match key.text.as_str() {
            "image" | "context" | "dockerfile" => {}
            "target" => {
                draft.target = words(value.text().unwrap_or_default(), "target", span, drafts, source);
            }
            "network-mode" => {
                draft.network = words(value.text().unwrap_or_default(), "network-mode", span, drafts, source);
            }
            "description" => draft.description = value.text().map(literal),
            "args" => draft.args = args(value, drafts, source),
            "tags" => {
                let items = value.items();
                let texts = items.iter().filter_map(|tag| tag.text());
                tags.extend(texts.filter_map(|tag| Some((words(tag, "tags", span, drafts, source)?, span))));
            }
            "annotations" => {
                let text = value.get("description").and_then(|node| node.text());
                draft.description = text.map(literal).or(draft.description.take());
            }
            "depends" => drafts.changed(span, format!("depends of `{name}`: edges are found in Dockerfiles")),
            other if !value.is_nothing() => {
                drafts.lost(span, format!("{other} of `{name}`: an Imagefile has no such key"));
            }
            _ => {}
        }
    }
    if let Some((repository, span)) = field("image") {
        let repository = words(&repository, "image", span, drafts, source);
        // Without tags dobi makes one up for each run.
        let all = tags.into_iter().map(|(tag, span)| (Some(tag), span));
        let all = if all.len() == 0 { vec![(None, span)] } else { all.collect() };
        for (tag, span) in all {
            let Some(repository) = &repository else { break };
            let reference = tag.map_or_else(|| repository.clone(), |tag| format!("{repository}:{tag}"));
            draft.references.push((reference, span));
        }
    }
    let path = |field: Option<(String, Span)>, other: &str| {
        field.map_or_else(|| (literal(other), span), |(text, span)| (literal(&text), span))
    };
    let (context, dockerfile) = (path(context, "."), path(dockerfile, "Dockerfile"));
    let (context, dockerfile) = ((context.0.as_str(), context.1), (dockerfile.0.as_str(), dockerfile.1));
    if place::set(&mut draft, drafts, source.folder(), context, dockerfile) {
        drafts.images.push(draft);
    }
}

fn args(node: &Node, drafts: &mut Drafts, source: &Source<'_>) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    for (key, value) in node.entries() {
        let text = value.text().unwrap_or_default();
        if let Some(text) = words(text, &format!("args.{}", key.text), key.span, drafts, source) {
            args.insert(key.text.clone(), text);
        }
    }
    args
}

/// A text in which `{env.NAME:default}` is a variable. What only a run of dobi
/// knows, such as `{unique}` or `{git.sha}`, cannot be carried over.
fn words(text: &str, what: &str, span: Span, drafts: &mut Drafts, source: &Source<'_>) -> Option<String> {
    let mut written = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        written += &literal(before);
        let (inner, after) = after.split_once('}').unwrap_or((after, ""));
        rest = after;
        let (variable, default) = inner.split_once(':').unwrap_or((inner, ""));
        let Some(name) = variable.strip_prefix("env.") else {
            drafts.lost(span, format!("{what}: `{{{inner}}}` is known to a run of dobi only"));
            return None;
        };
        let given = source.environment.get(name);
        if given.is_some() {
            drafts.changed(
                span,
                format!("the variable `{name}` has the value that the environment gives it now"),
            );
        }
        let value = given.map_or(default, String::as_str).to_owned();
        if *drafts.vars.entry(name.to_owned()).or_insert_with(|| value.clone()) == value {
            written += &format!("{{{name}}}");
        } else {
            written += &literal(&value);
        }
    }
    Some(written + &literal(rest))
}
