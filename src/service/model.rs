//! Ground words of the service: a piece of work, the job that does it, and what came of it.
//!
//! Plain values, which queues store and pages show. Knows no queue and no HTTP.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::time::UnixSeconds;
pub use crate::syntax::serve::{Label, Labels, RepositoryName};

/// The number of a job. A later offer has a greater one, whatever the clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_plain.then(|| text.parse().ok()).flatten();
        number.map(Self).ok_or_else(|| "a job has a number, such as 17".to_owned())
    }
}

/// The trigger of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// A forge told of a push.
    Push,
    /// The service looked and found a branch moved.
    Poll,
    /// It was time.
    Schedule,
    /// A registry told of an image.
    Registry,
    /// A person asked.
    Asked,
}

impl Occasion {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Poll => "poll",
            Self::Schedule => "schedule",
            Self::Registry => "registry",
            Self::Asked => "asked",
        }
    }

    /// Whether it tells of a commit and of nothing else: a second one of the same commit is done already.
    pub fn is_of_the_commit(self) -> bool {
        matches!(self, Self::Push | Self::Poll)
    }
}

/// One commit of a branch that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The repository's name in `serve.ron`.
    pub repository: RepositoryName,
    /// The branch, checked to be a possible name of one. Of a pull request, the branch it is for.
    pub branch: String,
    /// The commit: forty hexadecimal digits, or sixty-four.
    pub commit: String,
    /// The first line of the commit's message; empty when nobody told it.
    pub message: String,
    /// The trigger.
    pub occasion: Occasion,
    /// Labels that a worker must have, of the repository's policy and of the hook's address.
    pub hints: Labels,
    /// The forge's id of the delivery that told of it.
    pub delivery: Option<String>,
    /// The ref of a fork's pull request, such as `refs/pull/7/head`. Nothing of it runs: a plan is made.
    pub pull_request: Option<String>,
}

impl Work {
    /// The line of commits it stands on; of those that wait on one line, the newest is enough.
    pub fn line(&self) -> String {
        self.pull_request.clone().unwrap_or_else(|| format!("refs/heads/{}", self.branch))
    }
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum JobState {
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    Running {
        /// The worker's name.
        worker: String,
        /// Since when.
        since: UnixSeconds,
    },
    /// It was done, well or not.
    Done {
        /// The end.
        outcome: Outcome,
    },
    /// A newer one does its work.
    Replaced {
        /// The newer one.
        by: JobId,
    },
    /// All tries are used up, and none came to an end: it can be retried by hand.
    Dead {
        /// The reason of the last one.
        reason: String,
    },
}

/// The kinds of [`JobState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateKind {
    /// [`JobState::Queued`]
    Queued,
    /// [`JobState::Running`]
    Running,
    /// [`JobState::Done`]
    Done,
    /// [`JobState::Replaced`]
    Replaced,
    /// [`JobState::Dead`]
    Dead,
}

impl StateKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Replaced, Self::Dead];

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Replaced => "replaced",
            Self::Dead => "dead",
        }
    }
}

impl JobState {
    /// The kind.
    pub fn kind(&self) -> StateKind {
        match self {
            Self::Queued => StateKind::Queued,
            Self::Running { .. } => StateKind::Running,
            Self::Done { .. } => StateKind::Done,
            Self::Replaced { .. } => StateKind::Replaced,
            Self::Dead { .. } => StateKind::Dead,
        }
    }

    /// Whether nothing more comes of it by itself.
    pub fn has_ended(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running { .. })
    }
}

/// The end of a job's work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// All went well.
    pub ok: bool,
    /// One line of it.
    pub summary: String,
    /// The images, in the order of their names.
    #[serde(default)]
    pub images: Vec<ImageOutcome>,
    /// The raw status: the commit, then a line for each step of `integration.yml` and each command of it. None without steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub report: Vec<String>,
}

/// One image in the end of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOutcome {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub verdict: Verdict,
    /// Why, with the chain to the root cause; empty for what is fresh.
    pub reason: String,
}

/// How an image stands after a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing was to be done.
    Fresh,
    /// It is out of date.
    Stale,
    /// It was built.
    Built,
    /// It was not built, or a test failed.
    Failed,
}

impl Verdict {
    /// Whether the image is up to date.
    pub fn is_fresh(self) -> bool {
        matches!(self, Self::Fresh | Self::Built)
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Built => "built",
            Self::Failed => "failed",
        }
    }
}

/// A piece of work with its fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The work.
    pub work: Work,
    /// How it stands.
    #[serde(flatten)]
    pub state: JobState,
    /// How often a worker began it.
    pub tries: u32,
    /// When it was offered.
    pub queued_at: UnixSeconds,
    /// When the last try began.
    pub started_at: Option<UnixSeconds>,
    /// When it ended.
    pub ended_at: Option<UnixSeconds>,
}
