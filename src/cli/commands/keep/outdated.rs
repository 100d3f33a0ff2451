//! `imk outdated`: the bases that are not what Imagefile.lock says.

use clap::Args as Group;
use serde_json::{Value, json};

use crate::cli::args::Global;
use crate::cli::commands::keep::update::{asked, sentence, unanswered};
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
        let entries: Vec<Value> = changes.iter().map(|entry| document(entry)).collect();
        out::json(&json!({ "outdated": entries }));
    } else {
        changes.iter().for_each(|entry| out::line(format_args!("{}", sentence(entry))));
    }
    unanswered(&update)?;
    if changes.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::NotUpToDate)) }
}

fn document(entry: &Move) -> Value {
    let after = match &entry.after {
        After::Is(digest) => Some(digest),
        _ => None,
    };
    json!({"name": entry.name, "of": entry.of, "before": entry.before, "after": after})
}
