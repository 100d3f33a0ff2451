//! The routes of pages.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::accept::{Form, form};
use super::answer::{Drawn, Trouble, page};
use super::asker::Asker;
use super::{follow, gather};
use crate::service::model::{JobId, StateKind};
use crate::service::page::frame::{Place, Renewal};
use crate::service::page::jobs::JobsSeen;
use crate::service::page::seen::{JobSeen, Standing, Verdict};
use crate::service::page::{
    assets, image, job as job_page, jobs as jobs_page, overview, raw, repository, shown,
};
use crate::service::queue::Filter;
use crate::service::shared::Shared;
use crate::syntax::serve::RepositoryName;

/// Seconds between two looks of a page that is about now.
const RENEWAL: u32 = 5;
/// Jobs on a page of the history.
const JOBS_OF_A_PAGE: usize = 50;
/// Jobs that an image's page looks through.
const JOBS_OF_AN_IMAGE: usize = 300;
/// Builds on an image's page.
const BUILDS_OF_AN_IMAGE: usize = 50;
/// Jobs that are read at once.
const AT_ONCE: usize = 50;

/// All of them.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(overview))
        .route("/repositories/{*name}", get(repository_or_image))
        .route("/jobs", get(jobs))
        .route("/jobs/{id}", get(job))
        .route("/jobs/{id}/log", get(follow::text))
        .route("/jobs/{id}/events", get(follow::events))
        .route("/-/{file}", get(asset))
}

#[derive(Deserialize)]
struct OfPage {
    #[serde(default)]
    page: usize,
}

async fn overview(State(shared): State<Arc<Shared>>, Query(of): Query<OfPage>, asker: Asker) -> Response {
    page(shared, asker, move |shared, _| {
        let seen = gather::overview(shared, Timestamp::now(), of.page)?;
        let drawn = Drawn::new("Repositories", overview::overview(&seen));
        Ok(drawn.at(Place::Overview).renewed(Renewal::Every(RENEWAL)))
    })
    .await
}

#[derive(Deserialize)]
struct OfRepository {
    image: Option<String>,
    branch: Option<String>,
}

async fn repository_or_image(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(of): Query<OfRepository>,
    asker: Asker,
) -> Response {
    page(shared, asker, move |shared, key| {
        let now = Timestamp::now();
        let (seen, jobs) =
            gather::repository(shared, &name, of.branch.as_deref())?.ok_or_else(|| no_repository(&name))?;
        let Some(image) = of.image else {
            let main = repository::repository(&seen, &jobs, now, key);
            return Ok(Drawn::new(shown::line(&seen.name), main).renewed(Renewal::Every(RENEWAL)));
        };
        let jobs = jobs_for_image(shared, &name, &image)?;
        let appearances = image::appearances(&jobs, &image);
        if appearances.is_empty() {
            return Err(Trouble::NotFound(format!("No job that is kept has an image `{image}` of {name}.")));
        }
        Ok(Drawn::new(shown::line(&image), image::image(&seen.name, &image, &appearances, now)))
    })
    .await
}

/// Jobs in which an image was told of, the newest first: some at a time, until there are enough that did something to it.
fn jobs_for_image(shared: &Shared, name: &str, image: &str) -> Result<Vec<JobSeen>, Trouble> {
    let repository = RepositoryName::new(name).map_err(Trouble::NotFound)?;
    let states = vec![StateKind::Done];
    let mut filter = Filter { repository: Some(repository), states, limit: AT_ONCE, ..Filter::default() };
    let (mut found, mut seen, mut told) = (Vec::new(), 0, 0);
    while seen < JOBS_OF_AN_IMAGE && told < BUILDS_OF_AN_IMAGE {
        let jobs = shared.queue.jobs(&filter)?;
        let Some(last) = jobs.last() else { break };
        filter.before = Some(last.id);
        seen += jobs.len();
        for mut job in jobs.iter().map(gather::job) {
            job.images.retain(|other| other.name == image);
            told += job.images.iter().filter(|image| image.verdict != Verdict::Fresh).count();
            found.extend((!job.images.is_empty()).then_some(job));
        }
    }
    Ok(found)
}

fn no_repository(name: &str) -> Trouble {
    Trouble::NotFound(format!("serve.ron has no repository `{name}`."))
}

