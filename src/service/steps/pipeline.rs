//! imk's own pipeline for a repository without steps: `imk ci`, or as much of it as a policy wants.
//!
//! It is a process of its own, called as a person would call it, and read by the reports that it writes for programs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::bounds::Bounds;
use super::command::{End, Running, folder_in};
use super::confinement::Confinement;
use super::environment;
use super::masked::Masked;
use super::task::{Image, Performed, Reach, Task};
use crate::source::outside;

/// More output of a plan is no plan.
const MOST: usize = 16 << 20;

/// Runs it.
///
/// # Errors
/// When it cannot be started.
pub(super) fn run(task: &Task<'_>, place: &Path, until: Instant) -> io::Result<Performed> {
    let home = place.join("home");
    outside::make_folder(&home.join("tmp"))?;
    let file = place.join("report.json");
    let words = words(task, &file)?;
    let folder = folder_in(task.checkout, "")?;
    let environment = environment(task, &home);
    let title = words[1..].iter().filter(|word| !word.to_string_lossy().starts_with('/'));
    let title = title.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let shown = format!("imk {}", title.replace(" --report", ""));
    (task.log)(format!("$ {shown}\n").as_bytes());
    let mut output = Vec::new();
    let running = Running {
        words: &words,
        folder: &folder,
        environment: &environment,
        // It speaks to the engine, which is as good as being this user; nothing of the repository runs in it.
        confinement: &Confinement::Trusted,
        until,
        cancel: task.cancel,
    };
    let is_plan = task.reach == Reach::Plan;
    let mut masked = Masked::new(&task.secrets);
    let mut keep = |bytes: &[u8]| {
        // The answer of a plan is for programs; people get words of it below.
        if !is_plan {
            (task.log)(bytes);
        }
        output.extend_from_slice(&bytes[..bytes.len().min(MOST.saturating_sub(output.len()))]);
    };
    let ended = running.run(&mut |bytes| keep(&masked.push(bytes)));
    keep(&masked.rest());
    let end = ended?;
    let ok = end == End::Exited(0);
    let said = String::from_utf8_lossy(&output);
    let document = if is_plan { json_in(&said) } else { read(&file) };
    let images = document.as_ref().map(images).unwrap_or_default();
    if is_plan {
        let words =
            images.iter().map(|image| format!("{}: {} {}\n", image.name, image.verdict, image.reason));
        let words: String = if ok { words.collect() } else { said.clone().into_owned() };
        (task.log)(words.as_bytes());
    }
    let last =
        said.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['{', '}']));
    let summary = match end {
        End::Overdue => format!("it took longer than {} seconds", task.time_limit.as_secs()),
        End::Cancelled => "it was cancelled".to_owned(),
        End::Exited(_) if is_plan && ok => planned(&images),
        End::Exited(_) => last.unwrap_or("it said nothing").chars().take(300).collect(),
    };
    Ok(Performed { ok, summary, images, report: Vec::new() })
}

fn words(task: &Task<'_>, report: &Path) -> io::Result<Vec<OsString>> {
    let mut words: Vec<OsString> = vec![std::env::current_exe()?.into()];
    let verb: &[&str] = match task.reach {
        Reach::Plan => &["plan", "--json"],
        Reach::Build => &["build", "--progress", "plain"],
        Reach::Test => &["ci", "--no-publish", "--no-hooks", "--progress", "plain"],
        Reach::Publish => &["ci", "--no-hooks", "--progress", "plain"],
    };
    words.extend(verb.iter().map(OsString::from));
    if let Some(imagefile) = &task.imagefile {
        words.extend(["-f".into(), imagefile.into()]);
    }
    if let Some(state) = &task.state {
        words.extend(["--state-dir".into(), state.into()]);
    }
    if matches!(task.reach, Reach::Test | Reach::Publish) {
        words.extend(["--report".into(), report.into()]);
    }
    Ok(words)
}

