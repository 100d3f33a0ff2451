//! `imk clean`: takes away what imk knows, and on request what it built.

use std::collections::BTreeSet;

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use crate::cli::args::{Global, Targets};
use crate::cli::commands::ask::list::short;
use crate::cli::failure::{Failure, sync_error};
use crate::cli::words::quantity;
use crate::cli::{open, out, synced};
use crate::engine::Cancel;
use crate::gc::clean::{self, Cleaning, Extent, at_most};
use crate::gc::engine_images::{OwnedImage, Stays};
use crate::session::open::Session;
use crate::session::sync;

const EXAMPLES: &str = "\
imk clean             remove .imk/: what imk knows; nothing is lost but time
imk clean -n          only say what would go, and how big it is
imk clean web         what is kept of web
imk clean web --images   and the images of web that imk built here";

/// Remove what imk knows, of some images or of all; with --images the images it built too
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct CleanArgs {
    /// Which images; with none all of imk's state goes.
    #[command(flatten)]
    pub targets: Targets,
    /// Remove the images too that imk built here; what others named or use stays
    #[arg(long)]
    pub images: bool,
    /// Only say what would go
    #[arg(short = 'n', long, env = "IMK_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
}

pub fn run(global: &Global, args: &CleanArgs) -> Result<(), Failure> {
    let mut session = open::session(global, !args.dry_run, &Cancel::default())?;
    let chosen = match args.targets.words.as_slice() {
        [] => None,
        words => Some(
            sync::choose(&mut session, words).map_err(|error| sync_error(error, &session, &global.verbs))?,
        ),
    };
    let extent = chosen.as_ref().map_or(Extent::All, Extent::Images);
    let planned = clean::to_clean(&session, extent, args.images).map_err(|error| Failure::engine(&error))?;
    let cleaning = if args.dry_run {
        planned
    } else {
        clean::clean(&mut session, extent, planned).map_err(|why| synced::state_error(&session, &why))?
    };
    let would = if args.dry_run { "would be removed" } else { "removed" };
    print(&session, &cleaning, would);
    if args.images && chosen.is_none() && !cleaning.stays.is_empty() && !args.dry_run {
        out::warning(format_args!(
            "with the state gone imk does not know these images any more; `docker rmi` removes them"
        ));
    }
    Ok(())
}

fn print(session: &Session, cleaning: &Cleaning, would: &str) {
    let state = synced::shown_state(session);
    for file in &cleaning.state {
        out::line(format_args!("{state}/{} {would}, {}", file.name, quantity::size(file.size_bytes)));
    }
    for held in &cleaning.images {
        out::line(format_args!("{} {would}, up to {}", image(held), size(held)));
    }
    stays(&cleaning.stays);
    let bytes: u64 = cleaning.state.iter().map(|file| file.size_bytes).sum();
    let mut line = format!("{would}: {} of state, {} builds", quantity::size(bytes), cleaning.builds);
    if !cleaning.images.is_empty() {
        let bytes = quantity::size(at_most(&cleaning.images));
        line += &format!(", {} images of up to {bytes}", cleaning.images.len());
    }
    out::line(line);
}

/// `web 0123456789ab (team/web:latest)`.
pub fn image(held: &OwnedImage) -> String {
    let names = held.images.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let tags: Vec<&str> = held.tags.iter().map(String::as_str).collect();
    let tags = if tags.is_empty() { "no name".to_owned() } else { tags.join(", ") };
    format!("{names} {} ({tags}){}", short(&held.id.0), on(&held.engine))
}

/// `` on engine `big` ``; nothing of one that is alone.
pub fn on(engine: &str) -> String {
    if engine.is_empty() { String::new() } else { format!(" on engine `{engine}`") }
}

/// The size of an image, at most: layers are shared.
pub fn size(held: &OwnedImage) -> String {
    held.size_bytes.map_or_else(|| "an unknown size".into(), quantity::size)
}

/// Images that stay though nothing of imk's needs them.
pub fn stays(stays: &[(OwnedImage, Stays)]) {
    for (held, why) in stays {
        let quoted = |names: &mut dyn Iterator<Item = &String>| {
            names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        let why = match why {
            Stays::Named(tags) => format!("somebody else named it {}", quoted(&mut tags.iter())),
            Stays::Used(containers) => format!("used by the container {}", quoted(&mut containers.iter())),
            Stays::Refused(error) => format!("the engine keeps it: {error}"),
        };
        let names: &BTreeSet<String> = &held.images;
        let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        out::line(format_args!("{names} {}{} stays: {why}", short(&held.id.0), on(&held.engine)));
    }
}
