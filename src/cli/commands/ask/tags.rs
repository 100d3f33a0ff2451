//! `imk tags`: the names that images are given, and the newest of those with a time.

use clap::Args as Group;
use serde::Serialize;

use crate::cli::args::{Global, Targets};
use crate::cli::commands::make::plan;
use crate::cli::failure::Failure;
use crate::cli::{open, out, synced, words};
use crate::engine::Cancel;
use crate::plan::tags::newest;
use crate::plan::tags::tagging::{self, Skipped, Tagging};
use crate::plan::verdicts::{Plan, Verdict};

const EXAMPLES: &str = "\
imk tags                         what every image is called now
imk tags api --newest            its newest tag with a time
imk tags --json                  the same for a script";

/// List the names that images are given, or tell the newest tag with a time
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct TagsArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Tell of each image the newest tag with a time, by name, of the engine's and its registry's
    #[arg(long)]
    pub newest: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

pub fn run(global: &Global, args: &TagsArgs) -> Result<(), Failure> {
    if args.newest {
        return newest(global, args);
    }
    let (session, synced, planned) = plan::planned(global, &args.targets, false, None)?;
    let tagging = tagging::tagging(&session, &synced);
    // One image's mistake says nothing of the others' names.
    let is_sound = |name: &&String| {
        !planned.jobs.iter().any(|(job, verdict)| job == *name && matches!(verdict, Verdict::Invalid(_)))
    };
    let targets = || synced.targets.iter().filter(is_sound);
    if args.json {
        let images = targets().map(|name| tagged(&planned, &tagging, name)).collect();
        out::json(&Answer { images });
        return plan::mistakes(&session, &planned);
    }
    let told: Vec<(String, Skipped)> = targets()
        .flat_map(|name| {
            let skipped = tagging.of(name, planned.keys.get(name)).skipped;
            skipped.into_iter().map(|skipped| (name.clone(), skipped))
        })
        .collect();
    plan::skipped_tags(&told).into_iter().for_each(|remark| out::warning(remark.line));
    let width = targets().map(String::len).max().unwrap_or_default();
    for name in targets() {
        for tag in tagged(&planned, &tagging, name).tags {
            let lacks = if tag.lacks { ", which it lacks" } else { "" };
            let more = if global.verbose { format!("  of `{}`{lacks}", tag.template) } else { String::new() };
            out::line(format_args!("{name:<width$}  {}{more}", tag.reference));
        }
    }
    plan::mistakes(&session, &planned)
}

/// The names of an image after a build: with the time that a fresh one has, or with now.
fn references(planned: &Plan, tagging: &Tagging, name: &str) -> Vec<String> {
    let key = planned.keys.get(name);
    let fresh = planned
        .jobs
        .iter()
        .any(|(job, verdict)| job == name && matches!(verdict, Verdict::Fresh | Verdict::Retag(_)));
    match planned.results.get(name).filter(|_| fresh) {
        Some(found) => tagging.references(name, &found.id, &found.key),
        None => tagging.of(name, key).given.into_iter().map(|tag| tag.reference).collect(),
    }
}

/// The document of `--json`: of each image its tags, or the newest of them.
#[derive(Serialize)]
struct Answer<T> {
    images: Vec<T>,
}

/// An image with the tags that it is given.
#[derive(Serialize)]
struct Tagged<'a> {
    name: &'a str,
    tags: Vec<Given>,
    skipped: Vec<Left>,
}

/// A tag, and whether the image lacks it.
#[derive(Serialize)]
struct Given {
    reference: String,
    template: String,
    lacks: bool,
}

/// A template that makes no tag now.
#[derive(Serialize)]
struct Left {
    template: String,
    why: String,
}

/// The newest tag with a time.
#[derive(Serialize)]
struct Latest<'a> {
    name: &'a str,
    reference: &'a str,
    time: &'a str,
    on_engine: bool,
    in_registry: bool,
}

fn tagged<'a>(planned: &Plan, tagging: &Tagging, name: &'a str) -> Tagged<'a> {
    let verdict = planned.jobs.iter().find(|(job, _)| job == name).map(|(_, verdict)| verdict);
    let lacks = |reference: &String| match verdict {
        Some(Verdict::Fresh) => false,
        Some(Verdict::Retag(lacks)) => lacks.contains(reference),
        _ => true,
    };
    let tags = tagging.of(name, planned.keys.get(name));
    let references = references(planned, tagging, name).into_iter();
    let given = references.zip(tags.given).map(|(reference, tag)| Given {
        lacks: lacks(&reference),
        template: tag.template,
        reference,
    });
    let skipped = tags.skipped.into_iter();
    let skipped = skipped.map(|left| Left { why: words::missing(&left.why), template: left.template });
    Tagged { name, tags: given.collect(), skipped: skipped.collect() }
}

fn newest(global: &Global, args: &TagsArgs) -> Result<(), Failure> {
    let mut session = open::session(global, false, &Cancel::default())?;
    let synced = synced::synced(global, &mut session, &args.targets.words)?;
    let (mut found, mut none) = (Vec::new(), Vec::new());
    for name in &synced.targets {
        let told = newest::newest(&session, &synced, name, true);
        let troubles = [told.engine.map(|it| it.to_string()), told.registry.map(|it| it.to_string())];
        for trouble in troubles.iter().flatten() {
            out::warning(format_args!("{name}: {trouble}; it may have a newer tag"));
        }
        // A name that only this engine knows is no name to anybody else.
        match told.published.or(told.newest) {
            Some(newest) => found.push((name, newest)),
            None => none.push(format!("`{name}`")),
        }
    }
    if args.json {
        let images = found.iter().map(|(name, newest)| Latest {
            name,
            reference: &newest.reference,
            time: &newest.time,
            on_engine: newest.on_engine,
            in_registry: newest.in_registry,
        });
        out::json(&Answer { images: images.collect() });
    } else {
        for (_, newest) in &found {
            out::line(&newest.reference);
        }
    }
    if none.is_empty() {
        return Ok(());
    }
    Err(Failure::with_hint(
        format!("there is no tag with a time of {}", none.join(", ")),
        "an image gets one from a tag such as `{time}` in its Imagefile",
    ))
}
