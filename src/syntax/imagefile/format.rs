//! The layout of an Imagefile: `imk fmt`.
//!
//! Where a line ends is its author's choice, as with gofmt; how far it is
//! indented, where spaces and commas stand, and how many empty lines follow
//! each other is not. Nothing is ever reordered and no comment is lost; a key
//! gets the name that it has now. Works on tokens, and knows nothing of what the keys mean.

use super::SyntaxError;

/// The indent of a level.
const INDENT: &str = "    ";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Comma,
    Colon,
    /// A name, a number, a text, an attribute.
    Atom,
    LineComment,
    BlockComment,
}

#[derive(Clone, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    /// Line ends between the token before and this one.
    lines: usize,
    /// Blanks before it on its own line.
    gap: usize,
}

/// The text of an Imagefile in order.
///
/// # Errors
/// The mistakes that [`super::read`] finds: a text that imk does not understand is left alone.
pub fn format(
    text: &str,
    vars: &std::collections::BTreeMap<String, String>,
) -> Result<String, Vec<SyntaxError>> {
    let imagefile = super::read(text, vars)?;
    let mut text = text.to_owned();
    // From the end, so that the places before a key stay what they are.
    let mut keys = imagefile.renamed_keys;
    keys.sort_by_key(|key| std::cmp::Reverse(key.span));
    for key in keys {
        text.replace_range(key.span.start..key.span.end, key.new);
    }
    Ok(lay_out(&with_commas(&attached(tokens(&text)))))
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut lines, mut gap) = (0, 0, 0);
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            (lines, gap) = if c == '\n' { (lines + 1, 0) } else { (lines, gap + 1) };
            at += c.len_utf8();
            continue;
        }
        let (kind, length) = token(&text[at..]);
        tokens.push(Token { kind, text: text[at..at + length].trim_end(), lines, gap });
        (at, lines, gap) = (at + length, 0, 0);
    }
    tokens
}

/// The token that a text begins with, and how long it is.
fn token(text: &str) -> (Kind, usize) {
    let mut chars = text.chars();
    let one = chars.next().map_or(0, char::len_utf8);
    match &text[..one] {
        "(" | "[" | "{" => (Kind::Open, one),
        ")" | "]" | "}" => (Kind::Close, one),
        "," => (Kind::Comma, one),
        ":" => (Kind::Colon, one),
        "#" => (Kind::Atom, attribute(text)),
        "\"" | "'" => (Kind::Atom, quoted(text)),
        _ if text.starts_with("//") => (Kind::LineComment, text.find('\n').unwrap_or(text.len())),
        _ if text.starts_with("/*") => (Kind::BlockComment, block_comment(text)),
        _ => (Kind::Atom, word(text)),
    }
}

