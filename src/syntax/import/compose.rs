//! `compose.yaml`: what its services build.
//!
//! Follows the compose build specification. How services are run is not
//! imk's: it is told in one line a service. Knows the tree; reads no text.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::bake::{file_of, platform};
use super::dotenv;
use super::draft::{Draft, Drafts};
use super::interpolate::Variables;
use super::tree::{Key, Node, Shared, Value};
use super::{Source, contexts, place};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::imagefile::SecretSource;

/// Keys of `build` that an Imagefile has no word for, and why it needs none.
const LOST: &[(&str, &str)] = &[
    ("cache_from", "imk builds what is stale and nothing else; the engine keeps its own cache"),
    ("cache_to", "imk builds what is stale and nothing else; the engine keeps its own cache"),
    ("no_cache", "`imk --no-cache NAME` does it once"),
    ("pull", "`imk --pull` does it once; `upstream` says how bases are followed"),
    ("ssh", "an Imagefile has no agents"),
    ("extra_hosts", "an Imagefile has no hosts"),
    ("provenance", "imk makes no attestations"),
    ("sbom", "imk makes no attestations"),
];

/// A service's keys with what it extends: each key with all its values, the base's first.
type Keys = BTreeMap<String, Vec<(Span, Shared)>>;

/// Makes drafts of a compose file.
///
/// # Errors
/// Services that extend each other.
pub(super) fn read(root: &Node, source: &Source<'_>) -> Result<Drafts, Vec<SyntaxError>> {
    let mut drafts = Drafts::default();
    let mut reader = Reader {
        root,
        source,
        variables: Variables::of(given(source)?),
        told: BTreeSet::new(),
        errors: Vec::new(),
    };
    for (key, value) in root.entries() {
        let known = matches!(key.text.as_str(), "services" | "version" | "name" | "secrets");
        if !known && !key.text.starts_with("x-") && !value.is_nothing() {
            let why =
                if key.text == "include" { "import those files by themselves" } else { "imk runs nothing" };
            drafts.lost(key.span, format!("{}: {why}", key.text));
        }
    }
    let services = root.get("services").map(|node| node.entries()).unwrap_or_default();
    for (name, service) in services {
        let mut keys = Keys::new();
        reader.service(name, service, &mut Vec::new(), &mut keys, &mut drafts)?;
        reader.image(name, &keys, &mut drafts);
    }
    drafts.vars = reader.variables.kept;
    if reader.errors.is_empty() { Ok(drafts) } else { Err(reader.errors) }
}

struct Reader<'a> {
    root: &'a Node,
    source: &'a Source<'a>,
    variables: Variables,
    /// Variables that a note tells of already.
    told: BTreeSet<String>,
    /// Mistakes that compose refuses.
    errors: Vec<SyntaxError>,
}

