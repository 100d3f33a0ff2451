//! `imk plan`, `-n` and `-q`: what would be built, and why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use serde::Serialize;

use crate::cli::args::{Global, Targets};
use crate::cli::failure::{Exit, Failure};
use crate::cli::remarks::Remark;
use crate::cli::words::cause;
use crate::cli::{open, out, synced, words};
use crate::engine::Cancel;
use crate::explain::why;
use crate::model::reason::Reason;
use crate::outputs::record::Why;
use crate::plan::outputs::Lacking;
use crate::plan::tags::tagging::{Skipped, together};
use crate::plan::verdicts::{self, Plan, Verdict};
use crate::plan::warnings::{self, Warning};
use crate::release::plan_file::{PlanFile, standing_tags};
use crate::release::publish::admitted;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::source::outside;

const EXAMPLES: &str = "\
imk plan                         what would be built, and why
imk plan base+                   what an edit of base would set off
imk plan --json                  the same for a script
imk plan -o plan.json            and write it down; `imk apply plan.json` carries out just that
imk plan --rev v1.2              what that commit would build here";

/// Say what would be built and why, and touch nothing
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct PlanArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Plan as if the targets were stale
    #[arg(short = 'B', long, env = "IMK_ALWAYS_MAKE", value_parser = FalseyValueParser::new())]
    pub always_make: bool,
    /// Tell every cause, not the first alone
    #[arg(long, env = "IMK_TRACE", value_parser = FalseyValueParser::new())]
    pub trace: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Plan the files of this commit instead of those on the disk
    ///
    /// Nothing is checked out. The files are those that a checkout of the commit would have here: where git calls a
    /// file of the work tree unmodified, that one is taken, with its modes and line ends; what git ignores is as
    /// it lies here, and told. Submodules come from their own repositories; one that is not here is named.
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
    /// Write the plan to this file, for `imk apply`
    #[arg(short, long, value_name = "FILE", conflicts_with = "rev")]
    pub output: Option<PathBuf>,
    /// With the tags that `imk publish` would move
    #[arg(long, requires = "output")]
    pub release: bool,
    /// Plan a publication though files are not as the commit has them
    #[arg(long, requires = "release")]
    pub allow_dirty: bool,
    /// It is asked of a run that publishes, which fails for a tag that cannot be made.
    #[arg(skip)]
    pub publishes: bool,
}

pub fn run(global: &Global, args: &PlanArgs) -> Result<(), Failure> {
    let (session, synced, plan) = planned(global, &args.targets, args.always_make, args.rev.as_deref())?;
    if let Some(file) = &args.output {
        write(&session, &synced, &plan, args, file)?;
    }
    if args.json {
        let job = |(name, verdict)| Job {
            name,
            verdict: VerdictAnswer::from(verdict),
            why: why::why_stale(&session, &plan, name).as_ref().map(cause::chain),
        };
        let images =
            plan.jobs.iter().map(|(name, verdict): &(String, Verdict)| job((name, verdict))).collect();
        let outputs = plan.outputs.iter().map(|lacking| OutputAnswer::of(&session, lacking)).collect();
        out::json(&Answer { images, outputs });
        return ends(&session, &plan, args);
    }
    let remarks = warnings(&session, &synced).into_iter().chain(skipped_tags(&plan.skipped_tags));
    remarks.for_each(|remark| out::warning(remark.line));
    for (name, verdict) in &plan.jobs {
        if let Some(text) = told(verdict, args.trace, global) {
            out::line(format_args!("{name}: {text}"));
        }
    }
    output_lines(&session, &plan);
    let count = |wanted: fn(&Verdict) -> bool| plan.jobs.iter().filter(|(_, v)| wanted(v)).count();
    let mut line = format!(
        "{} fresh, {} to build",
        count(|verdict| *verdict == Verdict::Fresh),
        count(|verdict| matches!(verdict, Verdict::Stale(_)))
    );
    for (number, what) in [
        (count(|verdict| matches!(verdict, Verdict::Waits(_))), "waiting for a base"),
        (count(|verdict| matches!(verdict, Verdict::Retag(_))), "to retag"),
        (count(|verdict| matches!(verdict, Verdict::Ignored(_))), "with files that git ignores"),
        (count(|verdict| matches!(verdict, Verdict::Invalid(_))), "with mistakes"),
        (count(|verdict| matches!(verdict, Verdict::Blocked(_))), "on bases that cannot be built"),
    ] {
        if number > 0 {
            line += &format!(", {number} {what}");
        }
    }
    out::line(format_args!("{line}"));
    ends(&session, &plan, args)
}

