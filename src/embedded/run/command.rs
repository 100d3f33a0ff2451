//! The instruction `RUN`: what it means, its key, and the job that comes of it.
//!
//! Follows `dispatchRun`. A command's key is what it sees: the layers below, its words, environment, user and
//! folder, and the content of what is mounted. Secrets, caches and sockets count by name alone.

use std::cell::RefCell;
use std::path::PathBuf;

use super::caches;
use super::job::{Job, Mount, MountKind};
use super::rung::Rung;
use crate::embedded::assemble::build::{Build, Outcome, Stage};
use crate::embedded::assemble::copy::{self, Rules, Target};
use crate::embedded::assemble::patch::{Content, Patch, absolute, describe, known};
use crate::embedded::assemble::plan;
use crate::embedded::assemble::users::Users;
use crate::embedded::layer::index::{Entry, Kind as EntryKind};
use crate::embedded::layer::view::View;
use crate::embedded::store::NoteKind;
use crate::embedded::trouble::{Result, refusal, refused};
use crate::engine::{BuildEvent, BuildFailure, EngineError};
use crate::model::hash::{ContentHash, FieldHasher};
use crate::syntax::dockerfile::{Command, Run, heredoc_of};
use crate::syntax::resolve::evaluate::command_line;
use crate::syntax::resolve::globals::is_proxy;
use crate::syntax::resolve::mounts::{self, Ready};
use crate::syntax::resolve::names::Source;
use crate::syntax::resolve::sources;

/// The result of a step that changes nothing.
const NOTHING: &str = "";

/// Lines of a command's output that an error repeats.
const TAIL: usize = 4096;