fn environment(task: &Task<'_>, home: &Path) -> BTreeMap<OsString, OsString> {
    let of_fork = Bounds { trusts_authors: false, ..task.bounds.clone() };
    let bounds = if task.reach == Reach::Plan { &of_fork } else { &task.bounds };
    let mut all = environment::of_imk(task.server, home, bounds, task.docker_config.as_deref());
    // A plan shows what an Imagefile makes of variables, and a fork's Imagefile is a stranger's.
    for (name, value) in task.variables.iter().filter(|_| task.reach != Reach::Plan) {
        all.insert(name.into(), value.into());
    }
    // Whoever is called by an event is called to look.
    all.insert("IMK_PULL".into(), "1".into());
    if task.reach == Reach::Plan {
        all.insert("IMK_PULL_REQUEST".into(), "true".into());
    }
    all
}

fn read(file: &Path) -> Option<Value> {
    serde_json::from_slice(&outside::read(file).ok()?).ok()
}

/// The document in an output that has words of warning before it.
fn json_in(said: &str) -> Option<Value> {
    let at = if said.starts_with('{') { 0 } else { said.find("\n{")? + 1 };
    serde_json::Deserializer::from_str(&said[at..]).into_iter().next()?.ok()
}

/// The images of a plan (`name`) or of a report (`image`).
fn images(document: &Value) -> Vec<Image> {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = document.get("images").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut images: Vec<Image> = list
        .iter()
        .map(|image| {
            let name = Some(text(image, "name")).filter(|name| !name.is_empty());
            let told = [text(image, "message"), text(image, "reason"), text(image, "why")];
            let told = told.into_iter().find(|told| !told.is_empty()).unwrap_or_else(|| reasons(image));
            Image {
                name: name.unwrap_or_else(|| text(image, "image")),
                verdict: text(image, "verdict"),
                reason: told.lines().next().unwrap_or_default().chars().take(500).collect(),
            }
        })
        .collect();
    images.sort_by(|one, other| one.name.cmp(&other.name));
    images
}

/// The reasons of a plan, shortly: the thing that changed, or the bases that are waited for.
fn reasons(image: &Value) -> String {
    let words = |key: &str| image.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let changed = words("reasons").iter().map(|reason| {
        let part = |key: &str| reason.get(key).and_then(Value::as_str).unwrap_or_default();
        format!("{} {}", part("code"), part("subject")).trim().to_owned()
    });
    let other = ["bases", "mistakes", "tags"].into_iter().flat_map(words).filter_map(Value::as_str);
    changed.chain(other.map(str::to_owned)).collect::<Vec<_>>().join(", ")
}

/// `2 of 7 images are out of date`.
fn planned(images: &[Image]) -> String {
    let stale = images.iter().filter(|image| !matches!(image.verdict.as_str(), "fresh" | "ignored")).count();
    match stale {
        0 => "nothing to do: every image is up to date".to_owned(),
        stale => format!("{stale} of {} images are out of date", images.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_and_a_report_are_read_alike() {
        let plan = "warning: x\n{\n \"images\": [{\"name\": \"web\", \"verdict\": \"stale\", \"reasons\": [{\"code\": \"FILE\", \"subject\": \"src/a\"}]}, {\"name\": \"api\", \"verdict\": \"waits\", \"bases\": [\"web\"], \"why\": \"api ← web ← `src/a` changed\"}, {\"name\": \"a\", \"verdict\": \"fresh\"}]}\n";
        let got = images(&json_in(plan).unwrap());
        let words: Vec<String> =
            got.iter().map(|image| format!("{} {} {}", image.name, image.verdict, image.reason)).collect();
        assert_eq!(words, ["a fresh ", "api waits api ← web ← `src/a` changed", "web stale FILE src/a"]);
        assert_eq!(planned(&got), "2 of 3 images are out of date");
        assert_eq!(planned(&got[..1]), "nothing to do: every image is up to date");
        let report = serde_json::json!({"images": [{"image": "web", "verdict": "failed", "message": "it broke\nbadly"}]});
        let [image] = images(&report).try_into().unwrap();
        assert_eq!((image.name.as_str(), image.reason.as_str()), ("web", "it broke"));
        assert_eq!(json_in("no json"), None);
    }
}
