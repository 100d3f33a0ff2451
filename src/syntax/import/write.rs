//! An Imagefile as a person would write it: what goes without saying is left out.
//!
//! Knows RON and the keys of an Imagefile; nothing of where they came from.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Image};
use super::matrix::{self, Said};
use super::quoted::quoted;
use super::shape::Shaped;
use crate::model::name;
use crate::syntax::imagefile::SecretSource;

/// Longer sets of keys get a line for each.
const WIDTH: usize = 100;

/// The text of an Imagefile.
pub(super) fn write(shaped: &Shaped, source: &str) -> String {
    written(shaped, source, &BTreeSet::new())
}

/// The same with the images of these matrices as one entry each, where that can be.
pub(super) fn written(shaped: &Shaped, source: &str, matrices: &BTreeSet<usize>) -> String {
    let mut text = format!(
        "// Made by `imk import` from {source}.\n// `imk keys` explains every key, `imk list` shows the images.\n(\n"
    );
    if !shaped.prefix.is_empty() {
        text += &format!("    prefix: {},\n", quoted(&shaped.prefix));
    }
    if !shaped.vars.is_empty() {
        let vars = shaped.vars.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)));
        text += &set("vars", vars.collect(), 4, ["{", "}"]);
    }
    if !shaped.default.is_empty() {
        text += &set("default", shaped.default.iter().map(|name| quoted(name)).collect(), 4, ["[", "]"]);
    }
    if !shaped.groups.is_empty() {
        let groups =
            shaped.groups.iter().map(|(name, members)| format!("{}: {}", quoted(name), list(members)));
        text += &set("groups", groups.collect(), 4, ["{", "}"]);
    }
    let shared = shared_tags(shaped);
    if let Some(tags) = shared {
        text += &format!("    defaults: (tags: {}),\n", list(tags));
    }
    if !shaped.templates.is_empty() {
        text += "    templates: {\n";
        for template in &shaped.templates {
            text += &entry(&template.name, common(template));
        }
        text += "    },\n";
    }
    text += "    images: {\n";
    for (name, keys) in entries(shaped, shared.is_none(), matrices) {
        text += &entry(&name, keys);
    }
    text + "    },\n)\n"
}

/// The entries of images: each its own, but for those of these matrices.
fn entries(shaped: &Shaped, own_tags: bool, matrices: &BTreeSet<usize>) -> Vec<Said> {
    let mut done = BTreeSet::new();
    let mut entries = Vec::new();
    for image in &shaped.images {
        let block =
            image.draft.matrix.as_ref().map(|member| member.block).filter(|block| matrices.contains(block));
        let Some(block) = block else {
            entries.push((image.name.clone(), keys(image, own_tags)));
            continue;
        };
        if !done.insert(block) {
            continue;
        }
        let members = shaped.images.iter().filter_map(|image| Some((image.draft.matrix.as_ref()?, image)));
        let members = members.filter(|(member, _)| member.block == block);
        let members: Vec<_> =
            members.map(|(member, image)| (member, (image.name.clone(), keys(image, own_tags)))).collect();
        match matrix::folded(&members) {
            Some(folded) => entries.push(folded),
            None => entries.extend(members.into_iter().map(|(_, said)| said)),
        }
    }
    entries
}

/// Tags by facts of git that all images have: they are said once.
fn shared_tags(shaped: &Shaped) -> Option<&[String]> {
    let tags = &shaped.images.first()?.tags;
    let by_git = tags.iter().any(|tag| tag.contains("{git."));
    let same = shaped.images.iter().all(|image| image.tags == *tags);
    (shaped.images.len() > 1 && by_git && same).then_some(tags.as_slice())
}

/// The keys of an image, those that say what the rules would say anyway left out.
fn keys(image: &Image, own_tags: bool) -> Vec<String> {
    let draft = &image.draft;
    let mut keys = Vec::new();
    match draft.like.as_slice() {
        [] => {}
        [one] => keys.push(format!("like: {}", quoted(one))),
        several => keys.push(format!("like: {}", list(several))),
    }
    let plain = if draft.from_git {
        draft.dockerfile == "Dockerfile"
    } else {
        draft.dockerfile == name::join(&draft.context, "Dockerfile")
    };
    let folder = draft.dockerfile.rsplit_once('/').map_or("", |(folder, _)| folder);
    let plain = plain || draft.dockerfile_inline.is_some();
    match &draft.dockerfile_inline {
        Some(text) => keys.push(format!("dockerfile_inline: {}", lines(text))),
        None if !plain => keys.push(format!("dockerfile: {}", quoted(&draft.dockerfile))),
        None => {}
    }
    let follows = if draft.dockerfile_inline.is_some() {
        draft.context.is_empty()
    } else if plain {
        draft.context == image.name.replace(':', "/")
    } else {
        draft.context == folder
    };
    let follows = follows && !draft.from_git;
    if !follows {
        let context = if draft.context.is_empty() { "." } else { &draft.context };
        keys.push(format!("context: {}", quoted(context)));
    }
    if own_tags && !image.tags.is_empty() {
        keys.push(format!("tags: {}", list(&image.tags)));
    }
    keys.extend(image.any_tag.then(|| "any_tag: true".to_owned()));
    keys.extend(pairs("contexts", &image.contexts));
    keys.extend(common(draft));
    keys.extend(draft.description.as_ref().map(|text| format!("description: {}", quoted(text))));
    keys
}

