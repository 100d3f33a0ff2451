//! Releases in words: moves, records, and why there is none.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::failure::{Exit, Failure};
use crate::cli::words;
use crate::registry::RegistryError;
use crate::release::moves::TagMove;
use crate::release::plan_file::{Deviation, Step};
use crate::release::publish::ReleaseError;
use crate::release::record::{HeldKey, Kind, Release};
use crate::release::rollback::RollbackError;
use crate::syntax::tag::When;

/// Digits of a digest that are shown.
const DIGITS: usize = 12;
/// How an image gets a registry.
pub const PREFIX_HINT: &str =
    "give it a registry: `prefix: \"registry.example/team/\"` in Imagefile.ron, or --prefix";

/// `3 tags`, `1 tag`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `r.example/web:latest  1a2b… → 3c4d…`.
pub fn step(step: &TagMove) -> String {
    let before = step.before.as_deref().map_or("new", short);
    format!("{}  {before} → {}", step.tag, short(&step.after))
}

fn short(digest: &str) -> &str {
    let hex = digest.rsplit(':').next().unwrap_or(digest);
    hex.get(..DIGITS).unwrap_or(hex)
}

/// The rules of which none admits the build.
pub fn closed(rules: &[When]) -> String {
    if rules.is_empty() {
        return "its `publish` list is empty".into();
    }
    let globs = |globs: &[String]| globs.join(", ");
    let rule = |when: &When| {
        let branch = when.branch.as_ref().map(|branch| format!("branch {}", globs(branch)));
        let tag = when.git_tag.as_ref().map(|tag| format!("git tag {}", globs(tag)));
        branch.into_iter().chain(tag).collect::<Vec<_>>().join(" with ")
    };
    format!("only {}", rules.iter().map(rule).collect::<Vec<_>>().join(" or "))
}

/// The release that is in force after this one.
pub fn restored(release: &Release) -> &str {
    release.in_force()
}

/// Repositories that the log names and no image here has.
pub fn elsewhere(repositories: &BTreeSet<String>) -> String {
    let names: Vec<String> = repositories.iter().map(|name| format!("`{name}`")).collect();
    format!("the log also names {}, which no image here has: left alone", names.join(", "))
}

/// `web (1a2b3c4d)`, each once.
pub fn held(held: &BTreeSet<HeldKey>) -> String {
    held.iter().map(|held| format!("{} ({})", held.image, held.key.short(8))).collect::<Vec<_>>().join(", ")
}

/// A release in the history: what it is, and a line for each image.
pub fn entry(release: &Release, in_force: bool) -> Vec<String> {
    let how = match &release.kind {
        Kind::Publish => String::new(),
        Kind::Rollback { to } => format!("  rolled back to {to}"),
    };
    let commit = release.commit.as_deref().map(|id| format!("  commit {}", id.get(..DIGITS).unwrap_or(id)));
    let now = if in_force { "  in force" } else { "" };
    let mut lines = vec![format!("{}{}{how}{now}", release.id, commit.unwrap_or_default())];
    for image in &release.images {
        let tags: Vec<&str> = image.tags.iter().map(|tag| tag.tag.as_str()).collect();
        lines.push(format!("    {}  {}  {}", image.name, short(&image.digest), tags.join(" ")));
    }
    lines
}

/// Why a set is not released, and how the process exits.
pub fn failure(error: &ReleaseError) -> Failure {
    let why = match error {
        ReleaseError::Registry(why) | ReleaseError::NotMoved { why, .. } => Some(why),
        _ => None,
    };
    let exit = match why.map(|why| &**why) {
        Some(RegistryError::Interrupted) => Exit::Interrupted,
        _ => Exit::Error,
    };
    Failure { exit, ..told(error) }
}

