//! `imk why IMAGE`: the chain of causes, from the image to the root.

use std::sync::Arc;

use clap::Args as Group;
use serde::Serialize;

use crate::cli::args::{Global, Targets};
use crate::cli::commands::make::plan;
use crate::cli::failure::Failure;
use crate::cli::out;
use crate::cli::words::cause;
use crate::explain::why::{self, Chain};
use crate::explain::{origin, published_builds};
use crate::model::reason::Reason;
use crate::session::open::Session;
use crate::source::git::GitStore;
use crate::source::git::history::Commit;
use crate::source::git::origin::{Origin, Start};

const EXAMPLES: &str = "\
imk why api         api ← base ← `src/util.py` changed: a1b2 → c3d4, commit 9f8e123 “fix units”
imk why api --all   every way to every cause, with a diff of the instructions that changed";

/// Tell the chain of causes: why an image is stale, or was built
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Of an image that is fresh, why it was built the last time. `imk why-not` tells why a file did not count.")]
#[command(after_long_help = EXAMPLES)]
pub struct WhyArgs {
    /// The image, or a word that means several
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Every cause, not the first alone
    #[arg(long)]
    pub all: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

pub fn run(global: &Global, args: &WhyArgs) -> Result<(), Failure> {
    let targets = Targets { words: vec![args.image.clone()] };
    let (session, synced, planned) = plan::planned(global, &targets, false, None)?;
    plan::mistakes(&session, &planned)?;
    let git = GitStore::open(&session.project.root).ok();
    for image in &synced.targets {
        let mut ways = why::every_way(&session, &planned, &synced.order, image);
        let is_stale = !ways.is_empty();
        if !is_stale {
            ways = why::every_way_built(&session, image);
        }
        // Never built here, and perhaps elsewhere: the image's registry knows what went into that one.
        let mut against = None;
        for way in ways.iter_mut().filter(|way| way.causes == [Reason::never_built()]) {
            let last = way.images.last().map(String::as_str).unwrap_or_default();
            if let Some((tag, causes)) = published_builds::against_elsewhere(&session, &synced, last) {
                way.causes = causes;
                against = Some(tag);
            }
        }
        let start = if is_stale { Start::Disk } else { Start::Head };
        let teller = Teller { session: &session, git: git.clone(), start };
        if args.json {
            out::json(&answer(&teller, image, is_stale, &ways));
            continue;
        }
        let what = match is_stale {
            true => match &against {
                Some(tag) => format!("{image} was never built here; against `{tag}`"),
                None => format!("{image} is stale"),
            },
            false => format!("{image} is fresh; it was last built"),
        };
        match ways.as_slice() {
            [] => out::line(format_args!("{image} is fresh; its builds are no more remembered")),
            [first, ..] => {
                let origin = first.causes.first().and_then(|cause| teller.origin(first, cause));
                let cause = cause::first(&first.causes, origin.as_ref());
                out::line(format_args!("{what}: {} ← {cause}", first.images.join(" ← ")));
            }
        }
        if args.all || global.verbose {
            for chain in &ways {
                let below: String = chain.images.iter().skip(1).map(|image| format!("{image} ← ")).collect();
                teller.print(chain, "  ", &below);
            }
        }
    }
    Ok(())
}

/// Tells causes with what git knows of them.
pub struct Teller<'a> {
    pub session: &'a Session,
    /// None outside of a git repository.
    pub git: Option<Arc<GitStore>>,
    pub start: Start<'a>,
}

impl Teller<'_> {
    pub fn origin(&self, chain: &Chain, cause: &Reason) -> Option<Origin> {
        origin::origin(self.session, self.git.as_deref(), chain.images.last()?, cause, self.start)
    }

    /// A line for each cause, with the commit behind it and what changed line by line.
    pub fn print(&self, chain: &Chain, indent: &str, way: &str) {
        if chain.causes.is_empty() {
            out::line(format_args!("{indent}{way}{}", cause::first(&[], None)));
        }
        for reason in &chain.causes {
            let origin = self.origin(chain, reason);
            let lines = cause::lines(reason);
            // The lines hold both values: told before them, they would stand there twice.
            let what = if lines.is_empty() { cause::cause(reason, None) } else { cause::title(reason) };
            out::line(format_args!("{indent}{way}{what}{}", cause::origin(origin.as_ref())));
            for line in lines {
                out::line(format_args!("{indent}    {line}"));
            }
        }
    }

    /// The causes of a chain, each with its commit.
    pub fn causes(&self, chain: &Chain) -> Vec<Cause> {
        let cause = |reason: &Reason| {
            let (mut commit, mut repository) = (None, None);
            let origin = self.origin(chain, reason);
            let uncommitted = origin == Some(Origin::Uncommitted);
            match origin {
                Some(Origin::Commit(found)) => commit = Some(found),
                Some(Origin::Elsewhere { from, commit }) => repository = Some(Elsewhere { from, commit }),
                Some(Origin::Uncommitted) | None => {}
            }
            Cause { reason: reason.clone(), commit, repository, uncommitted }
        };
        chain.causes.iter().map(cause).collect()
    }
}

/// A cause as `--json` shows it.
#[derive(Clone, Serialize)]
pub struct Cause {
    #[serde(flatten)]
    reason: Reason,
    /// The one that brought it, where git knows.
    commit: Option<Commit>,
    /// The other repository that brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<Elsewhere>,
    /// Git knows that no commit did.
    uncommitted: bool,
}

/// Another repository that a file is from.
#[derive(Clone, Serialize)]
struct Elsewhere {
    /// Its address, as docker writes it.
    from: String,
    /// The commit in use, if that has the file as the cause says.
    commit: Option<String>,
}

/// The document of `--json`: the first way, and all of them.
#[derive(Serialize)]
struct Answer<'a> {
    image: &'a str,
    stale: bool,
    chain: &'a [String],
    causes: Vec<Cause>,
    ways: Vec<Way<'a>>,
}

/// A way to a root, and the causes there.
#[derive(Serialize)]
struct Way<'a> {
    chain: &'a [String],
    causes: Vec<Cause>,
}

fn answer<'a>(teller: &Teller<'_>, image: &'a str, is_stale: bool, ways: &'a [Chain]) -> Answer<'a> {
    let ways: Vec<Way<'a>> =
        ways.iter().map(|chain| Way { chain: &chain.images, causes: teller.causes(chain) }).collect();
    let (chain, causes) = ways.first().map(|way| (way.chain, way.causes.clone())).unwrap_or_default();
    Answer { image, stale: is_stale, chain, causes, ways }
}
