//! A repository's page: its branches with their images, its jobs, and what can be done.

use jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{action, commit, encoded, job_path, jobs_table, standing_images, state};
use super::seen::{JobSeen, RepositorySeen};
use super::shown::apart;
use super::times;

/// The page. `jobs` are its last ones, the newest first; actions are offered to whoever signed in and has a `key`.
pub fn repository(seen: &RepositorySeen, jobs: &[JobSeen], now: Timestamp, key: Option<&str>) -> Markup {
    html! {
        h1 { (apart(&seen.name)) }
        @if let Some(trouble) = &seen.trouble {
            p.told.is-bad { "The repository did not answer: " (apart(trouble)) ". What is below is what was known before." }
        }
        dl {
            dt { "Address" } dd { (apart(&seen.address)) }
            dt { "Done here" } dd { (seen.does) }
            @if !seen.schedules.is_empty() {
                dt { "Also at" } dd { @for (at, schedule) in seen.schedules.iter().enumerate() { @if at > 0 { ", " } code { (apart(schedule)) } } }
            }
            dt { "Status" } dd { a href={ "/status/" (encoded(&seen.name)) } { "for programs and people" } }
        }
        @if let Some(key) = key { (actions(seen, key)) }
        @for branch in &seen.branches {
            section aria-label={ "Branch " (super::shown::line(&branch.name)) } {
                h2 { "Branch " (apart(&branch.name)) }
                @if let Some(last) = &branch.last {
                    p {
                        a href=(job_path(&last.id)) { (state(last.standing)) } " "
                        (commit(&last.commit)) " " (apart(&last.message)) " "
                        span.quiet { (times::ago(now, last.ended_at.unwrap_or(last.queued_at))) }
                    }
                    @if !last.summary.is_empty() { p.quiet { (apart(&last.summary)) } }
                }
                (standing_images(&seen.name, &branch.images, now, &encoded(&format!("fresh-{}", branch.name))))
            }
        }
        @if seen.more_branches > 0 {
            p.quiet { "and " (seen.more_branches) " more branches: " code { "?branch=NAME" } " shows one" }
        }
        section aria-labelledby="jobs" {
            h2 id="jobs" { "Jobs" }
            @if jobs.is_empty() {
                p { "None yet. A push, a look at the repository or a schedule makes one." }
            } @else {
                (jobs_table(jobs, now, "Jobs of this repository, the newest first", false))
                p { a href={ "/jobs?repository=" (encoded(&seen.name).replace('/', "%2F")) } { "All of its jobs" } }
            }
        }
    }
}

fn actions(seen: &RepositorySeen, key: &str) -> Markup {
    let field = ("repository", seen.name.as_str());
    html! {
        div.bar {
            (action("/-/build", field, "Build now", key))
            (action("/-/rotate", field, "Make a new webhook secret", key))
        }
    }
}
