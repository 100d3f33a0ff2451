//! An image's page: whether it is fresh, and each build it had with the reason for it.

use jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{commit, job_path, repository_path, verdict};
use super::seen::{ImageSeen, JobSeen, Verdict};
use super::shown::{apart, line};
use super::times;

/// An image in one job.
pub struct Appearance<'a> {
    /// The job.
    pub job: &'a JobSeen,
    /// The image as that job left it.
    pub image: &'a ImageSeen,
}

/// The appearances of an image in jobs, in the jobs' order.
pub fn appearances<'a>(jobs: &'a [JobSeen], name: &str) -> Vec<Appearance<'a>> {
    let of = |job: &'a JobSeen| {
        job.images.iter().find(|image| image.name == name).map(|image| Appearance { job, image })
    };
    jobs.iter().filter_map(of).collect()
}

/// The page; `appearances` begin with the newest.
pub fn image(repository: &str, name: &str, appearances: &[Appearance<'_>], now: Timestamp) -> Markup {
    let (quiet, told): (Vec<_>, Vec<_>) =
        appearances.iter().partition(|seen| seen.image.verdict == Verdict::Fresh);
    html! {
        p.small { a href=(repository_path(repository)) { (apart(repository)) } }
        h1 { (apart(name)) }
        @if let Some(newest) = appearances.first() {
            p {
                (verdict(newest.image.verdict)) " "
                span.quiet { "as of " (times::ago(now, newest.job.ended_at.unwrap_or(newest.job.queued_at))) ", branch " (apart(&newest.job.branch)) }
            }
            @if !newest.image.reason.is_empty() { p { "Why: " (apart(&newest.image.reason)) } }
        }
        section aria-labelledby="builds" {
            h2 id="builds" { "Builds and their reasons" }
            @if told.is_empty() {
                p { "None among the jobs that are kept: nothing that it is made of changed." }
            } @else {
                table aria-label="Builds of this image, the newest first" {
                    thead { tr { th scope="col" { "Came out" } th scope="col" { "Why" } th scope="col" { "Commit" } th scope="col" { "When" } } }
                    tbody { @for seen in &told { (row(seen, now)) } }
                }
            }
            @if !quiet.is_empty() {
                p.quiet { "Found fresh, and so not built, by " (quiet.len()) @if quiet.len() == 1 { " other job." } @else { " other jobs." } }
            }
        }
    }
}

fn row(seen: &Appearance<'_>, now: Timestamp) -> Markup {
    let job = seen.job;
    html! {
        tr {
            th scope="row" { a href=(job_path(&job.id)) { (verdict(seen.image.verdict)) span.unseen { " in job " (line(&job.id)) } } }
            td { (apart(&seen.image.reason)) }
            td { (commit(&job.commit)) " " (apart(&job.message)) " " span.quiet { (apart(&job.branch)) } }
            td { (times::ago(now, job.ended_at.unwrap_or(job.queued_at))) }
        }
    }
}