impl Reader<'_> {
    /// Adds a service's keys to those of the service that it extends; keys of `build` as `build.KEY`.
    fn service(
        &mut self,
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
            let base = extends.text().or_else(|| extends.get("service").and_then(|node| node.text()));
            let services = self.root.get("services").map(|node| node.entries()).unwrap_or_default();
            let found = services.iter().find(|(other, _)| Some(other.text.as_str()) == base);
            match found.filter(|_| extends.get("file").is_none()) {
                Some((base, service)) => self.service(base, service, path, keys, drafts)?,
                None => drafts.lost(
                    extends.span,
                    format!(
                        "extends of `{}`: it names another file, or a service that is not here",
                        name.text
                    ),
                ),
            }
        }
        path.pop();
        for (key, value) in service.entries() {
            let replaces = self.tag(value, drafts);
            if replaces && key.text == "build" {
                keys.retain(|other, _| other != "build" && !other.starts_with("build."));
            } else if replaces {
                keys.remove(&key.text);
            }
            if is_reset(value) {
                continue;
            }
            self.must_be_text(key, value);
            let short = key.text == "build" && value.text().is_some();
            if key.text == "build" && !short {
                for (inner, value) in value.entries() {
                    let name = format!("build.{}", inner.text);
                    if self.tag(value, drafts) {
                        keys.remove(&name);
                    }
                    if is_reset(value) {
                        continue;
                    }
                    self.must_be_text(inner, value);
                    keys.entry(name).or_default().push((inner.span, Rc::clone(value)));
                }
            }
            let name = if short { "build.context" } else { key.text.as_str() };
            keys.entry(name.to_owned()).or_default().push((key.span, Rc::clone(value)));
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

    /// compose takes no null where it wants a text; an empty text is as none.
    fn must_be_text(&mut self, key: &Key, value: &Node) {
        const TEXTS: &[&str] = &["build", "context", "dockerfile", "dockerfile_inline", "network", "target"];
        if TEXTS.contains(&key.text.as_str()) && matches!(value.value, Value::Null) {
            let error = SyntaxError::new(key.span, format!("`{}` is null", key.text));
            self.errors.push(error.hint("compose refuses it too: leave the key out, or give it a value"));
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
        if let Some((span, inline)) = last(keys, "build.dockerfile_inline")
            && !inline.is_nothing()
        {
            let text = format!(
                "the image `{}`: its Dockerfile stands in the file; write it to a file of its own",
                name.text
            );
            return drafts.lost(*span, text);
        }
        let text = |reader: &mut Self, key: &str| {
            let (span, node) = last(keys, key)?;
            // An empty text says as much as none.
            let written = reader.written(node.text()?, *span, drafts);
            Some((written, *span)).filter(|(written, _)| !written.is_empty())
        };
        let mut text = text;
        let context = text(self, "build.context").unwrap_or((".".to_owned(), name.span));
        let dockerfile = text(self, "build.dockerfile").unwrap_or(("Dockerfile".to_owned(), name.span));
        draft.target = text(self, "build.target").map(|(text, _)| text);
        draft.network =
            text(self, "build.network").map(|(text, _)| text).filter(|network| network != "default");
        draft.references.extend(text(self, "image"));
        let service_platform = text(self, "platform");
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
        draft.platform = match last(keys, "build.platforms") {
            Some((span, platforms)) => {
                let all: Vec<String> =
                    platforms.items().iter().filter_map(|node| node.text().map(str::to_owned)).collect();
                let all: Vec<String> = all.iter().map(|one| self.written(one, *span, drafts)).collect();
                platform(&name.text, &all, *span, drafts)
            }
            None => service_platform.map(|(text, _)| text),
        };
        self.secrets(&mut draft, keys, drafts);
        self.contexts(&mut draft, keys, drafts);
        self.others(keys, drafts);
        drafts.images.push(draft);
    }

    /// A map, or a list of `KEY=value`; a key alone takes its value from the environment.
    fn pairs(&mut self, keys: &Keys, key: &str, drafts: &mut Drafts) -> BTreeMap<String, String> {
        let mut pairs = BTreeMap::new();
        let noun = key.strip_prefix("build.").unwrap_or(key);
        for (_, node) in keys.get(key).into_iter().flatten() {
            let mut found: Vec<(String, Option<String>, Span)> = Vec::new();
            for (key, value) in node.entries() {
                self.tag(value, drafts);
                if is_reset(value) {
                    pairs.remove(&key.text);
                    continue;
                }
                found.push((key.text.clone(), value.text().map(str::to_owned), key.span));
            }
            for item in node.items() {
                let Some(text) = item.text() else { continue };
                found.push(match text.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned()), item.span),
                    None => (text.to_owned(), None, item.span),
                });
            }
            for (key, value, span) in found {
                let value = match value {
                    Some(value) => Some(self.written(&value, span, drafts)),
                    None if noun == "labels" => Some(String::new()),
                    None if self.variables.get(&key).is_some() => {
                        Some(self.written(&format!("${{{key}}}"), span, drafts))
                    }
                    None => None,
                };
                match value {
                    Some(value) => {
                        pairs.insert(key, value);
                    }
                    None => {
                        drafts.lost(span, format!("{noun}.{key}: the environment has no value for it now"));
                    }
                }
            }
        }
        pairs
    }

    fn secrets(&mut self, draft: &mut Draft, keys: &Keys, drafts: &mut Drafts) {
        for (span, node) in keys.get("build.secrets").into_iter().flatten() {
            for item in node_list(node) {
                let named = item.text().or_else(|| item.get("source").and_then(|node| node.text()));
                let Some(name) = named else { continue };
                let id = item.get("target").and_then(|node| node.text()).unwrap_or(name).to_owned();
                let declared = self.root.get("secrets").and_then(|all| all.get(name)).cloned();
                let field =
                    |key: &str| declared.as_ref().and_then(|node| node.get(key)?.text().map(str::to_owned));
                let found = match (field("environment"), field("file")) {
                    (Some(env), _) => Some(SecretSource::Env(self.variables.plain(&env))),
                    (None, Some(path)) => {
                        let path = self.variables.plain(&path);
                        file_of(self.source.folder(), &path).map(SecretSource::File)
                    }
                    (None, None) => None,
                };
                match found {
                    Some(secret) => {
                        draft.secrets.insert(id, secret);
                    }
                    None => drafts.lost(
                        *span,
                        format!("the secret `{name}`: it has neither an `environment` nor a `file` below the Imagefile's folder"),
                    ),
                }
            }
        }
    }

    fn contexts(&mut self, draft: &mut Draft, keys: &Keys, drafts: &mut Drafts) {
        for (word, value) in self.pairs(keys, "build.additional_contexts", drafts) {
            let value = super::draft::fill(&value, &self.variables.kept);
            let span = last(keys, "build.additional_contexts").map_or(draft.span, |(span, _)| *span);
            let value = super::draft::literal(&value);
            contexts::take(draft, "additional_contexts", "service:", (&word, &value, span), drafts);
        }
    }

    fn others(&self, keys: &Keys, drafts: &mut Drafts) {
        const KNOWN: &[&str] = &[
            "context",
            "dockerfile",
            "dockerfile_inline",
            "target",
            "network",
            "args",
            "labels",
            "tags",
            "platforms",
            "secrets",
            "additional_contexts",
        ];
        for (key, values) in keys {
            let Some(key) = key.strip_prefix("build.").filter(|key| !KNOWN.contains(key)) else { continue };
            let Some((span, _)) =
                values.last().filter(|(_, node)| !node.is_nothing() && !key.starts_with("x-"))
            else {
                continue;
            };
            let why = LOST
                .iter()
                .find(|(other, _)| *other == key)
                .map_or("an Imagefile has no such key", |(_, why)| why);
            drafts.lost(*span, format!("build.{key}: {why}"));
        }
    }

    /// A text with its variables; what a person should know of them is told.
    fn written(&mut self, text: &str, span: Span, drafts: &mut Drafts) -> String {
        let written = self.variables.written(text);
        for (name, why) in std::mem::take(&mut self.variables.required) {
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            let error =
                SyntaxError::new(span, format!("the variable `{name}` is required and has no value{why}"));
            self.errors.push(error.hint(format!("give it one: `{name}=… imk import`, or in `.env`")));
        }
        for name in self.variables.unset.drain(..) {
            drafts.lost(span, format!("${{{name}}}: it has no value now; nothing stands in its place"));
        }
        for name in std::mem::take(&mut self.variables.taken) {
            if !self.told.insert(name.clone()) {
                continue;
            }
            let text =
                format!("the variable `{name}` has the value that the environment or .env gives it now");
            drafts.changed(span, text);
        }
        written
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

fn is_reset(value: &Node) -> bool {
    value.tag.as_deref() == Some("reset")
}

fn last<'k>(keys: &'k Keys, key: &str) -> Option<&'k (Span, Shared)> {
    keys.get(key)?.last()
}

fn node_list(node: &Shared) -> Vec<Shared> {
    if let Value::List(items) = &node.value { items.clone() } else { Vec::new() }
}

fn is_run_key(key: &str) -> bool {
    let own = matches!(key, "build" | "image" | "extends" | "platform");
    !own && !key.starts_with("build.") && !key.starts_with("x-")
}
