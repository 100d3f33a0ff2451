//! A failure as lines of a screen, as compilers draw theirs: title, excerpt, hint.
//!
//! Quotes whatever is not imk's own. Knows nothing of why a command failed.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Failure, Finding, Kind};
use crate::cli::out::{self, Drawn};
use crate::cli::{ci, quote};
use crate::syntax::git_source::masked;

/// Shows all that a failure says.
pub fn show(failure: &Failure) {
    out::drawn(&drawn(failure));
}

/// All that a failure says. Several mistakes are counted below the last.
fn drawn(failure: &Failure) -> Drawn {
    let mut text = String::new();
    for findings in failure.findings.chunk_by(|one, next| one.kind == next.kind) {
        findings.iter().for_each(|finding| text.push_str(&lines(finding)));
        if findings.len() > 1 && findings[0].kind == Kind::Mistake {
            let _ = writeln!(text, "{} mistakes; nothing was built", findings.len());
        }
    }
    Drawn::quoted_already(text)
}

fn lines(finding: &Finding) -> String {
    let sentence = finding.sentence();
    let message = quote::line(&sentence);
    let path = finding.place.as_ref().map(|place| quote::line(&place.path));
    let hint = finding.hint.as_deref().map(quote::line);
    // A password in an address must not reach a log by way of an excerpt.
    let excerpt = finding.place.as_ref().and_then(|place| place.excerpt.as_ref());
    let excerpt = excerpt.map(|(text, span)| (masked(text), span));
    let shown = excerpt.as_ref().map(|(text, span)| {
        let start = floor(text, span.start);
        quote::excerpt(text, start..floor(text, span.end.max(span.start)).max(start))
    });
    let mut group = Group::with_title(Level::ERROR.primary_title(message.as_str()));
    if let (Some((text, span)), Some(path)) = (&shown, &path) {
        let (start, end) = (span.start, span.end);
        // A span over several lines is drawn by its first.
        let end = text[start..end].find('\n').map_or(end, |line| start + line);
        let snippet = Snippet::source(text.as_str())
            .path(path.as_str())
            .annotation(AnnotationKind::Primary.span(start..end));
        group = group.element(snippet);
    } else if let Some(path) = &path {
        group = group.element(annotate_snippets::Origin::path(path.as_str()));
    }
    if let Some(hint) = &hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    // A list of one group draws the hint below the title, as compilers do.
    let lines = Renderer::styled().render(&[group]);
    if finding.kind == Kind::Trouble {
        return format!("{lines}\n");
    }
    let place = excerpt.as_ref().map(|(text, span)| span.line_and_column(text));
    let place = place.map(|(line, column)| (line, Some(column)));
    let path = finding.place.as_ref().map_or("", |place| place.path.as_str());
    format!("{lines}\n{}", ci::annotation(path, place, &sentence).as_str())
}

/// The nearest character boundary at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