/// The keys that a template can have too.
fn common(draft: &Draft) -> Vec<String> {
    let mut keys = Vec::new();
    keys.extend(draft.target.as_ref().map(|text| format!("target: {}", quoted(text))));
    keys.extend(match draft.platforms.as_slice() {
        [] => None,
        [one] => Some(format!("platform: {}", quoted(one))),
        several => Some(format!("platforms: {}", list(several))),
    });
    keys.extend(pairs("args", &draft.args));
    keys.extend(pairs("labels", &draft.labels));
    if !draft.secrets.is_empty() {
        let secrets = draft.secrets.iter().map(|(id, source)| {
            let source = match source {
                SecretSource::Env(name) => format!("Env({})", quoted(name)),
                SecretSource::File(path) => format!("File({})", quoted(path)),
            };
            format!("{}: {source}", quoted(id))
        });
        keys.push(braced("secrets", secrets.collect()));
    }
    for (key, caches) in [("cache_from", &draft.cache_from), ("cache_to", &draft.cache_to)] {
        keys.extend((!caches.is_empty()).then(|| format!("{key}: {}", list(caches))));
    }
    let passed = &draft.passed;
    for (key, words) in [
        ("output", &passed.output),
        ("ssh", &passed.ssh),
        ("no_cache_filter", &passed.no_cache_filter),
        ("entitlements", &passed.entitlements),
        ("ulimits", &passed.ulimits),
    ] {
        keys.extend((!words.is_empty()).then(|| format!("{key}: {}", list(words))));
    }
    keys.extend(pairs("annotations", &passed.annotations));
    keys.extend(pairs("extra_hosts", &passed.extra_hosts));
    keys.extend(passed.shm_size.as_ref().map(|text| format!("shm_size: {}", quoted(text))));
    keys.extend(draft.network.as_ref().map(|text| format!("network: {}", quoted(text))));
    keys
}

fn pairs(key: &str, map: &BTreeMap<String, String>) -> Option<String> {
    let pairs = map.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)));
    (!map.is_empty()).then(|| braced(key, pairs.collect()))
}

/// A map among the keys of an image: on one line if it is short.
fn braced(key: &str, pairs: Vec<String>) -> String {
    let line = format!("{key}: {{{}}}", pairs.join(", "));
    if line.len() + 12 <= WIDTH {
        return line;
    }
    let lines: String = pairs.iter().map(|pair| format!("                {pair},\n")).collect();
    format!("{key}: {{\n{lines}            }}")
}

/// `"name": (…)`, on one line if that is short.
fn entry(name: &str, keys: Vec<String>) -> String {
    let line = format!("        {}: ({}),\n", quoted(name), keys.join(", "));
    if line.len() <= WIDTH && !line.trim_end().contains('\n') {
        return line;
    }
    let lines: String = keys.iter().map(|key| format!("            {key},\n")).collect();
    format!("        {}: (\n{lines}        ),\n", quoted(name))
}

/// `key: {…}` of the file itself.
fn set(key: &str, items: Vec<String>, indent: usize, around: [&str; 2]) -> String {
    let space = " ".repeat(indent);
    let [open, close] = around;
    let line = format!("{space}{key}: {open}{}{close},\n", items.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let lines: String = items.iter().map(|item| format!("{space}    {item},\n")).collect();
    format!("{space}{key}: {open}\n{lines}{space}{close},\n")
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
}

/// A text of several lines as RON has it: the lines as they are, where nothing in them is invisible.
fn lines(text: &str) -> String {
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') || !text.contains('\n') {
        return quoted(text);
    }
    let most = text.split('"').skip(1).map(|after| after.bytes().take_while(|byte| *byte == b'#').count());
    let marks = "#".repeat(most.max().map_or(0, |most| most + 1).max(1));
    format!("r{marks}\"{text}\"{marks}")
}
