//! `imk pull`: fetches what registries have of the targets, and builds nothing.

use clap::Args as Group;

use crate::build::publish::{self, Pulled};
use crate::cli::args::{Global, Targets};
use crate::cli::failure::{Failure, Finding, said};
use crate::cli::{open, out, synced};
use crate::engine::Cancel;

const EXAMPLES: &str = "\
imk pull api                     fetch api as its files are now, if its registry has it";

/// Fetch what registries have of the targets, and build nothing
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct PullArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
}

pub fn run(global: &Global, args: &PullArgs) -> Result<(), Failure> {
    let mut session = open::session(global, true, &Cancel::default())?;
    let synced = synced::synced(global, &mut session, &args.targets.words)?;
    if let Err(error) = &synced.engine {
        return Err(Failure::engine(error));
    }
    let pulled = publish::pull(&mut session, &synced);
    synced::warn_unanswered(&session);
    session.save().map_err(said)?;
    let mut findings = Vec::new();
    for (name, outcome) in &pulled {
        match outcome {
            Pulled::Here if global.verbose => out::line(format_args!("{name}: here already")),
            Pulled::Here => {}
            Pulled::Fetched => out::line(format_args!("{name}: fetched")),
            Pulled::Nowhere => {
                let message = format!("no registry has image `{name}` as its files are now");
                findings.push(Finding::new(message).hint("`imk` builds it, `imk plan` says why"));
            }
            Pulled::Failed(error) => {
                findings.push(Finding::new(format!("image `{name}` was not fetched: {error}")));
            }
        }
    }
    let count = |wanted: &Pulled| pulled.values().filter(|outcome| *outcome == wanted).count();
    out::line(format_args!("{} here already, {} fetched", count(&Pulled::Here), count(&Pulled::Fetched)));
    Failure::unless_none(findings)
}
