//! `imk diff A B`: two builds, two tags or two commits, side by side.

use clap::Args as Group;
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::commands::ask::why::{Cause, Teller};
use crate::cli::failure::{Failure, sync_error};
use crate::cli::{locate, open, out, overrides};
use crate::engine::Cancel;
use crate::explain::diff::{self, NoBuild};
use crate::explain::tree_state::{Asked, Differing, TreeState};
use crate::explain::why::Chain;
use crate::model::hash::ContentHash;
use crate::model::reason::Reason;
use crate::model::time::UnixSeconds;
use crate::session::open::Session;
use crate::session::sync;
use crate::source::git::GitStore;
use crate::source::git::history::Commit;
use crate::source::git::origin::Start;
use crate::state::ledger::Record;

const EXAMPLES: &str = "\
imk diff api@1 api@2          two builds, as `imk log` numbers them
imk diff 3f2a91 77c0de        two builds by their keys
imk diff api:1.0 api:latest   two tags on the engine
imk diff HEAD~3 HEAD web      two commits: what counts of web and of all it is built on";

/// Tell what two builds, two tags or two commits have different of what counts
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Exit status: 0 whether they differ or not, 2 when one of them is not known.")]
#[command(after_long_help = EXAMPLES)]
pub struct DiffArgs {
    /// The one before: IMAGE@N, IMAGE for its newest build, the beginning of a key, a tag or an id; or a commit
    #[arg(value_name = "A")]
    pub before: String,
    /// The one after
    #[arg(value_name = "B")]
    pub after: String,
    /// Of two commits, only these images
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

pub fn run(global: &Global, args: &DiffArgs) -> Result<(), Failure> {
    let plain = Global { since: None, ..global.clone() };
    let session = open::session(&plain, false, &Cancel::default())?;
    let found = [&args.before, &args.after].map(|word| diff::build_named(&session, word));
    if let [Ok(before), Ok(after)] = &found {
        if let Some(image) = args.images.first() {
            let message = format!("`{image}`: images are named only for two commits");
            return Err(Failure::with_hint(message, "two builds say themselves which images they are"));
        }
        return builds(&session, args, before, after);
    }
    let git = GitStore::open(&session.project.root).ok();
    let commits = [&args.before, &args.after].map(|word| git.as_ref()?.commit(word).ok());
    if let ([Some(before), Some(after)], Some(git)) = (&commits, &git) {
        return revisions(global, args, git, before, after);
    }
    let wrong = found.iter().zip([&args.before, &args.after]).zip(&commits);
    let (word, why) = wrong
        .filter_map(|((found, word), commit)| Some((word, found.as_ref().err()?, commit)))
        .min_by_key(|(_, _, commit)| commit.is_some())
        .map_or((&args.before, &NoBuild::Unknown), |(word, why, _)| (word, why));
    Err(no_build(word, why))
}

fn no_build(word: &str, why: &NoBuild) -> Failure {
    let log = "`imk log IMAGE` lists the builds that are remembered";
    match why {
        NoBuild::Unknown => {
            Failure::with_hint(format!("`{word}` is neither a build, nor a tag, nor a commit"), log)
        }
        NoBuild::NotSoMany { image, count } => Failure::with_hint(
            format!("there is no `{word}`: the last that is remembered is `{image}@{count}`"),
            log,
        ),
        NoBuild::Several => {
            Failure::with_hint(format!("several builds have keys that begin with `{word}`"), log)
        }
        NoBuild::NotOurs => {
            Failure::with_hint(format!("no build that is remembered here made `{word}`"), log)
        }
    }
}

fn builds(session: &Session, args: &DiffArgs, before: &Record, after: &Record) -> Result<(), Failure> {
    let Some(causes) = diff::between(session, before, after) else {
        let message = format!("what went into `{}` or `{}` is no more kept", args.before, args.after);
        return Err(Failure::with_hint(message, "imk keeps it of the last builds of every image"));
    };
    let git = GitStore::open(&session.project.root).ok();
    let teller = Teller { session, git, start: Start::Head };
    let chain = Chain { images: vec![after.image.clone()], causes };
    if args.json {
        let (before, after) = (Build::of(before), Build::of(after));
        out::json(&OfBuilds { before, after, causes: teller.causes(&chain) });
        return Ok(());
    }
    match chain.causes.is_empty() {
        true => out::line("nothing that counts is different"),
        false => teller.print(&chain, "", ""),
    }
    Ok(())
}

/// The document of `--json` of two builds.
#[derive(Serialize)]
struct OfBuilds<'a> {
    before: Build<'a>,
    after: Build<'a>,
    causes: Vec<Cause>,
}

