//! The exact names that a Dockerfile is sent with, and the way back to what a person wrote.
//!
//! A Dockerfile can only name images, and names move: while an image is built,
//! each of its bases is called by a name that nothing else moves. Knows nothing
//! of how such names are given.

use std::collections::BTreeMap;

use super::executor::PIN;
use super::layouts;
use crate::engine::{BuildEvent, BuildFailure, EngineError};
use crate::syntax::resolve::BaseUse;

/// The names that stand for exact images in the Dockerfile that is sent.
#[derive(Default)]
pub struct BaseSubstitutions {
    /// By the reference to an image of the repository, and its platform.
    pub inside: BTreeMap<(String, String), String>,
    /// By the reference to an image outside, and its platform.
    pub outside: BTreeMap<(String, String), String>,
}

impl BaseSubstitutions {
    /// The name to send in place of a base.
    pub fn of(&self, base: &BaseUse) -> Option<String> {
        let used = (base.reference.clone(), base.platform.clone());
        self.inside.get(&used).or_else(|| self.outside.get(&used)).cloned()
    }

    /// A text of the engine with the references that a person wrote.
    fn users_words(&self, text: &str) -> String {
        let all = self.inside.iter().chain(&self.outside);
        let own: Vec<(&String, &String)> = all.map(|((reference, _), exact)| (reference, exact)).collect();
        let text = own.iter().fold(text.to_owned(), |text, (reference, exact)| {
            replaced(&text, exact, |_| (exact.len(), (*reference).clone()))
        });
        // BuildKit calls a step that two builds share as the first of them did, perhaps another imk.
        let pin = format!("{PIN}:");
        let text = replaced(&text, &pin, |found| {
            let tag = found[pin.len()..].split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            let tag = tag.into_iter().next().unwrap_or_default();
            let of = tag.split('-').next().unwrap_or_default();
            let same =
                |exact: &str| exact.strip_prefix(&pin).is_some_and(|own| own.split('-').next() == Some(of));
            let known = own.iter().find(|(_, exact)| same(exact));
            let name = known.map_or_else(|| "(a base)".to_owned(), |(reference, _)| (*reference).clone());
            (pin.len() + tag.len(), name)
        });
        // Of a layout that another build had there.
        let mark = format!("{}@sha256:", layouts::NAME);
        replaced(&text, &mark, |found| {
            let rest = &found[mark.len()..];
            let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
            (mark.len() + digits, "(an OCI layout)".to_owned())
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

/// A text in which each place that begins with `mark` has other words: so many bytes of it, and the digest
/// that an engine adds to a name it has resolved.
fn replaced(text: &str, mark: &str, by: impl Fn(&str) -> (usize, String)) -> String {
    if mark.is_empty() || !text.contains(mark) {
        return text.to_owned();
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(mark) {
        let (length, words) = by(&rest[at..]);
        out.push_str(&rest[..at]);
        out.push_str(&words);
        rest = &rest[at + length..];
        rest = after_digest(rest).unwrap_or(rest);
    }
    out + rest
}

/// The text behind `@sha256:…`.
fn after_digest(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("@sha256:")?;
    let (digest, rest) = hex.split_at_checked(64)?;
    digest.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let digest = "0".repeat(64);
        let substitutions = BaseSubstitutions {
            inside: [(
                ("base".to_owned(), "linux/amd64".to_owned()),
                format!("{PIN}:{}-aaaaaaaaaaaa", "1".repeat(32)),
            )]
            .into(),
            outside: [(
                ("alpine".to_owned(), "linux/amd64".to_owned()),
                format!("docker.io/library/alpine@sha256:{digest}"),
            )]
            .into(),
        };
        substitutions.users_words(text)
    }

    #[test]
    fn a_step_is_told_in_the_words_of_the_dockerfile() {
        let (one, digest) = ("1".repeat(32), "0".repeat(64));
        let own = format!("{PIN}:{one}-aaaaaaaaaaaa");
        assert_eq!(said(&format!("[1/2] FROM {own}")), "[1/2] FROM base");
        assert_eq!(said(&format!("[1/2] FROM {own}@sha256:{digest}")), "[1/2] FROM base");
        let alpine = format!("docker.io/library/alpine@sha256:{digest}");
        assert_eq!(said(&format!("FROM {alpine}")), "FROM alpine");
        assert_eq!(said(&format!("FROM {alpine}@sha256:{digest} AS x")), "FROM alpine AS x");
        assert_eq!(said("RUN echo base@sha256:no"), "RUN echo base@sha256:no");
    }

    #[test]
    fn the_name_that_another_imk_gave_a_base_is_no_name_for_a_person() {
        let (one, two) = ("1".repeat(32), "2".repeat(32));
        let others = format!("load metadata for {PIN}:{one}-bbbbbbbbbbbb");
        assert_eq!(said(&others), "load metadata for base", "the same image");
        let other = format!("FROM {PIN}:{two}-bbbbbbbbbbbb@sha256:{}", "0".repeat(64));
        assert_eq!(said(&other), "FROM (a base)", "another image");
    }
}
