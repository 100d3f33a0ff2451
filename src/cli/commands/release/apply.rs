//! `imk apply`: carries out a plan that was kept, just as it is.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use crate::cli::args::{self, Global};
use crate::cli::commands::make::build::{self, BuildArgs, Going};
use crate::cli::commands::release::occasion::{HookArgs, Hooks};
use crate::cli::commands::release::publish::{self, Consent, PatienceArgs};
use crate::cli::failure::Failure;
use crate::cli::words::release as words;
use crate::cli::{open, out, synced};
use crate::plan::verdicts;
use crate::release::plan_file::{PlanFile, standing_tags};
use crate::release::publish::admitted;
use crate::source::outside;

const EXAMPLES: &str = "\
imk apply plan.json              just what `imk plan -o plan.json` wrote down, or what is not as it was
imk apply -j 8 plan.json         the same, eight images at once";

/// Build what a plan says, and nothing else
///
/// Nothing is done when anything that counts is not as it was when `imk plan -o` wrote the plan.
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct ApplyArgs {
    /// The plan
    #[arg(value_name = "FILE")]
    pub plan: PathBuf,
    /// Publish without the tests of the images and of what they are built on
    #[arg(long, env = "IMK_NO_TEST", value_parser = FalseyValueParser::new())]
    pub no_test: bool,
    /// How long to wait for others.
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// Commands and notices: wanted or not.
    #[command(flatten)]
    pub hooks: HookArgs,
    /// Build so many images at once [default: the number of processors]
    #[arg(short, long, value_name = "N", env = "IMK_JOBS", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// How to show progress
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW", env = "BUILDKIT_PROGRESS")]
    pub progress: args::Progress,
    /// As --progress quiet
    #[arg(short = 's', long, env = "IMK_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// As --progress json
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// Carries out a plan.
///
/// # Errors
/// The failure that is told before the program ends, and its exit status.
pub fn run(global: &Global, args: &ApplyArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let shown = args.plan.display();
    let bytes = outside::read(&args.plan)?;
    let planned = PlanFile::read(&bytes).map_err(|why| {
        Failure::with_hint(format!("`{shown}` is no plan: {why}"), "`imk plan -o FILE` writes one")
    })?;
    let cancel = build::cancel_on_signals(|| {})?;
    let mut session = open::session(global, true, &cancel)?;
    if planned.publish.is_some() {
        publish::complete(&session, &cancel)?;
    }
    let words: Vec<String> = planned.targets.iter().cloned().collect();
    let mut synced = synced::synced(global, &mut session, &words)?;
    let plan = verdicts::plan(&session, &synced, planned.always);
    let gates = match planned.publish {
        Some(_) => Some(admitted(&session, &synced, true).map_err(|error| words::failure(&error))?),
        None => None,
    };
    let tags = gates.map(|gates| standing_tags(&session, &synced, &gates)).transpose();
    let tags = tags.map_err(|why| Failure::error(format!("the tags of the plan: {why}")))?;
    let now = PlanFile::of(&session, &synced, &plan, planned.always, tags);
    let deviations = planned.deviations(&now);
    if !deviations.is_empty() {
        deviations.iter().for_each(|it| out::note(format_args!("{}", words::deviation(it))));
        let message = format!("nothing was done: `{shown}` is a plan for another state");
        return Err(Failure::with_hint(message, "`imk plan -o FILE` makes a plan of what is here now"));
    }
    let typed = BuildArgs {
        targets: args::Targets { words },
        jobs: args.jobs,
        progress: args.progress,
        quiet: args.quiet,
        json: args.json,
        always_make: planned.always,
        ..BuildArgs::default()
    };
    match planned.publish {
        None => build::go(&mut session, &synced, &Going::new(global, &typed), started),
        Some(_) => {
            // Files that are not committed were in the plan, and whoever made it was told.
            let hooks = Hooks::of(&session, args.hooks)?;
            let consent =
                Consent { force: false, untested: args.no_test, patience: args.patience, hooks: &hooks };
            publish::built_and_released(global, &mut session, &mut synced, &typed, consent, started)
        }
    }
    .inspect(|()| {
        if !args.quiet && !args.json {
            out::note(format_args!("as `{shown}` says"));
        }
    })
}