fn told(error: &ReleaseError) -> Failure {
    let names = |names: &BTreeSet<String>| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    match error {
        ReleaseError::Git(why) => Failure::with_hint(
            format!("nothing was published: git does not say where this build stands: {why}"),
            "`imk doctor` tells what git lacks here",
        ),
        ReleaseError::Uncommitted(images) => {
            let (are, it) = if images.len() == 1 { (" is", "it") } else { (" are", "them") };
            Failure::with_hint(
                format!("nothing was published: {}{are} not as the commit has {it}", names(images)),
                "commit first, or --allow-dirty publishes what is here; `imk diff HEAD` shows the difference",
            )
        }
        ReleaseError::NoRegistry(images) => {
            Failure::with_hint(format!("no registry is in the name of {}", names(images)), PREFIX_HINT)
        }
        ReleaseError::Held(keys) => {
            let since: BTreeSet<&str> = keys.iter().map(|key| key.since.as_str()).collect();
            let since = since.into_iter().collect::<Vec<_>>().join(", ");
            Failure::with_hint(
                format!("nothing was published: {} was rolled back by release {since}", held(keys)),
                "a change publishes again, and --force publishes just this",
            )
        }
        ReleaseError::NoTag(images) => {
            let lines = images.iter().map(|(name, why)| format!("{name}: {}", words::missing(why)));
            let message = format!(
                "nothing was published, for a tag is lacking: {}",
                lines.collect::<Vec<_>>().join("; ")
            );
            Failure::with_hint(message, "`imk tags` shows which tags an image gets and which not")
        }
        ReleaseError::Registry(why) => Failure::with_hint(
            format!("nothing was published: {why}"),
            "what was built and uploaded is kept; no tag was moved",
        ),
        ReleaseError::State(why) => Failure::with_hint(
            format!("nothing was published, for the release cannot be written down first: {why}"),
            "a release that is killed is completed from there; see --state-dir",
        ),
        ReleaseError::NotMoved { why, moves } => {
            let tags: Vec<&str> = moves.iter().map(|step| step.tag.as_str()).collect();
            Failure::with_hint(
                format!("no tag was moved: {why}; these would have been: {}", tags.join(", ")),
                "what was built and uploaded is kept; `imk publish` tries again",
            )
        }
        ReleaseError::HalfMoved { why, standing } => half_moved(why, standing),
        ReleaseError::Unsettled { release, cause } => failure(cause).and(Failure::with_hint(
            format!("release {release} still stands in the log as one that is under way"),
            "the next `imk publish` of any machine completes it; `imk rollback` then goes back",
        )),
        ReleaseError::Crossed { release, others, tags } => crossed(release, others, tags),
        ReleaseError::Before(why) => Failure::with_hint(
            format!("nothing was published: {why}"),
            "what was built and uploaded is kept; no tag was moved",
        ),
        ReleaseError::Busy => Failure::with_hint(
            "nothing was published: others published something else each time that it was this machine's turn",
            "what was built and uploaded is kept; try again",
        ),
    }
}

/// Tags that stand as moved, each with what hinders its way back.
fn half_moved(why: &RegistryError, standing: &[(TagMove, RegistryError)]) -> Failure {
    let whole = Failure::with_hint(
        format!("not all tags were moved, and some could not be moved back: {why}"),
        "`imk publish` moves the others too; `imk rollback` goes back to the release before",
    );
    let stands = |(tag, why): &(TagMove, RegistryError)| {
        Failure::error(format!("this tag stands as moved: {}: {why}", step(tag)))
    };
    standing.iter().map(stands).fold(whole, Failure::and)
}

/// Releases that crossed, with what each tag stands for.
fn crossed(release: &str, others: &[String], tags: &BTreeMap<String, Option<String>>) -> Failure {
    let whole = Failure::with_hint(
        format!("release {release} is in the log, and {} crossed it", others.join(", ")),
        "`imk publish` moves all tags to what is here now; `imk rollback` to what was before",
    );
    let stands = |(tag, now): (&String, &Option<String>)| {
        let now = now.as_deref().map_or("nothing", short);
        Failure::error(format!("this tag is not as the log says: `{tag}` stands for {now}"))
    };
    tags.iter().map(stands).fold(whole, Failure::and)
}

/// A line for a deviation from the plan.
pub fn deviation(deviation: &Deviation) -> String {
    let digest =
        |digest: &Option<String>| digest.as_deref().map_or("nothing".to_owned(), |it| short(it).to_owned());
    match deviation {
        Deviation::Gone(image) => format!("  {image}: is not needed any more"),
        Deviation::New(image) => format!("  {image}: is needed now"),
        Deviation::Counts { image, reasons } if reasons.is_empty() => {
            format!("  {image}: its bases are others")
        }
        Deviation::Counts { image, reasons } => format!("  {image}: {}", words::cause::first(reasons, None)),
        Deviation::Step { image, planned, now } => {
            format!("  {image}: {} was planned, and now {}", step_name(*planned), step_name(*now))
        }
        Deviation::Tag { tag, planned, now } => {
            format!("  {tag}: stood for {}, and stands for {}", digest(planned), digest(now))
        }
        Deviation::Tags(tags) => {
            format!("  other tags: {}", tags.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
        }
    }
}

fn step_name(step: Step) -> &'static str {
    match step {
        Step::Fresh => "nothing to do",
        Step::Retag => "a tag",
        Step::Build => "a build",
        Step::Wait => "waiting for its bases",
        Step::Ignored => "files that git ignores",
        Step::Invalid => "a mistake",
    }
}

/// Why there is no way back.
pub fn no_way_back(error: &RollbackError) -> Failure {
    match error {
        RollbackError::NoReleases => {
            Failure::with_hint("there is nothing to go back to: nothing was published", "`imk publish` does")
        }
        RollbackError::Oldest(id) => Failure::with_hint(
            format!("there is no release before {id}"),
            "`imk publish --history` lists them",
        ),
        RollbackError::Unknown { asked, known } => {
            let message = match known.iter().filter(|id| id.starts_with(asked.as_str())).count() {
                0 => format!("there is no release `{asked}`"),
                several => format!("{several} releases begin with `{asked}`"),
            };
            let newest: Vec<&str> = known.iter().rev().take(5).map(String::as_str).collect();
            Failure::with_hint(
                message,
                format!("the newest are {}; `imk publish --history` lists them", newest.join(", ")),
            )
        }
        RollbackError::Release(error) => failure(error),
    }
}
