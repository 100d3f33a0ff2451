//! `imk why-not IMAGE`: files that do not count, and the rule that says so.

use std::collections::BTreeSet;

use clap::Args as Group;
use serde::Serialize;

use crate::cli::args::{Global, Targets};
use crate::cli::commands::make::plan;
use crate::cli::failure::{Exit, Failure};
use crate::cli::words::rule;
use crate::cli::{locate, out};
use crate::explain::line::InstructionLine;
use crate::explain::why_not::{self, Bearing};
use crate::model::reason::Reason;
use crate::source::git::GitStore;

const EXAMPLES: &str = "\
imk why-not api                 the files that differ from HEAD and do not count for api
imk why-not api README.md       this one
imk why-not api --since v1.0    all that was changed since v1.0";

/// Tell why files do not count for an image: which rule leaves them out
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Exit status: 0 when none of the files counts, 1 when one does and api is not built with it, 2 error.")]
#[command(after_long_help = EXAMPLES)]
pub struct WhyNotArgs {
    /// The image, or a word that means several
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Files and folders, from where you are; without, those that differ from HEAD or from --since
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

pub fn run(global: &Global, args: &WhyNotArgs) -> Result<(), Failure> {
    let located = locate::located(global)?;
    let rev = global.since.as_deref().unwrap_or("HEAD");
    let paths: BTreeSet<String> = if args.paths.is_empty() {
        let git = GitStore::open(&located.root).map_err(|_| {
            let message = "which files are to be told? There is no git repository that knows what changed";
            Failure::with_hint(message, format!("name them: `imk why-not {} PATH`", args.image))
        })?;
        git.changed_since(&git.since(rev)?)?
    } else {
        args.paths.iter().map(|typed| locate::path(global, &located, typed)).collect::<Result<_, _>>()?
    };
    // Here --since says which files, not which images.
    let global = Global { since: None, ..global.clone() };
    let targets = Targets { words: vec![args.image.clone()] };
    let (session, synced, planned) = plan::planned(&global, &targets, false, None)?;
    plan::mistakes(&session, &planned)?;
    let mut counts = false;
    for image in &synced.targets {
        let found = why_not::bearings(&session, &synced, image, &paths)?;
        counts |= found.values().any(|bearing| matches!(bearing, Bearing::Counts { .. }));
        if args.json {
            let files = found.iter().map(|(path, bearing)| File::of(image, path, bearing)).collect();
            out::json(&Answer { image, files });
            continue;
        }
        if found.is_empty() {
            out::line(format_args!("{image}: no file differs from {rev}"));
        }
        for (path, bearing) in found {
            out::line(format_args!("{image}: `{path}` {}", rule::bearing(image, &bearing)));
        }
    }
    if counts { Err(Failure::silent(Exit::NotUpToDate)) } else { Ok(()) }
}

/// The document of `--json` of an image.
#[derive(Serialize)]
struct Answer<'a> {
    image: &'a str,
    files: Vec<File<'a>>,
}

/// A file and its bearing on the image.
#[derive(Serialize)]
#[serde(untagged)]
enum File<'a> {
    Left {
        path: &'a str,
        counts: bool,
        rule: &'static str,
        sentence: String,
    },
    Counts {
        path: &'a str,
        counts: bool,
        image: &'a str,
        read_by: &'a [InstructionLine],
        cause: Option<&'a Reason>,
        sentence: String,
    },
}

impl<'a> File<'a> {
    fn of(image: &str, path: &'a str, bearing: &'a Bearing) -> Self {
        let sentence = rule::bearing(image, bearing);
        match bearing {
            Bearing::DoesNotCount(rule) => {
                Self::Left { path, counts: false, rule: rule::code(rule), sentence }
            }
            Bearing::Counts { image, by, reason } => {
                Self::Counts { path, counts: true, image, read_by: by, cause: reason.as_ref(), sentence }
            }
        }
    }
}
