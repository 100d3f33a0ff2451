//! Plain values that pages show: gathered by `service/http`, drawn by the views.

use jiff::Timestamp;

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// It did all it had to.
    Passed,
    /// It ended, and something was wrong.
    Failed,
    /// Its tries are used up.
    Dead,
    /// A newer commit took its place before it began, or while it ran.
    Replaced,
}

/// How an image came out of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing it is made of changed.
    Fresh,
    /// It was built.
    Built,
    /// It was built before, and was given tags that it lacked.
    Retagged,
    /// It is out of date.
    Stale,
    /// Its build or a test of it failed.
    Failed,
    /// A base of it is not there.
    Waiting,
}

impl Verdict {
    /// Whether the image is up to date after the job.
    pub fn is_fresh(self) -> bool {
        matches!(self, Self::Fresh | Self::Built | Self::Retagged)
    }
}

/// An image in a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSeen {
    /// Its name.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// Why: the causal chain to the root cause, in the command line's words; empty where nothing changed.
    pub reason: String,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSeen {
    /// Its id, which is a part of addresses.
    pub id: String,
    /// The repository's name.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The whole commit.
    pub commit: String,
    /// The first line of the commit's message; empty where nobody told it.
    pub message: String,
    /// Its trigger: `push`, `poll` ….
    pub occasion: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// How often it was begun.
    pub tries: u32,
    /// When it was offered.
    pub queued_at: Timestamp,
    /// When it was begun last.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The worker that has it, or had it last.
    pub worker: Option<String>,
    /// One line: how it ended; empty before.
    pub summary: String,
    /// The images of it, in the order of building.
    pub images: Vec<ImageSeen>,
    /// The lines of `GET /status/…`: the commit, then one for each step and each of its commands.
    /// None where there were no steps.
    pub record: Vec<String>,
}

/// An image that a branch has, as the last job that told of it left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingImage {
    /// The image, with the verdict of that job.
    pub image: ImageSeen,
    /// That job.
    pub job: String,
    /// When that job ended.
    pub since: Timestamp,
}

/// A branch that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchSeen {
    /// Its name.
    pub name: String,
    /// The last job that ended.
    pub last: Option<JobSeen>,
    /// The job that waits or runs.
    pub active: Option<JobSeen>,
    /// Images that are fresh.
    pub fresh: usize,
    /// Images that are not.
    pub stale: usize,
    /// Its images, or those of them that are not fresh.
    pub images: Vec<StandingImage>,
}

/// A repository that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositorySeen {
    /// Its name.
    pub name: String,
    /// Its address, without a password.
    pub address: String,
    /// The things that are done there: `check`, `build`, `test`, `publish`.
    pub does: &'static str,
    /// The schedules beside pushes and polling, as they were written.
    pub schedules: Vec<String>,
    /// Why it could not be asked where its branches stand; the last answer is what is shown.
    pub trouble: Option<String>,
    /// Its branches with something to tell, the one that was built last first.
    pub branches: Vec<BranchSeen>,
    /// Branches that are not among these.
    pub more_branches: usize,
}

/// Numbers of all branches of all repositories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Images that are fresh.
    pub fresh: u64,
    /// Images that are not.
    pub stale: u64,
    /// Branches whose last job did not go well.
    pub failed: u64,
}

/// All that the first page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverviewSeen {
    /// The server's clock.
    pub now: Timestamp,
    /// Repositories of this page, those first where something is not well.
    pub repositories: Vec<RepositorySeen>,
    /// The number of this page, from 1 on.
    pub page: usize,
    /// How many pages there are.
    pub pages: usize,
    /// Numbers of all of them.
    pub total: Total,
    /// Jobs that run, the oldest first, as far as they are shown.
    pub running: Vec<JobSeen>,
    /// Jobs that wait, the next first, as far as they are shown.
    pub queued: Vec<JobSeen>,
    /// All jobs that run.
    pub running_count: usize,
    /// All jobs that wait.
    pub queued_count: usize,
    /// Jobs that ended, the newest first.
    pub recent: Vec<JobSeen>,
    /// Jobs in the dead-letter list.
    pub dead: usize,
}
