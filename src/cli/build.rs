//! `imk` and `imk build`: builds what is out of date.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::args::{self, BuildArgs, Global, PlanArgs};
use super::failure::Failure;
use super::progress::Progress;
use super::{ci, engines, open, out, plan, records, words};
use crate::build::jobserver::{Jobserver, Makeflags};
use crate::build::publish::Shelved;
use crate::build::run::{self, BuildOptions, Ending, Event, Summary};
use crate::engine::{Caches, Cancel, EngineError};
use crate::query::effect::BuildError;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::source::outside;
use crate::syntax::imagefile;

pub fn run(global: &Global, args: &BuildArgs) -> Result<(), Failure> {
    let make = Makeflags::read(&std::env::var("MAKEFLAGS").unwrap_or_default());
    // `make -n` still runs the lines of a recipe that begin with `+`, and nothing is to be built by them.
    if args.dry_run || make.dry_run {
        let plan = PlanArgs {
            targets: args.targets.clone(),
            always_make: args.always_make || args.no_cache,
            trace: args.trace,
            json: args.json,
            rev: None,
        };
        return plan::run(global, &plan);
    }
    if args.question {
        return plan::question(global, &args.targets, args.always_make);
    }
    let started = Instant::now();
    let (jobs, jobserver) = at_once(args.jobs, &make);
    let at_exit = jobserver.clone();
    let cancel = cancel_on_signals(move || at_exit.iter().for_each(|jobserver| jobserver.give_back()))?;
    let mut session = open::session(global, true, &cancel)?;
    let synced = open::synced(&mut session, &args.targets.words)?;
    if cancel.is_cancelled() {
        return Err(Failure::silent(130));
    }
    caches(args)?;
    let going = Going { jobs, jobserver, ..Going::new(global, args) };
    go(&mut session, &synced, &going, started)
}

/// How a build is gone about, beside what was typed.
pub struct Going<'a> {
    /// What was typed for every verb.
    pub global: &'a Global,
    /// What was typed.
    pub args: &'a BuildArgs,
    /// How many images at once, where that is said.
    pub jobs: Option<usize>,
    /// Who else has a say in it.
    pub jobserver: Option<Arc<Jobserver>>,
    /// What is kept of it for the next run.
    pub keep: Keep,
    /// Is told what the display is told.
    pub tell: Arc<dyn Fn(&Event) + Send + Sync>,
    /// It is tried again when files change: then that is no failure, and nothing is said of it.
    pub retries: bool,
}

impl<'a> Going<'a> {
    /// As `imk build` goes about it.
    pub fn new(global: &'a Global, args: &'a BuildArgs) -> Self {
        let jobs = args.jobs.map(usize::from);
        let tell: Arc<dyn Fn(&Event) + Send + Sync> = Arc::new(|_| {});
        Self { global, args, jobs, jobserver: None, keep: Keep::Everything, tell, retries: false }
    }
}

/// What a build leaves behind beside its results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All that the next run can use.
    Everything,
    /// What was read: the rest would be taken for the work tree's.
    Files,
}

impl Keep {
    fn save(self, session: &mut Session) -> std::io::Result<()> {
        match self {
            Self::Everything => session.save(),
            Self::Files => session.executor.tree.save().and_then(|()| session.upstream.save()),
        }
    }
}

