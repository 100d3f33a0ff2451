//! `GET /status/OWNER/REPO`: how the last job of a repository ended, as text, JSON or a page.
//!
//! The text is for scripts that ask one of older backends: its status is 412 where the job failed. `?branch=` names a branch; so does
//! a path that begins with one, `/status/BRANCH/OWNER/REPO`, which some of those scripts ask.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::accept::{Form, form};
use super::answer::{Drawn, Trouble, page};
use super::asker::Asker;
use super::gather;
use crate::service::model::JobId;
use crate::service::page::frame::Renewal;
use crate::service::page::seen::{JobSeen, Standing};
use crate::service::page::{raw, repository};
use crate::service::queue::QueueError;
use crate::service::shared::Shared;
use crate::syntax::serve::RepositoryName;

/// The route.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/status/{*name}", get(status))
}

#[derive(Deserialize)]
struct Of {
    branch: Option<String>,
}

/// The status of one branch, or of the repository.
struct Found {
    repository: RepositoryName,
    ended: Option<JobSeen>,
    active: Option<JobSeen>,
}

async fn status(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(of): Query<Of>,
    headers: HeaderMap,
    asker: Asker,
) -> Response {
    let form = form(&headers);
    if form == Form::Page {
        return page(shared, asker, move |shared, key| {
            let found = find(shared, &name, of.branch.as_deref())?
                .ok_or_else(|| Trouble::NotFound(format!("serve.ron has no repository `{name}`.")))?;
            let Some((seen, jobs)) = gather::repository(shared, found.repository.as_str(), None)? else {
                return Err(Trouble::NotFound(name));
            };
            let main = repository::repository(&seen, &jobs, Timestamp::now(), key);
            Ok(Drawn::new(format!("Status of {}", seen.name), main).renewed(Renewal::Every(30)))
        })
        .await;
    }
    let shown = name.clone();
    let found = shared.blocking(move |shared| find(shared, &name, of.branch.as_deref())).await;
    match found {
        Ok(Ok(Some(found))) => told(form, &found),
        Ok(Ok(None)) => other(
            form,
            StatusCode::NOT_FOUND,
            &format!("serve.ron has no repository `{}`", shown.escape_debug()),
        ),
        Ok(Err(error)) => other(form, StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Err(error) => other(form, StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

fn find(shared: &Shared, path: &str, branch: Option<&str>) -> Result<Option<Found>, QueueError> {
    let known = |name: &str| {
        RepositoryName::new(name).ok().filter(|name| shared.settings.repositories.contains_key(name))
    };
    // A branch may have slashes as a name may: the longest branch that leaves a repository's name is not guessed, the shortest is.
    let split =
        || path.match_indices('/').find_map(|(at, _)| Some((known(&path[at + 1..])?, Some(&path[..at]))));
    let Some((repository, branch)) = known(path).map(|name| (name, branch)).or_else(split) else {
        return Ok(None);
    };
    // A fork's pull request says nothing of the repository.
    let lines = shared.queue.lines(Some(&repository))?;
    let lines: Vec<_> = lines
        .iter()
        .filter(|line| line.is_branch() && branch.is_none_or(|branch| branch == line.branch))
        .collect();
    let find = |id: Option<JobId>| -> Result<Option<JobSeen>, QueueError> {
        match id {
            Some(id) => Ok(shared.queue.job(id)?.as_ref().map(gather::job)),
            None => Ok(None),
        }
    };
    let ended = find(lines.iter().filter_map(|line| line.ended).max())?;
    let newest = lines.iter().filter(|line| Some(line.newest) != line.ended).map(|line| line.newest);
    let mut active = None;
    for id in newest {
        let job = find(Some(id))?;
        let is_better =
            |job: &JobSeen| match (job.standing, active.as_ref().map(|job: &JobSeen| job.standing)) {
                (Standing::Running, other) => other != Some(Standing::Running),
                (Standing::Queued, other) => other.is_none(),
                _ => false,
            };
        active = job.filter(is_better).or(active);
    }
    Ok(Some(Found { repository, ended, active }))
}

fn told(form: Form, found: &Found) -> Response {
    match (form, &found.ended) {
        (Form::Json, ended) => {
            let mut value = ended.as_ref().map_or_else(
                || serde_json::json!({ "ok": null, "repository": found.repository.as_str(), "log": [] }),
                raw::json,
            );
            if let (Some(active), Value::Object(keys)) = (&found.active, &mut value) {
                keys.insert("active".to_owned(), raw::json(active));
            }
            (
                StatusCode::OK,
                [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
                format!("{value:#}\n"),
            )
                .into_response()
        }
        (_, Some(ended)) => {
            let code = if raw::is_ok(ended) { StatusCode::OK } else { StatusCode::PRECONDITION_FAILED };
            (code, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], raw::text(ended)).into_response()
        }
        (_, None) => {
            let words = match &found.active {
                Some(job) => {
                    format!("nothing of {} has ended yet: job {} is under way", found.repository, job.id)
                }
                None => format!("nothing of {} was built yet", found.repository),
            };
            other(form, StatusCode::NOT_FOUND, &words)
        }
    }
}

fn other(form: Form, code: StatusCode, words: &str) -> Response {
    match form {
        Form::Json => {
            let value = serde_json::json!({ "error": words });
            (code, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], format!("{value}\n"))
                .into_response()
        }
        Form::Text | Form::Page => {
            (code, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{words}\n"))
                .into_response()
        }
    }
}
