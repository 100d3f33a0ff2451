//! Marks that git leaves between the sides of a merge that is not resolved.
//!
//! Knows no format: a reader that stumbles asks here whether that is why.

use super::error::{Span, SyntaxError};

/// Whether a line begins as such a mark does.
pub fn is_mark(line: &str) -> bool {
    let marks = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
    marks.iter().any(|mark| {
        line.trim_end().strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    })
}

/// The first mark in a text, as a mistake.
pub fn first(text: &str) -> Option<SyntaxError> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        // What stands between equal signs may be anything; the first mark of a merge is this one.
        if line.starts_with('<') && is_mark(line) {
            return Some(mistake(Span::new(at, at + line.trim_end().len())));
        }
        at += line.len();
    }
    None
}

/// The mistake of a mark.
pub fn mistake(span: Span) -> SyntaxError {
    SyntaxError::new(span, "a merge left the lines of both sides here")
        .hint("keep the lines of one side and remove the marks; `git checkout --ours` or `--theirs` takes a whole file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mark_is_found_and_drawings_are_none() {
        let span = first("a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> other\n").unwrap().span;
        assert_eq!((span.start, span.end), (2, 14));
        assert!(first("a\n=======\n<<<<<<<<<<\n").is_none());
        assert!(is_mark("=======\n") && !is_mark("========"));
    }
}