/// Builds what a session was brought up to date for, and tells how it went.
pub fn go(
    session: &mut Session,
    synced: &Synced,
    going: &Going<'_>,
    started: Instant,
) -> Result<(), Failure> {
    let args = going.args;
    if let Err(error) = &synced.engine {
        return Err(no_engine(session, synced, error));
    }
    let cache = caches(args)?;
    records::prepare(going.global, &args.records, synced)?;
    let problems = run::problems(session, synced, args.always_make || args.no_cache);
    if !problems.is_empty() && !args.keep_going {
        let all = problems.values().flatten();
        let failure = Failure::problems(all, |path| session.text(path));
        // What was read is worth keeping though nothing was built.
        let _ = going.keep.save(session);
        return Err(failure);
    }
    plan::warnings(session, synced);
    let how = match (args.quiet, args.json) {
        (true, _) => args::Progress::Quiet,
        (false, true) => args::Progress::Json,
        (false, false) => args.progress,
    };
    let progress = Arc::new(Progress::new(how, args.trace, session.state().clone()));
    let (shown, told, retries) = (Arc::clone(&progress), Arc::clone(&going.tell), going.retries);
    let tell: Arc<dyn Fn(Event) + Send + Sync> = Arc::new(move |event| {
        told(&event);
        let retried =
            matches!(&event, Event::Ended(_, Ending::Failed(error), _) if retries && is_passing(error));
        if !retried {
            shown.event(event);
        }
    });
    let options = BuildOptions {
        jobs: going.jobs.unwrap_or_else(|| engines::jobs(&session.executor.pool())),
        keep_going: args.keep_going,
        always: args.always_make || args.no_cache,
        no_cache: args.no_cache,
        push: args.push,
        load: args.load,
        cache,
        epoch: epoch()?,
        jobserver: going.jobserver.clone(),
    };
    let mut summary = run::build(session, synced, &options, &tell);
    if let Err(error) = going.keep.save(session) {
        out::warning(format_args!(
            "what imk learned could not be kept: {error}; the next run will be slower"
        ));
    }
    if going.retries {
        for ending in summary.endings.values_mut() {
            if matches!(ending, Ending::Failed(error) if is_passing(error)) {
                *ending = Ending::Skipped;
            }
        }
    }
    let took = started.elapsed();
    let line = summary_line(&summary, took);
    progress.summary(&summary, took);
    if let (Some(rows), Some(file)) = (progress.rows(&summary), std::env::var_os("GITHUB_STEP_SUMMARY")) {
        // A summary that cannot be written is no reason to fail a job whose images are built.
        let _ = outside::append(Path::new(&file), ci::summary(&rows, &line).as_bytes());
    }
    // Programs were told already.
    if !progress.is_for_programs() {
        failures(session, &summary, &progress);
        open::silent(session);
        plan::skipped_tags(&summary.skipped_tags);
        if how != args::Progress::Quiet {
            out::line(format_args!("{line}"));
        }
    }
    match verdict(&summary) {
        0 => records::write(going.global, &args.records, synced, &summary),
        code => Err(Failure::silent(code)),
    }
}

/// A failure that says only that the world went on, or that somebody asked to stop.
fn is_passing(error: &BuildError) -> bool {
    matches!(
        error,
        BuildError::FilesChanged
            | BuildError::Engine(EngineError::FileChanged { .. } | EngineError::Interrupted)
    )
}

/// The time that published images bear: SOURCE_DATE_EPOCH (reproducible-builds.org), else now.
fn epoch() -> Result<i64, Failure> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.trim().parse().map_err(|_| {
            let hint = "it is a number of seconds since 1970; unset it to use the time of the run";
            Failure::with_hint(format!("SOURCE_DATE_EPOCH is `{text}`"), hint)
        }),
        Err(_) => Ok(jiff::Timestamp::now().as_second()),
    }
}

/// How many images at once, where that is said, and who else has a say in it.
fn at_once(typed: Option<u16>, make: &Makeflags) -> (Option<usize>, Option<Arc<Jobserver>>) {
    let warn = |text: &str| out::warning(format_args!("{text}"));
    match (typed, &make.jobserver) {
        (typed, None) => (typed.map(usize::from), None),
        (Some(jobs), Some(_)) => {
            warn(&format!("-j{jobs} given: make's jobserver is not asked"));
            (Some(usize::from(jobs)), None)
        }
        (None, Some(address)) => match Jobserver::open(address) {
            Ok(jobserver) => (make.jobs, Some(Arc::new(jobserver))),
            Err(_) => {
                warn(
                    "make's jobserver is not available: using -j1; add `+` to the line of the parent make's rule",
                );
                (Some(1), None)
            }
        },
    }
}

pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The layer caches of the command line.
fn caches(args: &BuildArgs) -> Result<Caches, Failure> {
    let refused = |(message, hint): (String, String)| Failure::with_hint(message, hint);
    let from = args.cache_from.iter().map(|text| imagefile::cache_source(text).map_err(refused));
    for text in &args.cache_to {
        imagefile::cache_target(text).map_err(refused)?;
    }
    Ok(Caches { from: from.collect::<Result<_, _>>()?, inline: !args.cache_to.is_empty() })
}

/// Ctrl-C and a polite kill stop the engine's builds; a second one ends imk at once, after `at_exit`.
pub fn cancel_on_signals(at_exit: impl Fn() + Send + 'static) -> Result<Cancel, Failure> {
    let cancel = Cancel::default();
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ])?;
    let asked = cancel.clone();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if asked.is_cancelled() {
                at_exit();
                #[expect(clippy::exit, reason = "a second Ctrl-C does not wait for anybody")]
                std::process::exit(130);
            }
            asked.cancel();
        }
    });
    Ok(cancel)
}

/// Mistakes in the files are told before the engine's absence: they can be mended without one.
fn no_engine(session: &Session, synced: &Synced, error: &EngineError) -> Failure {
    let problems = run::problems(session, synced, false);
    let mut failure = Failure::engine(error);
    if !problems.is_empty() {
        let mistakes = Failure::problems(problems.values().flatten(), |path| session.text(path));
        failure = mistakes.and(&failure);
    }
    failure
}

/// What went wrong, one image after the other, with the end of its log.
fn failures(session: &Session, summary: &Summary, progress: &Progress) {
    for (name, ending) in &summary.endings {
        let Ending::Failed(error) = ending else { continue };
        if let BuildError::Invalid(problems) = error {
            out::drawn(&Failure::problems(problems, |path| session.text(path)).text);
            continue;
        }
        let place = place(session, name, error);
        let line = place.as_ref().map(|(line, _)| (*line, None));
        let about = format!("image `{name}` failed: {}", words::build_error(error));
        out::ci(&ci::annotation(path(session, name), line, &about));
        let at = place.map(|(line, text)| format!(" at {}:{line}: {text}", path(session, name)));
        let message =
            format!("image `{name}` failed{}: {}", at.unwrap_or_default(), words::build_error(error));
        let (tail, log) = progress.tail(name);
        let told = match hint(error) {
            Some(hint) => Failure::with_hint(message, hint),
            None => Failure::error(message),
        };
        out::drawn(&told.text);
        if let BuildError::Engine(EngineError::Failed(_)) = error {
            for line in &tail {
                out::note(format_args!("  | {line}"));
            }
            if let Some(log) = log {
                let log = log.strip_prefix(&session.project.root).unwrap_or(&log);
                out::note(format_args!("  the whole log: {}", log.display()));
            }
        }
    }
    for (name, error) in &summary.unpublished {
        let hint = "what was built is kept; the next `imk push` goes on from there";
        out::drawn(&Failure::with_hint(format!("image `{name}` was not published: {error}"), hint).text);
    }
    for (name, shelved) in &summary.shelved {
        if *shelved == Shelved::Nowhere {
            let hint =
                "give it a registry: `prefix: \"registry.example/team/\"` in Imagefile.ron, or --prefix";
            let message = format!("image `{name}` cannot be published: its name has no registry");
            out::drawn(&Failure::with_hint(message, hint).text);
        }
    }
    for (name, error) in &summary.unfetched {
        out::drawn(&Failure::error(format!("image `{name}` was not fetched: {error}")).text);
    }
    for (tag, error) in &summary.untagged {
        out::drawn(&Failure::error(format!("`{tag}` could not be set: {error}")).text);
    }
}

/// What to do about a failure that is the world's rather than the Dockerfile's.
fn hint(error: &BuildError) -> Option<&'static str> {
    let BuildError::Engine(EngineError::Failed(failure)) = error else { return None };
    let text = [failure.step.as_str(), failure.message.as_str()].join(" ");
    if text.contains("resolve image config for") {
        return Some(
            "the `# syntax` line makes the engine fetch a frontend; without a network, leave the line out",
        );
    }
    let no_network = ["no such host", "connection refused", "i/o timeout", "network is unreachable"];
    if text.contains("load metadata for") && no_network.iter().any(|why| text.contains(why)) {
        return Some(
            "the engine cannot reach the base's registry; check the network, or pull the base first",
        );
    }
    if text.contains("load metadata for") {
        return Some("is the base's name right, and are you logged in to its registry (`docker login`)?");
    }
    None
}

