//! The graph as a `docker-bake.json` that has bake build the same images.
//!
//! Follows the bake file reference of docker buildx: a base of the repository is a named
//! context, under the word that the Dockerfile has for it. What bake has no word
//! for, how outside bases are followed, is left to bake.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::matrix::{self, Member, target_name};
use crate::cli::ordered::Ordered;
use crate::model::layer_cache::LayerCache;
use crate::model::name::{declared, for_platform};
use crate::model::output::{Form, Outputs, Packing};
use crate::plan::tags::tagging;
use crate::query::graph::{Bases, Order};
use crate::session::declared::Declared;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::sync::{self, SyncError};
use crate::syntax::error::Span;
use crate::syntax::imagefile::{OverlaySource, SecretSource};
use crate::syntax::layout_source;
use crate::syntax::reference;
use crate::syntax::resolve::NamedContext;

/// The images that `words` mean, as `default`, and those of each group.
///
/// # Errors
/// Words that mean no image.
pub fn groups(
    session: &mut Session,
    words: &[String],
) -> Result<BTreeMap<String, BTreeSet<String>>, SyncError> {
    let names: Vec<String> = session.project.groups.keys().cloned().collect();
    let mut groups = BTreeMap::from([("default".to_owned(), sync::choose(session, words)?)]);
    for name in names {
        let members = sync::choose(session, std::slice::from_ref(&name))?;
        groups.entry(name).or_insert(members);
    }
    Ok(groups)
}

/// A bake file.
#[derive(Serialize)]
struct File<'a> {
    group: Ordered<String, Group<'a>>,
    target: Ordered<String, Value>,
}

/// Targets that go by one name.
#[derive(Serialize)]
struct Group<'a> {
    targets: Vec<&'a str>,
}

/// An image, with the keys that bake has for it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Target {
    context: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dockerfile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dockerfile_inline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    contexts: Ordered<String, String>,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    args: Ordered<String, String>,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    labels: Ordered<String, String>,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_from: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_to: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secret: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    output: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    no_cache_filter: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entitlements: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<String>,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    extra_hosts: Ordered<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_size: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ulimits: Vec<String>,
}

/// The text of the file.
pub fn file(
    session: &Session,
    order: &Order,
    groups: &BTreeMap<String, BTreeSet<String>>,
    edges: &dyn Fn(&str) -> Bases,
) -> String {
    // Of a name for several platforms bake has one target, which says them all.
    let mut names: Vec<String> = order.names.iter().map(|name| declared(name).to_owned()).collect();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let targets = target_names(&names);
    let mut shown = Ordered::default();
    for (group, members) in groups {
        let members: BTreeSet<&str> = members.iter().map(|name| declared(name)).collect();
        let members = names.iter().filter(|name| members.contains(name.as_str()));
        let members: Vec<&str> = members.map(|name| targets[name].as_str()).collect();
        let name = target_name(group);
        let taken = shown.contains(&name) || targets.values().any(|target| *target == name);
        if !members.is_empty() && !taken {
            shown.insert(name, Group { targets: members });
        }
    }
    let members = names.iter().filter_map(|name| {
        let body = serde_json::to_value(target(session, name, &targets, edges)?).ok()?;
        let image = platforms::declaration(&session.project, name)?;
        Some((image.span, Member { name: targets[name].clone(), choice: image.choice.clone(), body }))
    });
    let target = folded(members.collect(), &shown);
    let file = File { group: shown, target };
    // Keys are texts and values have forms of JSON, so nothing is refused.
    serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
}

/// The targets, those of one matrix as one where that says the same.
fn folded(
    members: Vec<(Option<Span>, Member)>,
    groups: &Ordered<String, Group<'_>>,
) -> Ordered<String, Value> {
    let mut taken: BTreeSet<String> = members.iter().map(|(_, member)| member.name.clone()).collect();
    let mut of_matrix: BTreeMap<Option<Span>, Vec<Member>> = BTreeMap::new();
    let mut order: Vec<(Option<Span>, Option<Member>)> = Vec::new();
    for (span, member) in members {
        if span.is_none() || member.choice.is_empty() {
            order.push((None, Some(member)));
            continue;
        }
        let others = of_matrix.entry(span).or_default();
        if others.is_empty() {
            order.push((span, None));
        }
        others.push(member);
    }
    let mut targets = Ordered::default();
    for (span, member) in order {
        let members = match member {
            Some(member) => vec![member],
            None => of_matrix.remove(&span).unwrap_or_default(),
        };
        match matrix::fold(&members) {
            Some(target) => {
                let name = label(&members);
                let numbered = (2..).map(|number| format!("{name}-{number}"));
                let mut names = std::iter::once(name.clone()).chain(numbered);
                let name = names.find(|name| !taken.contains(name) && !groups.contains(name)).unwrap_or(name);
                taken.insert(name.clone());
                targets.insert(name, target);
            }
            None => members.into_iter().for_each(|member| targets.insert(member.name, member.body)),
        }
    }
    targets
}

