//! Heredocs: which a line opens, and what they hold.
//!
//! Follows `heredocsFromLine`, `heredocFromMatch` and `ChompHeredocContent`.

use super::Heredoc;
use super::lines::{Lines, Logical};
use crate::syntax::error::SyntaxError;
use crate::syntax::expand::{Lexer, NoVariables};
use crate::syntax::text;

/// Reads a word that may open a heredoc: `<<EOF`, `3<<-"EOF"`. An unsound name is an error.
pub fn of_word(word: &str) -> Result<Option<Heredoc>, String> {
    let Some(rest) = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<") else {
        return Ok(None);
    };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let name = rest.trim_start_matches(['\t', '\n', '\x0c', '\r', ' ']);
    if name.is_empty() || name.contains('<') {
        return Ok(None);
    }
    let lexer = Lexer { keep_unset: true, ..Lexer::new('\\') };
    let plain = lexer.expand(name, &NoVariables)?.words;
    let [plain] = plain.as_slice() else { return Ok(None) };
    let raw = Lexer { raw_quotes: true, ..lexer }.expand(name, &NoVariables)?.words;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = raw.first().is_some_and(|raw| quotes(raw) == quotes(plain));
    Ok(Some(Heredoc { name: plain.clone(), chomp, expand, content: String::new() }))
}

/// Reads the heredocs that a line opens from the lines behind it.
pub fn read(line: &Logical<'_>, lines: &mut Lines<'_>, errors: &mut Vec<SyntaxError>) -> Vec<Heredoc> {
    if !line.text.contains("<<") {
        return Vec::new();
    }
    // The backslash, whatever the file's escape character is; a line that the
    // lexer cannot read opens none.
    let lexer = Lexer { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Lexer::new('\\') };
    let words = lexer.expand(&line.text, &NoVariables).map(|found| found.words).unwrap_or_default();
    let mut found = Vec::new();
    for word in words {
        match of_word(&word) {
            Ok(heredoc) => found.extend(heredoc),
            Err(error) => {
                let message = format!("the heredoc {} has a bad name: {error}", text::quoted(&word));
                errors.push(SyntaxError::new(line.whole(), message));
            }
        }
    }
    for heredoc in &mut found {
        let mut ended = false;
        while let Some((_, physical)) = lines.next_physical() {
            let bare = physical.trim_end_matches(['\r', '\n']);
            let bare = if heredoc.chomp { bare.trim_start_matches('\t') } else { bare };
            if bare == heredoc.name {
                ended = true;
                break;
            }
            heredoc.content.push_str(physical);
        }
        if !ended {
            let name = text::quoted(&heredoc.name);
            let error = SyntaxError::new(line.whole(), format!("the heredoc {name} is not ended"));
            errors.push(error.hint(format!("write {name} on a line of its own behind it")));
            break;
        }
    }
    found
}
