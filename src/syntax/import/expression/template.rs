//! Text around a template's markers once `~` has taken white space away.
//!
//! Knows no values.

use hcl::template::{Directive, Element, Strip};

/// The surroundings of a template: whether a marker before and behind it takes white space away.
#[derive(Clone, Copy)]
pub(super) struct Around {
    pub before: bool,
    pub behind: bool,
}

/// A literal of a template's elements, without the white space that markers beside it take.
///
/// HCL takes all of it, line breaks included.
pub(super) fn literal<'t>(text: &'t str, elements: &[Element], at: usize, around: Around) -> &'t str {
    let before = match at.checked_sub(1).and_then(|before| elements.get(before)) {
        Some(element) => strip(element).1,
        None => around.before,
    };
    let behind = match elements.get(at + 1) {
        Some(element) => strip(element).0,
        None => around.behind,
    };
    let text = if before { text.trim_start() } else { text };
    if behind { text.trim_end() } else { text }
}

/// True for each side on which an element takes white space away: before, behind.
fn strip(element: &Element) -> (bool, bool) {
    let both = |start: Strip, end: Strip| (start.strip_start(), end.strip_end());
    match element {
        Element::Literal(_) => (false, false),
        Element::Interpolation(part) => both(part.strip, part.strip),
        Element::Directive(directive) => match &**directive {
            Directive::If(choice) => both(choice.if_strip, choice.endif_strip),
            Directive::For(each) => both(each.for_strip, each.endfor_strip),
        },
    }
}
