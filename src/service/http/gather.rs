//! The pages' values, gathered from queue and settings.
//!
//! Draws nothing and sends nothing. Its calls block, for as long as the queue takes to list some jobs.

use jiff::Timestamp;

use super::answer::Trouble;
use crate::model::time::UnixSeconds;
use crate::service::model::{ImageOutcome, Job, JobId, JobState, StateKind, Verdict};
use crate::service::page::seen::{
    self, BranchSeen, ImageSeen, JobSeen, OverviewSeen, RepositorySeen, Standing, StandingImage,
};
use crate::service::queue::{Filter, QueueError};
use crate::service::shared::Shared;
use crate::syntax::git_source::masked;
use crate::syntax::serve::{Does, Repository, RepositoryName};

/// Jobs of a repository that are looked through for what its branches have.
const JOBS_OF_A_REPOSITORY: usize = 60;
/// Jobs that ended, on the first page.
const RECENT: usize = 10;
/// Jobs that run or wait, on the first page.
const ACTIVE: usize = 100;

/// A moment as pages have it.
pub fn time(moment: UnixSeconds) -> Timestamp {
    moment.timestamp()
}

/// A job as pages have it.
pub fn job(job: &Job) -> JobSeen {
    let work = &job.work;
    let (standing, summary, images, record, worker) = match &job.state {
        JobState::Queued => (Standing::Queued, String::new(), &[][..], Vec::new(), None),
        JobState::Running { worker, .. } => {
            (Standing::Running, String::new(), &[][..], Vec::new(), Some(worker.clone()))
        }
        JobState::Done { outcome } => {
            let standing = if outcome.ok { Standing::Passed } else { Standing::Failed };
            (standing, outcome.summary.clone(), &outcome.images[..], outcome.report.clone(), None)
        }
        JobState::Replaced { by } => {
            (Standing::Replaced, format!("job {by} does its work"), &[][..], Vec::new(), None)
        }
        JobState::Dead { reason } => (Standing::Dead, reason.clone(), &[][..], Vec::new(), None),
    };
    let branch = match &work.pull_request {
        Some(reference) => format!("{reference} for {}", work.branch),
        None => work.branch.clone(),
    };
    JobSeen {
        id: job.id.to_string(),
        repository: work.repository.to_string(),
        branch,
        commit: work.commit.clone(),
        message: work.message.clone(),
        occasion: work.occasion.word(),
        standing,
        tries: job.tries,
        queued_at: time(job.queued_at),
        started_at: job.started_at.map(time),
        ended_at: job.ended_at.map(time),
        worker,
        summary,
        images: images.iter().map(image).collect(),
        record,
    }
}

fn image(image: &ImageOutcome) -> ImageSeen {
    let verdict = match image.verdict {
        Verdict::Fresh => seen::Verdict::Fresh,
        Verdict::Stale => seen::Verdict::Stale,
        Verdict::Built => seen::Verdict::Built,
        Verdict::Failed => seen::Verdict::Failed,
    };
    ImageSeen { name: image.name.clone(), verdict, reason: image.reason.clone() }
}

/// Jobs by a filter, the newest first.
///
/// # Errors
/// When the queue cannot be asked.
pub fn jobs(shared: &Shared, filter: &Filter) -> Result<Vec<JobSeen>, QueueError> {
    Ok(shared.queue.jobs(filter)?.iter().map(job).collect())
}

/// A job by the text of its number.
///
/// # Errors
/// When there is none, or the queue cannot be asked.
pub fn find_job(shared: &Shared, id: &str) -> Result<(JobId, JobSeen), Trouble> {
    let missing = || Trouble::NotFound("There is no such job, or it is not kept any longer.".to_owned());
    let id: JobId = id.parse().map_err(|_| missing())?;
    let found = shared.queue.job(id)?.ok_or_else(missing)?;
    Ok((id, job(&found)))
}

/// All that the first page shows.
///
/// # Errors
/// When the queue cannot be asked.
pub fn overview(shared: &Shared, now: Timestamp) -> Result<OverviewSeen, QueueError> {
    let of = |states: &[StateKind], limit| Filter { states: states.to_vec(), limit, ..Filter::default() };
    let mut running = jobs(shared, &of(&[StateKind::Running], ACTIVE))?;
    let mut queued = jobs(shared, &of(&[StateKind::Queued], ACTIVE))?;
    running.reverse();
    queued.reverse();
    let ended = [StateKind::Done, StateKind::Dead];
    let recent = jobs(shared, &of(&ended, RECENT))?;
    let dead = usize::try_from(shared.queue.counts()?.dead).unwrap_or(usize::MAX);
    let repositories = shared
        .settings
        .repositories
        .iter()
        .map(|(name, settings)| Ok(repository_of(shared, name, settings, &jobs_of(shared, name)?)))
        .collect::<Result<_, QueueError>>()?;
    Ok(OverviewSeen { now, repositories, running, queued, recent, dead })
}

/// A repository with its last jobs, or nothing when the settings have none of that name.
///
/// # Errors
/// When the queue cannot be asked.
pub fn repository(shared: &Shared, name: &str) -> Result<Option<(RepositorySeen, Vec<JobSeen>)>, QueueError> {
    let named = RepositoryName::new(name).ok();
    let found = named.as_ref().and_then(|name| shared.settings.repositories.get_key_value(name));
    let Some((name, settings)) = found else { return Ok(None) };
    let jobs = jobs_of(shared, name)?;
    Ok(Some((repository_of(shared, name, settings, &jobs), jobs)))
}