/// The failures that a plan foretells: mistakes, and where it is of a run that publishes, tags which that run would
/// have to drop.
fn ends(session: &Session, plan: &Plan, args: &PlanArgs) -> Result<(), Failure> {
    mistakes(session, plan)?;
    let has_registry = |name: &str| session.executor.remote_cache.repository(name).is_some();
    let troubled =
        plan.skipped_tags.iter().filter(|(name, it)| it.why.trouble().is_some() && has_registry(name));
    let troubled = together(troubled.map(|(name, skipped)| (name.as_str(), skipped)));
    let Some((skipped, images)) = troubled.into_iter().next().filter(|_| args.publishes) else {
        return Ok(());
    };
    let names: Vec<String> = images.into_iter().map(|name| format!("`{name}`")).collect();
    Err(Failure::with_hint(
        format!(
            "{} would not be published: the tag `{}` is asked for and cannot be made: {}",
            names.join(", "),
            skipped.template,
            words::missing(&skipped.why)
        ),
        "`imk doctor` tells what git lacks here",
    ))
}

/// Writes the plan down, unless it has mistakes.
fn write(
    session: &Session,
    synced: &Synced,
    plan: &Plan,
    args: &PlanArgs,
    file: &Path,
) -> Result<(), Failure> {
    mistakes(session, plan)?;
    let tags = match args.release {
        true => {
            let gates = admitted(session, synced, args.allow_dirty)
                .map_err(|error| words::release::failure(&error))?;
            let tags = standing_tags(session, synced, &gates);
            Some(tags.map_err(|why| Failure::error(format!("the tags that would be moved: {why}")))?)
        }
        false => None,
    };
    let bytes = PlanFile::of(session, synced, plan, args.always_make, tags).bytes();
    Ok(outside::replace(file, &bytes)?)
}

/// `imk -q`: nothing is said; 0 when everything is fresh, 1 when not.
pub fn question(global: &Global, targets: &Targets, always: bool) -> Result<(), Failure> {
    let (session, _, plan) = planned(global, targets, always, None)?;
    mistakes(&session, &plan)?;
    if plan.is_fresh() { Ok(()) } else { Err(Failure::silent(Exit::NotUpToDate)) }
}

/// With `rev`, the plan of that commit's files by the same ledger.
pub fn planned(
    global: &Global,
    targets: &Targets,
    always: bool,
    rev: Option<&str>,
) -> Result<(Session, Synced, Plan), Failure> {
    let mut session = match rev {
        Some(rev) => open::session_at(global, rev)?,
        None => open::session_to_look(global, &targets.words, false, &Cancel::default())?,
    };
    let synced = synced::synced(global, &mut session, &targets.words)?;
    if let Err(error) = &synced.engine {
        out::warning(format_args!("{error}"));
        out::warning(format_args!(
            "the plan believes what imk wrote down; the engine may have lost some of it"
        ));
    }
    let plan = verdicts::plan(&session, &synced, always);
    // What was read of the files and heard from registries serves the next run; a plan changes nothing else.
    let _ = session.executor.tree.save();
    let _ = session.upstream.save();
    Ok((session, synced, plan))
}

/// A line for each output that would be written.
pub fn output_lines(session: &Session, plan: &Plan) {
    for lacking in &plan.outputs {
        let why = match lacking.why {
            Why::Missing => "it is not there",
            Why::Outdated => "it is of an older result",
            Why::Changed => "it is not as it was written",
        };
        out::line(format_args!(
            "{}: the output `{}` is to be written: {why}",
            lacking.image,
            lacking.shown(session)
        ));
    }
}

pub fn mistakes(session: &Session, plan: &Plan) -> Result<(), Failure> {
    let problems: Vec<_> = plan
        .jobs
        .iter()
        .filter_map(|(_, verdict)| match verdict {
            Verdict::Invalid(problems) => Some(problems),
            _ => None,
        })
        .flatten()
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::problems(problems, |path| session.text(path)))
}

