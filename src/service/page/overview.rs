//! The first page: whether all is well, what runs, each repository with what is stale and why, what was done last.

use maud::{Markup, html};

use super::parts::{branch_path, commit, job_path, jobs_table, length, repository_path, stale_images, state};
use super::seen::{BranchSeen, JobSeen, OverviewSeen, RepositorySeen, Standing, Total};
use super::shown::apart;
use super::times;

/// Stale images of one branch on this page.
const SHOWN: usize = 5;

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
                @let shown = seen.running.len() + seen.queued.len();
                @let all = seen.running_count + seen.queued_count;
                @if all > shown { p { a href="/jobs?state=queued" { "and " (all - shown) " more" } } }
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
            @if seen.pages > 1 { (pages(seen)) }
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

/// The way to the other repositories.
fn pages(seen: &OverviewSeen) -> Markup {
    html! {
        nav.bar aria-label="Pages of repositories" {
            @if seen.page > 1 { a rel="prev" href={ "/?page=" (seen.page - 1) } { "Previous" } }
            span { "Page " (seen.page) " of " (seen.pages) }
            @if seen.page < seen.pages { a rel="next" href={ "/?page=" (seen.page + 1) } { "Next" } }
        }
    }
}

/// The state of everything, in one line.
fn headline(seen: &OverviewSeen) -> String {
    let Total { fresh, stale, failed } = seen.total;
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

fn activity(seen: &OverviewSeen) -> String {
    let dead = match seen.dead {
        0 => String::new(),
        dead => format!(", {dead} in the dead-letter list"),
    };
    format!("{} running, {} queued{dead}", seen.running_count, seen.queued_count)
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
            @if repository.more_branches > 0 {
                p.quiet { a href=(repository_path(&repository.name)) { "and " (repository.more_branches) " more branches" } }
            }
        }
    }
}

fn branch_part(repository: &RepositorySeen, branch: &BranchSeen, seen: &OverviewSeen) -> Markup {
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
        (stale_images(&repository.name, &branch.images, SHOWN, seen.now))
        @if branch.stale > SHOWN {
            p { a href=(branch_path(&repository.name, &branch.name)) { "and " (branch.stale - SHOWN) " more that are stale" } }
        }
        @if branch.fresh > 0 {
            p.quiet { a href=(branch_path(&repository.name, &branch.name)) { (branch.fresh) " fresh" } }
        }
    }
}
