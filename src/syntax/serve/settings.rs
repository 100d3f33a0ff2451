//! Values of `serve.ron`, with what holds where nothing is said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::names::{BranchFilter, Labels, RepositoryName};
use crate::syntax::imagefile::SecretSource;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is listened: `ADDRESS:PORT`, or `systemd` for a socket that is handed over.
    pub listen: String,
    /// The address under which people and forges reach it, without a `/` at its end.
    pub public_url: Option<String>,
    /// Names of hosts, beside that of `public_url`, by which it may be called.
    pub hosts: Vec<String>,
    /// The folder for queue, logs, secrets and checkouts.
    pub state: Option<PathBuf>,
    /// The address of a Redis for several machines; without one the queue is a file in `state`.
    pub queue: Option<SecretOrText>,
    /// Jobs that this process does at once; with 0 others must do them.
    pub workers: usize,
    /// Labels that the workers of this process have.
    pub labels: Labels,
    /// A worker that says nothing for so long has lost its job.
    pub lease: Duration,
    /// A job is tried so often before it is dead.
    pub tries: u32,
    /// How much of old logs and jobs is kept.
    pub logs: LogLimits,
    /// A certificate; without one it speaks plain HTTP, to a proxy or on loopback.
    pub tls: Option<Tls>,
    /// Folders with tools that steps may read, where the server is not root.
    pub readable: Vec<PathBuf>,
    /// Logins by name.
    pub credentials: BTreeMap<String, Credentials>,
    /// Places to tell of ends, by name.
    pub notify: BTreeMap<String, Notifier>,
    /// Repositories by name.
    pub repositories: BTreeMap<RepositoryName, Repository>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8737".into(),
            public_url: None,
            hosts: Vec::new(),
            state: None,
            queue: None,
            workers: 1,
            labels: Labels::new(),
            lease: Duration::from_secs(60),
            tries: 3,
            logs: LogLimits::default(),
            tls: None,
            readable: Vec::new(),
            credentials: BTreeMap::new(),
            notify: BTreeMap::new(),
            repositories: BTreeMap::new(),
        }
    }
}

/// A value in the file, or the place of one that is not to stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrText {
    /// In plain.
    Text(String),
    /// In a variable or a file.
    Secret(SecretSource),
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Older jobs and their logs go.
    pub age: Duration,
    /// Logs take at most so much together, in bytes; the oldest go first.
    pub size: u64,
    /// A single log has at most so much, in bytes.
    pub one: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 24 * 3600), size: 1 << 30, one: 64 << 20 }
    }
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Logins for repositories that name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A token with which git fetches over HTTPS.
    pub git_token: Option<SecretSource>,
    /// A private key with which git fetches over ssh.
    pub ssh_key: Option<PathBuf>,
    /// A token for the forge's statuses; else `git_token`.
    pub forge_token: Option<SecretSource>,
    /// The folder of a docker configuration with logins for registries.
    pub docker_config: Option<PathBuf>,
    /// The Jenkins whose jobs steps may start.
    pub jenkins: Option<JenkinsLogin>,
    /// Values that steps of `integration.yml` may read as variables.
    pub env: BTreeMap<String, SecretSource>,
}

/// A Jenkins, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JenkinsLogin {
    /// Its address, without a `/` at the end.
    pub url: String,
    /// The user.
    pub user: String,
    /// The user's API token.
    pub token: SecretSource,
}

/// A place to tell of ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifier {
    /// The form of the message.
    pub kind: NotifierKind,
    /// Its address, which mostly is a secret.
    pub url: SecretOrText,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifierKind {
    /// A JSON document of imk's own.
    Webhook,
    /// As Slack, Mattermost and their like read it.
    Slack,
}

/// One repository and its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The address, for git.
    pub url: String,
    /// The forge that it is on, for statuses; else its hooks and its host tell.
    pub forge: Option<Forge>,
    /// The address of the forge's API, where that is not the usual one.
    pub forge_api: Option<String>,
    /// Branches that are kept fresh; without any, the one that the repository's `HEAD` names.
    pub branches: Vec<BranchFilter>,
    /// The Imagefile below the root, where it is not the usual one.
    pub imagefile: Option<String>,
    /// A name of `credentials`.
    pub credentials: Option<String>,
    /// How often branches are looked at; never when `None`.
    pub poll: Option<Duration>,
    /// When bases and sources outside are looked at.
    pub schedule: Vec<Schedule>,
    /// Labels that a worker must have.
    pub labels: Labels,
    /// How far a job goes.
    pub does: Does,
    /// Variables of steps.
    pub env: BTreeMap<String, String>,
    /// The running job of an older commit.
    pub running: Running,
    /// Pull requests of forks.
    pub forks: Forks,
    /// Those who write to the repository.
    pub authors: Authors,
    /// A job that takes longer is ended.
    pub time_limit: Duration,
    /// Names of `notify`.
    pub notify: Vec<String>,
    /// Statuses at commits.
    pub statuses: Statuses,
    /// Signatures by SHA-1 are taken too.
    pub sha1: bool,
}

/// Repositories are looked at so often.
pub const POLL: Duration = Duration::from_secs(180);
/// A job has so long.
pub const TIME_LIMIT: Duration = Duration::from_secs(2 * 3600);

impl Repository {
    /// One of which nothing is said but its address.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            forge: None,
            forge_api: None,
            branches: Vec::new(),
            imagefile: None,
            credentials: None,
            poll: Some(POLL),
            schedule: Vec::new(),
            labels: Labels::new(),
            does: Does::Publish,
            env: BTreeMap::new(),
            running: Running::Finish,
            forks: Forks::Never,
            authors: Authors::Strangers,
            time_limit: TIME_LIMIT,
            notify: Vec::new(),
            statuses: Statuses::One,
            sha1: false,
        }
    }

    /// Whether a branch is kept fresh; `default` is the one that `HEAD` names, as far as it is known.
    pub fn admits(&self, branch: &str, default: Option<&str>) -> bool {
        match self.branches.is_empty() {
            true => default == Some(branch),
            false => self.branches.iter().any(|filter| filter.admits(branch)),
        }
    }
}

/// A time at which a repository's outside is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// A cron expression of five fields, or six with seconds first, or `@daily` and its like.
    pub cron: String,
    /// A zone of the IANA database.
    pub zone: String,
}

/// How far a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Does {
    /// Says what is stale.
    Check,
    /// Builds it.
    Build,
    /// And tests it.
    Test,
    /// And publishes what `publish` of the Imagefile admits.
    Publish,
}

/// Treatment of a running job when its branch moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// It ends by itself; the newer one waits.
    Finish,
    /// It is cancelled.
    Cancel,
}

/// Those who may write to a repository, as the server sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authors {
    /// Nothing of theirs reaches what is the server's.
    Strangers,
    /// They might as well have the server.
    Trusted,
}

/// Treatment of pull requests of forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forks {
    /// They are answered and ignored.
    Never,
    /// A plan is made; nothing of them runs.
    Check,
}

/// Statuses at commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// None.
    Never,
    /// One in all.
    One,
    /// One for each image.
    Images,
}

/// The software of a forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    /// GitHub, its Enterprise Server too.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
    /// Bitbucket Cloud.
    Bitbucket,
}
