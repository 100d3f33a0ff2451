//! `imk publish`: builds, and then moves the tags of the whole set at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clap::Args as Group;
use serde::Serialize;

use crate::build::publish::Publication;
use crate::build::run::Summary;
use crate::cli::args::Global;
use crate::cli::commands::make::build::{self, BuildArgs, Going};
use crate::cli::commands::release::occasion::{HookArgs, Hooks};
use crate::cli::commands::release::tested::{
    Manner, Tested, attested, built_and_tested, outputs_written, still_tested,
};
use crate::cli::failure::Failure;
use crate::cli::words as build_words;
use crate::cli::words::release as words;
use crate::cli::{open, out, synced};
use crate::engine::Cancel;
use crate::plan::outputs as plan_outputs;
use crate::release::log::{ReleaseLog, within};
use crate::release::moves::TagMove;
use crate::release::publish::{self, Completed, Released, Terms, admitted, release};
use crate::release::record::Release;
use crate::release::turn::Waiting;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::syntax::reference;

const EXAMPLES: &str = "\
imk publish                      build, test, upload, and then move all tags of the default images at once
imk publish api web              these two and no other; what they are built on is published by its key
imk publish --history            what was published, by any machine; `imk rollback` goes back to it";

/// Build and test the targets, upload them, and then move all their tags: all or none
///
/// `imk push` publishes image by image, as each is built, and asks for no test. `imk publish` sends nothing before the
/// tests of the images and of what they are built on have passed, moves no tag before every result is in
/// the registry, moves them all, and takes the moves back when one is refused. Images whose
/// `publish` rules do not admit this build are left out.
#[derive(Clone, Debug, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct PublishArgs {
    /// All that `build` takes.
    #[command(flatten)]
    pub build: BuildArgs,
    /// Publish images though their files are not as the commit has them
    #[arg(long)]
    pub allow_dirty: bool,
    /// Publish results that were rolled back
    #[arg(long)]
    pub force: bool,
    /// Publish without the tests of the images and of what they are built on
    #[arg(long, env = "IMK_NO_TEST", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_test: bool,
    /// How long to wait for others.
    #[command(flatten)]
    pub patience: PatienceArgs,
    /// Commands and notices: wanted or not.
    #[command(flatten)]
    pub hooks: HookArgs,
    /// List what was published, the newest first, and build nothing
    #[arg(long, conflicts_with_all = ["allow_dirty", "force", "words"])]
    pub history: bool,
    /// How many releases --history lists
    #[arg(long, value_name = "N", default_value_t = 20, requires = "history")]
    pub last: usize,
}

/// Publishes, or lists what was published.
///
/// # Errors
/// The failure that is told before the program ends, and its exit status.
pub fn run(global: &Global, args: &PublishArgs) -> Result<(), Failure> {
    if args.history {
        return history(global, args);
    }
    let started = Instant::now();
    let cancel = build::cancel_on_signals(|| {})?;
    let mut session = open::session(global, true, &cancel)?;
    if !args.build.dry_run {
        complete(&session, &cancel)?;
    }
    let mut synced = synced::brought_up(global, &mut session, &args.build.targets.words)?;
    let gates = admitted(&session, &synced, args.allow_dirty).map_err(|error| words::failure(&error))?;
    for (name, rules) in &gates.closed {
        out::note(format_args!("{name}: not published from here: {}", words::closed(rules)));
    }
    if gates.open.is_empty() {
        out::line(format_args!("nothing to publish from here"));
        return Ok(());
    }
    if !gates.closed.is_empty() {
        let names: Vec<String> = gates.open.iter().cloned().collect();
        synced = synced::brought_up(global, &mut session, &names)?;
    }
    if args.build.dry_run {
        drop(session);
        let mut build = args.build.clone();
        build.targets.words = gates.open.into_iter().collect();
        return build::run(global, &build);
    }
    let hooks = Hooks::of(&session, args.hooks)?;
    let consent =
        Consent { force: args.force, untested: args.no_test, patience: args.patience, hooks: &hooks };
    built_and_released(global, &mut session, &mut synced, &args.build, consent, started)
}

/// How long to wait for a release of another machine.
#[derive(Clone, Copy, Debug, Default, Group)]
pub struct PatienceArgs {
    /// How long another machine's release may stand still before it is completed for it [default: 120]
    #[arg(long = "release-wait", value_name = "SECONDS", env = "IMK_RELEASE_WAIT", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub seconds: Option<u64>,
}

impl PatienceArgs {
    /// The time that is waited.
    pub fn time(self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(120))
    }
}

