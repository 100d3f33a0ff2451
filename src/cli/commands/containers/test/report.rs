//! How tests came out, as they do: a line each, and what a person needs of a failure below it.

use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::cli::out;
use crate::cli::words::quantity;
use crate::containers::suite::perform::Verdict;
use crate::containers::suite::queue::Job;

/// Verdicts as they come.
#[derive(Default)]
pub struct Report(Mutex<Vec<(Job, Verdict)>>);

impl Report {
    /// Shows one, and keeps it.
    pub fn add(&self, job: &Job, verdict: Verdict) {
        let mut verdicts = self.0.lock();
        let Job { image, test } = job;
        match &verdict {
            Verdict::Passed { tries: 1, took } => {
                out::line(format_args!("{image} {test}: passed in {}", quantity::duration(*took)));
            }
            Verdict::Passed { tries, took } => {
                out::line(format_args!(
                    "{image} {test}: passed at try {tries}, in {}",
                    quantity::duration(*took)
                ));
            }
            Verdict::Receipt(receipt) => {
                let tries =
                    if receipt.tries > 1 { format!(", at try {}", receipt.tries) } else { String::new() };
                out::line(format_args!(
                    "{image} {test}: passed {}{tries} (receipt {})",
                    ago(receipt.at),
                    receipt.key.short(8)
                ));
            }
            Verdict::Failed { lines, took } => {
                out::line(format_args!("{image} {test}: failed in {}", quantity::duration(*took)));
                lines.iter().for_each(|line| out::line(format_args!("  {line}")));
            }
            Verdict::Skipped(base) if base.is_empty() => {
                out::line(format_args!("{image} {test}: not run, interrupted"));
            }
            Verdict::Skipped(base) => {
                out::line(format_args!("{image} {test}: skipped, tests of its base {base} failed"));
            }
        }
        verdicts.push((job.clone(), verdict));
    }

    /// All of them, by image and test.
    pub fn take(self) -> Vec<(Job, Verdict)> {
        let mut verdicts = self.0.into_inner();
        verdicts.sort_by(|(a, _), (b, _)| (&a.image, &a.test).cmp(&(&b.image, &b.test)));
        verdicts
    }
}

/// `3 days ago`.
fn ago(at: u64) -> String {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_second(at).ok()).unwrap_or_default();
    let seconds = Timestamp::now().as_second() - at.as_second();
    let (count, noun) = match seconds {
        ..60 => return "just now".into(),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural} ago")
}

/// `2 passed, 1 by receipt, 1 failed, 3 skipped in 4s`.
pub fn summary(verdicts: &[(Job, Verdict)], took: Duration) -> String {
    let count = |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|(_, verdict)| wanted(verdict)).count();
    let passed = count(|verdict| matches!(verdict, Verdict::Passed { .. }));
    let known = count(|verdict| matches!(verdict, Verdict::Receipt(_)));
    let failed = count(|verdict| matches!(verdict, Verdict::Failed { .. }));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let mut line = format!("{passed} passed");
    if known > 0 {
        line += &format!(", {known} by receipt");
    }
    line += &format!(", {failed} failed");
    if skipped > 0 {
        line += &format!(", {skipped} skipped");
    }
    line + &format!(" in {}", quantity::duration(took))
}