/// One of them.
#[derive(Serialize)]
struct Build<'a> {
    image: &'a str,
    key: ContentHash,
    id: &'a str,
    at: UnixSeconds,
}

impl<'a> Build<'a> {
    fn of(record: &'a Record) -> Self {
        Self { image: &record.image, key: record.key, id: &record.id, at: record.at }
    }
}

/// The document of `--json` of two commits.
#[derive(Serialize)]
struct OfCommits<'a> {
    before: &'a Commit,
    after: &'a Commit,
    images: Vec<Image<'a>>,
    gone: Vec<String>,
}

/// An image that is not at both what it is at one.
#[derive(Serialize)]
struct Image<'a> {
    image: &'a str,
    new: bool,
    chain: &'a [String],
    causes: Vec<Cause>,
}

fn revisions(
    global: &Global,
    args: &DiffArgs,
    git: &std::sync::Arc<GitStore>,
    before: &Commit,
    after: &Commit,
) -> Result<(), Failure> {
    let located = locate::located(global)?;
    let overrides = overrides::overrides(global);
    let asked = Asked { located: &located, named: global.file.is_some(), overrides: &overrides };
    let states = |commit: &Commit| -> Result<TreeState, Failure> {
        let tree = git.tree(commit)?;
        TreeState::of_git(&asked, &tree).map_err(|error| open::tree_state_error(error, &tree))
    };
    let (old, mut new) = (states(before)?, states(after)?);
    let mut differing = new.differing(Some(&old));
    let gone: Vec<String> = match args.images.is_empty() {
        true => new.gone(&old).into_iter().cloned().collect(),
        false => {
            let words = &args.images;
            let chosen = sync::choose(&mut new.session, words)
                .map_err(|error| sync_error(error, &new.session, &global.verbs))?;
            differing.retain(|one| chosen.contains(&one.image));
            Vec::new()
        }
    };
    let teller = Teller { session: &new.session, git: Some(git.clone()), start: Start::At(&after.id) };
    if args.json {
        let images = differing.iter().map(|one| Image {
            image: &one.image,
            new: is_new(one),
            chain: &one.chain.images,
            causes: teller.causes(&one.chain),
        });
        let images = images.collect();
        out::json(&OfCommits { before, after, images, gone });
        return Ok(());
    }
    if differing.is_empty() && gone.is_empty() {
        out::line(format_args!("nothing that counts is different"));
    }
    // An image that is chosen without its base has nowhere else to say what is behind it.
    let shown = |name: &String| differing.iter().any(|one| one.image == *name);
    for one in &differing {
        out::line(format_args!("{}", one.chain.images.join(" ← ")));
        if is_new(one) {
            out::line(format_args!("  is new"));
        } else if one.chain.images.len() == 1 || !one.chain.images.last().is_some_and(shown) {
            teller.print(&one.chain, "  ", "");
        }
    }
    for name in gone {
        out::lines([name.as_str(), "  is gone"]);
    }
    Ok(())
}

fn is_new(one: &Differing) -> bool {
    one.chain.images.len() == 1 && one.chain.causes == [Reason::new_image()]
}
