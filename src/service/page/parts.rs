//! Pieces that several pages have: a state, a link to a job, the lines of jobs, the list of images.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::seen::{ImageSeen, JobSeen, Standing, StandingImage, Verdict};
use super::shown::{apart, line};
use super::times;

/// Digits of a commit that are shown.
const COMMIT_SHOWN: usize = 12;

/// The state of a job: a mark and a word.
pub fn state(standing: Standing) -> Markup {
    let (class, word) = match standing {
        Standing::Queued => ("wait", "queued"),
        Standing::Running => ("busy", "running"),
        Standing::Passed => ("good", "passed"),
        Standing::Failed => ("bad", "failed"),
        Standing::Dead => ("bad", "dead letter"),
        Standing::Replaced => ("none", "replaced by a newer commit"),
    };
    html! { span class={ "state " (class) } { (word) } }
}

/// The state of an image: fresh or stale first, then what came of it.
pub fn verdict(verdict: Verdict) -> Markup {
    let (class, word) = match verdict {
        Verdict::Fresh => ("good", "fresh"),
        Verdict::Built => ("good", "fresh, built"),
        Verdict::Retagged => ("good", "fresh, retagged"),
        Verdict::Stale => ("wait", "stale"),
        Verdict::Failed => ("bad", "stale, failed"),
        Verdict::Waiting => ("wait", "stale, waits for a base"),
    };
    html! { span class={ "state " (class) } { (word) } }
}

/// A commit, short.
pub fn commit(commit: &str) -> Markup {
    let short: String = commit.chars().take(COMMIT_SHOWN).collect();
    html! { code { (line(&short)) } }
}

/// The address of a job's page.
pub fn job_path(id: &str) -> String {
    format!("/jobs/{}", encoded(id))
}

/// The address of a repository's page.
pub fn repository_path(name: &str) -> String {
    format!("/repositories/{}", encoded(name))
}

/// The address of a branch's page.
pub fn branch_path(repository: &str, branch: &str) -> String {
    format!("{}?branch={}", repository_path(repository), encoded(branch).replace('/', "%2F"))
}

/// The address of an image's page.
pub fn image_path(repository: &str, image: &str) -> String {
    format!("{}?image={}", repository_path(repository), encoded(image).replace('/', "%2F"))
}

/// Text as a part of an address; slashes stay.
pub fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
        out
    })
}

/// A button that does something, for whoever signed in: `key` proves that the form is of a page of ours.
pub fn action(path: &str, field: (&str, &str), words: &str, key: &str) -> Markup {
    html! {
        form method="post" action=(path) {
            input type="hidden" name="key" value=(key);
            input type="hidden" name=(field.0) value=(field.1);
            button type="submit" { (words) }
        }
    }
}

/// How long a job took, or is running, or waits.
pub fn length(job: &JobSeen, now: Timestamp) -> String {
    let time = time(job, now);
    match job.standing {
        Standing::Queued => format!("waiting for {time}"),
        Standing::Running => format!("running for {time}"),
        _ => time,
    }
}

/// The time of [`length`].
pub fn time(job: &JobSeen, now: Timestamp) -> String {
    match (job.standing, job.started_at) {
        // One that is tried again has begun before, and waits since it came.
        (Standing::Queued, _) => times::lasted(job.queued_at, now),
        (_, Some(started)) => times::lasted(started, job.ended_at.unwrap_or(now)),
        (_, None) => times::words(Duration::ZERO),
    }
}

/// The time of a job that matters most: when it ended, else when it began, else when it came.
pub fn latest(job: &JobSeen) -> Timestamp {
    job.ended_at.or(job.started_at).unwrap_or(job.queued_at)
}

/// Jobs as a table; without a repository's column on that repository's own page.
pub fn jobs_table(jobs: &[JobSeen], now: Timestamp, caption: &str, with_repository: bool) -> Markup {
    html! {
        table aria-label=(caption) {
            thead {
                tr {
                    th scope="col" { "Job" }
                    @if with_repository { th scope="col" { "Repository" } }
                    th scope="col" { "Commit" }
                    th scope="col" { "Set off by" }
                    th scope="col" { "When" }
                    th scope="col" { "Took" }
                }
            }
            tbody { @for job in jobs { (job_row(job, now, with_repository)) } }
        }
    }
}

fn job_row(job: &JobSeen, now: Timestamp, with_repository: bool) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(job_path(&job.id)) { (state(job.standing)) span.unseen { ", job " (line(&job.id)) } }
            }
            @if with_repository {
                td {
                    a href=(repository_path(&job.repository)) { (apart(&job.repository)) }
                    " " span.quiet { (apart(&job.branch)) }
                }
            }
            td {
                (commit(&job.commit)) " " (apart(&job.message))
                @if !job.summary.is_empty() { span.sub { (apart(&job.summary)) } }
            }
            td { (job.occasion) }
            td { (times::ago(now, latest(job))) }
            td { (length(job, now)) }
        }
    }
}

/// Images as a job left them, those with something to say before those that only are fresh.
pub fn images(repository: &str, images: &[ImageSeen], id: &str) -> Markup {
    let shown = |image: &&ImageSeen| image.verdict != Verdict::Fresh;
    let told: Vec<&ImageSeen> = images.iter().filter(shown).collect();
    let fresh: Vec<&ImageSeen> = images.iter().filter(|image| !shown(image)).collect();
    html! {
        @if !told.is_empty() {
            ul.images { @for image in &told { li { (image_line(repository, image)) } } }
        }
        @if !fresh.is_empty() {
            details id=(id) open[told.is_empty() && fresh.len() <= 12] {
                summary { (fresh.len()) " fresh" @if told.is_empty() { ": nothing that they are made of changed" } }
                ul.images { @for image in &fresh { li { (image_line(repository, image)) } } }
            }
        }
    }
}

fn image_line(repository: &str, image: &ImageSeen) -> Markup {
    html! {
        div.row {
            a href=(image_path(repository, &image.name)) { (apart(&image.name)) }
            (verdict(image.verdict))
        }
        @if !image.reason.is_empty() { span.reason { (apart(&image.reason)) } }
    }
}

/// Images as a branch has them now: the stale ones first, each with why; the fresh ones behind a word.
pub fn standing_images(repository: &str, images: &[StandingImage], now: Timestamp, id: &str) -> Markup {
    let fresh: Vec<_> = images.iter().filter(|image| image.image.verdict.is_fresh()).collect();
    html! {
        (stale_images(repository, images, usize::MAX, now))
        @if !fresh.is_empty() {
            details id=(id) {
                summary { (fresh.len()) " fresh" }
                ul.images { @for image in &fresh { (standing_line(repository, image, now)) } }
            }
        }
    }
}

/// The stale ones of images, as far as a number, each with why.
pub fn stale_images(repository: &str, images: &[StandingImage], most: usize, now: Timestamp) -> Markup {
    let stale: Vec<_> = images.iter().filter(|image| !image.image.verdict.is_fresh()).take(most).collect();
    html! {
        @if !stale.is_empty() {
            ul.images { @for image in &stale { (standing_line(repository, image, now)) } }
        }
    }
}

fn standing_line(repository: &str, standing: &StandingImage, now: Timestamp) -> Markup {
    html! {
        li {
            div.row {
                a href=(image_path(repository, &standing.image.name)) { (apart(&standing.image.name)) }
                (verdict(standing.image.verdict))
                a.quiet.small href=(job_path(&standing.job)) { (times::ago(now, standing.since)) }
            }
            @if !standing.image.reason.is_empty() { span.reason { (apart(&standing.image.reason)) } }
        }
    }
}
