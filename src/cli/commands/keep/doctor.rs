//! `imk doctor`: looks everything over that a build rests on, and says what to do.
//!
//! Changes nothing: it opens the repository as `plan` does and saves nothing. Shows no secret.

mod check;
mod embedded;
mod engine;
mod outside;
mod settings;
mod state;
mod tested;

use check::{Check, Level};
use clap::builder::FalseyValueParser;
use clap::{Args as Group, Command};
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::failure::{Exit, Failure};
use crate::cli::out::{self, Line};
use crate::cli::{locate, open};
use crate::engine::Cancel;

const EXAMPLES: &str = "\
imk doctor            engine, registries, clocks, state: a line each, and what to do
imk doctor --json     for bug reports; it holds no secret";

const DOCTOR: &str = "\
Exit status: 0 when nothing fails, 2 when something does.";

/// Look over engine, registries, clocks and state, and say what to do
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = DOCTOR)]
#[command(after_long_help = EXAMPLES)]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

pub fn run(global: &Global, args: &DoctorArgs, command: &Command) -> Result<(), Failure> {
    // What is asked is asked here, one by one, so that each answer can be told.
    let quiet = Global { offline: true, pull: false, ..global.clone() };
    let mut checks = Vec::new();
    let located = locate::located(global)?;
    checks.push(settings::repository(global, &located));
    checks.push(settings::user_config(&located));
    // Opening may mend what is looked at here.
    let files = state::files(global, &located);
    let opened = open::session(&quiet, false, &Cancel::default());
    checks.extend(engine::checks(global, opened.as_ref().ok()));
    checks.extend(files);
    match opened {
        // An engine that cannot be told has failed above.
        Err(failure) if checks.iter().any(|check| check.text == failure.title()) => {}
        Err(failure) => {
            checks.push(Check::fail("Imagefile", failure.title(), "`imk plan` shows the mistake"));
        }
        Ok(mut session) => {
            checks.push(Check::ok("Imagefile", format!("{} images", session.project.images.len())));
            checks.extend(state::comparison(&quiet, &mut session));
            checks.extend(outside::policies(global, &session));
            checks.extend(outside::registries(global, &located, &session));
            checks.extend(outside::git(global, &session));
        }
    }
    checks.extend(settings::machine(&located));
    checks.extend(settings::variables(command));
    let failed = checks.iter().filter(|check| check.level == Level::Fail).count();
    let warned = checks.iter().filter(|check| check.level == Level::Warn).count();
    if args.json {
        out::json(&Answer { checks: &checks, failed, warned });
    } else {
        print(&checks);
        out::line(format_args!(
            "{failed} failed, {warned} to look at, {} fine",
            checks.len() - failed - warned
        ));
    }
    if failed == 0 { Ok(()) } else { Err(Failure::silent(Exit::Error)) }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    checks: &'a [Check],
    failed: usize,
    warned: usize,
}

fn print(checks: &[Check]) {
    let width = checks.iter().map(|check| check.section.len()).max().unwrap_or_default();
    for check in checks {
        let colour = match check.level {
            Level::Ok => anstyle::AnsiColor::Green,
            Level::Warn => anstyle::AnsiColor::Yellow,
            Level::Fail => anstyle::AnsiColor::Red,
        };
        let style = anstyle::Style::new().fg_color(Some(colour.into()));
        let word = check.level.word();
        let check_line = Line::styled(style, format_args!("{word:<4}"));
        out::line(check_line.and(format_args!("  {:<width$}  {}", check.section, check.text)));
        if let Some(advice) = &check.advice {
            out::line(format_args!("      {:<width$}  → {advice}", ""));
        }
    }
}
