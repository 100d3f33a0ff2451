//! `GET /status/OWNER/REPO` for programs: lines of text, and JSON.
//!
//! The text is the one that existing scripts and Jenkins jobs read: the commit, then each step with its commands,
//! `[passed] make test... (12 seconds)`. In JSON `ok`, `sha`, `log` and `seconds` are those scripts' keys; the others are imk's.

use serde_json::{Value, json};

use super::seen::{ImageSeen, JobSeen, Standing, Verdict};
use super::shown;

/// Digits of a commit in the first line.
const COMMIT_DIGITS: usize = 10;

/// Whether a job did what it had to.
pub fn is_ok(job: &JobSeen) -> bool {
    job.standing == Standing::Passed
}

/// The lines of a job that ended.
pub fn lines(job: &JobSeen) -> Vec<String> {
    let mut lines: Vec<String> = job.record.iter().map(|line| shown::line(line)).collect();
    // Without an integration.yml there are no steps: each image is one.
    if lines.is_empty() {
        let sha: String = job.commit.chars().take(COMMIT_DIGITS).collect();
        lines.push(format!("- commit {} ({})", shown::line(&sha), shown::line(&job.message)));
        lines.push(format!("- imk ci of {}", shown::line(&job.repository)));
        lines.extend(job.images.iter().map(image_line));
    }
    // A job that failed without a line that says so has its reason for one.
    if !is_ok(job) && !job.summary.is_empty() && !lines.iter().any(|line| line.starts_with("[failed]")) {
        lines.push(format!("* {}", shown::line(&job.summary)));
    }
    lines
}

/// The same as one text.
pub fn text(job: &JobSeen) -> String {
    lines(job).into_iter().map(|line| line + "\n").collect()
}

fn image_line(image: &ImageSeen) -> String {
    let (mark, word) = match image.verdict {
        Verdict::Fresh => ("passed", "fresh"),
        Verdict::Built => ("passed", "built"),
        Verdict::Retagged => ("passed", "retagged"),
        Verdict::Stale => ("failed", "stale"),
        Verdict::Failed => ("failed", "failed"),
        Verdict::Waiting => ("skipped", "waits for a base"),
    };
    let name = shown::line(&image.name);
    match image.reason.is_empty() {
        true => format!("[{mark}] {name}: {word}"),
        false => format!("[{mark}] {name}: {word}, {}", shown::line(&image.reason)),
    }
}

/// A job for programs.
pub fn json(job: &JobSeen) -> Value {
    let seconds = match (job.started_at, job.ended_at) {
        (Some(started), Some(ended)) => Some((ended.as_second() - started.as_second()).max(0)),
        _ => None,
    };
    json!({
        "ok": is_ok(job),
        "sha": job.commit,
        "log": lines(job),
        "seconds": seconds,
        "job": job.id,
        "repository": job.repository,
        "branch": job.branch,
        "message": job.message,
        "occasion": job.occasion,
        "state": state_word(job.standing),
        "tries": job.tries,
        "queued_at": job.queued_at.to_string(),
        "started_at": job.started_at.map(|at| at.to_string()),
        "ended_at": job.ended_at.map(|at| at.to_string()),
        "summary": job.summary,
        "images": job.images.iter().map(|image| json!({
            "image": image.name,
            "verdict": verdict_word(image.verdict),
            "reason": image.reason,
        })).collect::<Vec<_>>(),
    })
}

/// A job for programs, in a list: without its log and its images, which only the job itself has.
pub fn brief(job: &JobSeen) -> Value {
    let mut value = json(job);
    if let Value::Object(keys) = &mut value {
        keys.remove("log");
        keys.remove("images");
    }
    value
}

/// The word for a state, for programs.
pub fn state_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Queued => "queued",
        Standing::Running => "running",
        Standing::Passed => "passed",
        Standing::Failed => "failed",
        Standing::Dead => "dead",
        Standing::Replaced => "replaced",
    }
}

/// The word for a verdict, for programs.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fresh => "fresh",
        Verdict::Built => "built",
        Verdict::Retagged => "retagged",
        Verdict::Stale => "stale",
        Verdict::Failed => "failed",
        Verdict::Waiting => "waiting",
    }
}
