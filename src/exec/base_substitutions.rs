//! The exact names that a Dockerfile is sent with, and the way back to what a person wrote.
//!
//! A Dockerfile can only name images, and names move: while an image is built,
//! each of its bases is called by a name that nothing else moves. Knows nothing
//! of how such names are given.

use std::collections::BTreeMap;

use crate::engine::{BuildEvent, BuildFailure, EngineError};
use crate::syntax::resolve::BaseUse;

/// The names that stand for exact images in the Dockerfile that is sent.
#[derive(Default)]
pub struct BaseSubstitutions {
    /// By the reference to an image of the repository.
    pub inside: BTreeMap<String, String>,
    /// By the reference to an image outside, and its platform.
    pub outside: BTreeMap<(String, String), String>,
}

impl BaseSubstitutions {
    /// The name to send in place of a base.
    pub fn of(&self, base: &BaseUse) -> Option<String> {
        let outside = || self.outside.get(&(base.reference.clone(), base.platform.clone()));
        self.inside.get(&base.reference).or_else(outside).cloned()
    }

    /// A text of the engine with the references that a person wrote.
    fn users_words(&self, text: &str) -> String {
        let inside = self.inside.iter();
        let outside = self.outside.iter().map(|((reference, _), exact)| (reference, exact));
        inside.chain(outside).fold(text.to_owned(), |text, (reference, exact)| {
            if text.contains(exact) { text.replace(exact, reference) } else { text }
        })
    }

    /// An event in the user's words.
    pub fn event(&self, event: BuildEvent) -> BuildEvent {
        match event {
            BuildEvent::Step { id, name, number, total } => {
                BuildEvent::Step { id, name: self.users_words(&name), number, total }
            }
            other => other,
        }
    }

    /// An error in the user's words.
    pub fn error(&self, error: EngineError) -> EngineError {
        match error {
            EngineError::Failed(failure) => EngineError::Failed(BuildFailure {
                step: self.users_words(&failure.step),
                message: self.users_words(&failure.message),
                ..failure
            }),
            other => other,
        }
    }
}