fn jobs_of(shared: &Shared, name: &RepositoryName) -> Result<Vec<JobSeen>, QueueError> {
    let filter = Filter { repository: Some(name.clone()), limit: JOBS_OF_A_REPOSITORY, ..Filter::default() };
    jobs(shared, &filter)
}

fn repository_of(
    shared: &Shared,
    name: &RepositoryName,
    settings: &Repository,
    jobs: &[JobSeen],
) -> RepositorySeen {
    RepositorySeen {
        name: name.to_string(),
        address: masked(&settings.url),
        does: match settings.does {
            Does::Check => "check",
            Does::Build => "build",
            Does::Test => "build, test",
            Does::Publish => "build, test, publish",
        },
        schedules: settings.schedule.iter().map(|at| format!("{} {}", at.cron, at.zone)).collect(),
        trouble: shared.look(name).and_then(|look| look.trouble).map(|why| masked(&why)),
        branches: branches(jobs),
    }
}

/// The branches of jobs, those with the newest first.
fn branches(jobs: &[JobSeen]) -> Vec<BranchSeen> {
    let mut names: Vec<&str> = Vec::new();
    for job in jobs {
        if !names.contains(&job.branch.as_str()) {
            names.push(&job.branch);
        }
    }
    let branch = |name: &str| {
        let of: Vec<&JobSeen> = jobs.iter().filter(|job| job.branch == name).collect();
        let is = |job: &&&JobSeen, kinds: &[Standing]| kinds.contains(&job.standing);
        let ended = [Standing::Passed, Standing::Failed, Standing::Dead];
        BranchSeen {
            name: name.to_owned(),
            last: of.iter().find(|job| is(job, &ended)).map(|job| (*job).clone()),
            active: of
                .iter()
                .find(|job| is(job, &[Standing::Running, Standing::Queued]))
                .map(|job| (*job).clone()),
            images: standing_images(&of),
        }
    };
    names.into_iter().map(branch).collect()
}

/// The images of a branch as the last job that told of any left them. One that was found fresh has the reason and the job
/// of its last build, as far back as the jobs go.
fn standing_images(jobs: &[&JobSeen]) -> Vec<StandingImage> {
    let Some(last) = jobs.iter().find(|job| !job.images.is_empty()) else { return Vec::new() };
    let since = |job: &JobSeen| job.ended_at.unwrap_or(job.queued_at);
    let standing = |image: &ImageSeen| {
        let built = jobs.iter().find_map(|job| {
            let built = job.images.iter().find(|other| other.name == image.name)?;
            (built.verdict == seen::Verdict::Built).then_some((*job, built))
        });
        match built.filter(|_| image.verdict == seen::Verdict::Fresh) {
            Some((job, built)) => {
                StandingImage { image: built.clone(), job: job.id.clone(), since: since(job) }
            }
            None => StandingImage { image: image.clone(), job: last.id.clone(), since: since(last) },
        }
    };
    last.images.iter().map(standing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::model::{JobId, Labels, Occasion, Outcome, Work};

    fn done(id: u64, branch: &str, images: &[(&str, Verdict, &str)]) -> JobSeen {
        let image = |(name, verdict, reason): &(&str, Verdict, &str)| ImageOutcome {
            name: (*name).to_owned(),
            verdict: *verdict,
            reason: (*reason).to_owned(),
        };
        let outcome = Outcome { ok: true, images: images.iter().map(image).collect(), ..Outcome::default() };
        job(&Job {
            id: JobId(id),
            work: Work {
                repository: RepositoryName::new("team/images").unwrap(),
                branch: branch.to_owned(),
                commit: "c".repeat(40),
                message: String::new(),
                occasion: Occasion::Push,
                hints: Labels::new(),
                delivery: None,
                pull_request: None,
            },
            state: JobState::Done { outcome },
            tries: 1,
            queued_at: UnixSeconds(id * 100),
            started_at: Some(UnixSeconds(id * 100 + 1)),
            ended_at: Some(UnixSeconds(id * 100 + 9)),
        })
    }

    #[test]
    fn an_image_that_was_found_fresh_still_says_why_it_was_built_last() {
        let jobs = [
            done(4, "next", &[("web", Verdict::Failed, "of another branch")]),
            done(3, "main", &[("web", Verdict::Fresh, ""), ("api", Verdict::Failed, "`b` changed")]),
            done(2, "main", &[("web", Verdict::Built, "`a` changed"), ("gone", Verdict::Built, "")]),
            done(1, "main", &[("web", Verdict::Built, "never built here")]),
        ];
        let branches = branches(&jobs);
        assert_eq!(branches.iter().map(|branch| branch.name.as_str()).collect::<Vec<_>>(), ["next", "main"]);
        let images = &branches[1].images;
        let said: Vec<_> = images
            .iter()
            .map(|of| {
                (
                    of.image.name.as_str(),
                    of.image.verdict.is_fresh(),
                    of.image.reason.as_str(),
                    of.job.as_str(),
                )
            })
            .collect();
        assert_eq!(said, [("web", true, "`a` changed", "2"), ("api", false, "`b` changed", "3")]);
    }

    #[test]
    fn a_job_that_failed_to_begin_hides_nothing_of_what_was_known() {
        let mut dead = done(9, "main", &[]);
        dead.standing = Standing::Dead;
        let branches = branches(&[dead, done(1, "main", &[("web", Verdict::Built, "x")])]);
        assert_eq!(branches[0].last.as_ref().map(|job| job.standing), Some(Standing::Dead));
        assert_eq!(branches[0].images.len(), 1);
    }
}
