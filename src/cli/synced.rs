//! Sync of a session, with a warning for each engine, registry and git server that did not answer.

use crate::cli::args::Global;
use crate::cli::failure::{Failure, sync_error};
use crate::cli::{out, words};
use crate::plan::ready;
use crate::session::open::Session;
use crate::session::overlays;
use crate::session::sync::Synced;

/// Brings the inputs up to date, and tells what a person should know of the bases outside.
pub fn synced(global: &Global, session: &mut Session, words: &[String]) -> Result<Synced, Failure> {
    let synced = ready::sync(session, words).map_err(|error| sync_error(error, session, &global.verbs))?;
    for line in words::notes(&session.upstream.take_notes()) {
        out::warning(format_args!("{line}"));
    }
    warn_stale_git(session);
    warn_unreachable(session);
    if let (Some(before), Ok(now)) = (&synced.engine_before, &synced.engine) {
        out::note(words::other_engine(before, now));
    }
    Ok(synced)
}

/// Tells which engines do not answer, each once.
fn warn_unreachable(session: &Session) {
    for (name, error) in session.executor.pool().take_unreachable() {
        out::warning(format_args!("engine `{name}` is left out: {error}"));
    }
}

/// Tells which registries did not say whether they have an image, and which engines do not answer.
pub fn warn_unanswered(session: &Session) {
    warn_unreachable(session);
    for error in session.executor.remote_cache.take_unanswered() {
        out::warning(format_args!("{error}; it may have results that imk does not know of"));
    }
}

/// Says which branches and tags could not be asked about, and what is used instead.
pub fn warn_stale_git(session: &Session) {
    for stale in overlays::stale_answers(session) {
        let when = stale.when.timestamp().strftime(" of %F %H:%M UTC");
        let commit = &stale.commit[..12.min(stale.commit.len())];
        out::warning(format_args!(
            "`{}` cannot be asked where `{}` stands: {}; imk goes on with the last answer,{when}: commit {commit}",
            stale.url, stale.name, stale.why
        ));
    }
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
