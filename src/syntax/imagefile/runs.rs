//! `run`: how containers of an image are started.
//!
//! Variables are filled in here; facts of the run, such as `{env.HOME}` and `{DATADIR}`, stay in the texts until
//! a container is made. Knows docker's spelling of mounts, ports and limits by `syntax/container`.

use ron2::ast::Expr;

use super::decode::{Reader, span_of};
use super::raw::{Pairs, RawLog, RawRun};
use super::scope::Scope;
use super::{LOG_KEYS, RUN_KEYS, Word};
use crate::syntax::braces::{self, Piece};
use crate::syntax::container::{Limits, LogRules, Profile, limits, mounts, ports, words};
use crate::syntax::error::SyntaxError;
use crate::syntax::suggest::did_you_mean;

/// Names that texts of a run can hold beside variables and `env.NAME`, with their meaning.
pub const RUN_FACTS: &[(&str, &str)] = &[
    ("env.NAME", "a variable of whoever runs it"),
    ("name", "the image's name, as IMAGE_NAME in the container"),
    ("version", "the tag that runs, as IMAGE_VERSION in the container"),
    ("root", "the Imagefile's folder"),
    ("uid", "the caller's number; {gid} that of the group, {user} the name"),
    (
        "DATADIR",
        "the image's folder below `folders`; so CFGDIR, LOGDIR, TMPDIR, and each is a variable in the container",
    ),
    (
        "SRCDIR",
        "what `source_dir` says, SCRIPTDIR what `script_dir` says; both are variables in the container",
    ),
    ("script", "in `command`: the first word that is typed, below SCRIPTDIR"),
];

const PLAIN_FACTS: &[&str] = &[
    "name",
    "version",
    "root",
    "uid",
    "gid",
    "user",
    "script",
    "IMAGE_NAME",
    "IMAGE_VERSION",
    "DATADIR",
    "CFGDIR",
    "LOGDIR",
    "TMPDIR",
    "SRCDIR",
    "SCRIPTDIR",
];

impl Reader {
    pub(super) fn run(&mut self, value: &Expr<'_>) -> RawRun {
        let mut run = RawRun { span: span_of(value), ..RawRun::default() };
        self.fields(value, "a run", RUN_KEYS, |reader, key, value| match key {
            "env" => run.env = reader.map(value, "variable", Self::text),
            "env_file" => run.env_file = reader.one_or_more(value),
            "volumes" => run.volumes = reader.one_or_more(value),
            "tmpfs" => run.tmpfs = reader.one_or_more(value),
            "ports" => run.ports = reader.one_or_more(value),
            "workdir" => run.workdir = reader.text(value),
            "user" => run.user = reader.text(value),
            "timezone" => run.timezone = reader.text(value),
            "network" => run.network = reader.text(value),
            "hostname" => run.hostname = reader.text(value),
            "name" => run.name = reader.text(value),
            "hosts" => run.hosts = reader.one_or_more(value),
            "labels" => run.labels = reader.map(value, "label", Self::text),
            "entrypoint" => run.entrypoint = Some(reader.list(value)),
            "command" => run.command = Some(reader.list(value)),
            "init" => run.init = reader.flag(value),
            "read_only" => run.read_only = reader.flag(value),
            "memory" => run.memory = reader.text(value),
            "cpus" => run.cpus = reader.text(value),
            "shm_size" => run.shm_size = reader.text(value),
            "ulimits" => run.ulimits = reader.one_or_more(value),
            "gpus" => run.gpus = reader.text(value),
            "devices" => run.devices = reader.one_or_more(value),
            "cap_add" => run.cap_add = reader.one_or_more(value),
            "folders" => run.folders = reader.text(value),
            "source" => run.source = reader.text(value),
            "source_dir" => run.source_dir = reader.text(value),
            "script_dir" => run.script_dir = reader.text(value),
            "log" => run.log = Some(reader.log(value)),
            "timeout" => run.timeout = reader.text(value),
            "variant" => run.variant = reader.text(value),
            "variants" => run.variants = reader.map(value, "variant", |r, v| Some(r.run(v))),
            _ => run.commands = reader.map(value, "command", |r, v| Some(r.run(v))),
        });
        run
    }

    fn log(&mut self, value: &Expr<'_>) -> RawLog {
        let mut log = RawLog::default();
        self.fields(value, "a log", LOG_KEYS, |reader, key, value| match key {
            "size" => log.size = reader.text(value),
            _ => log.count = reader.count(value, "files"),
        });
        log
    }
}

