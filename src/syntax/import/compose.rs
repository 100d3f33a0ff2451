//! `compose.yaml`: what its services build.
//!
//! Follows the compose build specification. How services are run is not
//! imk's: it is told in one line a service. Knows the tree; reads no text.

mod check;
mod fields;
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::bake::platforms;
use super::draft::{Draft, Drafts, Group};
use super::interpolate::Variables;
use super::{Source, dotenv, place};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::yaml::{Key, Node, Shared, Value};

/// Keys of all services together, with those that they extend.
const MOST_KEYS: usize = 200_000;

/// A service's keys with what it extends: each key with all its values, the base's first.
type Keys = BTreeMap<String, Vec<(Span, Shared)>>;

/// Makes drafts of a compose file, whose documents are laid over each other.
///
/// # Errors
/// Services that extend each other.
pub(super) fn read(documents: &[Shared], source: &Source<'_>) -> Result<Drafts, Vec<SyntaxError>> {
    let mut drafts = Drafts::default();
    let given = given(source)?;
    let projects = files::included(documents, source, given.clone())?;
    let roots: Vec<&Shared> = projects.iter().flat_map(|project| &project.roots).collect();
    let mut reader = Reader {
        roots: &roots,
        source,
        variables: Variables::of(given),
        told: BTreeSet::new(),
        visited: 0,
        profiles: BTreeMap::new(),
        errors: Vec::new(),
    };
    for (key, value) in documents.iter().flat_map(|document| document.entries()) {
        let known = matches!(key.text.as_str(), "services" | "version" | "name" | "secrets" | "include");
        if !known && !key.text.starts_with("x-") && !value.is_nothing() {
            drafts.lost(key.span, format!("{}: imk runs nothing", key.text));
        }
    }
    let mut names = BTreeSet::new();
    for project in &projects {
        reader.variables.take_values(project.values.clone());
        let mut services: Vec<(&Key, Vec<(&Shared, &Shared)>)> = Vec::new();
        for root in &project.roots {
            for (name, service) in root.get("services").map(|node| node.entries()).unwrap_or_default() {
                match services.iter_mut().find(|(other, _)| other.text == name.text) {
                    // One file is laid over the other.
                    Some((_, layers)) => layers.push((root, service)),
                    None => services.push((name, vec![(root, service)])),
                }
            }
        }
        for (name, layers) in services {
            if !names.insert(name.text.as_str()) {
                let message = format!("the service `{}` stands in an included file too", name.text);
                return Err(vec![SyntaxError::new(name.span, message).hint("compose refuses it too")]);
            }
            let mut keys = Keys::new();
            for (root, service) in layers {
                reader.service(root, name, service, &mut Vec::new(), &mut keys, &mut drafts)?;
            }
            reader.image(name, &keys, &mut drafts);
        }
    }
    let Reader { variables, profiles, mut errors, .. } = reader;
    if variables.is_too_much() {
        errors.push(SyntaxError::new(Span::default(), "the variables of this file come to too much"));
    }
    profiled(profiles, &mut drafts);
    drafts.vars = variables.kept;
    if errors.is_empty() { Ok(drafts) } else { Err(errors) }
}

/// Services of a profile are built when it is asked for: they are a group, and no part of the default.
fn profiled(profiles: BTreeMap<String, (Span, Vec<String>)>, drafts: &mut Drafts) {
    if profiles.is_empty() {
        return;
    }
    let of_one = |name: &String| profiles.values().any(|(_, members)| members.contains(name));
    let others = drafts.images.iter().map(|image| image.name.clone()).filter(|name| !of_one(name));
    drafts.default = others.collect();
    for (name, (span, members)) in profiles {
        drafts.changed(span, format!("the profile `{name}` is a group: `imk {name}` builds its images"));
        drafts.groups.push(Group { name, span, members });
    }
}

struct Reader<'a> {
    /// The file itself, and those that it includes.
    roots: &'a [&'a Shared],
    source: &'a Source<'a>,
    variables: Variables,
    /// Variables that a note tells of already.
    told: BTreeSet<String>,
    /// Keys of services that were looked at: aliases of services could multiply.
    visited: usize,
    /// The images of each profile, and where it is named first.
    profiles: BTreeMap<String, (Span, Vec<String>)>,
    /// Mistakes that compose refuses.
    errors: Vec<SyntaxError>,
}

