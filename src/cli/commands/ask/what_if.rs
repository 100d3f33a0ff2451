//! `imk what-if`: what would be built, how long it would take and what would be sent.

use std::sync::Arc;
use std::time::Duration;

use clap::Args as Group;
use serde::Serialize;

use crate::cli::args::{Global, pair};
use crate::cli::commands::make::build;
use crate::cli::failure::{Failure, said};
use crate::cli::words::quantity;
use crate::cli::{locate, open, out, overrides, words};
use crate::explain::tree_state::{Asked, Differing};
use crate::explain::what_if::{Answer, Suppositions, what_if};
use crate::model::reason::Reason;
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::source::supposed::Supposition;
use crate::state::ledger::Ledger;

const EXAMPLES: &str = "\
imk what-if lib/util.py          if this file changed, or were new
imk what-if --rm docs            if this folder were gone
imk what-if --base debian:12     if this base were another image
imk what-if --arg VERSION=2      if this build argument had another value";

/// Say what would be built if files, arguments or a base changed, how long it takes and what it sends
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Nothing is built, changed or asked of an engine. Times are those of past builds, bytes are all that is read.")]
#[command(after_long_help = EXAMPLES)]
pub struct WhatIfArgs {
    /// Files or folders that would be of another content, from where you are
    #[arg(value_name = "PATH", required_unless_present_any = ["gone", "bases", "args"])]
    pub paths: Vec<String>,
    /// A file or folder that would be gone
    #[arg(long = "rm", value_name = "PATH")]
    pub gone: Vec<String>,
    /// A base that would be another image: a reference, with or without its tag, or an image of the repository
    #[arg(long = "base", value_name = "REF")]
    pub bases: Vec<String>,
    /// A build argument that would have this value
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    pub args: Vec<(String, String)>,
    /// Build so many images at once, for the time it takes [default: the number of processors]
    #[arg(short, long, value_name = "N", env = "IMK_JOBS", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

pub fn run(global: &Global, args: &WhatIfArgs) -> Result<(), Failure> {
    let located = locate::located(global)?;
    let place = |typed: &String| locate::path(global, &located, typed);
    let changed = args.paths.iter().map(place).collect::<Result<_, _>>()?;
    let gone = args.gone.iter().map(place).collect::<Result<_, _>>()?;
    let what = Suppositions {
        files: Supposition { changed, gone },
        args: args.args.iter().cloned().collect(),
        bases: args.bases.clone(),
    };
    let state = locate::state(global, &located)?;
    let disk = Arc::new(DiskTree::open(&located.root, &state)?);
    let ledger = Ledger::open_read_only(&state).map_err(said)?;
    let overrides = overrides::overrides(global);
    let asked = Asked { located: &located, named: global.file.is_some(), overrides: &overrides };
    let jobs = args.jobs.map_or_else(build::processors, usize::from);
    let find = || discover(&located.root, &state);
    let answer = what_if(&asked, &disk, find, &what, &ledger, jobs)
        .map_err(|error| open::tree_state_error(error, &*disk))?;
    if let Some(base) = answer.unknown.first() {
        let message = format!("no image is built on `{base}`");
        return Err(Failure::with_hint(message, "`imk graph` shows what is built on what"));
    }
    warn(&what, located.imagefile.as_deref());
    if args.json {
        out::json(&Shown::of(&answer, jobs));
        return Ok(());
    }
    for differing in &answer.images {
        out::line(format_args!("{}: {}", differing.image, why(&answer, differing)));
    }
    out::line(summary(&answer, jobs));
    Ok(())
}

/// Files whose text does not count itself: what a change of them does depends on what they say then.
fn warn(what: &Suppositions, imagefile: Option<&str>) {
    for path in what.files.changed.iter().chain(&what.files.gone) {
        let name = path.rsplit('/').next().unwrap_or_default();
        if Some(path.as_str()) == imagefile || name.ends_with(".dockerignore") || name.ends_with(".lock") {
            out::warning(format_args!(
                "what a change of `{path}` does depends on what it says then: `imk plan` tells once it is made"
            ));
        }
    }
}

fn why(answer: &Answer, differing: &Differing) -> String {
    let why = match differing.chain.images.as_slice() {
        [_, base, ..] => format!("on `{base}`, unless that comes out the same"),
        _ => words::first_reason(&differing.chain.causes),
    };
    match answer.mistakes.get(&differing.image) {
        Some(mistake) => format!("{why}; it could not be built: {mistake}"),
        None => why,
    }
}

fn summary(answer: &Answer, jobs: usize) -> String {
    let images = match answer.images.len() {
        0 => return "nothing would be built".into(),
        1 => "1 image".into(),
        count => format!("{count} images"),
    };
    let took = quantity::duration(Duration::from_millis(answer.estimate.wall));
    let sent = quantity::bytes(answer.bytes);
    let mut line = format!("{images}, about {took} with {jobs} at once, at most {sent} sent");
    match answer.estimate.guessed.len() {
        0 => {}
        all if all == answer.images.len() => {
            line += " (no build of any is remembered: the time is only guessed)";
        }
        some => line += &format!(" (no build of {some} of them is remembered: their time is guessed)"),
    }
    line
}

/// The document of `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    images: Vec<Image<'a>>,
    ms: u64,
    jobs: usize,
    bytes: u64,
}

/// An image that would be built, and how long that takes.
#[derive(Serialize)]
struct Image<'a> {
    name: &'a str,
    chain: &'a [String],
    causes: &'a [Reason],
    ms: Option<u64>,
    guessed: bool,
    mistake: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(answer: &'a Answer, jobs: usize) -> Self {
        let image = |differing: &'a Differing| Image {
            name: &differing.image,
            chain: &differing.chain.images,
            causes: &differing.chain.causes,
            ms: answer.estimate.images.get(&differing.image).copied(),
            guessed: answer.estimate.guessed.contains(&differing.image),
            mistake: answer.mistakes.get(&differing.image).map(String::as_str),
        };
        let images = answer.images.iter().map(image).collect();
        Self { images, ms: answer.estimate.wall, jobs, bytes: answer.bytes }
    }
}
