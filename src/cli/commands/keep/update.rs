//! `imk update`: Imagefile.lock beside what registries say now.

use clap::Args as Group;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, Finding, sync_error};
use crate::cli::{open, out, synced};
use crate::engine::Cancel;
use crate::plan::verdicts::{self, Verdict};
use crate::session::open::Session;
use crate::session::project::lock_path;
use crate::session::update::{self, After, Move, Update};

const EXAMPLES: &str = "\
imk update                       every base
imk update alpine                the bases that go by this name
imk update -n                    only say what would be written";

/// Ask registries what bases are now, and write it to Imagefile.lock
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct UpdateArgs {
    /// Bases, with or without their tag, or images, which stand for all their bases; everything without
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only say what would be written
    #[arg(short = 'n', long, env = "IMK_DRY_RUN")]
    pub dry_run: bool,
}

pub fn run(global: &Global, args: &UpdateArgs) -> Result<(), Failure> {
    let (mut session, update) = asked(global, &args.names, !args.dry_run)?;
    let changes: Vec<&Move> = update.moves.iter().filter(|entry| entry.changes()).collect();
    let shown = update.moves.iter().filter(|entry| entry.changes() || global.verbose);
    shown.for_each(|entry| out::line(told(entry)));
    let file = lock_path(session.project.imagefile.as_deref());
    let written = match (changes.is_empty(), args.dry_run) {
        (true, _) => format!("{file} is up to date"),
        (false, true) => format!("{file} would be written"),
        (false, false) => {
            update::write_lock(&session, &update.lock)?;
            format!("{file} written")
        }
    };
    let rebuilt = if changes.is_empty() { Vec::new() } else { stale(global, &mut session)? };
    if !rebuilt.is_empty() {
        out::line(format_args!("`imk` would now build {}", rebuilt.join(", ")));
    }
    out::line(format_args!("{} asked for, {} changed; {written}", count(update.moves.len()), changes.len()));
    let _ = session.upstream.save();
    unanswered(&update)
}

/// Asks the registries. Who means to write takes turns with other builders.
pub fn asked(global: &Global, names: &[String], exclusive: bool) -> Result<(Session, Update), Failure> {
    if global.offline || global.locked {
        let flag = if global.offline { "--offline" } else { "--locked" };
        let hint = "this verb asks registries what names stand for now; leave the flag out";
        return Err(Failure::with_hint(format!("{flag} forbids what is asked for"), hint));
    }
    let mut session = open::session(global, exclusive, &Cancel::default())?;
    let update =
        update::update(&mut session, names).map_err(|error| sync_error(error, &session, &global.verbs))?;
    Ok((session, update))
}

/// The images that the lock file makes stale, or would.
fn stale(global: &Global, session: &mut Session) -> Result<Vec<String>, Failure> {
    let everything: Vec<String> = session.project.images.keys().cloned().collect();
    let synced = synced::synced(global, session, &everything)?;
    let jobs = verdicts::plan(session, &synced, false).jobs;
    let stale =
        jobs.into_iter().filter(|(_, verdict)| matches!(verdict, Verdict::Stale(_) | Verdict::Waits(_)));
    Ok(stale.map(|(name, _)| format!("`{name}`")).collect())
}

/// Registries that did not say leave the lock file as it was, and that must not look like success.
pub fn unanswered(update: &Update) -> Result<(), Failure> {
    let mut findings = Vec::new();
    for entry in &update.moves {
        findings.push(match &entry.after {
            After::Absent => Finding::new(format!("there is no image `{}` for {}", entry.name, entry.of))
                .hint("is the name right, and was it pushed?"),
            After::Unknown(error) => Finding::new(format!("`{}` stays as it was: {error}", entry.name)),
            After::Is(_) | After::Local | After::Unused => continue,
        });
    }
    Failure::unless_none(findings)
}

/// A name, and what became of it.
pub fn told(entry: &Move) -> String {
    if entry.changes() {
        return sentence(entry);
    }
    let before = entry.before.as_deref().unwrap_or("not locked");
    format!("{} {}: {before}, as it was", entry.name, entry.of)
}

fn sentence(entry: &Move) -> String {
    let before = entry.before.as_deref().unwrap_or("not locked");
    let after = match &entry.after {
        After::Is(digest) => digest.as_str(),
        After::Local => "built here, no registry has it",
        After::Unused => "not used any more",
        After::Absent | After::Unknown(_) => before,
    };
    format!("{} {}: {before} → {after}", entry.name, entry.of)
}

fn count(names: usize) -> String {
    if names == 1 { "1 name".into() } else { format!("{names} names") }
}
