//! `imk replay`: what imk would have built in the past, beside what others would.

mod figures;
mod page;

use std::path::PathBuf;

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use figures::{headline, remarks, rules, share, short};
use fs_err as fs;
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, said};
use crate::cli::{locate, out, overrides, words};
use crate::replay::commits::{Asked, replay};
use crate::replay::costs::{Replay, Step};
use crate::replay::sums::{Builds, Sums, sums};
use crate::source::git::history::{Commit, Range};

const EXAMPLES: &str = "\
imk replay                       the last 300 commits
imk replay v1.0..v1.1 api        a stretch of history, for one image
imk replay --html page.html      with charts";

/// Say what imk would have built in the past, commit by commit, beside what others would
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct ReplayArgs {
    /// A range of commits, A..B, and which images, with all they are built on
    #[arg(value_name = "A..B | TARGET")]
    pub words: Vec<String>,
    /// Replay so many commits up to HEAD
    #[arg(long, value_name = "N", default_value = "300", value_parser = clap::value_parser!(u32).range(1..))]
    pub last: u32,
    /// Leave out what merges brought in
    #[arg(long)]
    pub first_parent: bool,
    /// Tell every commit's builds and their causes too
    #[arg(long, env = "IMK_TRACE", value_parser = FalseyValueParser::new())]
    pub trace: bool,
    /// As a stable JSON document
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Write a page with charts to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

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
    let located = locate::located(global)?;
    let named = global.file.is_some();
    let asked = Asked { range, first_parent: args.first_parent, words: targets, named };
    let replay = replay(&located, &overrides::overrides(global), &asked)?;
    if let Some(word) = replay.unknown.first() {
        let message = format!("there is no image `{word}` in any of {} commits", replay.steps.len());
        return Err(Failure::with_hint(message, "`imk list` shows those of today"));
    }
    let sums = sums(&replay);
    if let Some(file) = &args.html {
        fs::write(file, page::page(&replay, &sums)).map_err(said)?;
    }
    if args.json {
        out::json(&Answer::of(&replay, &sums));
        return Ok(());
    }
    if args.trace || global.verbose {
        out::lines(trace(&replay));
    }
    out::lines(table(&replay, &sums));
    if let Some(file) = &args.html {
        out::line("");
        out::line(format_args!("wrote {}", file.display()));
    }
    Ok(())
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
        let ignored = step.ignored.iter();
        lines.extend(ignored.map(|(name, path)| format!("    {name}: {}", words::beyond_git(path))));
        let why = |reasons: &[_]| words::first_reason(reasons);
        lines.extend(step.built.iter().map(|job| format!("    {}: {}", job.name, why(&job.reasons))));
    }
    lines.push(String::new());
    lines
}

/// The document of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    start: Option<&'a Commit>,
    commits: usize,
    skipped: usize,
    with_mistakes: usize,
    with_ignored: usize,
    builds: Builds,
    idle: Builds,
    images: Vec<ImageSum<'a>>,
    lines: Vec<LineSum<'a>>,
    history: &'a [Step],
}

#[derive(Serialize)]
struct ImageSum<'a> {
    name: &'a str,
    builds: Builds,
}

#[derive(Serialize)]
struct LineSum<'a> {
    dockerfile: &'a str,
    text: &'a str,
    builds: usize,
}

impl<'a> Answer<'a> {
    fn of(replay: &'a Replay, sums: &'a Sums) -> Self {
        let images = sums.images.iter().map(|(name, builds)| ImageSum { name, builds: *builds });
        let lines = sums.lines.iter().map(|(line, builds)| LineSum {
            dockerfile: &line.path,
            text: &line.text,
            builds: *builds,
        });
        Self {
            start: replay.start.as_ref(),
            commits: sums.commits,
            skipped: sums.skipped,
            with_mistakes: sums.with_mistakes,
            with_ignored: sums.with_ignored,
            builds: sums.builds,
            idle: sums.idle,
            images: images.collect(),
            lines: lines.collect(),
            history: &replay.steps,
        }
    }
}