/// Tells why a release takes its time.
pub fn tell_waiting(waiting: Waiting) {
    match waiting {
        Waiting::For(id) => {
            out::note(format_args!("another machine is publishing release {id}: waiting for it"))
        }
        Waiting::Completed(completed) => tell_completed(&completed),
        Waiting::GivenUp { release, why } => out::warning(format_args!(
            "release {release} of another machine was cut off, and cannot be completed: {why}; its tags stay as they are"
        )),
    }
}

/// The consent of the user to what is refused without.
#[derive(Clone, Copy, Debug)]
pub struct Consent<'h> {
    /// Results that were rolled back are published again.
    pub force: bool,
    /// Results whose tests did not pass, or were not run, are published.
    pub untested: bool,
    /// How long to wait for others.
    pub patience: PatienceArgs,
    /// Commands and notices around it.
    pub hooks: &'h Hooks,
}

/// Builds the targets, tests them, uploads the results, and moves all their tags.
///
/// # Errors
/// The failure that is told before the program ends, and its exit status.
pub fn built_and_released(
    global: &Global,
    session: &mut Session,
    synced: &mut Synced,
    args: &BuildArgs,
    consent: Consent<'_>,
    started: Instant,
) -> Result<(), Failure> {
    let released = released(global, session, synced, args, consent, started)
        .inspect_err(|failure| consent.hooks.failed(session, "publish", failure))?;
    tell(&released, args);
    after(session, &released, consent)
}

/// Does what comes after a publication.
///
/// # Errors
/// When a command failed; all stays published.
pub fn after(session: &Session, released: &Released, consent: Consent<'_>) -> Result<(), Failure> {
    match &released.release {
        Some(release) => consent.hooks.after(session, release, &released.moves),
        None => Ok(()),
    }
}

fn released(
    global: &Global,
    session: &mut Session,
    synced: &mut Synced,
    args: &BuildArgs,
    consent: Consent<'_>,
    started: Instant,
) -> Result<Released, Failure> {
    let manner = Manner::new(global, args, started);
    build::outputs(session, synced, args)?;
    if !args.output.is_empty() && !plan_outputs::proofs(session, synced).is_empty() {
        return Err(Failure::with_hint(
            "nothing was published: of an output `type=cacheonly` no image is kept",
            "`imk build -o type=cacheonly` shows that it builds, and `imk test` that it works",
        ));
    }
    let mut tested = match consent.untested {
        true => None,
        false => built_and_tested(session, synced, &manner)?,
    };
    tested.as_ref().map_or(Ok(()), Tested::passed)?;
    sent_and_released(session, synced, tested.as_mut(), &manner, consent)
}

/// Uploads the results, tests what was not tested, and moves all tags.
///
/// # Errors
/// The failure that is told before the program ends, and its exit status.
pub fn sent_and_released(
    session: &mut Session,
    synced: &mut Synced,
    tested: Option<&mut Tested>,
    manner: &Manner<'_>,
    consent: Consent<'_>,
) -> Result<Released, Failure> {
    build::outputs(session, synced, manner.args)?;
    let mut typed = BuildArgs { push: true, ..manner.args.clone() };
    if tested.is_some() {
        // Built before the tests: a second time, it might come out another.
        (typed.always_make, typed.no_cache) = (false, false);
    }
    // The build was told already, where it went before the tests.
    let is_tested = tested.is_some();
    let going = Going {
        withhold_tags: true,
        withhold_outputs: is_tested,
        tells_summary: !is_tested,
        ..Going::new(manner.global, &typed)
    };
    let summary = build::carry_out(session, synced, &going, manner.started)?;
    if let Some((name, lacks)) = summary.incomplete.first_key_value() {
        let hint = "name no platform: the tags of all platforms move together";
        return Err(Failure::with_hint(build_words::incomplete(name, lacks), hint));
    }
    if let Some(tested) = tested {
        still_tested(session, synced, tested, &summary.results, manner)?;
        outputs_written(session, synced, &summary.results, manner)?;
        attested(session, tested, &summary)?;
    }
    let before = |release: &Release, moves: &[TagMove]| consent.hooks.before(session, release, moves);
    let terms = Terms {
        force: consent.force,
        patience: consent.patience.time(),
        tell: &tell_waiting,
        before: &before,
    };
    release(session, synced, &summary.results, &digests(&summary), &terms)
        .map_err(|error| words::failure(&error))
}

