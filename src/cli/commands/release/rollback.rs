//! `imk rollback`: all tags as an earlier release left them.

use clap::Args as Group;
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::commands::make::build;
use crate::cli::commands::release::occasion::{HookArgs, Hooks};
use crate::cli::commands::release::publish::{self, PatienceArgs};
use crate::cli::failure::Failure;
use crate::cli::words::release as words;
use crate::cli::{open, out};
use crate::release::publish::Terms;
use crate::release::rollback::{Rollback, rollback};

const EXAMPLES: &str = "\
imk rollback                     what was in force before the last release
imk rollback 20261126T15         what the release left whose id begins so; `imk publish --history` lists them";

/// Move all tags back to what they stood for after an earlier release
///
/// A tag that there was not then stays. Where an image has a tag with the time, the restored result gets a new one, so that the
/// newest by name is what is in force. What was rolled back is not published again before
/// its key changes, or with `imk publish --force`.
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct RollbackArgs {
    /// The release's id, or the beginning of it; without, what was in force before
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
    /// How long to wait for others.
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// Commands and notices: wanted or not.
    #[command(flatten)]
    pub hooks: HookArgs,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
}

/// A rollback as programs are told of it.
#[derive(Serialize)]
struct Document<'a> {
    release: &'a str,
    restored: &'a str,
    moved: Vec<Moved<'a>>,
    stay: Vec<&'a str>,
    elsewhere: Vec<&'a str>,
    held: Vec<Held<'a>>,
}

#[derive(Serialize)]
struct Moved<'a> {
    image: &'a str,
    tag: &'a str,
    before: Option<&'a str>,
    after: &'a str,
}

#[derive(Serialize)]
struct Held<'a> {
    image: &'a str,
    key: String,
}

/// Rolls back.
///
/// # Errors
/// The failure that is told before the program ends, and its exit status.
pub fn run(global: &Global, args: &RollbackArgs) -> Result<(), Failure> {
    let cancel = build::cancel_on_signals(|| {})?;
    let session = open::session(global, true, &cancel)?;
    publish::complete(&session, &cancel)?;
    let hooks = Hooks::of(&session, args.hooks)?;
    let terms = Terms {
        force: false,
        patience: args.patience.time(),
        tell: &publish::tell_waiting,
        before: &|release, moves| hooks.before(&session, release, moves),
    };
    let way = rollback(&session, args.release.as_deref(), &terms)
        .map_err(|error| words::no_way_back(&error))
        .inspect_err(|failure| hooks.failed(&session, "rollback", failure))?;
    tell(&way, args)?;
    match way.moves.is_empty() {
        true => Ok(()),
        false => hooks.after(&session, &way.release, &way.moves),
    }
}

fn tell(way: &Rollback, args: &RollbackArgs) -> Result<(), Failure> {
    if args.json {
        let value = serde_json::to_value(document(way));
        out::json(&value.map_err(|error| Failure::error(error.to_string()))?);
        return Ok(());
    }
    let restored = words::restored(&way.release);
    if !way.elsewhere.is_empty() {
        out::note(words::elsewhere(&way.elsewhere));
    }
    if way.moves.is_empty() {
        out::line(format_args!("every tag stands as after release {restored}"));
        return Ok(());
    }
    for step in &way.moves {
        out::line(format_args!("  {}", words::step(step)));
    }
    for tag in &way.stay {
        out::note(format_args!("`{tag}` there was not then; it stays"));
    }
    out::line(format_args!(
        "release {restored} is in force again: {} moved, as release {}",
        words::count(way.moves.len(), "tag"),
        way.release.id
    ));
    if !way.release.held.is_empty() {
        out::note(format_args!(
            "held, so that nobody publishes it again by mistake: {}; another key, or `imk publish --force`, publishes again",
            words::held(&way.release.held)
        ));
    }
    Ok(())
}

fn document(way: &Rollback) -> Document<'_> {
    Document {
        release: &way.release.id,
        restored: words::restored(&way.release),
        moved: way
            .moves
            .iter()
            .map(|step| Moved {
                image: &step.image,
                tag: &step.tag,
                before: step.before.as_deref(),
                after: &step.after,
            })
            .collect(),
        stay: way.stay.iter().map(String::as_str).collect(),
        elsewhere: way.elsewhere.iter().map(String::as_str).collect(),
        held: way
            .release
            .held
            .iter()
            .map(|held| Held { image: &held.image, key: held.key.to_string() })
            .collect(),
    }
}
