//! One bake target as a draft: what each of its keys means to imk.
//!
//! Knows flattened keys; inheritance is settled before.

use std::collections::BTreeMap;

use crate::syntax::error::Span;
use crate::syntax::imagefile::{SecretSource, cache_source, cache_target};
use crate::syntax::import::draft::{Draft, Drafts};
use crate::syntax::import::evaluate::Carried;
use crate::syntax::import::{Source, contexts, passed, place};
use crate::syntax::resolve::platform;

/// The keys of a target.
pub(super) type Keys = BTreeMap<String, (Carried, Span)>;

/// Keys that an Imagefile has no word for, and why it needs none.
const LOST: &[(&str, &str)] = &[
    ("attest", "imk makes no attestations"),
    ("call", "imk builds"),
    ("no-cache", "`imk --no-cache NAME` does it once"),
    ("policy", "an Imagefile has no policies"),
    ("pull", "`imk --pull` does it once; `upstream` says how bases are followed"),
];

/// The draft of a target; `None`, with a note, when it cannot be declared.
pub(super) fn draft(
    name: &str,
    span: Span,
    keys: &Keys,
    like: Vec<String>,
    is_template: bool,
    drafts: &mut Drafts,
    source: &Source<'_>,
) -> Option<Draft> {
    let mut draft = Draft { name: name.to_owned(), span, like, ..Draft::default() };
    let (mut context, mut dockerfile) = ((".".to_owned(), span), ("Dockerfile".to_owned(), span));
    for (key, (value, span)) in keys {
        let text = || value.text().map(str::to_owned).filter(|text| !text.is_empty());
        match key.as_str() {
            "context" => context = (text().unwrap_or(context.0), *span),
            "dockerfile" => dockerfile = (text().unwrap_or(dockerfile.0), *span),
            "dockerfile-inline" if is_template => {}
            "dockerfile-inline" => {
                let vars = drafts.vars.clone();
                draft.dockerfile_inline = text().map(|written| drafts.inline(name, &written, *span, &vars));
            }
            "target" => draft.target = text(),
            "network" => draft.network = text().filter(|network| network != "default"),
            "description" => draft.description = text(),
            "args" => draft.args = texts(value),
            "labels" => draft.labels = texts(value),
            // Tags and platforms are a template's users' own: notes would come twice.
            "tags" if is_template => {}
            "tags" => {
                let tags = value.texts().into_iter().filter(|tag| !tag.is_empty());
                draft.references = tags.map(|tag| (tag, *span)).collect();
            }
            "cache-from" => draft.cache_from = caches(key, value, *span, drafts),
            "cache-to" => draft.cache_to = caches(key, value, *span, drafts),
            "platforms" => draft.platforms = platforms(name, &value.texts(), *span, drafts),
            "secret" => secrets(&mut draft, value, *span, drafts, source),
            "contexts" if is_template => {}
            "contexts" => {
                let Carried::Map(entries) = value else { continue };
                for (word, value) in entries {
                    let entry = (word.as_str(), value.text().unwrap_or_default(), *span);
                    contexts::take(&mut draft, (key, "target:", source.current), entry, drafts);
                }
            }
            other if handed_on(&mut draft, other, value, *span, drafts, source) => {}
            other => lost(other, value, *span, drafts),
        }
    }
    if is_template {
        return Some(draft);
    }
    let (context, dockerfile) = ((context.0.as_str(), context.1), (dockerfile.0.as_str(), dockerfile.1));
    place::set(&mut draft, drafts, source.current, context, dockerfile).then_some(draft)
}

/// A map of texts. A value of null says that the key is not set.
fn texts(value: &Carried) -> BTreeMap<String, String> {
    let Carried::Map(entries) = value else { return BTreeMap::new() };
    entries.iter().filter_map(|(key, value)| Some((key.clone(), value.text()?.to_owned()))).collect()
}

/// Platforms in their order, spelled as an Imagefile has them.
pub(in crate::syntax::import) fn platforms(
    name: &str,
    written: &[String],
    span: Span,
    drafts: &mut Drafts,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    // As in bake, an empty one is none.
    for one in written.iter().filter(|one| !one.is_empty()) {
        let spelled = match platform::asked(&drafts.plain(one)) {
            Ok(spelled) if !one.contains('{') => spelled,
            Ok(_) => one.clone(),
            Err((why, _)) => {
                drafts.lost(span, format!("the platform `{}` of `{name}`: {why}", drafts.plain(one)));
                continue;
            }
        };
        if !found.contains(&spelled) {
            found.push(spelled);
        }
    }
    found
}

