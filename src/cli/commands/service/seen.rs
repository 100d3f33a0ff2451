//! `imk serve jobs`, `log`, `retry`, `build`: what the page shows and does, for whoever types.

use std::time::Duration;

use clap::Args as Group;
use jiff::Timestamp;
use serde_json::Value;

use super::asking::{AskArgs, Asking};
use crate::cli::failure::Failure;
use crate::cli::words::quantity;
use crate::cli::{out, table};
use crate::service::ask::End;
use crate::service::model::JobId;
use crate::syntax::serve::names::RepositoryName;

/// Digits of a commit that are shown.
const COMMIT: usize = 12;

/// The arguments of `serve jobs`.
#[derive(Clone, Debug, Group)]
pub struct JobsArgs {
    /// Jobs of this repository alone
    #[arg(value_name = "REPOSITORY")]
    pub repository: Option<String>,
    /// Jobs in this state alone: queued, running, done, replaced or dead
    #[arg(long, value_name = "STATE", value_parser = ["queued", "running", "done", "replaced", "dead"])]
    pub only: Option<String>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
    /// Which service.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// The arguments of `serve log`.
#[derive(Clone, Debug, Group)]
pub struct LogArgs {
    /// The job's number, as `imk serve jobs` and the page show it
    #[arg(value_name = "JOB")]
    pub job: JobId,
    /// Go on until the job has ended; the exit status is 0 when it went well and 2 when it did not
    #[arg(long)]
    pub follow: bool,
    /// Which service.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// The arguments of `serve retry`.
#[derive(Clone, Debug, Group)]
pub struct RetryArgs {
    /// The job's number, as `imk serve jobs` and the page show it
    #[arg(value_name = "JOB")]
    pub job: JobId,
    /// Which service.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// The arguments of `serve build`.
#[derive(Clone, Debug, Group)]
pub struct BuildArgs {
    /// The repository's name in serve.ron
    #[arg(value_name = "REPOSITORY")]
    pub repository: String,
    /// Which service.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Lists jobs, the newest first.
///
/// # Errors
/// When no service answers, or it has no such repository.
pub fn jobs(asking: &Asking, args: &JobsArgs) -> Result<(), Failure> {
    let mut query = Vec::new();
    if let Some(name) = &args.repository {
        query.push(format!("repository={}", RepositoryName::new(name).map_err(Failure::error)?));
    }
    query.extend(args.only.as_ref().map(|state| format!("state={state}")));
    let value = asking.ask(&format!("/jobs?{}", query.join("&")), None, 200)?;
    if args.json {
        out::json(&value);
        return Ok(());
    }
    let jobs = value["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    if jobs.is_empty() {
        out::note("there are no such jobs");
        return Ok(());
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(job, now)).collect();
    let headings = ["JOB", "STATE", "REPOSITORY", "BRANCH", "COMMIT", "WHEN", "TOOK", "SUMMARY"];
    out::lines(table::lines(&headings, &rows, &[7, 3, 2], out::columns()));
    Ok(())
}

fn row(job: &Value, now: Timestamp) -> Vec<String> {
    let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    let commit: String = text("sha").chars().take(COMMIT).collect();
    let summary = if text("summary").is_empty() { text("message") } else { text("summary") };
    let since = |key: &str| {
        let then: Timestamp = job[key].as_str()?.parse().ok()?;
        let seconds = now.as_second().saturating_sub(then.as_second());
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
    };
    let lasting = |word: &str, key: &str| {
        since(key).map_or_else(|| "-".to_owned(), |time| format!("{word} for {}", quantity::roughly(time)))
    };
    let took = match text("state").as_str() {
        "running" => lasting("running", "started_at"),
        "queued" => lasting("waiting", "queued_at"),
        _ => job["seconds"].as_u64().map_or_else(|| "-".to_owned(), |seconds| format!("{seconds}s")),
    };
    vec![
        text("job"),
        text("state"),
        text("repository"),
        text("branch"),
        commit,
        text("queued_at"),
        took,
        summary,
    ]
}

/// Prints the log of a job as far as it is there, or until the job has ended.
///
/// # Errors
/// When no service answers, there is no such job, or it was followed and did not go well.
pub fn log(asking: &Asking, args: &LogArgs) -> Result<(), Failure> {
    if !args.follow {
        out::text(asking.text(&format!("/jobs/{}/log", args.job))?);
        return Ok(());
    }
    if asking.ask(&format!("/jobs/{}", args.job), None, 200)?["state"] == "queued" {
        out::note(format_args!("job {} waits for a worker", args.job));
    }
    let mut said = |text: &str| {
        out::text(text);
        !out::is_gone()
    };
    match asking.client().follow(args.job, &mut said).map_err(|why| asking.away(&why))? {
        End::Over(job) => ended(args.job, &job),
        End::Unread => Ok(()),
        End::Refused(answer) => Err(asking.refused(&answer)),
    }
}

/// The end of a job that was followed, as one's own.
fn ended(id: JobId, job: &Value) -> Result<(), Failure> {
    let summary = job["summary"].as_str().unwrap_or_default();
    match job["state"].as_str().unwrap_or_default() {
        "passed" => {
            out::note(format_args!("job {id} passed: {summary}"));
            Ok(())
        }
        "replaced" => {
            let hint = "follow that one: imk serve log JOB --follow";
            Err(Failure::with_hint(format!("job {id} was replaced: {summary}"), hint))
        }
        "dead" => {
            let hint = format!("imk serve retry {id} has its work done again");
            Err(Failure::with_hint(format!("job {id} was given up: {summary}"), hint))
        }
        "failed" => Err(Failure::error(format!("job {id} failed: {summary}"))),
        _ => {
            Err(Failure::error(format!("job {id} is not kept any longer, so it cannot be said how it ended")))
        }
    }
}

/// Has the work of a job done again.
///
/// # Errors
/// When no service answers, or the job has not ended.
pub fn retry(asking: &Asking, args: &RetryArgs) -> Result<(), Failure> {
    let value = asking.ask("/-/retry", Some(format!("job={}", args.job)), 202)?;
    out::line(format_args!("job {} does the work of job {} again", value["job"], args.job));
    Ok(())
}

/// Has a repository looked at and built now.
///
/// # Errors
/// When no service answers, or it has no such repository.
pub fn build(asking: &Asking, args: &BuildArgs) -> Result<(), Failure> {
    let name = RepositoryName::new(&args.repository).map_err(Failure::error)?;
    asking.ask("/-/build", Some(format!("repository={name}")), 202)?;
    out::line(format_args!("{name} is looked at now, and each of its branches is done again"));
    out::note(format_args!("imk serve jobs {name} lists the jobs; imk serve log JOB --follow shows one"));
    Ok(())
}
