//! `--progress json`: what happens, one JSON object a line.
//!
//! The names of events and fields are for programs and stay as they are; new
//! ones may come. Reasons are the codes and values of `imk plan --json`.

use std::time::Duration;

use serde::Serialize;

use crate::build::publish::Publication;
use crate::build::run::{Ending, Summary};
use crate::build::summary::{Ahead, OutputDone};
use crate::cli::failure::{Failure, Finding};
use crate::cli::progress::words;
use crate::engine::{BuildEvent, EngineError, ImageId};
use crate::model::reason::Reason;
use crate::query::effect::BuildError;
use crate::query::problem::Problem;

/// One object: the event's name, when it was written, its fields.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    time: String,
    #[serde(flatten)]
    fields: Fields<'a>,
}

/// The fields of each kind of event.
#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    Started {
        image: &'a str,
        reasons: &'a [Reason],
    },
    Step {
        image: &'a str,
        id: &'a str,
        name: &'a str,
        number: Option<u32>,
        total: Option<u32>,
    },
    StepDone {
        image: &'a str,
        id: &'a str,
        cached: bool,
        error: Option<&'a str>,
        took_ms: Option<u64>,
    },
    Note {
        image: &'a str,
        text: &'a str,
    },
    Sent {
        image: &'a str,
        files: u64,
        bytes: u64,
    },
    Log {
        image: &'a str,
        id: &'a str,
        text: &'a str,
    },
    Result {
        image: &'a str,
        id: Option<&'a ImageId>,
    },
    Reused {
        image: &'a str,
        id: Option<&'a ImageId>,
        reasons: &'a [Reason],
    },
    Built {
        image: &'a str,
        id: Option<&'a ImageId>,
        took_ms: u64,
        same: bool,
    },
    Failed {
        image: &'a str,
        took_ms: u64,
        message: String,
    },
    FailedStep {
        image: &'a str,
        took_ms: u64,
        message: String,
        step: &'a str,
        exit_code: Option<i64>,
        #[serde(flatten)]
        at: Option<At<'a>>,
    },
    Invalid {
        image: &'a str,
        took_ms: u64,
        message: String,
        mistakes: Vec<Mistake<'a>>,
    },
    Image {
        image: &'a str,
    },
    Ahead {
        built: usize,
        of: usize,
        running: usize,
        left_ms: Option<u64>,
    },
    Published {
        image: &'a str,
        at: &'a str,
        tags: &'a [String],
    },
    NotDone {
        image: &'a str,
        message: String,
    },
    Written {
        image: &'a str,
        output: &'a str,
    },
    NotTagged {
        tag: &'a str,
        message: String,
    },
    NameTaken {
        tag: &'a str,
        from: &'a ImageId,
        message: String,
    },
    Behind {
        image: &'a str,
        tag: &'a str,
        message: String,
    },
    Error(Error<'a>),
    Summary(Counts),
}

/// The line of a Dockerfile that failed.
#[derive(Serialize)]
pub struct At<'a> {
    /// Below the repository's root.
    pub path: &'a str,
    /// From 1.
    pub line: usize,
}

/// A mistake in a file, as a failed image tells it.
#[derive(Serialize)]
struct Mistake<'a> {
    path: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

/// An error that ended imk, beside the build of an image. Line and column count from 1.
#[derive(Serialize)]
struct Error<'a> {
    message: &'a str,
    causes: &'a [String],
    path: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    hint: Option<&'a str>,
}

/// How many images came out how.
#[derive(Serialize)]
struct Counts {
    fresh: usize,
    reused: usize,
    built: usize,
    found: usize,
    retagged: usize,
    published: usize,
    not_published: usize,
    not_fetched: usize,
    not_tagged: usize,
    loaded: usize,
    not_loaded: usize,
    written: usize,
    not_written: usize,
    failed: usize,
    skipped: usize,
    kept: usize,
    interrupted: bool,
    took_ms: u64,
}

fn line(event: &'static str, fields: Fields<'_>) -> String {
    let line = Line { event, time: format!("{:.3}", jiff::Timestamp::now()), fields };
    // Keys are texts and values have forms of JSON, so nothing is refused.
    serde_json::to_string(&line).unwrap_or_default()
}

/// The engine is asked to build an image.
pub fn started(image: &str, reasons: &[Reason]) -> String {
    line("started", Fields::Started { image, reasons })
}

/// The line for an engine's event, but for the output of steps.
pub fn build(image: &str, event: &BuildEvent) -> Option<String> {
    Some(match event {
        BuildEvent::Step { id, name, number, total } => {
            line("step", Fields::Step { image, id, name, number: *number, total: *total })
        }
        BuildEvent::StepDone { id, cached, error, took } => {
            let (error, took_ms) = (error.as_deref(), took.map(milliseconds));
            line("step-done", Fields::StepDone { image, id, cached: *cached, error, took_ms })
        }
        BuildEvent::Note(text) => line("note", Fields::Note { image, text }),
        BuildEvent::Sent { files, bytes } => {
            line("sent", Fields::Sent { image, files: *files, bytes: *bytes })
        }
        BuildEvent::Log { .. } => return None,
    })
}