/// A name or a number; or a text with letters before its quotes, such as `r#"…"#`.
fn word(text: &str) -> usize {
    let prefix = text.trim_start_matches(['b', 'r']);
    let hashes = prefix.len() - prefix.trim_start_matches('#').len();
    let before = text.len() - prefix.len();
    if before > 0 && prefix[hashes..].starts_with(['"', '\'']) {
        if !text[..before].contains('r') {
            return before + quoted(prefix);
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = before + hashes + 1;
        return text[inside..].find(&end).map_or(text.len(), |at| inside + at + end.len());
    }
    let ends = |c: char| c.is_whitespace() || "()[]{},:\"'/".contains(c);
    text.find(ends).unwrap_or(text.len()).max(1)
}

/// A text or a character in its quotes, escapes respected.
fn quoted(text: &str) -> usize {
    let quote = text.chars().next();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if Some(c) == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `#![enable(…)]`, whole.
fn attribute(text: &str) -> usize {
    let (mut at, mut depth) = (1, 0);
    while let Some(c) = text[at..].chars().next() {
        match c {
            '"' => at += quoted(&text[at..]),
            '[' => (at, depth) = (at + 1, depth + 1),
            ']' if depth == 1 => return at + 1,
            ']' => (at, depth) = (at + 1, depth - 1),
            c => at += c.len_utf8(),
        }
    }
    text.len()
}

/// Comments of this kind nest.
fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if text[at..].starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn is_comment(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::LineComment | Kind::BlockComment)
}

/// Moves commas and colons to what they belong to, before comments in between.
fn attached(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut out: Vec<Token<'_>> = Vec::new();
    for token in tokens {
        if matches!(token.kind, Kind::Comma | Kind::Colon) {
            let comments = out.iter().rev().take_while(|token| is_comment(token)).count();
            out.insert(out.len() - comments, Token { lines: 0, gap: 0, ..token });
        } else {
            out.push(token);
        }
    }
    out
}

/// A last entry has a comma behind it where its bracket closes on a line of its own, and only there.
fn with_commas<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut out: Vec<Token<'a>> = Vec::new();
    // Of each open bracket: its line, and whether a line ends behind it.
    let mut opened: Vec<(usize, bool)> = Vec::new();
    let mut line = 0;
    // The line on which the bracket was opened that was closed last.
    let mut inner = None;
    for (at, token) in tokens.iter().enumerate() {
        let mut token = token.clone();
        if token.kind == Kind::Close {
            let (opening, ends) = opened.pop().unwrap_or_default();
            let comments = out.iter().rev().take_while(|token| is_comment(token)).count();
            let entry = out.len() - comments;
            let last = out[..entry].last().map(|token| token.kind);
            let bare = out[..entry].iter().rev().find(|token| token.kind != Kind::Comma);
            // `({` opened together closes together: `})`.
            let together = !ends
                && comments == 0
                && inner == Some(opening)
                && bare.is_some_and(|token| token.kind == Kind::Close);
            let is_empty = last == Some(Kind::Open) && comments == 0;
            let after_line_comment = out.last().is_some_and(|token| token.kind == Kind::LineComment);
            let own_line = !is_empty && !together && (token.lines > 0 || ends || after_line_comment);
            token.lines = usize::from(own_line);
            if own_line && !matches!(last, None | Some(Kind::Open | Kind::Comma)) {
                out.insert(entry, Token { kind: Kind::Comma, text: ",", lines: 0, gap: 0 });
            } else if !own_line && last == Some(Kind::Comma) {
                out.remove(entry - 1);
            }
            inner = Some(opening);
        }
        // Lines as they come out: an empty bracket over two lines is one by now.
        line += usize::from(out.last().is_some_and(|before| ends_line(before, &token)));
        if token.kind == Kind::Open {
            opened.push((line, tokens.get(at + 1).is_some_and(|next| next.lines > 0)));
        }
        out.push(token);
    }
    out
}

fn lay_out(tokens: &[Token<'_>]) -> String {
    let mut out = String::new();
    // Of each open bracket: how far the line is indented that it stands on.
    let mut opened: Vec<usize> = Vec::new();
    let mut indent = 0;
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| &tokens[at]);
        let closed = if token.kind == Kind::Close { opened.pop() } else { None };
        match before {
            None => {}
            Some(before) if ends_line(before, token) => {
                let is_gap = token.lines > 1 && before.kind != Kind::Open && token.kind != Kind::Close;
                out.push_str(if is_gap { "\n\n" } else { "\n" });
                indent = closed.unwrap_or_else(|| opened.last().map_or(0, |indent| indent + 1));
                out.push_str(&INDENT.repeat(indent));
            }
            // How far a comment stands off is its author's choice: it may be aligned with others.
            Some(_) if token.kind == Kind::LineComment => out.push_str(&" ".repeat(token.gap.max(1))),
            Some(before) if is_spaced(before, token) => out.push(' '),
            Some(_) => {}
        }
        out.push_str(token.text);
        if token.kind == Kind::Open {
            opened.push(indent);
        }
    }
    out.push('\n');
    out
}

/// Whether a line ends between two tokens.
fn ends_line(before: &Token<'_>, token: &Token<'_>) -> bool {
    if before.kind == Kind::LineComment {
        return true;
    }
    let joins = match (before.kind, token.kind) {
        (_, Kind::Comma | Kind::Colon) => true,
        // A value stands behind its key, and a bracket behind its name.
        (Kind::Colon, _) => !is_comment(token),
        (Kind::Atom, Kind::Open) => !before.text.starts_with('#'),
        _ => false,
    };
    token.lines > 0 && !joins
}

fn is_spaced(before: &Token<'_>, token: &Token<'_>) -> bool {
    match (before.kind, token.kind) {
        (_, Kind::Comma | Kind::Colon | Kind::Close) | (Kind::Open, _) => false,
        (Kind::Atom, Kind::Open) => before.text.starts_with('#'),
        _ => true,
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
