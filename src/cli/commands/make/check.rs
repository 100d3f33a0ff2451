//! `imk check`: is everything up to date? Answered by exit status, and a line for each image that is not.

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use crate::cli::args::{Global, Targets};
use crate::cli::commands::make::plan;
use crate::cli::failure::{Exit, Failure};
use crate::cli::out;

const EXAMPLES: &str = "\
imk check                        a line for each image that is out of date; exit 1 when there is one
imk check -q api && deploy       go on only when api is up to date";

/// Ask whether everything is up to date: exit 0 when it is, 1 when not
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct CheckArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Say nothing
    #[arg(short, long, env = "IMK_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,
}

pub fn run(global: &Global, args: &CheckArgs) -> Result<(), Failure> {
    let (session, _, planned) = plan::planned(global, &args.targets, false, None)?;
    plan::mistakes(&session, &planned)?;
    if !args.quiet {
        for (name, verdict) in &planned.jobs {
            if let Some(text) = plan::told(verdict, false, global) {
                out::line(format_args!("{name}: {text}"));
            }
        }
    }
    if !args.quiet {
        plan::output_lines(&session, &planned);
    }
    if planned.is_fresh() { Ok(()) } else { Err(Failure::silent(Exit::NotUpToDate)) }
}