/// A name for all targets of a matrix: the beginning that their names share.
fn label(members: &[Member]) -> String {
    let mut shared = members.first().map_or("", |member| member.name.as_str());
    for member in members {
        let same = shared.bytes().zip(member.name.bytes()).take_while(|(one, other)| one == other).count();
        shared = &shared[..same];
    }
    let shared = shared.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    if shared.is_empty() { "matrix".to_owned() } else { shared.to_owned() }
}

/// The annotations of an image's manifest, and those of its index.
fn annotations(image: &Declared) -> Vec<String> {
    let of_manifest = image.options.annotations.iter().map(|(key, value)| format!("{key}={value}"));
    let of_index = image.index_annotations.iter().map(|(key, value)| format!("index:{key}={value}"));
    of_manifest.chain(of_index).map(|annotation| text(&annotation)).collect()
}

/// The named contexts of an image: one for each base of the repository, and those that it declares.
fn contexts(image: &Declared, targets: &BTreeMap<String, String>, bases: &Bases) -> Ordered<String, String> {
    let inside = bases.inside.iter().filter_map(|edge| {
        let base = targets.get(declared(&edge.base))?;
        Some((reference::context_name(&edge.word)?, text(&format!("target:{base}"))))
    });
    let mut contexts: Ordered<String, String> = inside.collect();
    for (word, meaning) in &image.options.contexts {
        let value = match (meaning, image.context_files.get(word).map(|files| &files.from)) {
            (NamedContext::Image(outside), _) if layout_source::is(outside) => outside.clone(),
            (NamedContext::Image(outside), _) => format!("docker-image://{outside}"),
            (NamedContext::Files, Some(OverlaySource::Path(path))) if path.is_empty() => ".".to_owned(),
            (NamedContext::Files, Some(OverlaySource::Path(path))) => format!("./{path}"),
            (NamedContext::Files, Some(OverlaySource::Git(source))) => source.shown(),
            (NamedContext::Files, None) => continue,
        };
        if !contexts.contains(word) {
            contexts.insert(word.clone(), text(&value));
        }
    }
    contexts
}

fn target(
    session: &Session,
    name: &str,
    targets: &BTreeMap<String, String>,
    edges: &dyn Fn(&str) -> Bases,
) -> Option<Target> {
    let image = platforms::declaration(&session.project, name)?;
    let one = image.platforms.first().filter(|_| image.platforms.len() > 1);
    let input = one.map_or_else(|| name.to_owned(), |one| for_platform(name, one));
    let options = &image.options;
    let paths = &image.paths;
    let context = if paths.context.is_empty() { "." } else { &paths.context };
    let contexts = contexts(image, targets, &edges(&input));
    let optional = |value: &Option<String>| value.as_deref().map(text);
    let map =
        |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    // A tag with a key has none here: bake makes images that imk knows nothing of.
    let tags = tagging::facts_of(session, &[input]).of(name, None).given;
    let from = image.cache.from.iter().map(|name| text(&format!("type=registry,ref={name}")));
    let secrets = image.secrets.iter().map(|(id, source)| match source {
        SecretSource::Env(name) => text(&format!("id={id},env={name}")),
        SecretSource::File(path) => text(&format!("type=file,id={id},src={path}")),
    });
    let limits = options.sandbox.ulimits.iter().map(|(name, (soft, hard))| format!("{name}={soft}:{hard}"));
    Some(Target {
        context: text(context),
        dockerfile: image
            .dockerfile_inline
            .is_none()
            .then(|| text(&relative(&paths.context, &paths.dockerfile))),
        dockerfile_inline: optional(&image.dockerfile_inline),
        target: optional(&options.target),
        network: optional(&options.network),
        description: optional(&image.description),
        contexts,
        args: map(&options.args),
        labels: map(&options.labels),
        tags: tags.iter().map(|tag| text(&tag.reference)).collect(),
        cache_from: from.chain(image.cache.other_from.iter().map(cache)).collect(),
        cache_to: image
            .cache
            .inline
            .then(|| "type=inline".to_owned())
            .into_iter()
            .chain(image.cache.to.iter().map(cache))
            .collect(),
        platforms: image.platforms.iter().map(|one| text(one)).collect(),
        secret: secrets.collect(),
        output: outputs(&image.declared_outputs).iter().map(|output| text(output)).collect(),
        ssh: image.ssh.iter().map(|(id, paths)| text(&agent(id, paths))).collect(),
        no_cache_filter: image.no_cache_filter.iter().map(|stage| text(stage)).collect(),
        entitlements: image.entitlements.iter().map(|word| text(&word.text)).collect(),
        annotations: annotations(image),
        extra_hosts: map(&options.sandbox.hosts),
        shm_size: options.sandbox.shm_size_bytes.map(|bytes| bytes.to_string()),
        ulimits: limits.collect(),
    })
}

