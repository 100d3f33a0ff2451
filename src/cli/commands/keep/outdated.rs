//! `imk outdated`: the bases that are not what Imagefile.lock says.

use clap::Args as Group;
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::commands::keep::update::{asked, told, unanswered};
use crate::cli::failure::{Exit, Failure};
use crate::cli::out;
use crate::session::update::{After, Move};

const EXAMPLES: &str = "\
imk outdated                     a line for each base that has moved; exit 1 when there is one
imk outdated api --json          the bases of one image, for a script";

/// List the bases that are not what Imagefile.lock says: exit 0 when there is none, 1 when there are
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct OutdatedArgs {
    /// Bases, with or without their tag, or images, which stand for all their bases; everything without
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

pub fn run(global: &Global, args: &OutdatedArgs) -> Result<(), Failure> {
    let (session, update) = asked(global, &args.names, false)?;
    let _ = session.upstream.save();
    let changes: Vec<&Move> = update.moves.iter().filter(|entry| entry.changes()).collect();
    if args.json {
        out::json(&Answer { outdated: changes.iter().map(|entry| Entry::of(entry)).collect() });
    } else {
        let shown = update.moves.iter().filter(|entry| entry.changes() || global.verbose);
        shown.for_each(|entry| out::line(told(entry)));
    }
    unanswered(&update)?;
    if changes.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::NotUpToDate)) }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    outdated: Vec<Entry<'a>>,
}

/// A base that is not what the lock file says.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    of: &'a str,
    before: Option<&'a str>,
    after: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn of(entry: &'a Move) -> Self {
        let after = match &entry.after {
            After::Is(digest) => Some(digest.as_str()),
            _ => None,
        };
        Self { name: &entry.name, of: &entry.of, before: entry.before.as_deref(), after }
    }
}
