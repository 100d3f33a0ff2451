//! `GET /metrics`: numbers of the service in the text form of Prometheus.
//!
//! Numbers of jobs are of those that the queue still has, so they are gauges: old jobs are forgotten.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::gather;
use crate::model::time::UnixSeconds;
use crate::service::model::{RepositoryName, StateKind};
use crate::service::queue::{Counts, Filter, LineSeen, QueueError};
use crate::service::shared::Shared;

/// Branches with numbers of their own: each costs its reader four series for as long as that keeps them.
const BRANCHES: usize = 1000;
/// Jobs that wait, as far as they are looked through for the oldest.
const WAITING: usize = 1000;

/// The route.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match shared.blocking(|shared| gathered(shared, UnixSeconds::now())).await {
        Ok(Ok(text)) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn gathered(shared: &Shared, now: UnixSeconds) -> Result<String, QueueError> {
    let filter = Filter { states: vec![StateKind::Queued], limit: WAITING, brief: true, ..Filter::default() };
    let oldest = shared.queue.jobs(&filter)?.iter().map(|job| job.queued_at).min();
    let lines = gather::lines(shared)?;
    let (told, untold) = bounded(&lines);
    let mut text = Text::default();
    text.one("imk_build_info", "The version of imk.", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    counted(&mut text, shared.queue.counts()?);
    text.one(
        "imk_queue_oldest_seconds",
        "How long the oldest job has been waiting.",
        &[],
        oldest.map_or(0, |since| now.since(since).as_secs()),
    );
    text.one("imk_workers", "Workers heard of not long ago.", &[], shared.queue.workers()?.len() as u64);
    if let Some(bytes) = shared.log_bytes() {
        text.one("imk_log_bytes", "Bytes of all logs that are kept, as they were last counted.", &[], bytes);
    }
    of_branches(&mut text, &told);
    text.one(
        "imk_branches_left_out",
        "Branches that have no numbers here, of which there are too many.",
        &[],
        untold,
    );
    Ok(text.0)
}

/// The branches that have numbers of their own, those of each repository first that went on last, and how many have none.
fn bounded(lines: &BTreeMap<RepositoryName, Vec<LineSeen>>) -> (Vec<&LineSeen>, u64) {
    let all: usize = lines.values().map(Vec::len).sum();
    let longest = lines.values().map(Vec::len).max().unwrap_or_default();
    // The last branch of each, then the one before of each, and so on: no repository takes the place of another.
    let ranked = (0..longest).flat_map(|rank| lines.values().filter_map(move |of| of.get(rank)));
    let mut told: Vec<&LineSeen> = ranked.take(BRANCHES).collect();
    told.sort_by_key(|line| (&line.repository, &line.branch));
    let untold = (all - told.len()) as u64;
    (told, untold)
}

fn counted(text: &mut Text, counts: Counts) {
    text.head("imk_jobs", "Jobs that the queue has, by state.");
    for (state, number) in [
        ("queued", counts.queued),
        ("running", counts.running),
        ("passed", counts.succeeded),
        ("failed", counts.failed),
        ("replaced", counts.replaced),
        ("dead", counts.dead),
    ] {
        text.value("imk_jobs", &[("state", state)], number);
    }
}

fn of_branches(text: &mut Text, lines: &[&LineSeen]) {
    let labels =
        |line: &'_ LineSeen| [("repository", line.repository.to_string()), ("branch", line.branch.clone())];
    let ended = || lines.iter().filter(|line| line.ended.is_some());
    text.head("imk_branch_ok", "Whether the last job of a branch that ended went well.");
    for line in ended() {
        text.value("imk_branch_ok", &labels(line), u64::from(line.ok));
    }
    text.head("imk_branch_last_end_timestamp_seconds", "When the last job of a branch ended.");
    for line in ended() {
        let at = line.ended_at.unwrap_or_default();
        text.value("imk_branch_last_end_timestamp_seconds", &labels(line), at.0);
    }
    text.head("imk_images", "Images of a branch, fresh or stale.");
    for line in lines {
        for (verdict, number) in [("fresh", line.fresh), ("stale", line.stale)] {
            let [repository, branch] = labels(line);
            text.value("imk_images", &[repository, branch, ("verdict", verdict.to_owned())], number);
        }
    }
}

/// The text form.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn value<V: AsRef<str>>(&mut self, name: &str, labels: &[(&str, V)], value: u64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let label = |(name, value): &(&str, V)| format!("{name}=\"{}\"", escaped(value.as_ref()));
            let _ = write!(self.0, "{{{}}}", labels.iter().map(label).collect::<Vec<_>>().join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn one(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.head(name, help);
        self.value(name, labels, value);
    }
}

/// A label's value, which may have a backslash, a quote or a line end in it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::model::JobId;

    #[test]
    fn many_branches_have_a_limit_and_every_repository_its_last() {
        let line = |repository: &RepositoryName, number: u64| LineSeen {
            repository: repository.clone(),
            line: format!("refs/heads/b{number}"),
            branch: format!("b{number}"),
            newest: JobId(number),
            ended: None,
            ended_at: None,
            ok: false,
            told: None,
            fresh: 0,
            stale: 0,
        };
        let repository = |name: &str, count: u64| {
            let name = RepositoryName::new(name).unwrap();
            (name.clone(), (0..count).map(|number| line(&name, number)).collect::<Vec<_>>())
        };
        let lines = BTreeMap::from([repository("a", 5000), repository("b", 1), repository("c", 2)]);
        let (told, untold) = bounded(&lines);
        assert_eq!((told.len(), untold), (BRANCHES, 4003));
        let of = |name: &str| told.iter().filter(|line| line.repository.as_str() == name).count();
        assert_eq!((of("a"), of("b"), of("c")), (BRANCHES - 3, 1, 2));
    }

    #[test]
    fn a_label_cannot_end_its_line() {
        let mut text = Text::default();
        text.one("imk_x", "Of x.", &[("branch", "a\"b\\c\nd 1")], 7);
        assert_eq!(text.0, "# HELP imk_x Of x.\n# TYPE imk_x gauge\nimk_x{branch=\"a\\\"b\\\\c\\nd 1\"} 7\n");
    }
}
