//! Text of others, made fit for a page: it hides nothing, turns nothing around and begins no line of its own.
//!
//! Markup is escaped by maud; this is about characters that no escaping of markup touches. A commit's message, a
//! branch or a step's output may have control characters, sequences for terminals and marks that reverse the direction
//! of what follows. In one line they are spelled out; in a log a terminal's sequences are taken out, as a terminal
//! would have done with them.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Bytes of a log line that are shown at most; what is longer is cut, and says so.
pub const LINE_LENGTH_MAX: usize = 16 << 10;

/// Characters that are not seen or change how others are: controls, Unicode's formats, its line and paragraph
/// separators, and fillers.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// One line of somebody else's, with every hidden character spelled out as the command line spells it.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        spell(&mut out, c, false);
    }
    out
}

/// A line that stands by itself whatever the direction of its script: `<bdi>` keeps it from reordering its neighbours.
pub fn apart(text: &str) -> Markup {
    html! { bdi { (line(text)) } }
}

/// The part of a log that `bytes` are, as lines that each end with a line end: terminals' sequences are gone, what a
/// carriage return overwrote is gone, tabs stay, the rest is spelled out.
pub fn log(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 8);
    let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return out;
    }
    for line in whole.split(|byte| *byte == b'\n') {
        log_line(&mut out, line);
        out.push('\n');
    }
    out
}

fn log_line(out: &mut String, line: &[u8]) {
    let ended = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
    let last = line[..ended].rsplit(|byte| *byte == b'\r').next().unwrap_or_default();
    let (kept, cut) = match last.len() > LINE_LENGTH_MAX {
        true => last.split_at(LINE_LENGTH_MAX),
        false => (last, &[][..]),
    };
    let text = String::from_utf8_lossy(kept);
    for c in anstream::adapter::strip_str(&text).to_string().chars() {
        // A terminal would have done nothing visible for these.
        if c == '\t' || !c.is_control() {
            spell(out, c, true);
        }
    }
    if !cut.is_empty() {
        let _ = write!(out, " … {} more bytes", cut.len());
    }
}

fn spell(out: &mut String, c: char, is_log: bool) {
    match c {
        '\t' if is_log => out.push('\t'),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_hidden(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_message_cannot_turn_hide_or_break_a_line() {
        assert_eq!(line("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(line("x\u{202e}gpj.exe\u{200b}"), "x\\u{202e}gpj.exe\\u{200b}");
        assert_eq!(line("\u{1b}[31m\u{9b}1m\u{7f}\0"), "\\u{1b}[31m\\u{9b}1m\\u{7f}\\u{0}");
        assert_eq!(line("größe 日本 🦀 שלום"), "größe 日本 🦀 שלום");
    }

    #[test]
    fn every_character_that_is_not_seen_is_spelled() {
        for c in (0..=0x10_ffffu32).filter_map(char::from_u32) {
            assert!(!line(&c.to_string()).chars().any(is_hidden), "{:x}", u32::from(c));
            assert!(
                !log(c.to_string().as_bytes())
                    .trim_end_matches('\n')
                    .chars()
                    .any(|c| c != '\t' && is_hidden(c))
            );
        }
    }

    #[test]
    fn a_log_is_as_a_terminal_would_leave_it() {
        assert_eq!(log(b"10%\r50%\r100%\r\nnext\n"), "100%\nnext\n");
        assert_eq!(log(b"\x1b[1;31mred\x1b[0m\x1b]0;title\x07!\n"), "red!\n");
        assert_eq!(log("a\u{202e}b\tc".as_bytes()), "a\\u{202e}b\tc\n");
        assert_eq!(log(b"\xff\xfe\n"), "\u{fffd}\u{fffd}\n");
        assert_eq!((log(b""), log(b"\n"), log(b"\n\n")), (String::new(), "\n".into(), "\n\n".into()));
    }

    #[test]
    fn a_line_without_an_end_is_cut_and_says_so() {
        let long = log(&vec![b'x'; LINE_LENGTH_MAX + 5]);
        assert_eq!(long, format!("{} … 5 more bytes\n", "x".repeat(LINE_LENGTH_MAX)));
        // A cut in the middle of a character is no panic.
        let mut cut = vec![b'x'; LINE_LENGTH_MAX - 1];
        cut.extend("é".as_bytes());
        assert!(log(&cut).ends_with("\u{fffd} … 1 more bytes\n"));
    }
}
