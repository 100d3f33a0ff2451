//! `imk replay`: what imk would have built in the past, beside what others would.

mod page;

use fs_err as fs;
use serde_json::{Value, json};

use super::args::{Global, ReplayArgs};
use super::failure::Failure;
use super::{open, out, words};
use crate::replay::commits::{Asked, replay};
use crate::replay::costs::Replay;
use crate::replay::sums::{Builds, Sums, sums};
use crate::source::git::history::Range;

/// How many images and lines the table shows.
const SHOWN: usize = 10;

pub fn run(global: &Global, args: &ReplayArgs) -> Result<(), Failure> {
    let (ranges, targets): (Vec<String>, Vec<String>) =
        args.words.iter().cloned().partition(|word| word.contains(".."));
    let range = match ranges.as_slice() {
        [] => Range::Last(args.last as usize),
        [range] => Range::Between(range.clone()),
        [_, second, ..] => {
            let message = format!("`{second}` is a second range");
            return Err(Failure::with_hint(message, "replay them one after the other"));
        }
    };
    let located = open::located(global)?;
    let named = global.file.is_some();
    let asked = Asked { range, first_parent: args.first_parent, words: targets, named };
    let replay = replay(&located, &open::overrides(global), &asked)?;
    if let Some(word) = replay.unknown.first() {
        let message = format!("there is no image `{word}` in any of {} commits", replay.steps.len());
        return Err(Failure::with_hint(message, "`imk list` shows those of today"));
    }
    let sums = sums(&replay);
    if let Some(file) = &args.html {
        fs::write(file, page::page(&replay, &sums))?;
    }
    if args.json {
        out::json(&document(&replay, &sums));
        return Ok(());
    }
    if args.trace {
        out::lines(trace(&replay));
    }
    out::lines(table(&replay, &sums));
    if let Some(file) = &args.html {
        out::line("");
        out::line(format_args!("wrote {}", file.display()));
    }
    Ok(())
}

/// The rules by name, each with its figure.
fn rules(builds: &Builds) -> [(&'static str, usize); 4] {
    [
        ("rebuild all", builds.all),
        ("whole context hash", builds.context),
        ("Shipwright's rule", builds.shipwright),
        ("imk", builds.imk),
    ]
}

/// Which commits: `300 commits, 1a2b3c4 (2024-01-02) to 5d6e7f8 (2024-06-07)`.
fn headline(replay: &Replay) -> String {
    let ends = [replay.steps.first(), replay.steps.last()].map(|step| {
        step.map(|step| format!("{} ({})", short(&step.commit.id), day(step.commit.time))).unwrap_or_default()
    });
    match replay.steps.len() {
        0 => "no commits".into(),
        1 => format!("1 commit, {}", ends[0]),
        count => format!("{count} commits, {} to {}", ends[0], ends[1]),
    }
}

fn short(id: &str) -> &str {
    &id[..id.len().min(7)]
}

fn day(time: i64) -> String {
    jiff::Timestamp::from_second(time).map_or_else(|_| "?".into(), |time| time.strftime("%F").to_string())
}

fn share(part: usize, whole: usize) -> String {
    let tenths = (part * 1000 + whole / 2) / whole.max(1);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// What cannot be told, in whole sentences.
fn remarks(replay: &Replay, sums: &Sums) -> Vec<String> {
    let commits = |count: usize| if count == 1 { "1 commit".into() } else { format!("{count} commits") };
    let mut remarks = Vec::new();
    if sums.skipped > 0 {
        let first = replay.steps.iter().find_map(|step| Some((&step.commit.id, step.skipped.as_ref()?)));
        let (id, why) = first.map_or(("", ""), |(id, why)| (short(id), why));
        remarks.push(format!("{} skipped, {id} for one: {why}", commits(sums.skipped)));
    }
    if sums.with_mistakes > 0 {
        let mut all =
            replay.steps.iter().filter_map(|step| Some((&step.commit.id, step.mistakes.first_key_value()?)));
        let (id, name, why) = all.next().map_or(("", "", ""), |(id, (name, why))| (short(id), name, why));
        let with = commits(sums.with_mistakes);
        remarks.push(format!("{with} with mistakes in some image, {id} for one: {name}: {why}"));
    }
    remarks
}

fn table(replay: &Replay, sums: &Sums) -> Vec<String> {
    let mut lines = vec![headline(replay), String::new()];
    lines.push(format!("{:<20} {:>8} {:>8}  commits without a build", "", "builds", "of all"));
    for ((rule, builds), (_, idle)) in rules(&sums.builds).into_iter().zip(rules(&sums.idle)) {
        lines.push(format!("{rule:<20} {builds:>8} {:>8}  {idle}", share(builds, sums.builds.all)));
    }
    let images: Vec<_> = sums.images.iter().filter(|(_, builds)| builds.context > 0).collect();
    if !images.is_empty() {
        let width = images.iter().take(SHOWN).map(|(name, _)| name.len()).max().unwrap_or(0).max(20);
        lines.push(String::new());
        lines.push(format!("{:<width$} {:>8} {:>12} {:>10}", "builds of", "imk", "Shipwright", "context"));
        for (name, builds) in images.iter().take(SHOWN) {
            let Builds { imk, shipwright, context, .. } = builds;
            lines.push(format!("{name:<width$} {imk:>8} {shipwright:>12} {context:>10}"));
        }
        lines.extend(more(images.len(), "image"));
    }
    if !sums.lines.is_empty() {
        lines.push(String::new());
        lines.push("builds of imk, and the lines behind them".to_owned());
        for (line, builds) in sums.lines.iter().take(SHOWN) {
            lines.push(format!("{builds:>8}  {}: {}", line.path, line.text));
        }
        lines.extend(more(sums.lines.len(), "line"));
    }
    let remarks = remarks(replay, sums);
    if !remarks.is_empty() {
        lines.push(String::new());
        lines.extend(remarks);
    }
    lines
}

fn more(count: usize, what: &str) -> Option<String> {
    match count.saturating_sub(SHOWN) {
        0 => None,
        1 => Some(format!("… and 1 more {what}")),
        more => Some(format!("… and {more} more {what}s")),
    }
}

/// Every commit with its builds.
fn trace(replay: &Replay) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &replay.steps {
        lines.push(format!("{} {}", short(&step.commit.id), step.commit.summary));
        lines.extend(step.skipped.iter().map(|why| format!("    skipped: {why}")));
        lines.extend(step.mistakes.iter().map(|(name, why)| format!("    {name}: has mistakes: {why}")));
        let why = |reasons: &[_]| words::first_reason(reasons);
        lines.extend(step.built.iter().map(|job| format!("    {}: {}", job.name, why(&job.reasons))));
    }
    lines.push(String::new());
    lines
}

fn document(replay: &Replay, sums: &Sums) -> Value {
    let images: Vec<Value> =
        sums.images.iter().map(|(name, builds)| json!({"name": name, "builds": builds})).collect();
    let lines: Vec<Value> = sums
        .lines
        .iter()
        .map(|(line, builds)| json!({"dockerfile": line.path, "text": line.text, "builds": builds}))
        .collect();
    json!({
        "start": replay.start,
        "commits": sums.commits,
        "skipped": sums.skipped,
        "with_mistakes": sums.with_mistakes,
        "builds": sums.builds,
        "idle": sums.idle,
        "images": images,
        "lines": lines,
        "history": replay.steps,
    })
}
