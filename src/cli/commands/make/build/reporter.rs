//! The way of a build's events: to the display, and to whoever listens beside.
//!
//! Knows what is not told: a failure that says only that the world went on. Draws nothing.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::build::run::{Ending, Event};
use crate::cli::engines::AtOnce;
use crate::cli::out;
use crate::cli::progress::Progress;
use crate::engine::EngineError;
use crate::exec::executor::JobEvent;
use crate::query::effect::BuildError;

/// Hands events to the display and to whoever listens beside; what is tried again is not shown as a failure.
/// `says` is how many images are built at once, where that is told.
pub fn reporter(
    progress: &Arc<Progress>,
    listener: &Arc<dyn Fn(&Event) + Send + Sync>,
    retries: bool,
    says: Option<AtOnce>,
) -> Arc<dyn Fn(Event) + Send + Sync> {
    let (shown, told) = (Arc::clone(progress), Arc::clone(listener));
    let says = Mutex::new(says);
    Arc::new(move |event| {
        told(&event);
        if let Event::Job(_, JobEvent::Started(_)) = &event
            && let Some(at_once) = says.lock().take()
        {
            tell(at_once);
        }
        let retried =
            matches!(&event, Event::Ended(_, Ending::Failed(error), _) if retries && is_passing(error));
        if !retried {
            shown.event(event);
        }
    })
}

/// A failure that says only that the world went on, or that somebody asked to stop.
pub fn is_passing(error: &BuildError) -> bool {
    matches!(
        error,
        BuildError::FilesChanged
            | BuildError::Engine(EngineError::FileChanged { .. } | EngineError::Interrupted)
    )
}

/// Says how many images are built at once, where imk chose that.
fn tell(at_once: AtOnce) {
    let most = at_once.most;
    match at_once.always {
        Some(always) => out::note(format_args!(
            "up to {most} images at once, more than {always} only while processors are idle; -j N says otherwise"
        )),
        None => out::note(format_args!("up to {most} images at once; -j N says otherwise")),
    }
}
