//! `imk who-uses`: the instructions that read a file, or all that is built on an image.

use clap::Args as Group;
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::words::rule;
use crate::cli::{locate, open, out};
use crate::explain::line::InstructionLine;
use crate::explain::tree_state::TreeState;
use crate::explain::who_uses::{self, Dependent, Reading};

const EXAMPLES: &str = "\
imk who-uses lib/util.py   the instructions that read it, line by line
imk who-uses base          what is built on the image base, directly or not";

/// Say which instructions read a file, or what is built on an image
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
A word with a slash in it is a path, any other an image if there is one of that name.")]
#[command(after_long_help = EXAMPLES)]
pub struct WhoUsesArgs {
    /// A file or folder, from where you are, or an image
    #[arg(value_name = "PATH|IMAGE")]
    pub what: String,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// The document of `--json` of an image.
#[derive(Serialize)]
struct OfImage<'a> {
    image: &'a str,
    users: &'a [Dependent],
}

/// The document of `--json` of a file.
#[derive(Serialize)]
struct OfFile<'a> {
    path: &'a str,
    readers: Vec<ReaderWithUsers<'a>>,
}

/// An image that reads the file, and all that is built on it.
#[derive(Serialize)]
struct ReaderWithUsers<'a> {
    image: &'a str,
    read_by: &'a [InstructionLine],
    users: Vec<String>,
}

pub fn run(global: &Global, args: &WhoUsesArgs) -> Result<(), Failure> {
    let located = locate::located(global)?;
    let state = open::tree_state_of_disk(global, &located)?;
    for (name, why) in state.images.iter().filter_map(|(name, image)| Some((name, image.mistake.as_ref()?))) {
        out::warning(format_args!("`{name}` has mistakes, and what it uses is not known: {why}"));
    }
    let is_image = !args.what.contains('/') && state.images.contains_key(&args.what);
    match is_image {
        true => image(&state, args),
        false => file(&state, args, &locate::path(global, &located, &args.what)?),
    }
    .map(|any| {
        if !any && !args.json {
            out::line(format_args!("nothing uses `{}`", args.what));
        }
    })
}

fn image(state: &TreeState, args: &WhoUsesArgs) -> Result<bool, Failure> {
    let users = who_uses::dependents(&state.session, &state.synced, &args.what);
    if args.json {
        out::json(&OfImage { image: &args.what, users: &users });
    } else {
        for user in &users {
            let by = user.by.as_ref().map(|by| format!(": {}", rule::instruction(by))).unwrap_or_default();
            out::line(format_args!("{}{by}", user.way.join(" ← ")));
        }
    }
    Ok(!users.is_empty())
}

fn file(state: &TreeState, args: &WhoUsesArgs, path: &str) -> Result<bool, Failure> {
    let readers = Reading::new(&state.session, &state.synced).readers(path)?;
    if args.json {
        let with = readers.iter().map(|reader| {
            let users = who_uses::dependents(&state.session, &state.synced, &reader.image);
            let users = users.into_iter().map(|user| user.image).collect();
            ReaderWithUsers { image: &reader.image, read_by: &reader.by, users }
        });
        out::json(&OfFile { path, readers: with.collect() });
        return Ok(true);
    }
    for reader in &readers {
        if reader.by.is_empty() {
            out::line(format_args!("{}: it is its Dockerfile", reader.image));
        }
        for place in &reader.by {
            out::line(format_args!("{}: {}", reader.image, rule::instruction(place)));
        }
    }
    let direct = |name: &str| readers.iter().any(|reader| reader.image == name);
    let mut told: Vec<String> = Vec::new();
    for user in
        readers.iter().flat_map(|reader| who_uses::dependents(&state.session, &state.synced, &reader.image))
    {
        if !direct(&user.image) && !told.contains(&user.image) {
            out::line(format_args!("{}", user.way.join(" ← ")));
            told.push(user.image);
        }
    }
    Ok(!readers.is_empty())
}