impl Scope<'_> {
    /// The profile that several layers of `run` come to, the later over the earlier.
    pub(super) fn profile(&mut self, layers: &[RawRun]) -> Profile {
        let profile = layers.iter().fold(Profile::default(), |below, raw| self.run(raw).over(&below));
        if let (Some(name), Some(raw)) = (&profile.variant, layers.last())
            && !profile.variants.contains_key(name)
        {
            let span = raw.variant.as_ref().map_or(raw.span, |word| word.span);
            let mut error = SyntaxError::new(span, format!("there is no variant `{name}`"));
            error.hint = did_you_mean(name, profile.variants.keys().map(String::as_str))
                .or_else(|| Some("declare it under `variants`".into()));
            self.errors.push(error);
        }
        profile
    }

    fn run(&mut self, raw: &RawRun) -> Profile {
        let volumes = self.read(&raw.volumes, Self::template, mounts::short);
        let memory = self.read(&raw.tmpfs, Self::template, mounts::tmpfs);
        let published = self.read(&raw.ports, Self::filled, ports::parse);
        let mut text = |word: &Option<Word>| word.as_ref().map(|word| self.template(word));
        let (workdir, user, timezone) = (text(&raw.workdir), text(&raw.user), text(&raw.timezone));
        let (network, hostname, name) = (text(&raw.network), text(&raw.hostname), text(&raw.name));
        let (folders, source) = (text(&raw.folders), text(&raw.source));
        let (source_dir, script_dir) = (text(&raw.source_dir), text(&raw.script_dir));
        Profile {
            env: self.templates(&raw.env),
            env_files: raw.env_file.iter().map(|word| self.fill(word).text).collect(),
            mounts: volumes.into_iter().chain(memory).collect(),
            ports: published.into_iter().flatten().collect(),
            workdir,
            user,
            timezone,
            network,
            hostname,
            name,
            hosts: self.read(&raw.hosts, Self::template, words::host),
            labels: self.templates(&raw.labels),
            entrypoint: raw
                .entrypoint
                .as_ref()
                .map(|list| list.iter().map(|word| self.template(word)).collect()),
            command: raw.command.as_ref().map(|list| list.iter().map(|word| self.template(word)).collect()),
            init: raw.init,
            limits: self.limits(raw),
            folders,
            source,
            source_dir,
            script_dir,
            log: raw.log.as_ref().map(|log| self.log_rules(log)),
            timeout: self.one(&raw.timeout, words::period),
            commands: raw.commands.iter().map(|(name, run)| (name.text.clone(), self.run(run))).collect(),
            variants: raw.variants.iter().map(|(name, run)| (name.text.clone(), self.run(run))).collect(),
            variant: raw.variant.as_ref().map(|word| self.fill(word).text),
        }
    }

    fn limits(&mut self, raw: &RawRun) -> Limits {
        Limits {
            memory: self.one(&raw.memory, limits::bytes),
            nano_cpus: self.one(&raw.cpus, limits::cpus),
            shm_size: self.one(&raw.shm_size, limits::bytes),
            ulimits: self.read(&raw.ulimits, Self::filled, limits::ulimit),
            gpus: self.one(&raw.gpus, limits::gpus),
            devices: self.read(&raw.devices, Self::filled, limits::device),
            capabilities: raw.cap_add.iter().map(|word| self.fill(word).text).collect(),
            read_only: raw.read_only,
        }
    }

    fn log_rules(&mut self, raw: &RawLog) -> LogRules {
        let usual = LogRules::default();
        let size = self.one(&raw.size, limits::bytes).and_then(|size| u64::try_from(size).ok());
        // Below that a header would not fit into one file.
        let size = size.map_or(usual.size, |size| size.max(4096));
        LogRules { size, count: raw.count.unwrap_or(usual.count) }
    }

    fn templates(&mut self, pairs: &Pairs<Word>) -> std::collections::BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.text.clone(), self.template(value))).collect()
    }

    fn filled(&mut self, word: &Word) -> String {
        self.fill(word).text
    }

    /// Reads each of several words; one that cannot be read is a mistake at its place.
    pub(super) fn read<T>(
        &mut self,
        list: &[Word],
        fill: impl Fn(&mut Self, &Word) -> String,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut found = Vec::new();
        for word in list {
            match read(&fill(self, word)) {
                Ok(one) => found.push(one),
                Err(why) => self.errors.push(SyntaxError::new(word.span, why)),
            }
        }
        found
    }

    /// As [`Self::read`], of a word that may not be there.
    pub(super) fn one<T>(
        &mut self,
        word: &Option<Word>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read(word.as_slice(), Self::filled, read).pop()
    }

    /// Fills in variables and leaves facts for later.
    pub(super) fn template(&mut self, word: &Word) -> String {
        let mut text = String::new();
        for piece in braces::split(&word.text) {
            match piece {
                Piece::Text(piece) => text += &braces::escape(piece),
                Piece::Name(name) => match self.vars.get(name) {
                    Some(value) => text += &braces::escape(value),
                    None if PLAIN_FACTS.contains(&name) || name.starts_with("env.") => {
                        text += &format!("{{{name}}}")
                    }
                    None => {
                        let known = self.vars.keys().map(String::as_str).chain(PLAIN_FACTS.iter().copied());
                        let mut error =
                            SyntaxError::new(word.span, format!("there is no variable and no fact `{name}`"));
                        error.hint = did_you_mean(name, known).or_else(|| {
                            Some(format!(
                                "declare it: vars: {{\"{name}\": \"…\"}}; `imk keys` shows the facts"
                            ))
                        });
                        self.errors.push(error);
                    }
                },
                Piece::Lone(brace) => {
                    let error = SyntaxError::new(word.span, format!("a lone `{brace}`"));
                    self.errors.push(error.hint(format!("write `{brace}{brace}` for the character itself")));
                }
            }
        }
        text
    }
}
