//! How a build went, in words: failures one after the other, the summary line, the exit status.

use std::path::Path;
use std::time::Duration;

use crate::build::publish::Publication;
use crate::build::run::{Ending, Summary};
use crate::cli::commands::make::plan;
use crate::cli::failure::{Exit, Failure, Finding, draw};
use crate::cli::progress::Progress;
use crate::cli::words::quantity;
use crate::cli::{ci, out, synced, words};
use crate::engine::EngineError;
use crate::exec::push::PublishError;
use crate::query::effect::BuildError;
use crate::session::open::Session;
use crate::source::outside;

/// How the sum of a build is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// To programs, on the forge's job page, and in a line for people.
    Told,
    /// As [`Self::Told`], but for the line.
    NoLine,
    /// Not at all: another build of the run told it, or nobody asked.
    Silent,
}

/// Tells how a build went: to the display, to the forge's job page, and in lines for a person, of which the
/// last is the summary; `warn` has its turn among these.
pub fn summed_up(
    session: &Session,
    summary: &Summary,
    progress: &Progress,
    sum: Sum,
    took: Duration,
    warn: impl FnOnce(),
) {
    let line = summary_line(summary, took);
    if sum != Sum::Silent {
        progress.summary(summary, took);
    }
    let rows = progress.rows(summary).filter(|_| sum != Sum::Silent);
    if let (Some(rows), Some(file)) = (rows, std::env::var_os("GITHUB_STEP_SUMMARY")) {
        // A summary that cannot be written is no reason to fail a job whose images are built.
        let _ = outside::append(Path::new(&file), ci::summary(&rows, &line).as_bytes());
    }
    // Programs were told already.
    if progress.is_for_programs() {
        return;
    }
    failures(session, summary, progress);
    synced::warn_unanswered(session);
    warn();
    plan::skipped_tags(&summary.skipped_tags);
    summary.taken_names.iter().for_each(|taken| out::warning(words::taken(taken)));
    summary.outdated_names.iter().for_each(|behind| out::warning(words::behind(behind)));
    if sum == Sum::Told {
        out::line(format_args!("{line}"));
    }
}

/// Failures, one image after the other, each with the end of its log.
fn failures(session: &Session, summary: &Summary, progress: &Progress) {
    for (name, ending) in &summary.endings {
        let Ending::Failed(error) = ending else { continue };
        if let BuildError::Invalid(problems) = error {
            draw::show(&Failure::problems(problems, |path| session.text(path)));
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
        draw::show(&Failure::from(Finding { hint: hint(error).map(str::to_owned), ..Finding::new(message) }));
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
        let hint = match error {
            PublishError::Provisional(_) => {
                "what was built is kept; push again when they answer. What Imagefile.lock has (`imk update`) needs no answer"
            }
            _ => "what was built is kept; the next `imk push` goes on from there",
        };
        draw::show(&Failure::with_hint(format!("image `{name}` was not published: {error}"), hint));
    }
    for (name, publication) in &summary.publications {
        if *publication == Publication::NoRegistry {
            let hint =
                "give it a registry: `prefix: \"registry.example/team/\"` in Imagefile.ron, or --prefix";
            let message = words::no_registry(name);
            draw::show(&Failure::with_hint(message, hint));
        }
    }
    for (name, error) in &summary.unfetched {
        draw::show(&Failure::error(format!("image `{name}` was not fetched: {error}")));
    }
    for (tag, error) in &summary.untagged {
        draw::show(&Failure::error(format!("`{tag}` could not be set: {error}")));
    }
}

/// The remedy of a failure that is the world's rather than the Dockerfile's.
fn hint(error: &BuildError) -> Option<&'static str> {
    let BuildError::Engine(EngineError::Failed(failure)) = error else { return None };
    let text = [failure.step.as_str(), failure.message.as_str()].join(" ");
    if text.contains("resolve image config for") {
        return Some(
            "the `# syntax` line makes the engine fetch a frontend; without a network, leave the line out",
        );
    }
    if text.contains("network.host") && text.contains("not allowed") {
        return Some(
            "an engine's API grants the host's network to a whole build: write `network: \"host\"` at the image in the Imagefile",
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
fn summary_line(summary: &Summary, took: Duration) -> String {
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
    let there = count(|ending| matches!(ending, Ending::AlreadyPublished));
    if there > 0 {
        line += &format!(", {there} already published");
    }
    let moved = summary.publications.values().filter_map(|publication| match publication {
        Publication::Done { moved, .. } => Some(moved.len()),
        Publication::Overtaken | Publication::NoRegistry => None,
    });
    let (published, moved) = moved.fold((0, 0), |(images, tags), moved| (images + 1, tags + moved));
    if published > 0 {
        line += &format!(", {published} published ({moved} tags moved)");
    }
    if summary.not_published() > 0 {
        line += &format!(", {} not published", summary.not_published());
    }
    line += &format!(", {failed} failed");
    if skipped > 0 {
        line += &format!(", {skipped} skipped");
    }
    line += &format!(" in {}", quantity::duration_from_ms(took));
    if !summary.kept.is_empty() {
        let images = if summary.kept.len() == 1 { "image" } else { "images" };
        line += &format!(" (base rebuilt, same result: {} {images} kept)", summary.kept.len());
    }
    if summary.interrupted {
        line += ", interrupted";
    }
    line
}

/// How imk exits after it.
pub fn verdict(summary: &Summary) -> Exit {
    let failed = summary.endings.values().any(|ending| matches!(ending, Ending::Failed(_)));
    let nowhere = summary.publications.values().any(|publication| *publication == Publication::NoRegistry);
    let lacking = nowhere || !summary.unpublished.is_empty() || !summary.unfetched.is_empty();
    match (summary.interrupted, failed || lacking || !summary.untagged.is_empty()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Error,
        (false, false) => Exit::Done,
    }
}
