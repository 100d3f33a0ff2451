//! A run profile: how containers of an image are started, by a person or by `run` of the Imagefile.
//!
//! Texts may have `{FACT}` in them, to be filled in when a container is made. Knows no engine.

use std::collections::BTreeMap;

use super::{Limits, Mount, Port};

/// How containers of an image are started. What is `None` or empty is left to what is below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Variables of its processes.
    pub env: BTreeMap<String, String>,
    /// Files with more of them, the later one winning; what is in `env` wins over all.
    pub env_files: Vec<String>,
    /// Mounts, one at each path.
    pub mounts: Vec<Mount>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// The working directory.
    pub workdir: Option<String>,
    /// `host` for the caller's own numbers, else as docker spells a user.
    pub user: Option<String>,
    /// `host`, or a name of the time zone database.
    pub timezone: Option<String>,
    /// `none`, `host` or a network's name.
    pub network: Option<String>,
    /// The host name.
    pub hostname: Option<String>,
    /// The container's name.
    pub name: Option<String>,
    /// Lines of its hosts file.
    pub hosts: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The entry point.
    pub entrypoint: Option<Vec<String>>,
    /// The command when none is typed; of a named command, the words before those that are typed.
    pub command: Option<Vec<String>>,
    /// Whether a small init is its first process.
    pub init: Option<bool>,
    /// Its share of the host.
    pub limits: Limits,
    /// Below this folder of the host are the image's folders for data, configuration, logs and temporary files.
    pub folders: Option<String>,
    /// A folder of the host that is mounted at `source_dir`: the source as it is now.
    pub source: Option<String>,
    /// Where the source is in the container.
    pub source_dir: Option<String>,
    /// Where scripts are in the container; `source_dir` when `None`.
    pub script_dir: Option<String>,
    /// A log of what it writes is kept.
    pub log: Option<LogRules>,
    /// Milliseconds that it may take.
    pub timeout: Option<u64>,
    /// Commands by name: each is a profile over this one.
    pub commands: BTreeMap<String, Self>,
    /// Variants by name, such as `dev` and `prod`: each is a profile over this one.
    pub variants: BTreeMap<String, Self>,
    /// The variant that is meant when nobody says which.
    pub variant: Option<String>,
}

/// How a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRules {
    /// Bytes of one file.
    pub size: u64,
    /// Files that are kept, the current one aside.
    pub count: usize,
}

impl Default for LogRules {
    fn default() -> Self {
        Self { size: 1 << 20, count: 30 }
    }
}

impl Profile {
    /// This profile, and where it says nothing `below`.
    pub fn over(self, below: &Self) -> Self {
        fn all<V: Clone>(below: &BTreeMap<String, V>, more: BTreeMap<String, V>) -> BTreeMap<String, V> {
            below.clone().into_iter().chain(more).collect()
        }
        let kept = below.mounts.iter().filter(|old| self.mounts.iter().all(|new| new.target != old.target));
        let mounts = kept.cloned().collect::<Vec<_>>().into_iter().chain(self.mounts).collect();
        let kept = below.ports.iter().filter(|old| self.ports.iter().all(|new| new.name() != old.name()));
        let ports = kept.cloned().collect::<Vec<_>>().into_iter().chain(self.ports).collect();
        let mut commands = below.commands.clone();
        for (name, command) in self.commands {
            let command = match commands.remove(&name) {
                Some(old) => command.over(&old),
                None => command,
            };
            commands.insert(name, command);
        }
        let mut variants = below.variants.clone();
        for (name, variant) in self.variants {
            let variant = match variants.remove(&name) {
                Some(old) => variant.over(&old),
                None => variant,
            };
            variants.insert(name, variant);
        }
        Self {
            env: all(&below.env, self.env),
            env_files: below.env_files.iter().cloned().chain(self.env_files).collect(),
            mounts,
            ports,
            workdir: self.workdir.or_else(|| below.workdir.clone()),
            user: self.user.or_else(|| below.user.clone()),
            timezone: self.timezone.or_else(|| below.timezone.clone()),
            network: self.network.or_else(|| below.network.clone()),
            hostname: self.hostname.or_else(|| below.hostname.clone()),
            name: self.name.or_else(|| below.name.clone()),
            hosts: below.hosts.iter().cloned().chain(self.hosts).collect(),
            labels: all(&below.labels, self.labels),
            entrypoint: self.entrypoint.or_else(|| below.entrypoint.clone()),
            command: self.command.or_else(|| below.command.clone()),
            init: self.init.or(below.init),
            limits: self.limits.over(&below.limits),
            folders: self.folders.or_else(|| below.folders.clone()),
            source: self.source.or_else(|| below.source.clone()),
            source_dir: self.source_dir.or_else(|| below.source_dir.clone()),
            script_dir: self.script_dir.or_else(|| below.script_dir.clone()),
            log: self.log.or(below.log),
            timeout: self.timeout.or(below.timeout),
            commands,
            variants,
            variant: self.variant.or_else(|| below.variant.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::container::{mounts, ports};

    #[test]
    fn what_is_above_wins_path_by_path_and_port_by_port() {
        let mount = |text: &str| mounts::short(text).unwrap();
        let below = Profile {
            mounts: vec![mount("aa:/a"), mount("/srv/b:/b")],
            ports: ports::parse("80:80").unwrap(),
            user: Some("host".into()),
            ..Profile::default()
        };
        let above = Profile {
            mounts: vec![mount("other:/a")],
            ports: ports::parse("8080:80").unwrap(),
            workdir: Some("/w".into()),
            ..Profile::default()
        };
        let both = above.over(&below);
        assert_eq!(both.mounts, [mount("/srv/b:/b"), mount("other:/a")]);
        assert_eq!(both.ports, ports::parse("8080:80").unwrap());
        assert_eq!((both.user.as_deref(), both.workdir.as_deref()), (Some("host"), Some("/w")));
    }

    #[test]
    fn a_command_of_the_same_name_is_more_of_it() {
        let command = |profile: Profile| Profile {
            commands: BTreeMap::from([("test".to_owned(), profile)]),
            ..Profile::default()
        };
        let below = command(Profile { workdir: Some("/a".into()), ..Profile::default() });
        let both = command(Profile { user: Some("host".into()), ..Profile::default() }).over(&below);
        let test = &both.commands["test"];
        assert_eq!((test.workdir.as_deref(), test.user.as_deref()), (Some("/a"), Some("host")));
    }
}