/// The caches that an engine can be asked for; the others are told.
fn caches(key: &str, value: &Carried, span: Span, drafts: &mut Drafts) -> Vec<String> {
    let Carried::List(items) = value else { return Vec::new() };
    let mut found = Vec::new();
    for item in items {
        let Some(text) = word(item) else { continue };
        let plain = drafts.plain(&text);
        let known =
            if key == "cache-from" { cache_source(&plain).map(drop) } else { cache_target(&plain).map(drop) };
        match known {
            Ok(()) => found.push(text),
            Err((message, hint)) => drafts.lost(span, format!("{key}: {message}: {hint}")),
        }
    }
    found
}

/// Takes over a setting that is the builder's; false when it is none.
fn handed_on(
    draft: &mut Draft,
    key: &str,
    value: &Carried,
    span: Span,
    drafts: &mut Drafts,
    source: &Source<'_>,
) -> bool {
    let words = match value {
        Carried::List(items) => items.iter().filter_map(word).collect(),
        Carried::Text(text) => vec![text.clone()],
        Carried::Map(_) | Carried::Null => Vec::new(),
    };
    match key {
        "output" => passed::outputs(draft, &words, source.current, span, drafts),
        "ssh" => words.iter().for_each(|word| passed::agent(draft, word, span, drafts)),
        "no-cache-filter" => draft.passed.no_cache_filter = words,
        "entitlements" => draft.passed.entitlements = words,
        "annotations" => words.iter().for_each(|word| passed::annotation(draft, word, span, drafts)),
        "ulimits" => words.iter().for_each(|word| passed::ulimit(draft, word, span, drafts)),
        "shm-size" => words.iter().for_each(|word| passed::shm_size(draft, word, span, drafts)),
        "extra-hosts" => {
            for (host, address) in texts(value) {
                passed::host(draft, (&host, &address), span, drafts);
            }
        }
        _ => return false,
    }
    true
}

/// An item as docker's flags have it: bake knows each of them as a map too.
fn word(item: &Carried) -> Option<String> {
    let entries = match item {
        Carried::Text(text) => return Some(text.clone()),
        Carried::Map(entries) => entries,
        Carried::Null | Carried::List(_) => return None,
    };
    if let Some((_, id)) = entries.iter().find(|(key, _)| key == "id") {
        let paths = entries.iter().find(|(key, _)| key == "paths").map(|(_, paths)| paths.texts());
        let paths = paths.filter(|paths| !paths.is_empty()).map(|paths| format!("={}", paths.join(",")));
        return Some(format!("{}{}", id.text()?, paths.unwrap_or_default()));
    }
    let pair = |(key, value): &(String, Carried)| Some(format!("{key}={}", value.text()?));
    Some(entries.iter().filter_map(pair).collect::<Vec<_>>().join(","))
}

fn lost(key: &str, value: &Carried, span: Span, drafts: &mut Drafts) {
    if value.is_nothing() {
        return;
    }
    match LOST.iter().find(|(other, _)| *other == key) {
        Some((key, why)) => drafts.lost(span, format!("{key}: {why}")),
        None => drafts.lost(span, format!("{key}: imk does not know this key")),
    }
}

/// `id=token,env=TOKEN`, or the same as a map.
fn secrets(draft: &mut Draft, value: &Carried, span: Span, drafts: &mut Drafts, source: &Source<'_>) {
    let items = if let Carried::List(items) = value { items.clone() } else { vec![value.clone()] };
    for item in items {
        let fields: BTreeMap<String, String> = match &item {
            Carried::Text(text) => {
                let pairs = text.split(',').filter_map(|pair| pair.trim().split_once('='));
                pairs.map(|(key, value)| (key.to_owned(), drafts.plain(value))).collect()
            }
            Carried::Map(_) => {
                texts(&item).into_iter().map(|(key, value)| (key, drafts.plain(&value))).collect()
            }
            _ => continue,
        };
        let field = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)).cloned();
        let file = field(&["src", "source"]);
        let Some(id) = field(&["id"]).or_else(|| file.clone()) else {
            drafts.lost(span, "a secret without an id");
            continue;
        };
        let secret = match (field(&["env"]), file) {
            (Some(env), _) => SecretSource::Env(env),
            (None, Some(name)) if field(&["type"]).as_deref() == Some("env") => SecretSource::Env(name),
            (None, Some(path)) => match file_of(source.current, &path) {
                Some(path) => SecretSource::File(path),
                None => {
                    drafts.lost(
                        span,
                        format!("the secret `{id}`: `{path}` is not below the Imagefile's folder"),
                    );
                    continue;
                }
            },
            (None, None) => SecretSource::Env(id.clone()),
        };
        draft.secrets.insert(id, secret);
    }
}

/// A secret's file, relative to `folder`: absolute, or below the Imagefile's folder.
pub(in crate::syntax::import) fn file_of(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') { Some(path.to_owned()) } else { place::path(folder, path).ok() }
}
