//! `imk` and `imk build`: builds what is out of date.

use std::sync::Arc;
use std::time::Instant;

use super::args::{self, BuildArgs, Global, PlanArgs};
use super::failure::Failure;
use super::progress::Progress;
use super::{open, out, plan, words};
use crate::drive::publish::Shelved;
use crate::drive::run::{BuildOptions, Ending, Event, Summary};
use crate::drive::session::Session;
use crate::drive::sync::Synced;
use crate::engine::{Cancel, EngineError};
use crate::query::image::BuildError;

pub fn run(global: &Global, args: &BuildArgs) -> Result<(), Failure> {
    if args.dry_run {
        let plan = PlanArgs {
            targets: args.targets.clone(),
            always_make: args.always_make || args.no_cache,
            trace: args.trace,
            json: false,
            rev: None,
        };
        return plan::run(global, &plan);
    }
    if args.question {
        return plan::question(global, &args.targets, args.always_make);
    }
    let started = Instant::now();
    let cancel = cancel_on_signals()?;
    let mut session = open::session(global, true, &cancel)?;
    let synced = open::synced(&mut session, &args.targets.words)?;
    if cancel.is_cancelled() {
        return Err(Failure::silent(130));
    }
    let going = Going { args, keep: Keep::Everything, tell: Arc::new(|_| {}), retries: false };
    go(&mut session, &synced, &going, started)
}

/// How a build is gone about, beside what was typed.
pub struct Going<'a> {
    /// What was typed.
    pub args: &'a BuildArgs,
    /// What is kept of it for the next run.
    pub keep: Keep,
    /// Is told what the display is told.
    pub tell: Arc<dyn Fn(&Event) + Send + Sync>,
    /// It is tried again when files change: then that is no failure, and nothing is said of it.
    pub retries: bool,
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
            Self::Files => session.hands.tree.save().and_then(|()| session.upstream.save()),
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
    let problems = session.problems(synced);
    if !problems.is_empty() && !args.keep_going {
        let all = problems.values().flatten();
        let failure = Failure::problems(all, |path| session.text(path));
        // What was read is worth keeping though nothing was built.
        let _ = going.keep.save(session);
        return Err(failure);
    }
    plan::warnings(session, synced);
    let how = if args.quiet { args::Progress::Quiet } else { args.progress };
    let logs = session.state().join("logs");
    let progress =
        Arc::new(Progress::new(how, args.trace, move |image: &str| logs.join(format!("{image}.log"))));
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
        jobs: args.jobs.map_or_else(processors, usize::from),
        keep_going: args.keep_going,
        always: args.always_make || args.no_cache,
        no_cache: args.no_cache,
        push: args.push,
        load: args.load,
        epoch: epoch()?,
    };
    let mut summary = session.build(synced, &options, &tell);
    if let Err(error) = going.keep.save(session) {
        anstream::eprintln!(
            "warning: what imk learned could not be kept: {error}; the next run will be slower"
        );
    }
    if going.retries {
        for ending in summary.endings.values_mut() {
            if matches!(ending, Ending::Failed(error) if is_passing(error)) {
                *ending = Ending::Skipped;
            }
        }
    }
    failures(session, &summary, &progress);
    open::silent(session);
    plan::skipped_tags(&summary.skipped_tags);
    if how != args::Progress::Quiet {
        out::line(format_args!("{}", summary_line(&summary, started.elapsed())));
    }
    match verdict(&summary) {
        0 => Ok(()),
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

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Ctrl-C and a polite kill stop the engine's builds; a second one ends imk at once.
pub fn cancel_on_signals() -> Result<Cancel, Failure> {
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
                std::process::exit(130);
            }
            asked.cancel();
        }
    });
    Ok(cancel)
}

/// Mistakes in the files are told before the engine's absence: they can be mended without one.
fn no_engine(session: &Session, synced: &Synced, error: &EngineError) -> Failure {
    let problems = session.problems(synced);
    let mut failure = Failure::engine(error);
    if !problems.is_empty() {
        let mistakes = Failure::problems(problems.values().flatten(), |path| session.text(path));
        failure.text = mistakes.text + &failure.text;
    }
    failure
}

/// What went wrong, one image after the other, with the end of its log.
fn failures(session: &Session, summary: &Summary, progress: &Progress) {
    for (name, ending) in &summary.endings {
        let Ending::Failed(error) = ending else { continue };
        if let BuildError::Invalid(problems) = error {
            anstream::eprint!("{}", Failure::problems(problems, |path| session.text(path)).text);
            continue;
        }
        let place = place(session, name, error);
        let at = place.map(|(line, text)| format!(" at {}:{line}: {text}", path(session, name)));
        let message =
            format!("image `{name}` failed{}: {}", at.unwrap_or_default(), words::build_error(error));
        let (tail, log) = progress.tail(name);
        let told = match hint(error) {
            Some(hint) => Failure::with_hint(message, hint),
            None => Failure::error(message),
        };
        anstream::eprint!("{}", told.text);
        if let BuildError::Engine(EngineError::Failed(_)) = error {
            for line in &tail {
                anstream::eprintln!("  | {line}");
            }
            let log = log.strip_prefix(&session.project.root).unwrap_or(&log);
            anstream::eprintln!("  the whole log: {}", log.display());
        }
    }
    for (name, error) in &summary.unpublished {
        let hint = "what was built is kept; the next `imk push` goes on from there";
        anstream::eprint!(
            "{}",
            Failure::with_hint(format!("image `{name}` was not published: {error}"), hint).text
        );
    }
    for (name, shelved) in &summary.shelved {
        if *shelved == Shelved::Nowhere {
            let hint =
                "give it a registry: `prefix: \"registry.example/team/\"` in Imagefile.ron, or --prefix";
            let message = format!("image `{name}` cannot be published: its name has no registry");
            anstream::eprint!("{}", Failure::with_hint(message, hint).text);
        }
    }
    for (name, error) in &summary.unfetched {
        anstream::eprint!("{}", Failure::error(format!("image `{name}` was not fetched: {error}")).text);
    }
    for (tag, error) in &summary.untagged {
        anstream::eprint!("{}", Failure::error(format!("`{tag}` could not be set: {error}")).text);
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
    session.project.images.get(name).map_or("", |image| image.options.dockerfile_path.as_str())
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
