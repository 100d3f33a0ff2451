//! Sync of a session, with a warning for each engine, registry and git server that did not answer.

use crate::cli::args::Global;
use crate::cli::failure::{Failure, sync_error};
use crate::cli::remarks::{Remark, Remarks};
use crate::cli::{out, words};
use crate::plan::ready;
use crate::registry::RegistryError;
use crate::session::git_sources::StaleAnswer;
use crate::session::open::Session;
use crate::session::overlays;
use crate::session::sync::Synced;

/// Brings the inputs up to date, and tells what a person should know of the bases outside.
pub fn synced(global: &Global, session: &mut Session, words: &[String]) -> Result<Synced, Failure> {
    let synced = brought_up(global, session, words)?;
    trouble(session).iter().for_each(out::warning);
    Ok(synced)
}

/// Brings the inputs up to date; what is to be known of the world is told later, by [`remark_trouble`].
pub fn brought_up(global: &Global, session: &mut Session, words: &[String]) -> Result<Synced, Failure> {
    let synced = ready::sync(session, words).map_err(|error| sync_error(error, session, &global.verbs))?;
    if let (Some(before), Ok(now)) = (&synced.engine_before, &synced.engine) {
        out::note(words::other_engine(before, now));
    }
    Ok(synced)
}

/// Tells what came up in a sync, as far as no earlier run told it.
pub fn remark_trouble(session: &Session, remarks: &mut Remarks) {
    trouble(session).into_iter().for_each(|line| remarks.add_of_world(line));
}

/// Trouble of registries, git servers and engines, a line each; given once.
fn trouble(session: &Session) -> Vec<String> {
    let notes = words::notes(&session.upstream.take_notes());
    notes.into_iter().chain(stale_git(session)).chain(unreachable(session)).collect()
}

/// The engines that do not answer, each once.
fn unreachable(session: &Session) -> Vec<String> {
    let unreachable = session.executor.pool().take_unreachable().into_iter();
    unreachable.map(|(name, error)| format!("engine `{name}` is left out: {error}")).collect()
}

/// Tells which registries did not say whether they have an image, and which engines do not answer.
pub fn warn_unanswered(session: &Session) {
    unreachable(session).iter().for_each(out::warning);
    let unanswered = session.executor.remote_cache.take_unanswered();
    unanswered.iter().for_each(|unanswered| out::warning(words::unanswered(unanswered)));
}

/// As [`warn_unanswered`], as far as no earlier run told it.
pub fn remark_unanswered(session: &Session, remarks: &mut Remarks) {
    unreachable(session).into_iter().for_each(|line| remarks.add_of_world(line));
    for unanswered in session.executor.remote_cache.take_unanswered() {
        let line = words::unanswered(&unanswered);
        match unanswered.error {
            // A login that is not there today is not there tomorrow.
            RegistryError::Denied { .. } => {
                remarks.add(Remark::on(unanswered.images.iter().map(String::as_str), line));
            }
            _ => remarks.add_of_world(line),
        }
    }
}

/// Tells which branches and tags could not be asked about, and what is used instead.
pub fn warn_stale_git(session: &Session) {
    stale_git(session).iter().for_each(out::warning);
}

fn stale_git(session: &Session) -> Vec<String> {
    let line = |stale: &StaleAnswer| {
        let when = stale.when.timestamp().strftime(" of %F %H:%M UTC");
        let commit = &stale.commit[..12.min(stale.commit.len())];
        format!(
            "`{}` cannot be asked where `{}` stands: {}; imk goes on with the last answer,{when}: commit {commit}",
            stale.url, stale.name, stale.why
        )
    };
    overlays::stale_answers(session).iter().map(line).collect()
}

/// Where the state is, as people are told: below the repository's root, or the whole path.
pub fn shown_state(session: &Session) -> String {
    let path = session.state().path().unwrap_or_default();
    path.strip_prefix(&session.project.root).unwrap_or(&path).display().to_string()
}

/// The state could not be changed.
pub fn state_error(session: &Session, why: &std::io::Error) -> Failure {
    Failure::with_hint(
        format!(
            "cannot change what imk keeps in `{}`: {why}",
            session.state().shown("").trim_end_matches('/')
        ),
        "imk must be able to write there; what was removed before stays removed",
    )
}
