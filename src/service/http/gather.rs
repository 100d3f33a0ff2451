//! The pages' values, gathered from queue and settings.
//!
//! Draws nothing and sends nothing. Its calls block, for as long as the queue takes to list some jobs.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::answer::Trouble;
use crate::model::time::UnixSeconds;
use crate::service::model::{ImageOutcome, Job, JobId, JobState, StateKind, Verdict};
use crate::service::page::seen::{
    self, BranchSeen, ImageSeen, JobSeen, OverviewSeen, RepositorySeen, Standing, StandingImage, Total,
};
use crate::service::queue::{Filter, LineSeen, QueueError};
use crate::service::shared::{Look, Shared};
use crate::syntax::git_source::masked;
use crate::syntax::serve::{Does, Repository, RepositoryName};

/// Jobs of a repository on its page, which are looked through for why its images were built.
const JOBS_OF_A_REPOSITORY: usize = 30;
/// Repositories on one page.
const REPOSITORIES_OF_A_PAGE: usize = 40;
/// Branches of one of them.
const BRANCHES_OF_A_CARD: usize = 4;
/// Branches on a repository's own page, each with its images.
const BRANCHES_OF_A_REPOSITORY: usize = 8;
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

/// All that the first page shows, and of the repositories one page: those first where something is not well.
///
/// # Errors
/// When the queue cannot be asked.
pub fn overview(shared: &Shared, now: Timestamp, page: usize) -> Result<OverviewSeen, QueueError> {
    let of = |states: &[StateKind], limit| Filter {
        states: states.to_vec(),
        limit,
        brief: true,
        ..Filter::default()
    };
    let mut running = jobs(shared, &of(&[StateKind::Running], ACTIVE))?;
    let mut queued = jobs(shared, &of(&[StateKind::Queued], ACTIVE))?;
    running.reverse();
    queued.reverse();
    let ended = [StateKind::Done, StateKind::Dead];
    let recent = jobs(shared, &of(&ended, RECENT))?;
    let counts = shared.queue.counts()?;
    let lines = lines(shared)?;
    let none = Vec::new();
    let lines_of = |name: &RepositoryName| lines.get(name).unwrap_or(&none);
    let total = total(lines.values().flatten());
    let is_well = |name: &RepositoryName| {
        let trouble = shared.look(name).is_some_and(|look| look.trouble.is_some());
        !trouble && lines_of(name).iter().all(|line| line.stale == 0 && (line.ok || line.ended.is_none()))
    };
    let mut all: Vec<_> = shared.settings.repositories.iter().collect();
    all.sort_by_key(|(name, _)| is_well(name));
    let pages = all.len().div_ceil(REPOSITORIES_OF_A_PAGE).max(1);
    let page = page.clamp(1, pages);
    let repositories = all
        .into_iter()
        .skip((page - 1) * REPOSITORIES_OF_A_PAGE)
        .take(REPOSITORIES_OF_A_PAGE)
        .map(|(name, settings)| {
            let lines = lines_of(name);
            let shown = lines.iter().take(BRANCHES_OF_A_CARD);
            let branches = shown.map(|line| branch(shared, line, &[])).collect::<Result<_, _>>()?;
            Ok(repository_of(shared, name, settings, branches, lines.len()))
        })
        .collect::<Result<_, QueueError>>()?;
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    Ok(OverviewSeen {
        now,
        repositories,
        page,
        pages,
        total,
        running,
        queued,
        running_count: number(counts.running),
        queued_count: number(counts.queued),
        recent,
        dead: number(counts.dead),
    })
}

