//! `imk check`: is everything up to date? Answered by exit status, and a line for each image that is not.

use super::args::{CheckArgs, Global};
use super::failure::Failure;
use super::{out, plan};

pub fn run(global: &Global, args: &CheckArgs) -> Result<(), Failure> {
    let (session, _, planned) = plan::planned(global, &args.targets, false, None)?;
    plan::mistakes(&session, &planned)?;
    if !args.quiet {
        for (name, verdict) in &planned.jobs {
            if let Some(text) = plan::sentence(verdict, false) {
                out::line(format_args!("{name}: {text}"));
            }
        }
    }
    if planned.is_fresh() { Ok(()) } else { Err(Failure::silent(1)) }
}