impl Build<'_> {
    pub(in crate::embedded) fn command(&self, run: &Run, here: &mut Stage, id: &str) -> Result<Outcome> {
        if let Some(security) = run.security.as_deref().filter(|security| *security != "sandbox") {
            return refused(
                format!("running with --security={security}"),
                "the embedded builder gives no command more rights than docker's usual ones; a Docker engine may",
            );
        }
        if !run.devices.is_empty() {
            return refused(
                "running with --device",
                "the embedded builder gives commands no devices of the machine",
            );
        }
        let network = self.network(run)?;
        let (words, script) = self.words(run, here);
        let mut locks = Vec::new();
        let mut hasher = FieldHasher::new("imk embedded run v1");
        let mut environment = here.scope.variables();
        let mut mounts = Vec::new();
        if let Some((target, layers)) = script.map(|script| self.script(&script)).transpose()? {
            for layer in &layers {
                hasher.field(layer);
            }
            mounts.push(Mount {
                target,
                kind: MountKind::Tree { layers, path: "script".into() },
                read_only: true,
            });
        }
        for mount in &run.mounts {
            let ready = mounts::ready(mount, &self.plan.globals.lexer, &here.scope)
                .map_err(|error| refusal("reading --mount", error.message))?;
            self.describe(&ready, &mut hasher);
            mounts.extend(self.mount(&ready, here, &mut hasher, &mut environment, &mut locks)?);
        }
        for layer in &here.config.diff_ids {
            hasher.field(layer);
        }
        hasher.field(b"words").number(words.len() as u64);
        for word in &words {
            hasher.field(word);
        }
        hasher.field(b"environment");
        for (name, value) in environment.iter().filter(|(name, _)| !is_proxy(name)) {
            hasher.field(name).field(value);
        }
        for (name, value) in self.request.args.iter().filter(|(name, _)| is_proxy(name)) {
            environment.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let folder = here.config.text("WorkingDir").to_owned();
        let folder = if folder.is_empty() { "/".to_owned() } else { folder };
        let user = here.config.text("User").to_owned();
        let rung = self.runner.rung()?;
        hasher.field(&folder).field(&user).number(u64::from(network)).number(self.time).field(&here.platform);
        hasher.field(if rung == Rung::Chroot { b"chroot".as_slice() } else { b"namespaces" });
        let key = hasher.finish();
        if let Some(layer) = self.known_step(&key, id)? {
            self.steps.leave(self.images, &key, &layer, self.cancel)?;
            return Ok(Outcome { layer: Some(layer).filter(|layer| layer != NOTHING), cached: true });
        }
        let job = self.job(here, rung, (words, environment), (folder, &user), network, mounts)?;
        let layer = self.execute(job, id)?;
        let store = self.runner.store();
        store.note(NoteKind::Steps, &key.to_string(), &layer.as_deref().unwrap_or(NOTHING))?;
        drop(locks);
        self.steps.leave(self.images, &key, layer.as_deref().unwrap_or(NOTHING), self.cancel)?;
        Ok(Outcome { layer, cached: false })
    }

    /// The result of a step that was run here or elsewhere.
    fn known_step(&self, key: &ContentHash, id: &str) -> Result<Option<String>> {
        if self.request.no_cache {
            return Ok(None);
        }
        let store = self.runner.store();
        let here = match store.noted::<String>(NoteKind::Steps, &key.to_string()) {
            Some(nothing) if nothing == NOTHING => {
                store.used(NoteKind::Steps, &key.to_string());
                Some(nothing)
            }
            _ => known(store, key),
        };
        if here.is_some() {
            return Ok(here);
        }
        let told =
            |text: String| (self.events)(BuildEvent::Log { id: id.to_owned(), bytes: text.into_bytes() });
        let found = self.steps.find(self.images, key, &told)?;
        if let Some(layer) = &found {
            store.note(NoteKind::Steps, &key.to_string(), layer)?;
        }
        Ok(found)
    }

    fn job(
        &self,
        here: &mut Stage,
        rung: Rung,
        (words, mut environment): (Vec<String>, std::collections::BTreeMap<String, String>),
        (folder, user): (String, &str),
        network: bool,
        mounts: Vec<Mount>,
    ) -> Result<Job> {
        let layers = here.config.diff_ids.clone();
        for layer in layers.iter().chain(mounts.iter().flat_map(|mount| match &mount.kind {
            MountKind::Tree { layers, .. } => layers.as_slice(),
            _ => &[],
        })) {
            self.images.layers.plain(layer)?;
            self.images.layers.index(layer)?;
        }
        let view = self.view(here)?;
        let users = Users::of(self.images.layers, view)?;
        let who = users.who(user).map_err(|why| refusal(format!("running as `{user}`"), why))?;
        environment.entry("HOME".to_owned()).or_insert(who.home);
        let store = self.runner.store();
        Ok(Job {
            store: std::path::absolute(store.root()).unwrap_or_else(|_| store.root().to_owned()),
            work: PathBuf::new(),
            rung,
            layers,
            words,
            environment: environment.into_iter().collect(),
            folder,
            uid: who.uid,
            gid: who.gid,
            groups: who.groups,
            mounts,
            network,
            time: self.time,
            hosts: "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n"
                .to_owned(),
            resolv: fs_err::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        })
    }

    /// Runs it, and hands its output on as it comes.
    fn execute(&self, mut job: Job, id: &str) -> Result<Option<String>> {
        let work = self.runner.store().folder()?;
        job.work = std::path::absolute(work.path()).unwrap_or_else(|_| work.path().to_owned());
        let tail = RefCell::new(Vec::new());
        let shown = job.words.join(" ");
        let rung = job.rung;
        let heard = |bytes: &[u8]| {
            (self.events)(BuildEvent::Log { id: id.to_owned(), bytes: bytes.to_vec() });
            let mut tail = tail.borrow_mut();
            tail.extend_from_slice(bytes);
            let over = tail.len().saturating_sub(TAIL);
            tail.drain(..over);
        };
        let done = self.runner.run(job, &heard);
        if rung != Rung::Root {
            // What belongs to mapped users goes by way of a keeper.
            let path = work.keep();
            let _ = super::remove(&path);
        }
        match done? {
            (0, layer) => Ok(layer),
            (status, _) => Err(EngineError::Failed(BuildFailure {
                step: String::new(),
                message: format!("`{shown}` did not complete successfully: exit code: {status}"),
                exit_code: Some(i64::from(status)),
            })),
        }
    }

    /// True if a command sees the network: the instruction's word goes before the build's.
    fn network(&self, run: &Run) -> Result<bool> {
        match run.network.as_deref().or(self.request.network.as_deref()) {
            Some("none") => Ok(false),
            None | Some("default" | "host" | "") => Ok(true),
            Some(other) => refused(
                format!("running with the network `{other}`"),
                "the embedded builder knows `default`, which is this machine's, `host` and `none`",
            ),
        }
    }

    /// The words of a command, and its script where a lone heredoc begins with `#!`.
    fn words(&self, run: &Run, here: &Stage) -> (Vec<String>, Option<String>) {
        let line = command_line(run);
        if run.command.exec {
            return (line, None);
        }
        if let [first, script] = line.as_slice()
            && matches!(heredoc_of(first), Ok(Some(_)))
        {
            return (vec!["/dev/pipes/EOF".into()], Some(script.clone()));
        }
        (here.config.words(&Command { exec: false, args: line }), None)
    }

    /// A script as a file of a layer of its own, and where it is mounted.
    fn script(&self, script: &str) -> Result<(String, Vec<String>)> {
        let nothing = View::default();
        let mut patch = Patch::over(&nothing);
        let bytes: std::sync::Arc<[u8]> = script.as_bytes().into();
        let kind = EntryKind::File { size: bytes.len() as u64, hash: ContentHash::of(&bytes), at: 0 };
        let entry = Entry { kind, ..Entry::folder(b"script", 0o755) };
        patch.put(entry, Some(Content::Text(bytes)), None);
        let stop = || self.cancel.is_cancelled();
        let (layer, _) = patch.into_layer(&self.making(&stop))?;
        Ok(("/dev/pipes/EOF".to_owned(), layer.into_iter().collect()))
    }

    fn describe(&self, ready: &Ready, hasher: &mut FieldHasher) {
        hasher.field(b"mount").number(ready.fields.len() as u64);
        for (key, value) in &ready.fields {
            hasher.field(key).field(value);
        }
    }

    /// One `--mount`, with what it reads.
    fn mount(
        &self,
        ready: &Ready,
        here: &mut Stage,
        hasher: &mut FieldHasher,
        environment: &mut std::collections::BTreeMap<String, String>,
        locks: &mut Vec<caches::Lock>,
    ) -> Result<Option<Mount>> {
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
                let id = field("id").unwrap_or(&target).to_owned();
                if ready.from.is_some() {
                    return refused(
                        "mounting a cache",
                        "the embedded builder fills no cache from a stage (`from`)",
                    );
                }
                let sharing = field("sharing").unwrap_or("shared");
                let lock = caches::take(self.runner.store(), (&id, uid, gid, mode), sharing, self.cancel)?;
                let folder = lock.folder().to_owned();
                locks.push(lock);
                (target, MountKind::Cache(folder))
            }
            "secret" => return self.secret(ready, target, (mode, uid, gid), environment),
            "ssh" => return self.agent(ready, target, environment),
            _ => {
                let (layers, path) = self.bound(ready, hasher)?;
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
        environment: &mut std::collections::BTreeMap<String, String>,
    ) -> Result<Option<Mount>> {
        let field = |key: &str| ready.fields.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let source = Some(ready.source.as_str()).filter(|source| !source.is_empty());
        let named = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let id = field("id").or(source).map(str::to_owned).or_else(|| target.as_deref().map(named));
        let id = id.ok_or_else(|| refusal("mounting a secret", "it has neither `id` nor `target`"))?;
        let required = matches!(ready.fields.get("required").map(String::as_str), Some("true" | "1" | ""));
        let Some(value) = self.request.secrets.get(&id) else {
            if required {
                return refused(
                    format!("mounting the secret `{id}`"),
                    "it is required, and this build was given none",
                );
            }
            return Ok(None);
        };
        if let Some(variable) = field("env") {
            environment.insert(variable.to_owned(), String::from_utf8_lossy(&value.0).into_owned());
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
        environment: &mut std::collections::BTreeMap<String, String>,
    ) -> Result<Option<Mount>> {
        let required = matches!(ready.fields.get("required").map(String::as_str), Some("true" | "1" | ""));
        let Some(agent) = self.agent.clone() else {
            if required {
                return refused(
                    "mounting an ssh agent",
                    "it is required, and this build was given none: `--ssh` gives it the one of SSH_AUTH_SOCK",
                );
            }
            return Ok(None);
        };
        let target = target.unwrap_or_else(|| "/run/buildkit/ssh_agent.0".to_owned());
        environment.insert("SSH_AUTH_SOCK".into(), target.clone());
        Ok(Some(Mount { target, kind: MountKind::Socket(agent), read_only: false }))
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
                    Source::Image(name) | Source::Context(name) => {
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
