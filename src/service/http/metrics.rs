//! `GET /metrics`: numbers of the service in the text form of Prometheus.
//!
//! Numbers of jobs are of those that the queue still has, so they are gauges: old jobs are forgotten.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::gather;
use crate::model::time::UnixSeconds;
use crate::service::model::StateKind;
use crate::service::page::raw::verdict_word;
use crate::service::page::seen::{BranchSeen, Standing, Verdict};
use crate::service::queue::{Counts, Filter, QueueError};
use crate::service::shared::Shared;

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
    let filter = Filter { states: vec![StateKind::Queued], limit: WAITING, ..Filter::default() };
    let oldest = shared.queue.jobs(&filter)?.iter().map(|job| job.queued_at).min();
    let seen = gather::overview(shared, gather::time(now))?;
    let log_bytes = shared.logs.list().map(|logs| logs.iter().map(|(_, size)| size).sum::<u64>()).ok();
    let branches: Vec<(&str, &BranchSeen)> = seen
        .repositories
        .iter()
        .flat_map(|repository| repository.branches.iter().map(|branch| (repository.name.as_str(), branch)))
        .collect();
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
    if let Some(bytes) = log_bytes {
        text.one("imk_log_bytes", "Bytes of all logs that are kept.", &[], bytes);
    }
    of_branches(&mut text, &branches);
    Ok(text.0)
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

fn of_branches(text: &mut Text, branches: &[(&str, &BranchSeen)]) {
    let ended = || branches.iter().filter_map(|(name, branch)| Some((*name, *branch, branch.last.as_ref()?)));
    text.head("imk_branch_ok", "Whether the last job of a branch that ended went well.");
    for (name, branch, last) in ended() {
        let labels = [("repository", name), ("branch", branch.name.as_str())];
        text.value("imk_branch_ok", &labels, u64::from(last.standing == Standing::Passed));
    }
    text.head("imk_branch_last_end_timestamp_seconds", "When the last job of a branch ended.");
    for (name, branch, last) in ended() {
        let labels = [("repository", name), ("branch", branch.name.as_str())];
        let seconds = last.ended_at.map_or(0, |at| u64::try_from(at.as_second()).unwrap_or_default());
        text.value("imk_branch_last_end_timestamp_seconds", &labels, seconds);
    }
    text.head("imk_images", "Images of a branch, fresh or stale.");
    for (name, branch) in branches {
        let number = |is_fresh: bool| {
            branch.images.iter().filter(|image| image.image.verdict.is_fresh() == is_fresh).count() as u64
        };
        for (verdict, number) in [(Verdict::Fresh, number(true)), (Verdict::Stale, number(false))] {
            let labels =
                [("repository", *name), ("branch", branch.name.as_str()), ("verdict", verdict_word(verdict))];
            text.value("imk_images", &labels, number);
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

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
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

    #[test]
    fn a_label_cannot_end_its_line() {
        let mut text = Text::default();
        text.one("imk_x", "Of x.", &[("branch", "a\"b\\c\nd 1")], 7);
        assert_eq!(text.0, "# HELP imk_x Of x.\n# TYPE imk_x gauge\nimk_x{branch=\"a\\\"b\\\\c\\nd 1\"} 7\n");
    }
}