/// A repository with its last jobs, or nothing when the settings have none of that name. Of one branch alone where that is named.
///
/// # Errors
/// When the queue cannot be asked.
pub fn repository(
    shared: &Shared,
    name: &str,
    only: Option<&str>,
) -> Result<Option<(RepositorySeen, Vec<JobSeen>)>, QueueError> {
    let named = RepositoryName::new(name).ok();
    let found = named.as_ref().and_then(|name| shared.settings.repositories.get_key_value(name));
    let Some((name, settings)) = found else { return Ok(None) };
    let mut filter = Filter {
        repository: Some(name.clone()),
        branch: only.map(str::to_owned),
        limit: JOBS_OF_A_REPOSITORY,
        ..Filter::default()
    };
    // Those tell why an image that is fresh was built last.
    let past = jobs(shared, &Filter { states: vec![StateKind::Done], ..filter.clone() })?;
    filter.brief = true;
    let recent = jobs(shared, &filter)?;
    let lines: Vec<LineSeen> = known(shared, shared.queue.lines(Some(name))?)
        .into_iter()
        .filter(|line| only.is_none_or(|branch| line.branch == branch))
        .collect();
    let shown = lines.iter().take(BRANCHES_OF_A_REPOSITORY);
    let branches = shown.map(|line| branch(shared, line, &past)).collect::<Result<_, _>>()?;
    Ok(Some((repository_of(shared, name, settings, branches, lines.len()), recent)))
}

/// How the branches of all repositories stand, those first that went on last.
///
/// # Errors
/// When the queue cannot be asked.
pub fn lines(shared: &Shared) -> Result<BTreeMap<RepositoryName, Vec<LineSeen>>, QueueError> {
    let mut of = BTreeMap::new();
    for line in known(shared, shared.queue.lines(None)?) {
        of.entry(line.repository.clone()).or_insert_with(Vec::new).push(line);
    }
    Ok(of)
}

/// Branches that are there, of repositories that are kept: one that was deleted, or is a fork's, says nothing of how things stand.
fn known(shared: &Shared, mut lines: Vec<LineSeen>) -> Vec<LineSeen> {
    let looks: BTreeMap<RepositoryName, Look> = shared
        .settings
        .repositories
        .keys()
        .filter_map(|name| Some((name.clone(), shared.look(name)?)))
        .collect();
    lines.retain(|line| {
        let heads = looks.get(&line.repository).map(|look| &look.heads.branches);
        let is_there = heads.is_none_or(|heads| heads.is_empty() || heads.contains_key(&line.branch));
        line.is_branch() && is_there && shared.settings.repositories.contains_key(&line.repository)
    });
    lines.sort_by(|one, other| (&one.repository, other.newest).cmp(&(&other.repository, one.newest)));
    lines
}

fn total<'a>(lines: impl Iterator<Item = &'a LineSeen>) -> Total {
    let mut total = Total::default();
    for line in lines {
        total.fresh += line.fresh;
        total.stale += line.stale;
        total.failed += u64::from(line.ended.is_some() && !line.ok);
    }
    total
}

fn repository_of(
    shared: &Shared,
    name: &RepositoryName,
    settings: &Repository,
    branches: Vec<BranchSeen>,
    all: usize,
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
        more_branches: all - branches.len(),
        branches,
    }
}

/// A branch by how it stands. Without a past its images are those that are not fresh, as far as there is a reason to say.
fn branch(shared: &Shared, line: &LineSeen, past: &[JobSeen]) -> Result<BranchSeen, QueueError> {
    let find = |id: Option<JobId>| -> Result<Option<JobSeen>, QueueError> {
        match id {
            Some(id) => Ok(shared.queue.job(id)?.as_ref().map(job)),
            None => Ok(None),
        }
    };
    let last = find(line.ended)?;
    let active = if Some(line.newest) == line.ended { None } else { find(Some(line.newest))? };
    let active = active.filter(|job| matches!(job.standing, Standing::Running | Standing::Queued));
    let told = match line.told {
        told if told == line.ended => last.clone(),
        told if line.stale > 0 || !past.is_empty() => find(told)?,
        _ => None,
    };
    let of: Vec<&JobSeen> = told.iter().chain(past.iter().filter(|job| job.branch == line.branch)).collect();
    let mut images = standing_images(&of);
    if past.is_empty() {
        images.retain(|image| !image.image.verdict.is_fresh());
    }
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(BranchSeen {
        name: line.branch.clone(),
        last,
        active,
        fresh: count(line.fresh),
        stale: count(line.stale),
        images,
    })
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
        let main: Vec<&JobSeen> = jobs.iter().filter(|job| job.branch == "main").collect();
        let images = standing_images(&main);
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
}
