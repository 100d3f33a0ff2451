//! How tests came out, as they do: a line each, and what a person needs of a failure below it.

use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::cli::out;
use crate::cli::words::quantity;
use crate::containers::suite::perform::Verdict;
use crate::containers::suite::queue::Job;

/// The part of the verdicts that is shown as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// A line each.
    #[default]
    All,
    /// Those that are not good.
    Failures,
    /// A line each, as progress and not as results.
    Progress,
    /// An object each, for programs.
    Events,
}

/// Verdicts as they come.
#[derive(Default)]
pub struct Report {
    shown: Shown,
    verdicts: Mutex<Vec<(Job, Verdict)>>,
}

impl Report {
    /// A report that shows so much.
    pub fn new(shown: Shown) -> Self {
        Self { shown, verdicts: Mutex::default() }
    }

    /// Shows one, and keeps it.
    pub fn add(&self, job: &Job, verdict: Verdict) {
        let mut verdicts = self.verdicts.lock();
        match self.shown {
            Shown::Events => out::event(&event(job, &verdict)),
            Shown::Failures if verdict.is_good() => {}
            Shown::Progress => lines(job, &verdict).into_iter().for_each(out::note),
            Shown::All | Shown::Failures => out::lines(lines(job, &verdict)),
        }
        verdicts.push((job.clone(), verdict));
    }

    /// All of them, by image and test.
    pub fn take(self) -> Vec<(Job, Verdict)> {
        let mut verdicts = self.verdicts.into_inner();
        verdicts.sort_by(|(a, _), (b, _)| (&a.image, &a.test).cmp(&(&b.image, &b.test)));
        verdicts
    }
}

/// A test as people read it: a line, and below it what they need of a failure.
pub fn lines(job: &Job, verdict: &Verdict) -> Vec<String> {
    let Job { image, test } = job;
    let first = match verdict {
        Verdict::Passed { tries: 1, took } => {
            format!("{image} {test}: passed in {}", quantity::duration(*took))
        }
        Verdict::Passed { tries, took } => {
            format!("{image} {test}: passed at try {tries}, in {}", quantity::duration(*took))
        }
        Verdict::Receipt(receipt) => {
            let tries = if receipt.tries > 1 { format!(", at try {}", receipt.tries) } else { String::new() };
            let (when, short) = (ago(receipt.at), receipt.key.short(8));
            format!("{image} {test}: passed {when}{tries} (receipt {short})")
        }
        Verdict::Failed { took, .. } => format!("{image} {test}: failed in {}", quantity::duration(*took)),
        Verdict::Skipped(base) if base.is_empty() => format!("{image} {test}: not run, interrupted"),
        Verdict::Skipped(base) => format!("{image} {test}: skipped, tests of its base {base} failed"),
    };
    let below: &[String] = if let Verdict::Failed { lines, .. } = verdict { lines } else { &[] };
    std::iter::once(first).chain(below.iter().map(|line| format!("  {line}"))).collect()
}

/// A test as programs read it.
#[derive(Serialize)]
pub struct Told {
    image: String,
    test: String,
    /// `passed`, `receipt`, `failed` or `skipped`.
    verdict: &'static str,
    took_ms: Option<u64>,
    tries: Option<u32>,
    receipt: Option<String>,
    message: Option<String>,
}

/// A test for programs.
pub fn told(job: &Job, verdict: &Verdict) -> Told {
    let mut told = Told {
        image: job.image.clone(),
        test: job.test.clone(),
        verdict: "skipped",
        took_ms: None,
        tries: None,
        receipt: None,
        message: None,
    };
    let ms = |took: &Duration| u64::try_from(took.as_millis()).ok();
    match verdict {
        Verdict::Passed { tries, took } => {
            (told.verdict, told.took_ms, told.tries) = ("passed", ms(took), Some(*tries));
        }
        Verdict::Receipt(receipt) => {
            (told.verdict, told.receipt) = ("receipt", Some(receipt.key.to_string()));
        }
        Verdict::Failed { lines, took } => {
            (told.verdict, told.took_ms, told.message) = ("failed", ms(took), Some(lines.join("\n")));
        }
        Verdict::Skipped(base) if base.is_empty() => told.message = Some("interrupted".into()),
        Verdict::Skipped(base) => told.message = Some(format!("tests of its base {base} failed")),
    }
    told
}

/// The event of a test.
fn event(job: &Job, verdict: &Verdict) -> String {
    #[derive(Serialize)]
    struct Event {
        event: &'static str,
        time: String,
        #[serde(flatten)]
        test: Told,
    }
    let time = Timestamp::now().to_string();
    serde_json::to_string(&Event { event: "test", time, test: told(job, verdict) }).unwrap_or_default()
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