fn path<'a>(session: &'a Session, name: &str) -> &'a str {
    session.project.images.get(name).map_or("", |image| image.paths.dockerfile.as_str())
}

/// The instruction of the Dockerfile that a failed step stands for. The engine
/// names a step by its number and its text: `[build 2/3] RUN make`.
fn place(session: &Session, name: &str, error: &BuildError) -> Option<(usize, String)> {
    let BuildError::Engine(EngineError::Failed(failure)) = error else { return None };
    let (_, step) = failure.step.split_once("] ")?;
    let text = session.text(path(session, name))?;
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = squeeze(step);
    let lines: Vec<&str> = text.lines().collect();
    (0..lines.len()).find_map(|at| {
        // A step's text is its lines joined; the first line is enough to know it by.
        let first = squeeze(lines[at].trim_end_matches('\\'));
        let mut words = first.splitn(2, ' ');
        let keyword = words.next()?.to_uppercase();
        let rest = words.next().unwrap_or_default();
        let candidate = format!("{keyword} {rest}");
        let whole = !lines[at].trim_end().ends_with('\\');
        let found =
            !rest.is_empty() && if whole { wanted == candidate } else { wanted.starts_with(&candidate) };
        found.then(|| (at + 1, candidate))
    })
}

/// `12 fresh, 2 built, 1 retagged, 0 failed in 3.1s`.
fn summary_line(summary: &Summary, took: std::time::Duration) -> String {
    let count = |wanted: fn(&Ending) -> bool| summary.endings.values().filter(|e| wanted(e)).count();
    let fresh = count(|ending| matches!(ending, Ending::Fresh | Ending::Reused));
    let built = count(|ending| matches!(ending, Ending::Built { .. }));
    let failed = count(|ending| matches!(ending, Ending::Failed(_)));
    let skipped = count(|ending| matches!(ending, Ending::Skipped));
    let retagged = summary.retagged.len();
    let mut line = format!("{} fresh, {built} built", fresh - retagged.min(fresh));
    if retagged > 0 {
        line += &format!(", {retagged} retagged");
    }
    let there = count(|ending| matches!(ending, Ending::Found));
    if there > 0 {
        line += &format!(", {there} in the registry");
    }
    let moved = summary.shelved.values().filter_map(|shelved| match shelved {
        Shelved::There { moved, .. } => Some(moved.len()),
        Shelved::Elsewhere | Shelved::Nowhere => None,
    });
    let (published, moved) = moved.fold((0, 0), |(images, tags), moved| (images + 1, tags + moved));
    if published > 0 {
        line += &format!(", {published} published ({moved} tags moved)");
    }
    line += &format!(", {failed} failed");
    if skipped > 0 {
        line += &format!(", {skipped} skipped");
    }
    line += &format!(" in {}", duration(took));
    if !summary.kept.is_empty() {
        let images = if summary.kept.len() == 1 { "image" } else { "images" };
        line += &format!(" (base rebuilt, same result: {} {images} kept)", summary.kept.len());
    }
    if summary.interrupted {
        line += ", interrupted";
    }
    line
}

/// A no-op is told in milliseconds: that is its point.
fn duration(took: std::time::Duration) -> String {
    if took.as_millis() < 1000 { format!("{}ms", took.as_millis()) } else { words::duration(took) }
}

fn verdict(summary: &Summary) -> u8 {
    let failed = summary.endings.values().any(|ending| matches!(ending, Ending::Failed(_)));
    let nowhere = summary.shelved.values().any(|shelved| *shelved == Shelved::Nowhere);
    let lacking = nowhere || !summary.unpublished.is_empty() || !summary.unfetched.is_empty();
    match (summary.interrupted, failed || lacking || !summary.untagged.is_empty()) {
        (true, _) => 130,
        (false, true) => 2,
        (false, false) => 0,
    }
}
