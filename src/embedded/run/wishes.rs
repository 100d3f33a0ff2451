//! `RUN --mount`: what an instruction wishes to have mounted, as mounts of a job.
//!
//! Follows `dispatchRunMounts`. The content of what is mounted goes into the command's key; secrets, caches
//! and agents count by name alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::caches;
use super::job::{Mount, MountKind};
use crate::embedded::assemble::build::{Build, Stage};
use crate::embedded::assemble::copy::{self, Rules, Target};
use crate::embedded::assemble::patch::{Patch, absolute, describe};
use crate::embedded::assemble::plan;
use crate::embedded::layer::index::Entry;
use crate::embedded::layer::view::View;
use crate::embedded::trouble::{Result, refusal, refused};
use crate::model::hash::FieldHasher;
use crate::syntax::dockerfile::Run;
use crate::syntax::resolve::mounts::{self, Ready};
use crate::syntax::resolve::names::Source;
use crate::syntax::resolve::sources;

/// The parts of a command that its mounts add to.
pub struct Wishes<'a> {
    hasher: &'a mut FieldHasher,
    environment: &'a mut BTreeMap<String, String>,
    secrets: Vec<(String, String)>,
    locks: Vec<caches::Lock>,
    agents: usize,
}

impl<'a> Wishes<'a> {
    /// For a command with this key in the making and this environment.
    pub fn new(hasher: &'a mut FieldHasher, environment: &'a mut BTreeMap<String, String>) -> Self {
        Self { hasher, environment, secrets: Vec::new(), locks: Vec::new(), agents: 0 }
    }

    /// Secrets as variables, which are in no key, and the caches that the command uses.
    pub fn into_parts(self) -> (Vec<(String, String)>, Vec<caches::Lock>) {
        (self.secrets, self.locks)
    }
}