/// As [`sentence`]; with `-v` every cause, and that an image is fresh.
pub fn told(verdict: &Verdict, trace: bool, global: &Global) -> Option<String> {
    let fresh = || (global.verbose && *verdict == Verdict::Fresh).then(|| "fresh".to_owned());
    sentence(verdict, trace || global.verbose).or_else(fresh)
}

/// A verdict in words; nothing of a fresh image.
pub fn sentence(verdict: &Verdict, trace: bool) -> Option<String> {
    let quoted = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    match verdict {
        Verdict::Fresh => None,
        Verdict::Retag(tags) => Some(format!("fresh, lacks the tag {}", quoted(tags))),
        Verdict::Stale(reasons) if trace && !reasons.is_empty() => {
            let all: Vec<String> = reasons.iter().map(words::reason).collect();
            Some(format!("stale, {}", all.join("; ")))
        }
        Verdict::Stale(reasons) => Some(format!("stale, {}", words::first_reason(reasons))),
        Verdict::Waits(bases) => {
            Some(format!("waits for {}: stale unless that comes out the same", quoted(bases)))
        }
        Verdict::Blocked(bases) => Some(format!("needs {}, which cannot be built", quoted(bases))),
        Verdict::Invalid(_) => Some("has mistakes".into()),
        Verdict::Ignored(paths) => Some(words::beyond_git(paths.first()?)),
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    images: Vec<Job<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputAnswer<'a>>,
}

/// An output that would be written.
#[derive(Serialize)]
struct OutputAnswer<'a> {
    image: &'a str,
    output: String,
    why: &'static str,
}

impl<'a> OutputAnswer<'a> {
    fn of(session: &Session, lacking: &'a Lacking) -> Self {
        let why = match lacking.why {
            Why::Missing => "missing",
            Why::Outdated => "outdated",
            Why::Changed => "changed",
        };
        Self { image: &lacking.image, output: lacking.shown(session), why }
    }
}

/// An image and what is to be done with it.
#[derive(Serialize)]
struct Job<'a> {
    name: &'a str,
    #[serde(flatten)]
    verdict: VerdictAnswer<'a>,
    /// The way to the root of why it is stale, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// A verdict, by the word that programs rely on.
#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
enum VerdictAnswer<'a> {
    Fresh,
    Retag { tags: &'a [String] },
    Stale { reasons: &'a [Reason] },
    Waits { bases: &'a [String] },
    Ignored { paths: &'a [String] },
    Blocked { bases: &'a [String] },
    Invalid { mistakes: Vec<&'a str> },
}

impl<'a> From<&'a Verdict> for VerdictAnswer<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Fresh => Self::Fresh,
            Verdict::Retag(tags) => Self::Retag { tags },
            Verdict::Stale(reasons) => Self::Stale { reasons },
            Verdict::Waits(bases) => Self::Waits { bases },
            Verdict::Ignored(paths) => Self::Ignored { paths },
            Verdict::Blocked(bases) => Self::Blocked { bases },
            Verdict::Invalid(problems) => {
                Self::Invalid { mistakes: problems.iter().map(|problem| problem.message.as_str()).collect() }
            }
        }
    }
}

/// Tags that images are not given, each once for all its images.
pub fn skipped_tags(skipped: &[(String, Skipped)]) -> Vec<Remark> {
    let skipped = together(skipped.iter().map(|(image, skipped)| (image.as_str(), skipped)));
    let remark = |(skipped, images): (&Skipped, BTreeSet<&str>)| {
        let names: Vec<&str> = images.iter().copied().collect();
        let why = words::missing(&skipped.why);
        let line = format!("{}: the tag `{}` is left out: {why}", names.join(", "), skipped.template);
        Remark::on(images, line)
    };
    skipped.into_iter().map(remark).collect()
}

/// So many images are named in one warning.
const NAMED: usize = 3;

/// Remarks on Dockerfiles that do what their authors may not want.
pub fn warnings(session: &Session, synced: &Synced) -> Vec<Remark> {
    let remark = |warning: &Warning| Remark::on(warning.images.iter().map(String::as_str), line(warning));
    warnings::warnings(session, synced).iter().map(remark).collect()
}

fn line(warning: &Warning) -> String {
    let about = match warning.images.as_slice() {
        [] => String::new(),
        some if some.len() <= NAMED + 1 => some.join(", ") + ": ",
        many => format!("{} and {} more: ", many[..NAMED].join(", "), many.len() - NAMED),
    };
    format!("{about}{}", warning.message)
}
