//! The flags of docker run that `imk run` takes, and the profile that they come to.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use crate::cli::failure::Failure;
use crate::source::outside;
use crate::syntax::braces::escape;
use crate::syntax::container::{Limits, Mount, Profile, Source, limits, mounts, ports, words};

/// Flags of docker run, in docker's spelling.
#[derive(Clone, Debug, Default, Group)]
pub struct Options {
    /// Set a variable; NAME alone takes the value of ours
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Set the variables of a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// Mount a folder or a volume: SOURCE:TARGET[:ro]
    #[arg(short, long, value_name = "MOUNT")]
    pub volume: Vec<String>,
    /// Mount, spelled out: type=bind,source=PATH,target=PATH,readonly
    #[arg(long, value_name = "MOUNT")]
    pub mount: Vec<String>,
    /// Mount memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub tmpfs: Vec<String>,
    /// Publish a port: [[ADDRESS:]HOST:]CONTAINER
    #[arg(short, long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// Run as this user; `host` is you, by number and name
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Begin in this folder
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Leave it running, and print its id
    #[arg(short, long, value_parser = FalseyValueParser::new())]
    pub detach: bool,
    /// Taken for docker's sake: input is always there
    #[arg(short, long, value_parser = FalseyValueParser::new())]
    pub interactive: bool,
    /// Taken for docker's sake: there is a terminal where input and output are one
    #[arg(short, long, value_parser = FalseyValueParser::new())]
    pub tty: bool,
    /// Taken for docker's sake: there is an init, and a container is removed when it ends
    #[arg(long, visible_alias = "rm", overrides_with = "init", value_parser = FalseyValueParser::new())]
    pub init: bool,
    /// Keep the container when it ends
    #[arg(long, value_parser = FalseyValueParser::new())]
    pub no_rm: bool,
    /// Name the container
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Its host name
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Its network: none, host, or one by its name
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// The entry point; empty for none
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// Add a host: NAME:ADDRESS
    #[arg(long, value_name = "HOST")]
    pub add_host: Vec<String>,
    /// The size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Limit its processes: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT")]
    pub ulimit: Vec<String>,
    /// Limit its memory
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Limit its processors
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<String>,
    /// Give it GPUs: all, a number, or device=0,1
    #[arg(long, value_name = "GPUS")]
    pub gpus: Option<String>,
    /// Give it a device
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Give it a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// Let it write to mounts alone
    #[arg(long, value_parser = FalseyValueParser::new())]
    pub read_only: bool,
    /// Label the container
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub label: Vec<String>,
    /// Use this variant of the image's profile, such as dev or prod
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
}

impl Options {
    /// The profile that was typed. Relative paths start at `here`.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub fn profile(&self, here: &Path) -> Result<Profile, Failure> {
        let mut env = BTreeMap::new();
        for file in &self.env_file {
            env.extend(variables(&here.join(file))?);
        }
        for text in &self.env {
            match text.split_once('=') {
                Some(("", _)) => return Err(Failure::error(format!("-e `{text}` names no variable"))),
                Some((name, value)) => drop(env.insert(name.to_owned(), value.to_owned())),
                None => env.extend(std::env::var(text).ok().map(|value| (text.clone(), value))),
            }
        }
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), escape(value))
        };
        let mut published = Vec::new();
        for text in &self.publish {
            published.extend(ports::parse(text).map_err(Failure::error)?);
        }
        Ok(Profile {
            env: env.into_iter().map(|(name, value)| (name, escape(&value))).collect(),
            mounts: self.mounts(here)?,
            ports: published,
            workdir: self.workdir.as_deref().map(escape),
            user: self.user.as_deref().map(escape),
            network: self.network.as_deref().map(escape),
            hostname: self.hostname.as_deref().map(escape),
            name: self.name.as_deref().map(escape),
            hosts: all(&self.add_host, words::host)?.iter().map(|line| escape(line)).collect(),
            labels: self.label.iter().map(pair).collect(),
            entrypoint: self.entrypoint.as_deref().map(|text| match text {
                "" => Vec::new(),
                text => vec![escape(text)],
            }),
            limits: self.limits()?,
            ..Profile::default()
        })
    }

    fn mounts(&self, here: &Path) -> Result<Vec<Mount>, Failure> {
        let mut mounts = all(&self.volume, mounts::short)?;
        mounts.extend(all(&self.mount, mounts::long)?);
        mounts.extend(all(&self.tmpfs, mounts::tmpfs)?);
        for mount in &mut mounts {
            mount.target = escape(&mount.target);
            if let Source::Path(path) = &mut mount.source {
                let whole = if path.starts_with('~') {
                    path.clone()
                } else {
                    here.join(&*path).display().to_string()
                };
                *path = escape(&whole);
            }
        }
        Ok(mounts)
    }

    fn limits(&self) -> Result<Limits, Failure> {
        let one = |text: &Option<String>, read: fn(&str) -> Result<i64, String>| {
            text.as_deref().map(read).transpose().map_err(Failure::error)
        };
        Ok(Limits {
            memory: one(&self.memory, limits::bytes)?,
            nano_cpus: one(&self.cpus, limits::cpus)?,
            shm_size: one(&self.shm_size, limits::bytes)?,
            ulimits: all(&self.ulimit, limits::ulimit)?,
            gpus: self.gpus.as_deref().map(limits::gpus).transpose().map_err(Failure::error)?,
            devices: all(&self.device, limits::device)?,
            capabilities: self.cap_add.clone(),
            read_only: self.read_only.then_some(true),
        })
    }
}

fn all<T>(texts: &[String], read: fn(&str) -> Result<T, String>) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| read(text).map_err(Failure::error)).collect()
}

/// The variables of an environment file; one without a value has ours, or none.
pub fn variables(file: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let bytes = outside::read(file)?;
    let wrong =
        |line: usize| Failure::error(format!("`{}`, line {line}: no variable is set here", file.display()));
    let pairs = words::env_file(&String::from_utf8_lossy(&bytes)).map_err(wrong)?;
    let own = |(name, value): (String, Option<String>)| {
        let value = value.or_else(|| std::env::var(&name).ok())?;
        Some((name, value))
    };
    Ok(pairs.into_iter().filter_map(own).collect())
}
