//! Things that are done before and after a publication, as an Imagefile declares them: commands and notices.
//!
//! A text of a notice names facts and secrets as a shell does, `$IMK_RELEASE`, for their values come when it is sent
//! and a secret's value stands nowhere. Opens nothing and sends nothing.

use std::collections::BTreeMap;

/// The facts of a publication: names of variables, of commands as of texts of notices.
pub const PUBLICATION_FACTS: &[(&str, &str)] = &[
    ("IMK_RESULT", "`publishing` before, `published` or `failed` after"),
    ("IMK_KIND", "`publish` or `rollback`"),
    ("IMK_RELEASE", "the id of the release; empty where there is none"),
    ("IMK_COMMIT", "the commit that is checked out; empty where git tells none"),
    ("IMK_IMAGES", "names of the images, with spaces between"),
    ("IMK_TAGS", "the tags that are moved, in full, with spaces between"),
    ("IMK_MESSAGE", "all of it in a sentence"),
];

/// Everything that is done around a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnPublish {
    /// Lines for a shell, before the first tag moves.
    pub before: Vec<String>,
    /// Lines for a shell, when all is done.
    pub after: Vec<String>,
    /// Notices by name.
    pub notify: BTreeMap<String, Notice>,
}

impl OnPublish {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A message to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// The address.
    pub url: String,
    /// Variables of the environment that its texts may name.
    pub secrets: Vec<String>,
    /// Headers by name.
    pub headers: BTreeMap<String, String>,
    /// The body; the facts as JSON when `None`.
    pub body: Option<String>,
    /// The body is one that Slack, Mattermost and their like read.
    pub slack: bool,
    /// When it is sent.
    pub on: Occasion,
}

/// When a notice is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occasion {
    /// Something was published.
    #[default]
    Success,
    /// Something was to be published, and was not.
    Failure,
    /// Either.
    Always,
}

impl Occasion {
    /// Whether it includes such an end.
    pub fn includes(self, published: bool) -> bool {
        match self {
            Self::Success => published,
            Self::Failure => !published,
            Self::Always => true,
        }
    }
}

/// A piece of a text.
enum Piece<'t> {
    Plain(&'t str),
    Named(&'t str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        pieces.push(Piece::Plain(&rest[..at]));
        let behind = &rest[at + 1..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, next) = match behind.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, next)) => (name, next),
            None => behind.split_at(behind.find(|c| !is_word(c)).unwrap_or(behind.len())),
        };
        rest = match (behind.strip_prefix('$'), name.is_empty() || !name.chars().all(is_word)) {
            (Some(next), _) => {
                pieces.push(Piece::Plain("$"));
                next
            }
            (None, true) => {
                pieces.push(Piece::Plain("$"));
                behind
            }
            (None, false) => {
                pieces.push(Piece::Named(name));
                next
            }
        };
    }
    pieces.push(Piece::Plain(rest));
    pieces
}

/// The names in a text.
pub fn names(text: &str) -> Vec<&str> {
    let named = |piece| if let Piece::Named(name) = piece { Some(name) } else { None };
    pieces(text).into_iter().filter_map(named).collect()
}

/// A text with the values of its names. `$$` is a dollar.
///
/// # Errors
/// The first name that has no value.
pub fn filled(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Plain(plain) => filled += plain,
            Piece::Named(name) => filled += &value(name).ok_or_else(|| name.to_owned())?,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_as_a_shell_does_it() {
        let value = |name: &str| (name != "NONE").then(|| format!("<{name}>"));
        for (text, expected) in [
            ("$A b ${C}d $$E", Ok("<A> b <C>d $E")),
            ("5 $ and ${}, ${x y}", Ok("5 $ and ${}, ${x y}")),
            ("{\"a\": \"$IMK_TAGS\"}", Ok("{\"a\": \"<IMK_TAGS>\"}")),
            ("$A $NONE", Err("NONE")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(filled(text, value), expected, "{text}");
        }
        assert_eq!(names("$A ${B} $$C"), ["A", "B"]);
    }
}