/// How far the whole build is.
pub fn ahead(ahead: &Ahead) -> String {
    let Ahead { built, of, running, left } = *ahead;
    line("ahead", Fields::Ahead { built, of, running, left_ms: left.map(milliseconds) })
}

/// One whole line of a step's output.
pub fn log(image: &str, step: &str, text: &str) -> String {
    line("log", Fields::Log { image, id: step, text })
}

/// A job ended. `because` is why an older result had to be looked for.
pub fn ended(
    image: &str,
    ending: &Ending,
    id: Option<&ImageId>,
    because: &[Reason],
    took: Duration,
    at: Option<At<'_>>,
) -> String {
    let took_ms = milliseconds(took);
    match ending {
        Ending::Fresh => line("fresh", Fields::Result { image, id }),
        Ending::AlreadyPublished => line("found", Fields::Result { image, id }),
        Ending::Reused => line("reused", Fields::Reused { image, id, reasons: because }),
        Ending::Built { same, .. } => line("built", Fields::Built { image, id, took_ms, same: *same }),
        Ending::Failed(error) => line("failed", failed(image, took_ms, error, at)),
        Ending::Skipped => line("skipped", Fields::Image { image }),
    }
}

fn failed<'a>(image: &'a str, took_ms: u64, error: &'a BuildError, at: Option<At<'a>>) -> Fields<'a> {
    let message = words::build_error(error);
    match error {
        BuildError::Engine(EngineError::Failed(failure)) => {
            let (step, exit_code) = (failure.step.as_str(), failure.exit_code);
            Fields::FailedStep { image, took_ms, message, step, exit_code, at }
        }
        BuildError::Invalid(problems) => {
            let mistake = |problem: &'a Problem| Mistake {
                path: &problem.path,
                message: &problem.message,
                hint: problem.hint.as_deref(),
            };
            Fields::Invalid { image, took_ms, message, mistakes: problems.iter().map(mistake).collect() }
        }
        _ => Fields::Failed { image, took_ms, message },
    }
}

/// The errors that ended imk before or beside the builds, an object a finding.
pub fn failure(failure: &Failure) -> Vec<String> {
    let error = |finding: &Finding| {
        let place = finding.place.as_ref();
        let at = place.and_then(|place| place.excerpt.as_ref());
        let at = at.map(|(text, span)| span.line_and_column(text));
        let error = Error {
            message: &finding.message,
            causes: &finding.causes,
            path: place.map(|place| place.path.as_str()),
            line: at.map(|(line, _)| line),
            column: at.map(|(_, column)| column),
            hint: finding.hint.as_deref(),
        };
        line("error", Fields::Error(error))
    };
    failure.findings.iter().map(error).collect()
}

/// Publications of results at their registries, an object an image.
pub fn publications(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for (image, publication) in summary.publications.iter().chain(&summary.indexes) {
        match publication {
            Publication::Done { at, moved } => {
                lines.push(line("published", Fields::Published { image, at, tags: moved }));
            }
            Publication::NoRegistry => {
                let message = words::no_registry(image);
                lines.push(line("not-published", Fields::NotDone { image, message }));
            }
            // Told below, by why it stayed so.
            Publication::Overtaken => {}
        }
    }
    for (image, error) in &summary.unpublished {
        lines.push(line("not-published", Fields::NotDone { image, message: error.to_string() }));
    }
    for (image, error) in &summary.unfetched {
        lines.push(line("not-fetched", Fields::NotDone { image, message: error.to_string() }));
    }
    lines
}

/// An output that was to be written.
pub fn output(output: &OutputDone) -> String {
    match &output.result {
        Ok(()) => line("written", Fields::Written { image: &output.image, output: &output.place }),
        Err(why) => {
            let message = format!("the output `{}` was not written: {why}", output.place);
            line("not-written", Fields::NotDone { image: &output.image, message })
        }
    }
}

