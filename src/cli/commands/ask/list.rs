//! `imk list`: the images of the repository, how they stand and what they are.

use std::collections::BTreeSet;

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use serde::Serialize;

use crate::cli::args::{Global, Targets};
use crate::cli::failure::{Failure, sync_error};
use crate::cli::words::quantity;
use crate::cli::{open, out, synced, table};
use crate::engine::Cancel;
use crate::model::time::UnixSeconds;
use crate::plan::overview::{self, Overview, Standing};
use crate::plan::verdicts;
use crate::session::open::Session;
use crate::session::sync;

const EXAMPLES: &str = "\
imk list              every image: how it stands, what it is called, how big it is
imk list +web         web and all it is built on
imk list -q 'svc-*'   names only, a line each
imk list --json       for scripts; times are absolute there";

/// List the images: how each stands, what it is called, how big it is, when it was built
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct ListArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Names only, a line each; asks nobody
    #[arg(short = 'q', long, conflicts_with = "json")]
    pub names: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

pub fn run(global: &Global, args: &ListArgs) -> Result<(), Failure> {
    let mut session = open::session(global, false, &Cancel::default())?;
    if args.names {
        let chosen = sync::choose(&mut session, &args.targets.words);
        let chosen = chosen.map_err(|error| sync_error(error, &session, &global.verbs))?;
        chosen.iter().for_each(out::line);
        return Ok(());
    }
    let synced = synced::synced(global, &mut session, &args.targets.words)?;
    if let Err(error) = &synced.engine {
        out::warning(format_args!("{error}"));
        out::warning(format_args!("what imk wrote down is believed; the engine may have lost some of it"));
    }
    overview::ask_newest_results(&session, &synced);
    let plan = verdicts::plan(&session, &synced, false);
    let images = overview::overview(&session, &synced, &plan);
    // As after a plan: what was read and heard serves the next run.
    let _ = session.executor.tree.save();
    let _ = session.upstream.save();
    if args.json {
        let images = images.iter().map(|image| Image::of(&session, image)).collect();
        out::json(&Answer { images });
        return Ok(());
    }
    if global.verbose {
        images.iter().for_each(|image| paragraph(&session, image));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = images.iter().map(|image| row(&session, image)).collect();
    let headings = ["image", "state", "tag", "id", "size", "built", "took", "base"];
    for line in table::lines(&headings, &rows, &[7, 2], out::columns()) {
        out::line(line);
    }
    Ok(())
}

fn row(session: &Session, image: &Overview) -> Vec<String> {
    let unknown = || "-".to_owned();
    let record = image.record.as_ref();
    let repository = session.project.images.get(&image.name).map(|declared| declared.repository.as_str());
    let tag = |reference: &String| {
        let short = repository.and_then(|repository| reference.strip_prefix(repository)?.strip_prefix(':'));
        short.unwrap_or(reference).to_owned()
    };
    let tags = match image.tags.as_slice() {
        [] => unknown(),
        [only] => tag(only),
        [first, rest @ ..] => format!("{} +{}", tag(first), rest.len()),
    };
    let size = match (image.size_bytes, record, image.here) {
        (Some(size), ..) => quantity::size(size),
        (None, Some(_), None) => "?".into(),
        (None, Some(_), Some(true)) => "?".into(),
        _ => unknown(),
    };
    let age = |at: UnixSeconds| quantity::ago(session.upstream.now().since(at));
    let took = |ms: u64| quantity::duration(std::time::Duration::from_millis(ms));
    let base = image.base.clone().unwrap_or_else(|| "scratch".into());
    let further = image.bases.iter().filter(|other| **other != base).count();
    vec![
        image.name.clone(),
        standing(image.standing).into(),
        tags,
        record.map_or_else(unknown, |record| short(&record.id)),
        size,
        record.map_or_else(unknown, |record| age(record.at)),
        record.filter(|record| record.took_ms > 0).map_or_else(unknown, |record| took(record.took_ms)),
        if further == 0 { base } else { format!("{base} +{further}") },
    ]
}

/// An image with all that is known of it, a line each.
fn paragraph(session: &Session, image: &Overview) {
    let declared = session.project.images.get(&image.name);
    let record = image.record.as_ref();
    let built = record.map(|record| {
        let took = quantity::duration(std::time::Duration::from_millis(record.took_ms));
        format!("{}, in {took}", quantity::ago(session.upstream.now().since(record.at)))
    });
    let bases: Vec<&str> = image.bases.iter().map(String::as_str).collect();
    let lines = [
        ("description", declared.and_then(|declared| declared.description.clone())),
        ("dockerfile", declared.map(|declared| declared.paths.dockerfile.clone())),
        ("context", declared.map(|declared| declared.paths.context.clone())),
        ("names", Some(image.tags.join(" "))),
        ("base", image.base.clone()),
        ("built on", Some(bases.join(" "))),
        ("id", record.map(|record| record.id.clone())),
        ("key", record.map(|record| record.key.to_string())),
        ("published", record.and_then(|record| record.published.clone())),
        ("size", image.size_bytes.map(quantity::size)),
        ("built", built),
    ];
    out::line(format_args!("{}: {}", image.name, standing(image.standing)));
    for (what, value) in lines {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out::line(format_args!("  {what:<11}  {value}"));
        }
    }
}

/// The first twelve digits of an id.
pub fn short(id: &str) -> String {
    let hex = id.rsplit(':').next().unwrap_or_default();
    hex[..hex.len().min(12)].to_owned()
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Fresh => "fresh",
        Standing::Published => "published",
        Standing::Stale => "stale",
        Standing::Waits => "waits",
        Standing::Blocked => "blocked",
        Standing::Mistake => "mistake",
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    images: Vec<Image<'a>>,
}

/// An image as `--json` shows it. Sizes are bytes, and times absolute.
#[derive(Serialize)]
struct Image<'a> {
    name: &'a str,
    description: Option<&'a str>,
    dockerfile: Option<&'a str>,
    platform: Option<&'a str>,
    state: &'static str,
    tags: &'a [String],
    id: Option<&'a str>,
    key: Option<String>,
    published: Option<&'a str>,
    size: Option<u64>,
    built: Option<String>,
    took_ms: Option<u64>,
    base: Option<&'a str>,
    bases: &'a BTreeSet<String>,
}

impl<'a> Image<'a> {
    fn of(session: &'a Session, image: &'a Overview) -> Self {
        let declared = session.project.images.get(&image.name);
        let record = image.record.as_ref();
        let at = record.map(|record| record.at.timestamp());
        Self {
            name: &image.name,
            description: declared.and_then(|declared| declared.description.as_deref()),
            dockerfile: declared.map(|declared| declared.paths.dockerfile.as_str()),
            platform: declared.and_then(|declared| declared.options.platform.as_deref()),
            state: standing(image.standing),
            tags: &image.tags,
            id: record.map(|record| record.id.as_str()),
            key: record.map(|record| record.key.to_string()),
            published: record.and_then(|record| record.published.as_deref()),
            size: image.size_bytes,
            built: at.map(|at| at.to_string()),
            took_ms: record.map(|record| record.took_ms),
            base: image.base.as_deref(),
            bases: &image.bases,
        }
    }
}
