//! A job's page: what it was for, how it came out, its images with their reasons, and its whole log.

use jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{action, commit, images, job_path, repository_path, state, time};
use super::seen::{JobSeen, Standing};
use super::shown::apart;
use super::times;

/// The log as far as the page has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSeen {
    /// The text, fit to be shown.
    pub text: String,
    /// Bytes of the log before `text`, which only the log's own address gives.
    pub skipped: u64,
    /// Bytes of the log up to the end of `text`: where whoever follows goes on.
    pub up_to: u64,
}

/// The page.
pub fn job(job: &JobSeen, log: &LogSeen, now: Timestamp, key: Option<&str>) -> Markup {
    html! {
        p.small { a href=(repository_path(&job.repository)) { (apart(&job.repository)) } " " (apart(&job.branch)) }
        h1 { (state(job.standing)) " " (apart(if job.message.is_empty() { &job.commit } else { &job.message })) }
        @if !job.summary.is_empty() { p { (apart(&job.summary)) } }
        (facts(job, now))
        @if let Some(key) = key.filter(|_| matches!(job.standing, Standing::Dead | Standing::Failed)) {
            (action("/-/retry", ("job", &job.id), "Try again", key))
        }
        @if !job.images.is_empty() {
            section aria-labelledby="images" {
                h2 id="images" { "Images" }
                (images(&job.repository, &job.images, "fresh"))
            }
        }
        (log_part(job, log))
    }
}

fn facts(job: &JobSeen, now: Timestamp) -> Markup {
    html! {
        dl {
            dt { "Commit" } dd { (commit(&job.commit)) }
            dt { "Set off by" } dd { (job.occasion) ", " (times::at(job.queued_at)) }
            @if let Some(started) = job.started_at {
                dt { "Began" }
                dd { (times::at(started)) @if let Some(worker) = &job.worker { " on " (apart(worker)) } @if job.tries > 1 { ", try " (job.tries) } }
            }
            @if let Some(ended) = job.ended_at { dt { "Ended" } dd { (times::at(ended)) } }
            dt { (match job.standing { Standing::Queued => "Waiting for", Standing::Running => "Running for", _ => "Took" }) }
            dd { (time(job, now)) }
            dt { "Job" } dd { code { (job.id) } }
        }
    }
}

fn log_part(job: &JobSeen, log: &LogSeen) -> Markup {
    let is_live = job.standing == Standing::Running;
    let follow = is_live.then(|| format!("{}/events?from={}", job_path(&job.id), log.up_to));
    let plain = format!("{}/log", job_path(&job.id));
    html! {
        section aria-labelledby="log-title" {
            h2 id="log-title" { "Log" }
            div.bar {
                a href=(plain) { "As text" }
                @if is_live {
                    label.inline hidden { input type="checkbox" id="stay" checked; "Stay at the end" }
                    span.quiet id="told" role="status" {}
                    noscript { span.quiet { "The page reloads every few seconds while the job runs." } }
                }
            }
            @if log.text.is_empty() && !is_live {
                p.quiet { @if job.standing == Standing::Queued { "The job has not begun." } @else { "There is none: nothing was said, or it is not kept any longer." } }
            } @else {
                @if log.skipped > 0 {
                    p.quiet { "The first " (log.skipped) " bytes are left out here: " a href=(plain) { "the whole log" } "." }
                }
                // A region that scrolls or grows can be reached by the keyboard; it does not speak by itself.
                pre.log id="log" tabindex="0" role="log" aria-live="off" aria-labelledby="log-title" data-follow=[follow] { (log.text) }
            }
        }
    }
}
