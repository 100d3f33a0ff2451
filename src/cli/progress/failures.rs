//! A failed image in words: its step, the line of the Dockerfile that the step stands for, and the remedy.
//!
//! The same words whether an image's end is told as it happens or after everything else. Prints nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cli::failure::Place;
use crate::cli::words;
use crate::engine::EngineError;
use crate::query::effect::BuildError;
use crate::session::open::Session;
use crate::source::tree::SourceTree;
use crate::syntax::error::Span;

/// The Dockerfiles of a repository's images, to find failed steps in.
pub struct Dockerfiles {
    paths: BTreeMap<String, String>,
    tree: Arc<dyn SourceTree>,
}

impl Dockerfiles {
    /// Those of a session's images; they are read when a step fails.
    pub fn of(session: &Session) -> Self {
        let images = session.project.images.iter();
        let paths = images.map(|(name, image)| (name.clone(), image.paths.dockerfile.clone())).collect();
        Self { paths, tree: Arc::clone(&session.executor.tree) }
    }

    /// The Dockerfile of an image, below the repository's root.
    pub fn path(&self, image: &str) -> &str {
        self.paths.get(image).map_or("", String::as_str)
    }

    /// The lines of the Dockerfile that a builder says its error is about, to be shown with it.
    pub fn place(&self, image: &str, error: &BuildError) -> Option<Place> {
        let BuildError::Engine(EngineError::Failed(failure)) = error else { return None };
        let (first, last) = failure.lines?;
        let text = String::from_utf8(self.tree.read(self.path(image)).ok()??).ok()?;
        let span = span_of(&text, first, last)?;
        Some(Place { path: self.path(image).to_owned(), excerpt: Some((text, span)) })
    }

    /// Why an image failed and where, in one line.
    pub fn sentence(&self, image: &str, error: &BuildError) -> String {
        let why = words::build_error(error);
        match self.line(image, error) {
            Some(line) => format!("{why} ({}:{line})", self.path(image)),
            None => why,
        }
    }

    /// The line of the Dockerfile, from 1, on which the failed step stands. BuildKit's own service says it; other
    /// engines name a step by its number and its text: `[build 2/3] RUN make`.
    pub fn line(&self, image: &str, error: &BuildError) -> Option<usize> {
        let BuildError::Engine(EngineError::Failed(failure)) = error else { return None };
        if let Some((first, _)) = failure.lines {
            return Some(first);
        }
        let (_, step) = failure.step.split_once("] ")?;
        let text = self.tree.read(self.path(image)).ok()??;
        line_of(&String::from_utf8(text).ok()?, step)
    }
}

/// The span from the beginning of one line to the end of another, without the blanks around them.
fn span_of(text: &str, first: usize, last: usize) -> Option<Span> {
    let mut at = 0;
    let mut span = None;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let start = at + (line.len() - line.trim_start().len());
        let end = at + line.trim_end().len();
        at += line.len();
        if number + 1 == first {
            span = Some(Span::new(start, end.max(start)));
        } else if let Some(span) = span.as_mut().filter(|_| number < last) {
            span.end = end.max(span.end);
        }
    }
    span
}

fn line_of(text: &str, step: &str) -> Option<usize> {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = squeeze(step);
    let found = text.lines().position(|line| {
        // A step's text is its lines joined; the first line is enough to know it by.
        let first = squeeze(line.trim_end_matches('\\'));
        let Some((keyword, rest)) = first.split_once(' ') else { return false };
        let candidate = format!("{} {rest}", keyword.to_uppercase());
        match line.trim_end().ends_with('\\') {
            true => wanted.starts_with(&candidate),
            false => wanted == candidate,
        }
    });
    found.map(|at| at + 1)
}

/// Whether the builder ran, so that there is a log to look into.
pub fn has_log(error: &BuildError) -> bool {
    matches!(error, BuildError::Engine(EngineError::Failed(_)))
}

/// The remedy of a failure that is the world's rather than the Dockerfile's.
pub fn hint(error: &BuildError) -> Option<&'static str> {
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

/// The remedy of a command that the engine's machine cannot run, by the kernel's words on it. `tail` is the end
/// of the build's output.
pub fn foreign(platform: Option<&str>, error: &BuildError, tail: &[String]) -> Option<String> {
    let BuildError::Engine(EngineError::Failed(failure)) = error else { return None };
    let mut said = tail.iter().chain([&failure.message]);
    if !said.any(|line| line.contains("exec format error")) {
        return None;
    }
    let runs = platform.map_or("no such".to_owned(), |platform| format!("no {platform}"));
    Some(format!(
        "the engine's machine runs {runs} program: register emulation there (as Debian's qemu-user-static does), or name an engine that runs it with --engine; docs/platforms.md"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_without_the_blanks_around_them() {
        let text = "FROM a\n  RUN one && \\\n    two\n";
        let shown = |first, last| span_of(text, first, last).map(|span| &text[span.start..span.end]);
        assert_eq!(shown(1, 1), Some("FROM a"));
        assert_eq!(shown(2, 3), Some("RUN one && \\\n    two"));
        assert_eq!(shown(9, 9), None);
    }

    #[test]
    fn a_step_is_found_by_its_text_over_several_lines_too() {
        let text = "FROM a\nRUN make  all\nrun one && \\\n    two\n";
        assert_eq!(line_of(text, "RUN make all"), Some(2));
        assert_eq!(line_of(text, "RUN one &&     two"), Some(3));
        assert_eq!(line_of(text, "RUN make"), None);
    }
}
