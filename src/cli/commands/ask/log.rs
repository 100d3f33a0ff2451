//! `imk log IMAGE`: the builds that are remembered, newest first.

use std::collections::BTreeMap;

use clap::Args as Group;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::args::{Global, Targets};
use crate::cli::failure::{Failure, sync_error};
use crate::cli::words::quantity;
use crate::cli::{open, out, words};
use crate::engine::Cancel;
use crate::explain::why;
use crate::session::sync;
use crate::state::ledger::Record;

const EXAMPLES: &str = "\
imk log                          past builds of every image
imk log api -n 3                 the last three of one
imk log api --json               the same for a script";

/// List past builds: when, how long, why
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
A line tells when, which build, the beginnings of its key and of its result's id, how long and why; “same result”
says that it came out as the build before, so that what is built on it was left alone.")]
#[command(after_long_help = EXAMPLES)]
pub struct LogArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Only the newest so many
    #[arg(short = 'n', long = "number", value_name = "N")]
    pub number: Option<usize>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    builds: Vec<Build<'a>>,
}

/// A line of the ledger, and the name of the build.
#[derive(Serialize)]
struct Build<'a> {
    #[serde(flatten)]
    record: &'a Record,
    build: &'a str,
}

pub fn run(global: &Global, args: &LogArgs) -> Result<(), Failure> {
    let mut session = open::session(global, false, &Cancel::default())?;
    let targets = sync::choose(&mut session, &args.targets.words)
        .map_err(|error| sync_error(error, &session, &global.verbs))?;
    let records = why::history(&session, &targets);
    let named = numbered(&records);
    let shown = || named.iter().take(args.number.unwrap_or(usize::MAX));
    if args.json {
        let builds = shown().map(|(name, record)| Build { record, build: name }).collect();
        out::json(&Answer { builds });
        return Ok(());
    }
    let width = shown().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, record) in shown() {
        let at = record.at.timestamp().to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
        let id = record.id.rsplit(':').next().unwrap_or_default();
        let (key, id) = match global.verbose {
            true => (record.key.to_string(), record.id.as_str()),
            false => (record.key.short(8), &id[..id.len().min(12)]),
        };
        let took = quantity::duration(std::time::Duration::from_millis(record.took_ms));
        out::line(format_args!("{at}  {name:<width$}  {key}  {id}  {took:>6}  {}", why(record)));
        let further = record.reasons.iter().skip(1).filter(|_| global.verbose);
        further.for_each(|reason| out::line(format_args!("    {}", words::reason(reason))));
    }
    Ok(())
}

/// Each record with its name, `IMAGE@1` for the oldest that is remembered.
fn numbered(newest_first: &[Record]) -> Vec<(String, &Record)> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for record in newest_first {
        *left.entry(&record.image).or_default() += 1;
    }
    let named = newest_first.iter().map(|record| {
        let number = left.get_mut(record.image.as_str()).map_or(0, |left| std::mem::replace(left, *left - 1));
        (format!("{}@{number}", record.image), record)
    });
    named.collect()
}

fn why(record: &Record) -> String {
    match (record.reasons.is_empty(), record.same) {
        (true, _) => "an earlier result served again".to_owned(),
        (false, false) => words::first_reason(&record.reasons),
        (false, true) => {
            format!("{}; same result, what is built on it was kept", words::first_reason(&record.reasons))
        }
    }
}