/// Completes what a killed run began, so that no tag of it is left behind.
///
/// # Errors
/// When a registry does not take it.
pub fn complete(session: &Session, cancel: &Cancel) -> Result<(), Failure> {
    let registry = session.executor.remote_cache.registry();
    match publish::complete(registry, session.state(), &publish::repositories(session), cancel) {
        Ok(None) => {}
        Ok(Some(completed)) => {
            tell_completed(&completed);
        }
        Err(why) => {
            let hint =
                "nothing is published before that release is complete; try again when the registry answers";
            return Err(Failure::with_hint(
                format!("a release was cut off and cannot be completed: {why}"),
                hint,
            ));
        }
    }
    Ok(())
}

fn tell_completed(completed: &Completed) {
    out::note(format_args!("release {} was cut off, and is complete now", completed.release));
    for tag in &completed.left_alone {
        out::warning(format_args!("`{tag}` was moved by somebody else meanwhile, and was left alone"));
    }
}

/// The digests of the manifests that were put for the results.
fn digests(summary: &Summary) -> BTreeMap<String, String> {
    let digest = |(name, publication): (&String, &Publication)| match publication {
        Publication::Done { at, .. } => Some((name.clone(), reference::parse(at).ok()?.digest?)),
        Publication::Overtaken | Publication::NoRegistry => None,
    };
    summary.publications.iter().chain(&summary.indexes).filter_map(digest).collect()
}

/// The document of `imk publish --json` for the log of releases.
#[derive(Serialize)]
struct Releases<'a> {
    releases: &'a [Release],
    elsewhere: &'a BTreeSet<String>,
    under_way: Vec<&'a str>,
}

/// A release as programs are told of it.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    release: Option<&'a str>,
    tags: Vec<&'a str>,
}

fn tell(released: &Released, args: &BuildArgs) {
    if args.json {
        let release = released.release.as_ref().map(|release| release.id.as_str());
        let tags = released.moves.iter().map(|step| step.tag.as_str()).collect();
        let told = Told { event: "released", release, tags };
        out::event(&serde_json::to_string(&told).unwrap_or_default());
        return;
    }
    let quiet = args.quiet;
    match &released.release {
        _ if quiet => {}
        None => out::line(format_args!("every tag stands for its result already")),
        Some(release) => {
            for step in &released.moves {
                out::line(format_args!("  {}", words::step(step)));
            }
            let images: BTreeSet<&str> = released.moves.iter().map(|step| step.image.as_str()).collect();
            out::line(format_args!(
                "published {} with {} as release {}",
                words::count(images.len(), "image"),
                words::count(released.moves.len(), "tag"),
                release.id
            ));
        }
    }
}

/// The releases, the newest first.
fn history(global: &Global, args: &PublishArgs) -> Result<(), Failure> {
    let session = open::session(global, false, &Cancel::default())?;
    let Some(at) = publish::log_place(&session) else {
        return Err(Failure::with_hint("no image here has a registry in its name", words::PREFIX_HINT));
    };
    let log = ReleaseLog::new(session.executor.remote_cache.registry(), at);
    let unanswered = |error| Failure::error(format!("the log of releases: {error}"));
    let ids = log.ids().map_err(unanswered)?;
    let repositories = publish::repositories(&session);
    let (mut releases, mut elsewhere) = (Vec::new(), BTreeSet::new());
    for id in ids.iter().rev().take(args.last) {
        let Some(release) = log.read(id).map_err(unanswered)? else { continue };
        let (release, others) = within(release, &repositories);
        releases.push(release);
        elsewhere.extend(others);
    }
    let under_way = log.under_way(&repositories).map_err(unanswered)?;
    if args.build.json {
        let under_way = under_way.iter().map(|release| release.id.as_str()).collect();
        out::json(&Releases { releases: &releases, elsewhere: &elsewhere, under_way });
        return Ok(());
    }
    let newest = releases.iter().find(|release| !release.images.is_empty());
    let now = newest.map(Release::in_force).unwrap_or_default().to_owned();
    for release in &releases {
        out::lines(words::entry(release, release.id == now || release.in_force() == now));
    }
    for release in &under_way {
        out::note(format_args!(
            "release {} is under way, or was cut off: then the next `imk publish` completes it",
            release.id
        ));
    }
    if !elsewhere.is_empty() {
        out::note(words::elsewhere(&elsewhere));
    }
    if releases.is_empty() {
        out::line(format_args!("nothing was published yet"));
    }
    if ids.len() > releases.len() {
        out::note(format_args!("{} older ones; --last N shows more", ids.len() - releases.len()));
    }
    Ok(())
}