/// The query of `/jobs`.
#[derive(Deserialize)]
struct OfJobs {
    repository: Option<String>,
    state: Option<String>,
    before: Option<JobId>,
}

async fn jobs(
    State(shared): State<Arc<Shared>>,
    Query(of): Query<OfJobs>,
    headers: HeaderMap,
    asker: Asker,
) -> Response {
    if form(&headers) == Form::Json {
        return match shared.blocking(move |shared| list(shared, &of)).await {
            Ok(Ok(Listed { jobs, older_than })) => {
                let jobs: Vec<_> = jobs.iter().map(raw::brief).collect();
                Json(json!({ "jobs": jobs, "older_than": older_than })).into_response()
            }
            Ok(Err(trouble)) => trouble.json(),
            Err(error) => Trouble::Other(error).json(),
        };
    }
    page(shared, asker, move |shared, key| {
        let listed = list(shared, &of)?;
        let seen = JobsSeen {
            jobs: &listed.jobs,
            repository: of.repository.as_deref(),
            state: of.state.as_deref(),
            older_than: listed.older_than.as_deref(),
            now: Timestamp::now(),
        };
        Ok(match of.state.as_deref() == Some(StateKind::Dead.word()) {
            true => Drawn::new("Dead letters", jobs_page::dead(&seen, key)).at(Place::Dead),
            false => {
                Drawn::new("Jobs", jobs_page::history(&seen)).at(Place::Jobs).renewed(Renewal::Every(RENEWAL))
            }
        })
    })
    .await
}

/// Some jobs, and where older ones begin.
struct Listed {
    jobs: Vec<JobSeen>,
    older_than: Option<String>,
}

fn list(shared: &Shared, of: &OfJobs) -> Result<Listed, Trouble> {
    let repository = match &of.repository {
        Some(name) => Some(RepositoryName::new(name).map_err(|_| no_repository(name))?),
        None => None,
    };
    let states: Vec<StateKind> = match of.state.as_deref() {
        None => Vec::new(),
        Some(word) => StateKind::ALL.into_iter().filter(|kind| kind.word() == word).collect(),
    };
    if let Some(word) = of.state.as_ref().filter(|_| states.is_empty()) {
        return Err(Trouble::NotFound(format!("Jobs have no state `{word}`.")));
    }
    // One more than is shown tells whether there are older ones.
    let limit = JOBS_OF_A_PAGE + 1;
    let filter = Filter { repository, states, before: of.before, limit, brief: true, ..Filter::default() };
    let mut jobs = gather::jobs(shared, &filter)?;
    // One that is served no more may have jobs that are kept; one that never was is a mistake.
    if let Some(name) = filter.repository.as_ref().filter(|_| jobs.is_empty() && of.before.is_none())
        && !shared.settings.repositories.contains_key(name)
    {
        return Err(no_repository(name.as_str()));
    }
    let has_older = jobs.len() > JOBS_OF_A_PAGE;
    jobs.truncate(JOBS_OF_A_PAGE);
    let older_than = jobs.last().filter(|_| has_older).map(|job| job.id.clone());
    Ok(Listed { jobs, older_than })
}

async fn job(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asker: Asker,
) -> Response {
    if form(&headers) == Form::Json {
        return match shared.blocking(move |shared| gather::find_job(shared, &id)).await {
            Ok(Ok((_, job))) => Json(raw::json(&job)).into_response(),
            Ok(Err(trouble)) => trouble.json(),
            Err(error) => Trouble::Other(error).json(),
        };
    }
    page(shared, asker, move |shared, key| {
        let (id, seen) = gather::find_job(shared, &id)?;
        let log = follow::seen(shared, id, seen.ended_at.is_some())
            .map_err(|error| Trouble::Other(error.to_string()))?;
        let renewal = match seen.standing {
            Standing::Running => Renewal::Followed(RENEWAL),
            Standing::Queued => Renewal::Every(RENEWAL),
            _ => Renewal::Never,
        };
        let title = format!("Job {id} of {}", seen.repository);
        Ok(Drawn::new(title, job_page::job(&seen, &log, Timestamp::now(), key)).renewed(renewal))
    })
    .await
}

async fn asset(Path(file): Path<String>) -> Response {
    match assets::find(&format!("/-/{file}")) {
        Some(asset) => {
            let kind = format!("{}; charset=utf-8", asset.kind);
            let keep = "public, max-age=31536000, immutable".to_owned();
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], asset.text).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}
