//! The instruction `RUN`: what it means, its key, and the job that comes of it.
//!
//! Follows `dispatchRun`. A command's key is what it sees: the layers below, its words, environment, user and
//! folder, and the content of what is mounted. Secrets, caches and sockets count by name alone.

use std::cell::RefCell;
use std::path::PathBuf;

use super::job::{Job, Mount, MountKind};
use super::rights;
use super::rung::Rung;
use super::wishes::Wishes;
use crate::embedded::assemble::build::{Build, Outcome, Stage};
use crate::embedded::assemble::patch::{Content, Patch, known};
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

/// The result of a step that changes nothing.
const NOTHING: &str = "";

/// Lines of a command's output that an error repeats.
const TAIL: usize = 4096;

impl Build<'_> {
    pub(in crate::embedded) fn command(&self, run: &Run, here: &mut Stage, id: &str) -> Result<Outcome> {
        let insecure = rights::is_insecure(run, &self.request.entitlements)?;
        for device in &run.devices {
            rights::device(device)?;
        }
        let network = self.network(run)?;
        let (words, script) = self.words(run, here);
        let mut hasher = FieldHasher::new("imk embedded run v2");
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
        let mut wishes = Wishes::new(&mut hasher, &mut environment);
        mounts.extend(self.mounts(run, here, &mut wishes)?);
        let (secrets, locks) = wishes.into_parts();
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
        environment.extend(secrets);
        for (name, value) in self.request.args.iter().filter(|(name, _)| is_proxy(name)) {
            environment.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let folder = here.config.text("WorkingDir").to_owned();
        let folder = if folder.is_empty() { "/".to_owned() } else { folder };
        let user = here.config.text("User").to_owned();
        let rung = self.runner.rung()?;
        hasher.field(&folder).field(&user).number(u64::from(network)).number(self.time).field(&here.platform);
        hasher.field(if rung == Rung::Chroot { b"chroot".as_slice() } else { b"namespaces" });
        if insecure {
            hasher.field(b"insecure");
        }
        let key = hasher.finish();
        if let Some(layer) = self.known_step(&key, id)? {
            self.steps.leave(self.images, &key, &layer, self.cancel)?;
            return Ok(Outcome { layer: Some(layer).filter(|layer| layer != NOTHING), cached: true });
        }
        let job = self.job(here, rung, (words, environment), (folder, &user), network, mounts)?;
        let job = Job { insecure, ..job };
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
            MountKind::Cache { from: Some((layers, _)), .. } => layers.as_slice(),
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
            insecure: false,
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
        if let Some(lacks) = self.runner.lacks(rung) {
            (self.events)(BuildEvent::Note(lacks.to_owned()));
        }
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
                lines: None,
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
}
