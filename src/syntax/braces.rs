//! Texts with `{NAME}` in them: where the names stand, and nothing of what they mean.

/// A piece of such a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text as it is; `{{` and `}}` have become single braces.
    Text(&'a str),
    /// A name between two braces.
    Name(&'a str),
    /// A brace without its partner.
    Lone(&'a str),
}

/// The pieces of a text in their order.
pub fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if rest.starts_with(brace) {
            pieces.push(Piece::Text(brace));
            rest = &rest[1..];
        } else if brace == "{"
            && let Some(end) = rest.find('}')
        {
            pieces.push(Piece::Name(&rest[..end]));
            rest = &rest[end + 1..];
        } else {
            pieces.push(Piece::Lone(brace));
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// A text that [`split`] leaves as it is.
pub fn escape(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_between_braces_and_doubled_braces_are_text() {
        use Piece::{Lone, Name, Text};
        assert_eq!(split("v{V}-{git.sha:12}"), [Text("v"), Name("V"), Text("-"), Name("git.sha:12")]);
        assert_eq!(split("{{a}}"), [Text("{"), Text("a"), Text("}")]);
        assert_eq!(split("}{"), [Lone("}"), Lone("{")]);
        assert_eq!(split("{}"), [Name("")]);
        assert_eq!(split(""), []);
    }
}