impl Build<'_> {
    /// All mounts of an instruction.
    pub(super) fn mounts(&self, run: &Run, here: &Stage, wishes: &mut Wishes<'_>) -> Result<Vec<Mount>> {
        let mut all = Vec::new();
        for mount in &run.mounts {
            let ready = mounts::ready(mount, &self.plan.globals.lexer, &here.scope)
                .map_err(|error| refusal("reading --mount", error.message))?;
            all.extend(self.mount(&ready, here, wishes)?);
        }
        Ok(all)
    }

    /// One `--mount`, with what it reads.
    fn mount(&self, ready: &Ready, here: &Stage, wishes: &mut Wishes<'_>) -> Result<Option<Mount>> {
        wishes.hasher.field(b"mount").number(ready.fields.len() as u64);
        for (key, value) in &ready.fields {
            wishes.hasher.field(key).field(value);
        }
        let field = |key: &str| ready.fields.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let number = |key: &str, base: u32| -> Result<Option<u32>> {
            let Some(value) = field(key) else { return Ok(None) };
            let parsed = u32::from_str_radix(value, base);
            parsed.map(Some).map_err(|_| refusal("reading --mount", format!("`{value}` is no {key}")))
        };
        let read_only = field("readonly") == Some("true");
        let absolute = |target: &str| {
            let path = absolute(here.config.text("WorkingDir"), target);
            format!("/{}", String::from_utf8_lossy(&path))
        };
        let target = field("target").map(absolute);
        let wanted = || refusal(format!("mounting a {}", ready.kind), "it says no `target`");
        let (uid, gid) = (number("uid", 10)?.unwrap_or_default(), number("gid", 10)?.unwrap_or_default());
        let mode = number("mode", 8)?;
        let (target, kind) = match ready.kind.as_str() {
            "tmpfs" => {
                let size = field("size").map(size_of).transpose()?;
                (target.ok_or_else(wanted)?, MountKind::Memory(size))
            }
            "cache" => {
                let target = target.ok_or_else(wanted)?;
                let mut id = field("id").unwrap_or(&target).to_owned();
                let mut from = None;
                if ready.from.is_some() {
                    // Another content to begin with is another cache.
                    let mut content = FieldHasher::new("imk embedded cache v1");
                    from = Some(self.bound(ready, &mut content)?);
                    let content = content.finish().to_string();
                    wishes.hasher.field(&content);
                    id = format!("{id}\0{content}");
                }
                let sharing = field("sharing").unwrap_or("shared");
                let lock = caches::take(self.runner.store(), &id, sharing, self.cancel)?;
                let folder = lock.folder().to_owned();
                wishes.locks.push(lock);
                (target, MountKind::Cache { folder, from, mode, uid, gid })
            }
            "secret" => return self.secret(ready, target, (mode, uid, gid), wishes),
            "ssh" => return self.agent(ready, target, (mode, uid, gid), wishes),
            _ => {
                let (layers, path) = self.bound(ready, wishes.hasher)?;
                (target.ok_or_else(wanted)?, MountKind::Tree { layers, path })
            }
        };
        Ok(Some(Mount { target, kind, read_only }))
    }

    fn secret(
        &self,
        ready: &Ready,
        target: Option<String>,
        (mode, uid, gid): (Option<u32>, u32, u32),
        wishes: &mut Wishes<'_>,
    ) -> Result<Option<Mount>> {
        let field = |key: &str| ready.fields.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let source = Some(ready.source.as_str()).filter(|source| !source.is_empty());
        let named = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let id = field("id").or(source).map(str::to_owned).or_else(|| target.as_deref().map(named));
        let id = id.ok_or_else(|| refusal("mounting a secret", "it has neither `id` nor `target`"))?;
        let Some(value) = self.request.secrets.get(&id) else {
            if is_required(ready) {
                return refused(
                    format!("mounting the secret `{id}`"),
                    "it is required, and this build was given none",
                );
            }
            return Ok(None);
        };
        if let Some(variable) = field("env") {
            wishes.secrets.push((variable.to_owned(), String::from_utf8_lossy(&value.0).into_owned()));
            if target.is_none() {
                return Ok(None);
            }
        }
        let target = target.unwrap_or_else(|| format!("/run/secrets/{}", named(&id)));
        let kind = MountKind::Secret { value: value.0.clone(), mode: mode.unwrap_or(0o400), uid, gid };
        Ok(Some(Mount { target, kind, read_only: true }))
    }

    fn agent(
        &self,
        ready: &Ready,
        target: Option<String>,
        (mode, uid, gid): (Option<u32>, u32, u32),
        wishes: &mut Wishes<'_>,
    ) -> Result<Option<Mount>> {
        let field = |key: &str| ready.fields.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let id = field("id").unwrap_or("default");
        let Some(agent) = self.agents.get(id) else {
            if is_required(ready) {
                return refused(
                    format!("mounting the ssh agent `{id}`"),
                    format!("it is required, and this build was given none: `--ssh {id}` gives it one"),
                );
            }
            return Ok(None);
        };
        let number = wishes.agents;
        wishes.agents += 1;
        let target = target.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{number}"));
        if number == 0 {
            wishes.environment.entry("SSH_AUTH_SOCK".into()).or_insert_with(|| target.clone());
        }
        let kind = MountKind::Socket { socket: agent.clone(), mode: mode.unwrap_or(0o600), uid, gid };
        Ok(Some(Mount { target, kind, read_only: false }))
    }

    /// The layers of a bind mount and the path in them; its content goes into the key.
    fn bound(&self, ready: &Ready, hasher: &mut FieldHasher) -> Result<(Vec<String>, PathBuf)> {
        let source = sources::normalize(&ready.source);
        let what = || refusal("reading --mount", format!("there is no `{source}` to mount"));
        let (view, layers) = match &ready.from {
            None => {
                let layer = self.whole_context()?;
                (self.images.layers.view(&layer)?, layer)
            }
            Some(from) => {
                let found = self.plan.heads.named_source(from);
                match found.map_err(|error| refusal("reading --mount", error.message))? {
                    Source::Scratch => (View::default(), Vec::new()),
                    Source::Stage(index) => (self.stage_view(index)?, self.stage_layers(index)?),
                    Source::Context(name) => {
                        let layers = self.context_layers(&name)?;
                        (self.images.layers.view(&layers)?, layers)
                    }
                    Source::Image(name) => {
                        let config = plan::base(self.images, &name, &self.platform)?;
                        (self.images.layers.view(&config.diff_ids)?, config.diff_ids)
                    }
                }
            }
        };
        let path = view.resolve(source.as_bytes()).map_err(|why| refusal("reading --mount", why))?;
        let (_, entry) = view.get(&path).ok_or_else(what)?;
        describe(&entry, hasher);
        for (_, (layer, entry)) in view.below(&path) {
            match view.file(layer, &entry) {
                Some((_, file)) => describe(&Entry { path: entry.path.clone(), ..file.into_owned() }, hasher),
                None => describe(&entry, hasher),
            }
        }
        use std::os::unix::ffi::OsStrExt as _;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
        Ok((layers, path))
    }

    fn stage_layers(&self, index: usize) -> Result<Vec<String>> {
        Ok(self.stages.get(index)?.lock().config.diff_ids.clone())
    }

    /// The files that were sent, as a layer.
    fn whole_context(&self) -> Result<Vec<String>> {
        let nothing = View::default();
        let mut patch = Patch::over(&nothing);
        let root = Target { path: Vec::new(), folder: true };
        copy::copy(&mut patch, &self.context.view(), b"", &root, &Rules::default())?;
        let stop = || self.cancel.is_cancelled();
        let (layer, _) = patch.into_layer(&self.making(&stop))?;
        Ok(layer.into_iter().collect())
    }
}

/// Whether the build ends where there is nothing to mount.
fn is_required(ready: &Ready) -> bool {
    matches!(ready.fields.get("required").map(String::as_str), Some("true" | "1" | ""))
}

/// `64m`, `1g`, a number of bytes.
fn size_of(text: &str) -> Result<u64> {
    let wrong = || refusal("reading --mount", format!("`{text}` is no size"));
    let lower = text.to_lowercase();
    let lower = lower.trim_end_matches('b');
    let (digits, unit) = match lower.chars().last() {
        Some('k') => (&lower[..lower.len() - 1], 1 << 10),
        Some('m') => (&lower[..lower.len() - 1], 1 << 20),
        Some('g') => (&lower[..lower.len() - 1], 1 << 30),
        _ => (lower, 1),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}
