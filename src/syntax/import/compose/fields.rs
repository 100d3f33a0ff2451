//! The fields of a service's `build` that are more than one text: maps, secrets, contexts, and those that are told.
//!
//! Knows merged keys; what a service extends is settled before.

use std::collections::BTreeMap;

use super::{Keys, Reader, last, node_list};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::imagefile::{SecretSource, cache_source, cache_target};
use crate::syntax::import::bake::file_of;
use crate::syntax::import::contexts;
use crate::syntax::import::draft::{Draft, Drafts, fill, literal};
use crate::syntax::import::passed;
use crate::syntax::import::scalar::{self, Scalar};

/// Keys of `build` that an Imagefile has no word for, and why it needs none.
const LOST: &[(&str, &str)] = &[
    ("no_cache", "`imk --no-cache NAME` does it once"),
    ("pull", "`imk --pull` does it once; `upstream` says how bases are followed"),
    ("provenance", "imk makes no attestations"),
    ("sbom", "imk makes no attestations"),
];

impl Reader<'_> {
    /// A map, or a list of `KEY=value`; a key alone takes its value from the environment.
    pub(super) fn pairs(&mut self, keys: &Keys, key: &str, drafts: &mut Drafts) -> BTreeMap<String, String> {
        let mut pairs = BTreeMap::new();
        let noun = key.strip_prefix("build.").unwrap_or(key);
        let nodes = keys.get(key).map(Vec::as_slice).unwrap_or_default();
        for (at, (_, node)) in nodes.iter().enumerate() {
            // As compose has it: of a list, and of what several made, nothing can be taken away by its name.
            let is_before = at == 1 && !nodes[0].1.entries().is_empty();
            let mut found: Vec<(String, Option<String>, Span)> = Vec::new();
            for (key, value) in node.entries() {
                self.tag(value, drafts);
                if value.is_reset() {
                    if is_before {
                        pairs.remove(&key.text);
                    }
                    continue;
                }
                found.push((key.text.clone(), scalar::of(value).and_then(text_of), key.span));
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
                        // Nothing stands in the place of what was inherited, too.
                        pairs.remove(&key);
                        drafts.lost(span, format!("{noun}.{key}: the environment has no value for it now"));
                    }
                }
            }
        }
        pairs
    }

    pub(super) fn secrets(&mut self, draft: &mut Draft, keys: &Keys, drafts: &mut Drafts) {
        for (span, node) in keys.get("build.secrets").into_iter().flatten() {
            for item in node_list(node) {
                let named = item.text().or_else(|| item.get("source").and_then(|node| node.text()));
                let Some(name) = named else { continue };
                let id = item.get("target").and_then(|node| node.text()).unwrap_or(name).to_owned();
                let declared = self.roots.iter().find_map(|root| root.get("secrets")?.get(name)).cloned();
                if declared.is_none() {
                    let message = format!("the secret `{name}` is not declared");
                    self.errors.push(SyntaxError::new(item.span, message).hint("compose refuses it too"));
                    continue;
                }
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

    pub(super) fn contexts(&mut self, draft: &mut Draft, keys: &Keys, drafts: &mut Drafts) {
        for (word, value) in self.pairs(keys, "build.additional_contexts", drafts) {
            let value = fill(&value, &self.variables.kept);
            let span = last(keys, "build.additional_contexts").map_or(draft.span, |(span, _)| *span);
            let value = literal(&value);
            contexts::take(
                draft,
                ("additional_contexts", "service:", self.source.folder()),
                (&word, &value, span),
                drafts,
            );
        }
    }

    /// The caches that an engine can be asked for; the others are told.
    pub(super) fn caches(&mut self, key: &str, keys: &Keys, drafts: &mut Drafts) -> Vec<String> {
        let mut found = Vec::new();
        for (span, node) in keys.get(&format!("build.{key}")).into_iter().flatten() {
            for item in node.items() {
                let written = self.written(item.text().unwrap_or_default(), *span, drafts);
                let plain = fill(&written, &self.variables.kept);
                let known = if key == "cache_from" {
                    cache_source(&plain).map(drop)
                } else {
                    cache_target(&plain).map(drop)
                };
                match known {
                    Ok(()) => found.push(written),
                    Err((message, hint)) => drafts.lost(*span, format!("build.{key}: {message}: {hint}")),
                }
            }
        }
        found
    }

    /// Settings that are the builder's: agents, hosts and limits.
    pub(super) fn passed(&mut self, draft: &mut Draft, keys: &Keys, drafts: &mut Drafts) {
        for (span, node) in keys.get("build.ssh").into_iter().flatten() {
            let items = node.items();
            let items = items.iter().filter_map(|item| item.text().map(str::to_owned));
            let entries = node.entries().iter().map(|(id, path)| match path.text() {
                Some(path) if !path.is_empty() => format!("{}={path}", id.text),
                _ => id.text.clone(),
            });
            for agent in items.chain(entries).collect::<Vec<_>>() {
                let agent = self.written(&agent, *span, drafts);
                passed::agent(draft, &agent, *span, drafts);
            }
        }
        for (span, node) in keys.get("build.extra_hosts").into_iter().flatten() {
            let items = node.items();
            let items = items.iter().filter_map(|item| {
                let text = item.text()?;
                let (host, address) = text.split_once('=').or_else(|| text.split_once(':'))?;
                Some((host.to_owned(), address.to_owned()))
            });
            let entries = node
                .entries()
                .iter()
                .filter_map(|(host, address)| Some((host.text.clone(), address.text()?.to_owned())));
            for (host, address) in items.chain(entries).collect::<Vec<_>>() {
                let (host, address) =
                    (self.written(&host, *span, drafts), self.written(&address, *span, drafts));
                passed::host(draft, (&host, &address), *span, drafts);
            }
        }
        for (_, node) in keys.get("build.entitlements").into_iter().flatten() {
            draft
                .passed
                .entitlements
                .extend(node.items().iter().filter_map(|item| item.text().map(str::to_owned)));
        }
        if let Some((span, node)) = last(keys, "build.shm_size")
            && let Some(size) = node.text()
        {
            let size = self.written(size, *span, drafts);
            passed::shm_size(draft, &size, *span, drafts);
        }
        for (span, node) in keys.get("build.ulimits").into_iter().flatten() {
            for (name, limit) in node.entries() {
                let field = |key: &str| limit.get(key).and_then(|node| node.text());
                let values = match (limit.text(), field("soft"), field("hard")) {
                    (Some(one), ..) => one.to_owned(),
                    (None, Some(soft), Some(hard)) => format!("{soft}:{hard}"),
                    (None, Some(one), None) | (None, None, Some(one)) => one.to_owned(),
                    (None, None, None) => continue,
                };
                let limit = self.written(&format!("{}={values}", name.text), *span, drafts);
                passed::ulimit(draft, &limit, *span, drafts);
            }
        }
    }

    pub(super) fn others(&self, keys: &Keys, drafts: &mut Drafts) {
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
            "cache_from",
            "cache_to",
            "ssh",
            "extra_hosts",
            "shm_size",
            "ulimits",
            "entitlements",
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
    pub(super) fn written(&mut self, text: &str, span: Span, drafts: &mut Drafts) -> String {
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

/// The text of a map's value; null has none.
fn text_of(scalar: Scalar) -> Option<String> {
    match scalar {
        Scalar::Text(text) | Scalar::Other(text) => Some(text),
        Scalar::Null | Scalar::Time => None,
    }
}