impl Reader<'_> {
    /// Adds a service's keys to those of the service that it extends; keys of `build` as `build.KEY`.
    fn service(
        &mut self,
        root: &Shared,
        name: &Key,
        service: &Node,
        path: &mut Vec<String>,
        keys: &mut Keys,
        drafts: &mut Drafts,
    ) -> Result<(), Vec<SyntaxError>> {
        if path.contains(&name.text) || path.len() > 64 {
            let message =
                format!("services extend each other in a circle: {} -> {}", path.join(" -> "), name.text);
            return Err(vec![SyntaxError::new(name.span, message).hint("one of these `extends` must go")]);
        }
        path.push(name.text.clone());
        if let Some(extends) = service.get("extends") {
            self.extended(root, name, extends, path, keys, drafts)?;
        }
        path.pop();
        let build = service.get("build").map(|build| build.entries()).unwrap_or_default();
        let inner: usize = build.iter().map(|(_, value)| value.entries().len() + 1).sum();
        self.visited = self.visited.saturating_add(service.entries().len() + inner);
        if self.visited > MOST_KEYS {
            return Err(vec![SyntaxError::new(name.span, "the services of this file have too many keys")]);
        }
        for (key, value) in service.entries() {
            let replaces = self.tag(value, drafts);
            if replaces && key.text == "build" {
                keys.retain(|other, _| other != "build" && !other.starts_with("build."));
            } else if replaces {
                keys.remove(&key.text);
            }
            if value.is_reset() {
                continue;
            }
            self.errors.extend(check::service(key, value));
            let short = key.text == "build" && value.text().is_some();
            if key.text == "build" && !short {
                for (inner, value) in value.entries() {
                    let name = format!("build.{}", inner.text);
                    if self.tag(value, drafts) {
                        keys.remove(&name);
                    }
                    if value.is_reset() {
                        continue;
                    }
                    self.errors.extend(check::build(inner, value));
                    keys.entry(name).or_default().push((inner.span, Rc::clone(value)));
                }
            }
            let name = if short { "build.context" } else { key.text.as_str() };
            keys.entry(name.to_owned()).or_default().push((key.span, Rc::clone(value)));
        }
        Ok(())
    }

    /// Adds the keys of the service that one extends, in this file or another.
    fn extended(
        &mut self,
        root: &Shared,
        name: &Key,
        extends: &Node,
        path: &mut Vec<String>,
        keys: &mut Keys,
        drafts: &mut Drafts,
    ) -> Result<(), Vec<SyntaxError>> {
        let base = extends.text().or_else(|| extends.get("service").and_then(|node| node.text()));
        let file = extends.get("file").and_then(|node| node.text());
        let other = match file {
            Some(file) => {
                let file = self.variables.plain(file);
                files::other(&file, extends.span, self.source).map_err(|error| vec![error])?
            }
            None => Rc::clone(root),
        };
        let services = other.get("services").map(|node| node.entries()).unwrap_or_default();
        match services.iter().find(|(other, _)| Some(other.text.as_str()) == base) {
            // A name means another service in another file.
            Some((base, service)) => match file {
                Some(_) if path.len() < 64 => {
                    self.service(&other, base, service, &mut vec![String::new(); path.len()], keys, drafts)?;
                }
                _ => self.service(&other, base, service, path, keys, drafts)?,
            },
            None => {
                let base = base.unwrap_or_default();
                let message = format!("`{}` extends `{base}`, which is not there", name.text);
                return Err(vec![SyntaxError::new(extends.span, message).hint("compose refuses it too")]);
            }
        }
        Ok(())
    }

    /// True if a value's tag says that it takes the place of what was there; tags that compose has none of are told.
    fn tag(&mut self, value: &Node, drafts: &mut Drafts) -> bool {
        match value.tag.as_deref() {
            None => false,
            Some("override" | "reset") => true,
            Some(other) => {
                drafts.lost(value.span, format!("the tag `!{other}`: compose has none of that name"));
                false
            }
        }
    }

    fn image(&mut self, name: &Key, keys: &Keys, drafts: &mut Drafts) {
        let runs: Vec<&str> = keys.keys().map(String::as_str).filter(|key| is_run_key(key)).collect();
        if !runs.is_empty() {
            drafts.lost(name.span, format!("{} of `{}`: imk runs nothing", runs.join(", "), name.text));
        }
        if !keys.keys().any(|key| key.starts_with("build")) {
            let image = last(keys, "image").and_then(|(_, node)| node.text());
            let image =
                image.map(|image| format!(", it runs `{}`", self.variables.plain(image))).unwrap_or_default();
            drafts.lost(name.span, format!("the service `{}`: it builds nothing{image}", name.text));
            return;
        }
        let mut draft = Draft { name: name.text.clone(), span: name.span, ..Draft::default() };
        let text = |reader: &mut Self, key: &str| {
            let (span, node) = last(keys, key)?;
            // An empty text says as much as none.
            let written = reader.written(node.text()?, *span, drafts);
            Some((written, *span)).filter(|(written, _)| !written.is_empty())
        };
        let mut text = text;
        let context = text(self, "build.context").unwrap_or((".".to_owned(), name.span));
        let inline = text(self, "build.dockerfile_inline");
        let dockerfile = text(self, "build.dockerfile");
        if let (Some(_), Some((_, other))) = (&inline, &dockerfile) {
            let message = format!("`{}` has both dockerfile and dockerfile_inline", name.text);
            self.errors.push(SyntaxError::new(*other, message).hint("compose refuses it too"));
        }
        let dockerfile = dockerfile.unwrap_or(("Dockerfile".to_owned(), name.span));
        draft.target = text(self, "build.target").map(|(text, _)| text);
        draft.network =
            text(self, "build.network").map(|(text, _)| text).filter(|network| network != "default");
        draft.references.extend(text(self, "image"));
        let service_platform = text(self, "platform");
        draft.dockerfile_inline =
            inline.map(|(inline, span)| drafts.inline(&name.text, &inline, span, &self.variables.kept));
        let placed = place::set(
            &mut draft,
            drafts,
            self.source.folder(),
            (context.0.as_str(), context.1),
            (dockerfile.0.as_str(), dockerfile.1),
        );
        if !placed {
            return;
        }
        draft.args = self.pairs(keys, "build.args", drafts);
        draft.labels = self.pairs(keys, "build.labels", drafts);
        for (span, tags) in keys.get("build.tags").into_iter().flatten() {
            for tag in tags.items() {
                let tag = self.written(tag.text().unwrap_or_default(), *span, drafts);
                draft.references.push((tag, *span));
            }
        }
        draft.platforms = self.platforms(keys, service_platform, drafts, &name.text);
        draft.cache_from = self.caches("cache_from", keys, drafts);
        draft.cache_to = self.caches("cache_to", keys, drafts);
        self.secrets(&mut draft, keys, drafts);
        self.passed(&mut draft, keys, drafts);
        self.contexts(&mut draft, keys, drafts);
        self.others(keys, drafts);
        for (span, profiles) in keys.get("profiles").into_iter().flatten() {
            for profile in profiles.items() {
                let profile = self.variables.plain(profile.text().unwrap_or_default());
                let (_, members) = self.profiles.entry(profile).or_insert_with(|| (*span, Vec::new()));
                members.push(name.text.clone());
            }
        }
        drafts.images.push(draft);
    }

    /// The platforms of the build; the service's own where there are none, and among them where there are.
    fn platforms(
        &mut self,
        keys: &Keys,
        own: Option<(String, Span)>,
        drafts: &mut Drafts,
        name: &str,
    ) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut at = None;
        for (span, platforms) in keys.get("build.platforms").into_iter().flatten() {
            at = Some(*span);
            for one in platforms.items() {
                let written = self.written(one.text().unwrap_or_default(), *span, drafts);
                if !all.contains(&written) {
                    all.push(written);
                }
            }
        }
        let Some(span) = at.filter(|_| !all.is_empty()) else {
            return own.map(|(text, _)| text).into_iter().collect();
        };
        if let Some((own, span)) = own.filter(|(own, _)| !all.contains(own)) {
            let message = format!("the platforms of the build do not have the service's own, `{own}`");
            self.errors.push(SyntaxError::new(span, message).hint("compose refuses it too"));
        }
        platforms(name, &all, span, drafts)
    }
}

/// The values of variables: the environment's before those of `.env`.
fn given(source: &Source<'_>) -> Result<BTreeMap<String, String>, Vec<SyntaxError>> {
    let mut given = match source.dotenv {
        None => BTreeMap::new(),
        Some(text) => dotenv::read(text, source.environment).map_err(|why| {
            let message = format!("the `.env` beside this file, {why}");
            vec![SyntaxError::new(Span::default(), message).hint("compose refuses it too")]
        })?,
    };
    given.extend(source.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(given)
}

fn last<'k>(keys: &'k Keys, key: &str) -> Option<&'k (Span, Shared)> {
    keys.get(key)?.last()
}

fn node_list(node: &Shared) -> Vec<Shared> {
    if let Value::List(items) = &node.value { items.clone() } else { Vec::new() }
}

fn is_run_key(key: &str) -> bool {
    let own = matches!(key, "build" | "image" | "extends" | "platform" | "profiles");
    !own && !key.starts_with("build.") && !key.starts_with("x-")
}
