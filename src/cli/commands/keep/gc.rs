//! `imk gc`: removes what nothing reaches, and says why.

use std::collections::BTreeSet;

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::commands::ask::list::short;
use crate::cli::commands::keep::clean;
use crate::cli::failure::Failure;
use crate::cli::words::quantity;
use crate::cli::{open, out, synced};
use crate::engine::Cancel;
use crate::gc::caches::Unused;
use crate::gc::clean::at_most;
use crate::gc::engine_images::OwnedImage;
use crate::gc::sweep::{self, GcOptions, Sweep, Why};
use crate::plan::{overview, verdicts};
use crate::session::open::Session;
use crate::session::{project, removed_images};

const EXAMPLES: &str = "\
imk gc -n             say what nothing needs any more, how big it is, and why
imk gc                remove it
imk gc --keep 0       keep no past builds beside what is current
imk gc --published    let go of current results too that a registry has";

/// Remove images and records that nothing reaches any more
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct GcArgs {
    /// How many past builds of each image stay
    #[arg(long, value_name = "N", default_value = "3")]
    pub keep: usize,
    /// Let go of current results too that their registry has; the next run that needs one fetches it
    #[arg(long)]
    pub published: bool,
    /// Only say what would go, and why
    #[arg(short = 'n', long, env = "IMK_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

pub fn run(global: &Global, args: &GcArgs) -> Result<(), Failure> {
    // What is current is what a plain `imk` would make, not another stage of it.
    let global = &Global { target: None, ..global.clone() };
    let mut session = open::session(global, !args.dry_run, &Cancel::default())?;
    let all: Vec<String> = project::names(&session.project).into_iter().collect();
    let synced = synced::synced(global, &mut session, &all)?;
    overview::ask_newest_results(&session, &synced);
    let plan = verdicts::plan(&session, &synced, false);
    synced::warn_unanswered(&session);
    removed_images::forget_gone(&session, &plan.keys).map_err(|why| synced::state_error(&session, &why))?;
    let options = GcOptions { keep: args.keep, published: args.published };
    let sweep = sweep::sweep(&session, &synced, &plan, &options);
    let sweep = if args.dry_run {
        sweep
    } else {
        sweep::carry_out(&mut session, &synced, sweep).map_err(|why| synced::state_error(&session, &why))?
    };
    for (_, error) in &sweep.unseen {
        out::warning(format_args!("{error}; its images were not looked at"));
    }
    if args.json {
        out::json(&Answer::of(&session, &sweep, args.dry_run));
    } else {
        if global.verbose {
            for (name, found) in &plan.results {
                out::line(format_args!("{name} {} stays: it is current", short(&found.id.0)));
            }
        }
        print(&session, &sweep, if args.dry_run { "would be removed" } else { "removed" });
    }
    Ok(())
}

fn print(session: &Session, sweep: &Sweep, would: &str) {
    let place = synced::shown_state(session);
    for (held, why) in &sweep.images {
        let (image, size, why) = (clean::image(held), clean::size(held), reason(*why));
        out::line(format_args!("{image} {would}, up to {size}: {why}"));
    }
    for (engine, name) in &sweep.names {
        let on = clean::on(engine);
        out::line(format_args!("`{name}`{on} {would}: imk gave it for a moment, and was killed"));
    }
    clean::stays(&sweep.stays);
    for (file, why) in &sweep.files {
        // What commits take shows when git has swept.
        let size = if file.size_bytes > 0 {
            format!(", {}", quantity::size(file.size_bytes))
        } else {
            String::new()
        };
        out::line(format_args!("{place}/{} {would}{size}: {}", file.name, unused(*why)));
    }
    let images = sweep.images.iter().map(|(held, _)| held);
    let state: u64 = sweep.files.iter().map(|(file, _)| file.size_bytes).sum();
    let mut line = format!(
        "{would}: {} images of up to {}, {} of state",
        sweep.images.len(),
        quantity::size(at_most(images)),
        quantity::size(state)
    );
    for (number, what) in [(sweep.builds, "builds"), (sweep.answers, "answers of registries")] {
        if number > 0 {
            line += &format!(", {number} {what}");
        }
    }
    if sweep.freed_bytes > 0 {
        line += &format!(", {} of imk's own image store", quantity::size(sweep.freed_bytes));
    }
    if !sweep.stays.is_empty() {
        line += &format!("; {} stay", sweep.stays.len());
    }
    out::line(line);
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Superseded => "newer builds took its place",
        Why::Undeclared => "its image is not in the Imagefile any more",
        Why::Published => "its registry has it",
    }
}

fn unused(why: Unused) -> &'static str {
    match why {
        Unused::Log => "its image is not in the Imagefile any more",
        Unused::Evidence => "it explains a build that is not remembered",
        Unused::Document => "not fetched for a month",
        Unused::Repository => "no image uses that repository",
        Unused::Commits => "commits that no image uses",
    }
}

/// The document of `--json`. Sizes are bytes; images share layers, so theirs are at most.
#[derive(Serialize)]
struct Answer<'a> {
    dry_run: bool,
    freed_bytes: u64,
    /// Whether every engine was looked at.
    engine: bool,
    images: Vec<Going<'a>>,
    names: Vec<&'a str>,
    stays: Vec<Staying<'a>>,
    files: Vec<File>,
    builds: usize,
    answers: usize,
    size_at_most: u64,
}

/// An image that goes.
#[derive(Serialize)]
struct Going<'a> {
    #[serde(flatten)]
    image: Staying<'a>,
    size_at_most: Option<u64>,
    why: &'static str,
}

/// An image that stays, though nothing of imk's needs it.
#[derive(Serialize)]
struct Staying<'a> {
    engine: &'a str,
    id: &'a str,
    images: &'a BTreeSet<String>,
    tags: &'a BTreeSet<String>,
}

/// A file of the state that goes.
#[derive(Serialize)]
struct File {
    path: String,
    size: u64,
    why: &'static str,
}

impl<'a> Staying<'a> {
    fn of(held: &'a OwnedImage) -> Self {
        Self { engine: &held.engine, id: &held.id.0, images: &held.images, tags: &held.tags }
    }
}

impl<'a> Answer<'a> {
    fn of(session: &Session, sweep: &'a Sweep, dry_run: bool) -> Self {
        let place = synced::shown_state(session);
        let images = sweep.images.iter().map(|(held, why)| Going {
            image: Staying::of(held),
            size_at_most: held.size_bytes,
            why: reason(*why),
        });
        let files = sweep.files.iter().map(|(file, why)| File {
            path: format!("{place}/{}", file.name),
            size: file.size_bytes,
            why: unused(*why),
        });
        Self {
            dry_run,
            freed_bytes: sweep.freed_bytes,
            engine: sweep.unseen.is_empty(),
            images: images.collect(),
            names: sweep.names.iter().map(|(_, name)| name.as_str()).collect(),
            stays: sweep.stays.iter().map(|(held, _)| Staying::of(held)).collect(),
            files: files.collect(),
            builds: sweep.builds,
            answers: sweep.answers,
            size_at_most: at_most(sweep.images.iter().map(|(held, _)| held)),
        }
    }
}