/// A layer cache as docker spells it.
fn cache(cache: &LayerCache) -> String {
    let settings = cache.attributes.iter().map(|(key, value)| format!(",{key}={value}"));
    text(&format!("type={}{}", cache.kind, settings.collect::<String>()))
}

/// Outputs as docker spells them.
fn outputs(outputs: &Outputs) -> Vec<String> {
    let files = outputs.files.iter().map(|file| {
        let more = match (file.form, file.packing) {
            (Form::OciFolder, _) => ",tar=false",
            (Form::Oci, Packing::Zstd) => ",compression=zstd",
            (Form::Oci, Packing::Plain) => ",compression=uncompressed",
            _ => "",
        };
        format!("type={},dest={}{more}", file.form.name(), file.dest)
    });
    files.chain(outputs.nothing.then(|| "type=cacheonly".to_owned())).collect()
}

/// An agent as docker spells it.
fn agent(id: &str, paths: &[String]) -> String {
    if paths.is_empty() { id.to_owned() } else { format!("{id}={}", paths.join(",")) }
}

/// A text as bake takes it: in a JSON file texts are templates too.
fn text(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

/// A Dockerfile's path as seen from its context, which is where bake looks for it.
fn relative(context: &str, dockerfile: &str) -> String {
    let split = |path: &str| -> Vec<String> {
        path.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect()
    };
    let (context, dockerfile) = (split(context), split(dockerfile));
    let shared = context.iter().zip(&dockerfile).take_while(|(a, b)| a == b).count();
    let up = context[shared..].iter().map(|_| "..".to_owned());
    up.chain(dockerfile[shared..].iter().cloned()).collect::<Vec<_>>().join("/")
}

/// A target's name for each image, no two the same.
fn target_names(images: &[String]) -> BTreeMap<String, String> {
    let mut taken: BTreeSet<String> = BTreeSet::from(["default".to_owned()]);
    // An image whose name needs no change keeps it, whatever comes before it.
    taken.extend(images.iter().filter(|name| target_name(name) == **name).cloned());
    let mut names = BTreeMap::new();
    for image in images {
        let wanted = target_name(image);
        let name = if wanted == *image && wanted != "default" {
            wanted
        } else {
            let numbered = (2..).map(|number| format!("{wanted}-{number}"));
            std::iter::once(wanted.clone())
                .chain(numbered)
                .find(|name| !taken.contains(name))
                .unwrap_or(wanted)
        };
        taken.insert(name.clone());
        names.insert(image.clone(), name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerfiles_are_seen_from_their_context() {
        for (context, dockerfile, seen) in [
            ("", "Dockerfile", "Dockerfile"),
            ("web", "web/Dockerfile", "Dockerfile"),
            ("", "web/Dockerfile.dev", "web/Dockerfile.dev"),
            ("web/src", "web/docker/Dockerfile", "../docker/Dockerfile"),
            ("a/b", "Dockerfile", "../../Dockerfile"),
        ] {
            assert_eq!(relative(context, dockerfile), seen);
        }
    }

    #[test]
    fn targets_have_names_that_bake_takes_and_that_differ() {
        let names = target_names(&["a.b", "a-b", "a/b", "default", "plain_1"].map(str::to_owned));
        let names: Vec<String> =
            names.into_iter().map(|(image, target)| format!("{image}={target}")).collect();
        assert_eq!(names.join(" "), "a-b=a-b a.b=a-b-2 a/b=a-b-3 default=default-2 plain_1=plain_1");
    }
}
