//! `--progress json`: what happens, one JSON object a line.
//!
//! The names of events and fields are for programs and stay as they are; new
//! ones may come. Reasons are the codes and values of `imk plan --json`.

use serde_json::{Value, json};

use crate::build::publish::Publication;
use crate::build::run::{Ending, Summary};
use crate::cli::progress::words;
use crate::engine::{BuildEvent, EngineError, ImageId};
use crate::model::reason::Reason;
use crate::query::effect::BuildError;

/// One line: the event's name, when it was written, its fields.
pub fn line(event: &str, fields: Value) -> String {
    let now = jiff::Timestamp::now();
    let mut line = json!({"event": event, "time": format!("{now:.3}")});
    if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
        line.extend(fields);
    }
    line.to_string()
}

/// The engine is asked to build an image.
pub fn started(image: &str, reasons: &[Reason]) -> String {
    line("started", json!({"image": image, "reasons": reasons}))
}

/// The line for an engine's event, but for the output of steps.
pub fn build(image: &str, event: &BuildEvent) -> Option<String> {
    Some(match event {
        BuildEvent::Step { id, name, number, total } => {
            line("step", json!({"image": image, "id": id, "name": name, "number": number, "total": total}))
        }
        BuildEvent::StepDone { id, cached, error, took } => {
            let took_ms = took.map(milliseconds);
            line(
                "step-done",
                json!({"image": image, "id": id, "cached": cached, "error": error, "took_ms": took_ms}),
            )
        }
        BuildEvent::Note(text) => line("note", json!({"image": image, "text": text})),
        BuildEvent::Sent { files, bytes } => {
            line("sent", json!({"image": image, "files": files, "bytes": bytes}))
        }
        BuildEvent::Log { .. } => return None,
    })
}

/// One whole line of a step's output.
pub fn log(image: &str, step: &str, text: &str) -> String {
    line("log", json!({"image": image, "id": step, "text": text}))
}

/// A job ended. `because` is why an older result had to be looked for.
pub fn ended(
    image: &str,
    ending: &Ending,
    id: Option<&ImageId>,
    because: &[Reason],
    took: std::time::Duration,
) -> String {
    let took_ms = milliseconds(took);
    match ending {
        Ending::Fresh => line("fresh", json!({"image": image, "id": id})),
        Ending::AlreadyPublished => line("found", json!({"image": image, "id": id})),
        Ending::Reused => line("reused", json!({"image": image, "id": id, "reasons": because})),
        Ending::Built { same, .. } => {
            line("built", json!({"image": image, "id": id, "took_ms": took_ms, "same": same}))
        }
        Ending::Failed(error) => {
            let mut fields = json!({"image": image, "took_ms": took_ms});
            if let (Some(fields), Value::Object(error)) = (fields.as_object_mut(), failure(error)) {
                fields.extend(error);
            }
            line("failed", fields)
        }
        Ending::Skipped => line("skipped", json!({"image": image})),
    }
}

fn failure(error: &BuildError) -> Value {
    let message = words::build_error(error);
    match error {
        BuildError::Engine(EngineError::Failed(failure)) => {
            json!({"message": message, "step": failure.step, "exit_code": failure.exit_code})
        }
        BuildError::Invalid(problems) => {
            let mistakes: Vec<Value> = problems
                .iter()
                .map(
                    |problem| json!({"path": problem.path, "message": problem.message, "hint": problem.hint}),
                )
                .collect();
            json!({"message": message, "mistakes": mistakes})
        }
        _ => json!({"message": message}),
    }
}

/// Publications of results at their registries, an object an image.
fn publications(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for (image, publication) in &summary.publications {
        match publication {
            Publication::Done { at, moved } => {
                lines.push(line("published", json!({"image": image, "at": at, "tags": moved})));
            }
            Publication::NoRegistry => {
                let message = words::no_registry(image);
                lines.push(line("not-published", json!({"image": image, "message": message})));
            }
            // Told below, by why it stayed so.
            Publication::Overtaken => {}
        }
    }
    for (image, error) in &summary.unpublished {
        lines.push(line("not-published", json!({"image": image, "message": error.to_string()})));
    }
    for (image, error) in &summary.unfetched {
        lines.push(line("not-fetched", json!({"image": image, "message": error.to_string()})));
    }
    lines
}

/// The end: what was only tagged, published or not tried, then one line about everything.
pub fn summary(summary: &Summary, took: std::time::Duration) -> Vec<String> {
    let count = |wanted: fn(&Ending) -> bool| summary.endings.values().filter(|e| wanted(e)).count();
    let mut lines: Vec<String> =
        summary.retagged.iter().map(|image| line("retagged", json!({ "image": image }))).collect();
    for (tag, error) in &summary.untagged {
        lines.push(line("not-tagged", json!({"tag": tag, "message": error.to_string()})));
    }
    for taken in &summary.taken_names {
        let message = words::taken(taken);
        lines.push(line("name-taken", json!({"tag": taken.tag, "from": taken.from, "message": message})));
    }
    for behind in &summary.outdated_names {
        let message = words::behind(behind);
        lines.push(line("behind", json!({"image": behind.image, "tag": behind.tag, "message": message})));
    }
    lines.extend(publications(summary));
    for (image, ending) in &summary.endings {
        if *ending == Ending::Skipped {
            lines.push(line("skipped", json!({ "image": image })));
        }
    }
    lines.push(line(
        "summary",
        json!({
            "fresh": count(|ending| matches!(ending, Ending::Fresh)),
            "reused": count(|ending| matches!(ending, Ending::Reused)),
            "built": count(|ending| matches!(ending, Ending::Built { .. })),
            "found": count(|ending| matches!(ending, Ending::AlreadyPublished)),
            "retagged": summary.retagged.len(),
            "published": summary.published(),
            "not_published": summary.not_published(),
            "not_fetched": summary.unfetched.len(),
            "not_tagged": summary.untagged.len(),
            "failed": count(|ending| matches!(ending, Ending::Failed(_))),
            "skipped": count(|ending| matches!(ending, Ending::Skipped)),
            "kept": summary.kept.len(),
            "interrupted": summary.interrupted,
            "took_ms": milliseconds(took),
        }),
    ));
    lines
}

fn milliseconds(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::push::PublishError;

    #[test]
    fn each_failed_publication_has_an_event_with_a_text_and_is_counted() {
        let mut told = Summary::default();
        told.publications.insert("nowhere".into(), Publication::NoRegistry);
        let there =
            Publication::Done { at: "r.example/web@sha256:1".into(), moved: vec!["r.example/web:1".into()] };
        told.publications.insert("web".into(), there);
        told.unpublished.insert("api".into(), PublishError::Overtaken);
        told.unfetched.insert("db".into(), PublishError::Overtaken);
        let lines: Vec<Value> = summary(&told, std::time::Duration::ZERO)
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
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