/// The end: what was only tagged, published or not tried, then one line about everything.
pub fn summary(summary: &Summary, took: Duration) -> Vec<String> {
    let count = |wanted: fn(&Ending) -> bool| summary.endings.values().filter(|e| wanted(e)).count();
    let mut lines: Vec<String> =
        summary.retagged.iter().map(|image| line("retagged", Fields::Image { image })).collect();
    lines.extend(summary.outputs.iter().map(output));
    for load in &summary.loads {
        let image = load.image.as_str();
        lines.extend(match &load.result {
            Ok(true) => Some(line("loaded", Fields::Image { image })),
            Ok(false) => None,
            Err(error) => Some(line("not-loaded", Fields::NotDone { image, message: error.to_string() })),
        });
    }
    for (tag, error) in &summary.untagged {
        lines.push(line("not-tagged", Fields::NotTagged { tag, message: error.to_string() }));
    }
    for taken in &summary.taken_names {
        let message = words::taken(taken);
        lines.push(line("name-taken", Fields::NameTaken { tag: &taken.tag, from: &taken.from, message }));
    }
    for behind in &summary.outdated_names {
        let message = words::behind(behind);
        lines.push(line("behind", Fields::Behind { image: &behind.image, tag: &behind.tag, message }));
    }
    lines.extend(publications(summary));
    for (image, ending) in &summary.endings {
        if *ending == Ending::Skipped {
            lines.push(line("skipped", Fields::Image { image }));
        }
    }
    let counts = Counts {
        fresh: count(|ending| matches!(ending, Ending::Fresh)),
        reused: count(|ending| matches!(ending, Ending::Reused)),
        built: count(|ending| matches!(ending, Ending::Built { .. })),
        found: count(|ending| matches!(ending, Ending::AlreadyPublished)),
        retagged: summary.retagged.len(),
        published: summary.published(),
        not_published: summary.not_published(),
        not_fetched: summary.unfetched.len(),
        not_tagged: summary.untagged.len(),
        loaded: summary.loaded(),
        not_loaded: summary.unloaded().count(),
        written: summary.outputs.iter().filter(|output| output.result.is_ok()).count(),
        not_written: summary.outputs.iter().filter(|output| output.result.is_err()).count(),
        failed: count(|ending| matches!(ending, Ending::Failed(_))),
        skipped: count(|ending| matches!(ending, Ending::Skipped)),
        kept: summary.kept.len(),
        interrupted: summary.interrupted,
        took_ms: milliseconds(took),
    };
    lines.push(line("summary", Fields::Summary(counts)));
    lines
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::exec::push::PublishError;
    use crate::syntax::error::Span;

    /// A line without its time.
    fn timeless(line: &str) -> String {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().shift_remove("time").unwrap();
        value.to_string()
    }

    #[test]
    fn the_name_comes_first_and_the_fields_follow_in_their_order() {
        let event =
            BuildEvent::Step { id: "sha256:1".into(), name: "RUN x".into(), number: Some(2), total: None };
        let told = build("web", &event).unwrap();
        assert!(told.starts_with(r#"{"event":"step","time":""#), "{told}");
        assert_eq!(
            timeless(&told),
            r#"{"event":"step","image":"web","id":"sha256:1","name":"RUN x","number":2,"total":null}"#
        );
        let problem = Problem::of("web", "there is no folder `web`", "is it?");
        let ending = Ending::Failed(BuildError::Invalid(vec![problem]));
        let told = timeless(&ended("web", &ending, None, &[], Duration::from_millis(7), None));
        let begin = r#"{"event":"failed","image":"web","took_ms":7,"message":""#;
        let end = r#"","mistakes":[{"path":"web","message":"there is no folder `web`","hint":"is it?"}]}"#;
        assert!(told.starts_with(begin) && told.ends_with(end), "{told}");
    }

    #[test]
    fn a_mistake_has_its_line_and_trouble_has_none() {
        let text = "FROM a\nCOPY x\n";
        let problem = Problem {
            path: "web/Dockerfile".into(),
            span: Some(Span::new(7, 11)),
            message: "COPY needs two".into(),
            hint: None,
        };
        let told =
            Failure::problems([&problem], |_| Some(text.to_owned())).and(Failure::with_hint("no", "yes"));
        let lines: Vec<String> = failure(&told).iter().map(|line| timeless(line)).collect();
        let mistake = r#"{"event":"error","message":"COPY needs two","causes":[],"path":"web/Dockerfile","line":2,"column":1,"hint":null}"#;
        let trouble = r#"{"event":"error","message":"no","causes":[],"path":null,"line":null,"column":null,"hint":"yes"}"#;
        assert_eq!(lines, [mistake, trouble]);
    }

    #[test]
    fn each_failed_publication_has_an_event_with_a_text_and_is_counted() {
        let mut told = Summary::default();
        told.publications.insert("nowhere".into(), Publication::NoRegistry);
        let there =
            Publication::Done { at: "r.example/web@sha256:1".into(), moved: vec!["r.example/web:1".into()] };
        told.publications.insert("web".into(), there);
        told.unpublished.insert("api".into(), PublishError::Overtaken);
        told.unfetched.insert("db".into(), PublishError::Overtaken);
        let lines: Vec<Value> =
            summary(&told, Duration::ZERO).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |event: &str, image: &str| {
            lines.iter().find(|line| line["event"] == event && line["image"] == image).cloned().unwrap()
        };
        assert_eq!(of("published", "web")["tags"][0], "r.example/web:1");
        for (event, image) in [("not-published", "api"), ("not-published", "nowhere"), ("not-fetched", "db")]
        {
            assert!(!of(event, image)["message"].as_str().unwrap().is_empty(), "{event} {image}");
        }
        let last = lines.last().unwrap();
        assert_eq!(
            (&last["published"], &last["not_published"], &last["not_fetched"]),
            (&json!(1), &json!(2), &json!(1))
        );
    }
}
