//! `imk serve jobs`, `log`, `retry`, `token`: what the page shows and does, for whoever types on the service's machine.

use clap::Args as Group;
use serde_json::Value;

use super::options::Read;
use crate::cli::failure::{Failure, cannot};
use crate::cli::{out, table};
use crate::service::ask::{Answer, ask};
use crate::service::model::JobId;
use crate::service::token::Token;
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
}

/// The arguments of `serve log` and `serve retry`.
#[derive(Clone, Debug, Group)]
pub struct JobArgs {
    /// The job's number, as `imk serve jobs` and the page show it
    #[arg(value_name = "JOB")]
    pub job: JobId,
}

/// Lists jobs, the newest first.
///
/// # Errors
/// When no service answers.
pub fn jobs(read: &Read, listen: &str, args: &JobsArgs) -> Result<(), Failure> {
    let mut query = Vec::new();
    if let Some(name) = &args.repository {
        let name = RepositoryName::new(name).map_err(Failure::error)?;
        query.push(format!("repository={name}"));
    }
    query.extend(args.only.as_ref().map(|state| format!("state={state}")));
    let answer = asked(read, listen, &format!("/jobs?{}", query.join("&")), None)?;
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(jobs) = value["jobs"].as_array().filter(|_| answer.status == 200) else {
        return Err(refused(&answer));
    };
    if args.json {
        out::json(&value);
        return Ok(());
    }
    if jobs.is_empty() {
        out::note("there are no such jobs");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
    let headings = ["JOB", "STATE", "REPOSITORY", "BRANCH", "COMMIT", "WHEN", "TOOK", "SUMMARY"];
    out::lines(table::lines(&headings, &rows, &[7, 3, 2], out::columns()));
    Ok(())
}

fn row(job: &Value) -> Vec<String> {
    let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    let commit: String = text("sha").chars().take(COMMIT).collect();
    let summary = if text("summary").is_empty() { text("message") } else { text("summary") };
    let took = job["seconds"].as_u64().map_or_else(|| "-".to_owned(), |seconds| format!("{seconds}s"));
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

/// Prints the log of a job, as far as it is there.
///
/// # Errors
/// When no service answers, or there is no such job.
pub fn log(read: &Read, listen: &str, args: &JobArgs) -> Result<(), Failure> {
    let answer = asked(read, listen, &format!("/jobs/{}/log", args.job), None)?;
    if answer.status != 200 {
        return Err(refused(&answer));
    }
    out::text(String::from_utf8_lossy(&answer.body));
    Ok(())
}

/// Has the work of a job done again.
///
/// # Errors
/// When no service answers, or the job has not ended.
pub fn retry(read: &Read, listen: &str, args: &JobArgs) -> Result<(), Failure> {
    let answer = asked(read, listen, "/-/retry", Some(format!("job={}", args.job)))?;
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match value["job"].as_u64() {
        Some(job) if answer.status == 202 => {
            out::line(format_args!("job {job} does the work of job {} again", args.job));
            Ok(())
        }
        _ => Err(refused(&answer)),
    }
}

/// Prints the token, which is made where there is none.
///
/// # Errors
/// When it can be neither read nor made.
pub fn token(read: &Read) -> Result<(), Failure> {
    out::line(own(read)?.shown().to_owned());
    Ok(())
}

fn own(read: &Read) -> Result<Token, Failure> {
    crate::source::outside::make_folder(&read.state).map_err(cannot("make the service's folder"))?;
    Token::open(&read.state).map_err(cannot("read the service's token"))
}

fn asked(read: &Read, listen: &str, path: &str, form: Option<String>) -> Result<Answer, Failure> {
    if listen == "systemd" || read.settings.tls.is_some() {
        let hint = "the page shows and does the same; so does curl with `Authorization: Bearer` and what `imk serve token` prints";
        return Err(Failure::with_hint(
            "this asks a service that listens at a plain address, and this one does not",
            hint,
        ));
    }
    // An address that means all of them is answered by this machine's own.
    let address = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    ask(&address, &own(read)?, path, form).map_err(|why| {
        let hint = "`imk serve` starts one; --listen, --state and --config say which one is meant";
        Failure::with_hint(format!("no service answers at {address}: {why}"), hint)
    })
}

fn refused(answer: &Answer) -> Failure {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said = match value["error"].as_str() {
        Some(why) => why.to_owned(),
        None => String::from_utf8_lossy(&answer.body).lines().next().unwrap_or_default().to_owned(),
    };
    match answer.status {
        401 => Failure::with_hint(
            "the service has another token",
            "--state names the folder that the service has",
        ),
        _ if said.is_empty() => Failure::error(format!("the service says {}", answer.status)),
        _ => Failure::error(said),
    }
}
