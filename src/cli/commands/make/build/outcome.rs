//! How a build went, in words: failures one after the other, the summary line, the exit status.

use std::path::Path;
use std::time::Duration;

use crate::build::publish::Publication;
use crate::build::run::{Ending, Summary};
use crate::build::summary::OutputDone;
use crate::cli::commands::make::plan;
use crate::cli::failure::{Exit, Failure, Finding, draw};
use crate::cli::progress::{Progress, failures};
use crate::cli::remarks::{Remark, Remarks};
use crate::cli::words::quantity;
use crate::cli::{ci, out, synced, words};
use crate::exec::push::PublishError;
use crate::query::effect::BuildError;
use crate::query::problem::Problem;
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
/// last is the summary.
pub fn summed_up(
    session: &Session,
    summary: &Summary,
    progress: &Progress,
    sum: Sum,
    took: Duration,
    mut remarks: Remarks,
) {
    let line = summary_line(summary, took);
    match sum {
        Sum::Silent => progress.publications(summary),
        Sum::Told | Sum::NoLine => progress.summary(summary, took),
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
    tell_failures(session, summary, progress);
    synced::remark_unanswered(session, &mut remarks);
    plan::skipped_tags(&summary.skipped_tags).into_iter().for_each(|remark| remarks.add(remark));
    for taken in &summary.taken_names {
        remarks.add(Remark::on(None, words::taken(taken)));
    }
    for behind in &summary.outdated_names {
        remarks.add(Remark::on([behind.image.as_str()], words::behind(behind)));
    }
    for (name, lacks) in &summary.incomplete {
        remarks.add(Remark::on(None, words::incomplete(name, lacks)));
    }
    let built = summary.endings.iter().filter(|(_, ending)| ending.is_of_a_build());
    remarks.end(&built.map(|(name, _)| name.clone()).collect());
    if sum == Sum::Told {
        out::line(format_args!("{line}"));
    }
}

/// Failures, one image after the other: in full what was not told when it happened, and where each log is.
fn tell_failures(session: &Session, summary: &Summary, progress: &Progress) {
    let mut mistakes: Vec<&Problem> = Vec::new();
    for (name, ending) in &summary.endings {
        let Ending::Failed(error) = ending else { continue };
        if let BuildError::Invalid(problems) = error {
            // One mistake may be several images': a Dockerfile that they share, a circle that they are on.
            for problem in problems {
                if !mistakes.contains(&problem) {
                    mistakes.push(problem);
                    draw::show(&Failure::problems([problem], |path| session.text(path)));
                }
            }
            continue;
        }
        let (tail, log) = progress.tail(name);
        let log = log.filter(|_| failures::has_log(error)).map(|log| {
            let log = log.strip_prefix(&session.project.root).unwrap_or(&log);
            format!("the whole log: {}", log.display())
        });
        let platform = session.project.images.get(name).and_then(|image| image.options.platform.as_deref());
        let foreign = || failures::foreign(platform, error, &tail);
        let hint = failures::hint(error).map(str::to_owned).or_else(foreign);
        let place = progress.dockerfiles().place(name, error);
        if progress.tells_failures() {
            let log = log.map_or(String::new(), |log| format!("; {log}"));
            let finding = Finding::new(format!("image `{name}` failed{log}"));
            draw::show(&Failure::from(Finding { hint, place, ..finding }));
            continue;
        }
        progress.annotate(name, error);
        let why = match place {
            Some(_) => words::build_error(error),
            None => progress.dockerfiles().sentence(name, error),
        };
        let finding = Finding::new(format!("image `{name}` failed: {why}"));
        draw::show(&Failure::from(Finding { hint, place, ..finding }));
        if let Some(log) = log {
            tail.iter().for_each(|line| out::note(format_args!("  | {line}")));
            out::note(format_args!("  {log}"));
        }
    }
    tell_transfers(summary);
}

/// Results that came neither to a registry nor from one, nor into a file or under a name.
fn tell_transfers(summary: &Summary) {
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
    for (name, error) in summary.unloaded() {
        let message = format!("image `{name}` was not put into the Docker engine: {error}");
        let hint = "it is in imk's own store; `-o type=docker,dest=FILE` writes it for `docker load`";
        draw::show(&Failure::with_hint(message, hint));
    }
    for output in &summary.outputs {
        if let Some(failure) = unwritten(output) {
            draw::show(&failure);
        }
    }
    for (tag, error) in &summary.untagged {
        draw::show(&Failure::error(format!("`{tag}` could not be set: {error}")));
    }
}

/// Why an output was not written; `None` of one that was.
pub fn unwritten(output: &OutputDone) -> Option<Failure> {
    let why = output.result.as_ref().err()?;
    let (place, image) = (&output.place, &output.image);
    Some(Failure::error(format!("the output `{place}` of `{image}` was not written: {why}")))
}

/// Tells of each result that was published where it is, and which tags were moved to it.
pub fn tell_publications(summary: &Summary) {
    for (name, publication) in &summary.publications {
        let Publication::Done { at, moved } = publication else { continue };
        let tags = if moved.is_empty() { "no tag moved".to_owned() } else { moved.join(", ") };
        out::note(format_args!("{name}: published as {at}; {tags}"));
    }
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
    let all = summary.publications.values().chain(summary.indexes.values());
    let moved = all.filter_map(|publication| match publication {
        Publication::Done { moved, .. } => Some(moved.len()),
        Publication::Overtaken | Publication::NoRegistry => None,
    });
    let moved: usize = moved.sum();
    if summary.published() > 0 {
        line += &format!(", {} published ({moved} tags moved)", summary.published());
    }
    if summary.not_published() > 0 {
        line += &format!(", {} not published", summary.not_published());
    }
    let written = summary.outputs.iter().filter(|output| output.result.is_ok()).count();
    if written > 0 {
        line += &format!(", {written} output{} written", if written == 1 { "" } else { "s" });
    }
    if summary.loaded() > 0 {
        line += &format!(", {} loaded", summary.loaded());
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
    let unwritten = summary.outputs.iter().any(|output| output.result.is_err());
    let unloaded = summary.unloaded().next().is_some();
    let lacking =
        nowhere || unwritten || unloaded || !summary.unpublished.is_empty() || !summary.unfetched.is_empty();
    match (summary.interrupted, failed || lacking || !summary.untagged.is_empty()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Error,
        (false, false) => Exit::Done,
    }
}
