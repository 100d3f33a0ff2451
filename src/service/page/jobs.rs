//! The history and the dead-letter list: jobs, the newest first, a page at a time.

use jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{action, commit, encoded, job_path, jobs_table, repository_path};
use super::seen::JobSeen;
use super::shown::apart;
use super::times;

/// Some of the jobs.
pub struct JobsSeen<'a> {
    /// Those of this page, the newest first.
    pub jobs: &'a [JobSeen],
    /// Of this repository alone.
    pub repository: Option<&'a str>,
    /// In this state alone, as addresses spell it.
    pub state: Option<&'a str>,
    /// The id before which the next page begins, when there are older ones.
    pub older_than: Option<&'a str>,
    /// The server's clock.
    pub now: Timestamp,
}

/// All jobs, or those of one repository.
pub fn history(seen: &JobsSeen<'_>) -> Markup {
    html! {
        h1 { "Jobs" @if let Some(name) = seen.repository { " of " a href=(repository_path(name)) { (apart(name)) } } }
        @if seen.jobs.is_empty() {
            p { "None." }
        } @else {
            (jobs_table(seen.jobs, seen.now, "Jobs, the newest first", seen.repository.is_none()))
        }
        @if let Some(before) = seen.older_than {
            p {
                a rel="next" href={
                    "/jobs?before=" (encoded(before))
                    @if let Some(name) = seen.repository { "&repository=" (encoded(name).replace('/', "%2F")) }
                    @if let Some(state) = seen.state { "&state=" (encoded(state)) }
                } { "Older jobs" }
            }
        }
    }
}

/// Jobs whose tries are used up, each with what it died of.
pub fn dead(seen: &JobsSeen<'_>, key: Option<&str>) -> Markup {
    html! {
        h1 { "Dead letters" }
        p { "Jobs that were tried as often as is allowed, and whose worker never came to an end of them. They stay here until somebody tries them again." }
        @if seen.jobs.is_empty() { p { "None." } }
        div.cards { @for job in seen.jobs { (letter(job, seen.now, key)) } }
        @if let Some(before) = seen.older_than {
            p { a rel="next" href={ "/jobs?state=dead&before=" (encoded(before)) } { "Older ones" } }
        }
    }
}

fn letter(job: &JobSeen, now: Timestamp, key: Option<&str>) -> Markup {
    html! {
        article.card {
            header {
                h2.bare { a href=(job_path(&job.id)) { (apart(&job.repository)) " " (apart(&job.branch)) } }
                span.quiet { (times::ago(now, super::parts::latest(job))) ", " (job.tries) @if job.tries == 1 { " try" } @else { " tries" } }
            }
            p { (commit(&job.commit)) " " (apart(&job.message)) }
            @if !job.summary.is_empty() { p { (apart(&job.summary)) } }
            @if let Some(key) = key {
                (action("/-/retry", ("job", &job.id), "Try again", key))
            } @else {
                p.small.quiet { "Sign in to try it again, or type " code { "imk serve retry " (job.id) } " on the server." }
            }
        }
    }
}
