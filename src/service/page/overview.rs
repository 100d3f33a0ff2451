//! The first page: whether all is well, what runs, each repository with what is stale and why, what was done last.

use maud::{Markup, html};

use super::parts::{commit, encoded, job_path, jobs_table, length, repository_path, standing_images, state};
use super::seen::{BranchSeen, JobSeen, OverviewSeen, RepositorySeen, Standing};
use super::shown::apart;
use super::times;

/// The page.
pub fn overview(seen: &OverviewSeen) -> Markup {
    html! {
        h1 { (headline(seen)) }
        p.quiet role="status" { (activity(seen)) }
        @if !seen.running.is_empty() || !seen.queued.is_empty() {
            section aria-labelledby="now" {
                h2 id="now" { "Now" }
                ul.cards {
                    @for job in seen.running.iter().chain(&seen.queued) { li.card { (active(job, seen)) } }
                }
            }
        }
        section aria-labelledby="repositories" {
            h2 id="repositories" { "Repositories" }
            @if seen.repositories.is_empty() {
                p { "None yet. Name one in " code { "serve.ron" } " and start the server with "
                    code { "imk serve --config serve.ron" } ":" }
                pre.log { "(\n    repositories: {\n        \"team/images\": (url: \"https://git.example.com/team/images.git\"),\n    },\n)" }
            }
            div.cards { @for repository in &seen.repositories { (card(repository, seen)) } }
        }
        @if !seen.recent.is_empty() {
            section aria-labelledby="history" {
                h2 id="history" { "Done last" }
                (jobs_table(&seen.recent, seen.now, "Jobs that ended, the newest first", true))
                p { a href="/jobs" { "All jobs" } }
            }
        }
    }
}

/// The state of everything, in one line.
fn headline(seen: &OverviewSeen) -> String {
    let branches = || seen.repositories.iter().flat_map(|repository| &repository.branches);
    let stale =
        branches().flat_map(|branch| &branch.images).filter(|image| !image.image.verdict.is_fresh()).count();
    let failed = branches().filter(|branch| is_failed(branch)).count();
    let fresh =
        branches().flat_map(|branch| &branch.images).filter(|image| image.image.verdict.is_fresh()).count();
    match (stale, failed, fresh) {
        (0, 0, 0) => "Nothing was built yet".to_owned(),
        (0, 0, 1) => "The image is fresh".to_owned(),
        (0, 0, fresh) => format!("All {fresh} images are fresh"),
        (0, 1, _) => "The last job of a branch failed".to_owned(),
        (0, failed, _) => format!("The last jobs of {failed} branches failed"),
        (1, ..) => "1 image is stale".to_owned(),
        (stale, ..) => format!("{stale} images are stale"),
    }
}

fn is_failed(branch: &BranchSeen) -> bool {
    branch.last.as_ref().is_some_and(|job| matches!(job.standing, Standing::Failed | Standing::Dead))
}

fn activity(seen: &OverviewSeen) -> String {
    let dead = match seen.dead {
        0 => String::new(),
        dead => format!(", {dead} in the dead-letter list"),
    };
    format!("{} running, {} queued{dead}", seen.running.len(), seen.queued.len())
}

fn active(job: &JobSeen, seen: &OverviewSeen) -> Markup {
    html! {
        header {
            h3 { a href=(job_path(&job.id)) { (apart(&job.repository)) " " (apart(&job.branch)) } }
            (state(job.standing))
            span.quiet { (length(job, seen.now)) }
        }
        p { (commit(&job.commit)) " " (apart(&job.message)) }
        p.quiet.small {
            "set off by " (job.occasion)
            @if let Some(worker) = &job.worker { ", on " (apart(worker)) }
            @if job.tries > 1 { ", try " (job.tries) }
        }
    }
}

fn card(repository: &RepositorySeen, seen: &OverviewSeen) -> Markup {
    html! {
        article.card {
            header {
                h3 { a href=(repository_path(&repository.name)) { (apart(&repository.name)) } }
                span.quiet.small { (repository.does) }
            }
            @if let Some(trouble) = &repository.trouble {
                p.bad { "The repository did not answer: " (apart(trouble)) }
            }
            @if repository.branches.is_empty() { p.quiet { "Nothing was built yet." } }
            @for branch in &repository.branches { (branch_part(repository, branch, seen)) }
        }
    }
}

fn branch_part(repository: &RepositorySeen, branch: &BranchSeen, seen: &OverviewSeen) -> Markup {
    let id = encoded(&format!("fresh-{}-{}", repository.name, branch.name));
    html! {
        div.row {
            strong { (apart(&branch.name)) }
            @if let Some(last) = &branch.last {
                a href=(job_path(&last.id)) { (state(last.standing)) }
                span { (commit(&last.commit)) " " (apart(&last.message)) }
                span.quiet { (times::ago(seen.now, last.ended_at.unwrap_or(last.queued_at))) }
            }
            @if let Some(active) = &branch.active { a href=(job_path(&active.id)) { (state(active.standing)) } }
        }
        @if let Some(last) = branch.last.as_ref().filter(|last| last.standing != Standing::Passed && !last.summary.is_empty()) {
            p { (apart(&last.summary)) }
        }
        (standing_images(&repository.name, &branch.images, seen.now, &id))
    }
}
