//! Text of others, made fit to be shown: nothing in it moves a cursor, hides, turns around,
//! begins a line of its own or speaks to the CI that reads along.
//!
//! | character | shown as |
//! |---|---|
//! | line end, carriage return, tab | `\n`, `\r`, `\t` |
//! | any other control character, C1 and delete included | `\u{1b}` |
//! | direction marks, zero-width and other invisible characters, line separators | `\u{202e}` |
//! | the beginning of a command to the CI this runs in | with a space in it |
//!
//! The password of an address (`https://u:p@h`, `ssh://u:p@h`) is struck out.
//! Every other character stays as it is, a backslash too: this is for eyes, and `--json` is
//! for programs. Knows no stream; `out` hands it all that is printed.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;

use crate::syntax::git_source::masked;

/// Words that a CI takes for a command of a step, wherever they stand in a line or at its beginning alone.
struct Commands {
    anywhere: &'static [&'static str],
    in_front: &'static [&'static str],
}

/// Whether a character shows as itself and does nothing else.
pub fn is_plain(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// Characters that are not seen or change how others are: Unicode's formats (`Cf`) but for the
/// visible ones of Arabic and other scripts, its line and paragraph separators, and fillers.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A text that is one line.
pub fn line(text: &str) -> String {
    in_front(part(text), commands())
}

/// A text within a line, behind something of imk's own.
pub fn part(text: &str) -> String {
    anywhere(escaped(&redacted(text), |_| false).into_owned(), commands())
}

/// A text with line ends and tabs of its own, such as a file that is shown.
pub fn text(text: &str) -> String {
    let text = redacted(text);
    let escaped = escaped(&text, |c| matches!(c, '\n' | '\t'));
    let line = |line: &str| in_front(anywhere(line.to_owned(), commands()), commands());
    escaped.split_inclusive('\n').map(line).collect()
}

/// A line that a program wrote, as a terminal would leave it: what stands before a carriage
/// return was overwritten, sequences are taken out, tabs stay. Something of imk's own stands before it.
pub fn output(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let last = text.trim_end_matches(['\r', '\n']).rsplit('\r').next().unwrap_or_default();
    let stripped = anstream::adapter::strip_str(last).to_string();
    let kept: String = stripped.chars().filter(|c| !c.is_control() || *c == '\t').collect();
    anywhere(escaped(&redacted(&kept), |c| c == '\t').into_owned(), commands())
}

/// JSON, in which the same characters are written as JSON's own escapes. Nothing changes for a reader.
pub fn json(text: &str) -> String {
    json_for(&redacted(text), commands())
}

/// No address with its password. Most texts have none.
fn redacted(text: &str) -> Cow<'_, str> {
    match text.contains("://") && text.contains('@') {
        true => Cow::Owned(masked(text)),
        false => Cow::Borrowed(text),
    }
}

fn json_for(text: &str, commands: Option<&Commands>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        if c == '\n' || is_plain(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    // These stand within strings only: JSON itself has no `#`.
    match commands {
        Some(_) => out.replace("##", "#\\u0023"),
        None => out,
    }
}

/// A text beside which a span is shown: line ends stay, and the span moves along.
pub fn excerpt(text: &str, span: std::ops::Range<usize>) -> (String, std::ops::Range<usize>) {
    let mut out = String::with_capacity(text.len());
    let (mut start, mut end) = (None, None);
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if at >= span.start {
            start.get_or_insert(out.len());
        }
        if at >= span.end {
            end.get_or_insert(out.len());
        }
        let before_line_end = c == '\r' && characters.peek().is_some_and(|(_, next)| *next == '\n');
        if before_line_end || matches!(c, '\n' | '\t') || is_plain(c) {
            out.push(c);
        } else {
            escape(&mut out, c);
        }
    }
    let end = end.unwrap_or(out.len());
    let range = start.unwrap_or(out.len())..end;
    (out, range)
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(|c| kept(c) || is_plain(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if kept(c) || is_plain(c) {
            out.push(c);
        } else {
            escape(&mut out, c);
        }
    }
    Cow::Owned(out)
}

fn escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        other => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(other));
        }
    }
}

/// The commands of the CI that reads what this process prints.
fn commands() -> Option<&'static Commands> {
    static HERE: OnceLock<Option<Commands>> = OnceLock::new();
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false");
    HERE.get_or_init(|| {
        // GitHub's runner takes its old form anywhere in a line and its new one in front,
        // Azure's takes both of its forms anywhere, TeamCity's and GitLab's have one each.
        if is_set("GITHUB_ACTIONS") || is_set("TF_BUILD") {
            return Some(Commands { anywhere: &["##[", "##vso["], in_front: &["::"] });
        }
        if is_set("TEAMCITY_VERSION") {
            return Some(Commands { anywhere: &["##teamcity["], in_front: &[] });
        }
        is_set("GITLAB_CI")
            .then_some(Commands { anywhere: &["section_start:", "section_end:"], in_front: &[] })
    })
    .as_ref()
}

/// A space before its last character makes a command words.
fn anywhere(mut line: String, commands: Option<&Commands>) -> String {
    for command in commands.map_or(&[][..], |commands| commands.anywhere) {
        if line.contains(command) {
            line = line.replace(command, &apart(command));
        }
    }
    line
}

fn in_front(mut line: String, commands: Option<&Commands>) -> String {
    for command in commands.map_or(&[][..], |commands| commands.in_front) {
        let body = line.trim_start();
        if body.starts_with(command) {
            let at = line.len() - body.len();
            line.replace_range(at..at + command.len(), &apart(command));
        }
    }
    line
}

fn apart(command: &str) -> String {
    let (rest, last) = command.split_at(command.len() - 1);
    format!("{rest} {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_gets_through_and_a_line_end_makes_no_line() {
        assert_eq!(line("a\nerror: b"), "a\\nerror: b");
        assert_eq!(line("\u{1b}]52;c;aGk=\u{7}"), "\\u{1b}]52;c;aGk=\\u{7}");
        assert_eq!(line("\u{9b}31m\u{7f}\r\t"), "\\u{9b}31m\\u{7f}\\r\\t");
        assert_eq!(line("tool\u{202e}txt.exe \u{200b}\u{2028}"), "tool\\u{202e}txt.exe \\u{200b}\\u{2028}");
        assert_eq!(line("größe C:\\new 日本 🦀"), "größe C:\\new 日本 🦀");
        assert_eq!(text("a\n\tb\u{1b}c\n"), "a\n\tb\\u{1b}c\n");
    }

    /// A name for a person, what an attacker writes, and what is shown where one line is.
    const TRICKS: [(&str, &str, &str); 12] = [
        ("the clipboard", "x\u{1b}]52;c;aGk=\u{7}y", "x\\u{1b}]52;c;aGk=\\u{7}y"),
        ("the clipboard in C1", "x\u{9d}52;c;aGk=\u{9c}y", "x\\u{9d}52;c;aGk=\\u{9c}y"),
        ("a window's title", "x\u{1b}]0;owned\u{1b}\\y", "x\\u{1b}]0;owned\\u{1b}\\y"),
        ("a link", "x\u{1b}]8;;http://h.invalid\u{1b}\\y", "x\\u{1b}]8;;http://h.invalid\\u{1b}\\y"),
        ("an erased screen", "x\u{1b}[2J\u{1b}[Hy", "x\\u{1b}[2J\\u{1b}[Hy"),
        ("hidden text", "x\u{1b}[8my", "x\\u{1b}[8my"),
        ("a line", "x\nforged: fresh\ry", "x\\nforged: fresh\\ry"),
        ("a line of Unicode", "x\u{85}y\u{2028}z\u{2029}", "x\\u{85}y\\u{2028}z\\u{2029}"),
        ("an erased character", "x\u{8}\u{7f}y", "x\\u{8}\\u{7f}y"),
        ("turned text", "x\u{202e}y\u{2066}", "x\\u{202e}y\\u{2066}"),
        ("what is not seen", "x\u{200b}y\u{feff}", "x\\u{200b}y\\u{feff}"),
        ("a tag nobody sees", "x\u{e0041}y", "x\\u{e0041}y"),
    ];

    #[test]
    fn each_trick_alone_is_shown_and_does_nothing() {
        for (trick, written, shown) in TRICKS {
            assert_eq!(line(written), shown, "{trick}");
            assert_eq!(part(written), shown, "{trick}");
            let several = text(written);
            assert!(several.chars().all(|c| c == '\n' || is_plain(c)), "{trick}: {several:?}");
            let left = output(written.as_bytes());
            assert!(left.chars().all(is_plain), "{trick}: {left:?}");
            let value = serde_json::json!({ written: [written] });
            let quoted = json(&value.to_string());
            assert!(quoted.chars().all(is_plain), "{trick}: {quoted:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&quoted).unwrap(), value, "{trick}");
            let (beside, span) = excerpt(written, 0..written.len());
            assert!(beside.chars().all(|c| matches!(c, '\n' | '\t') || is_plain(c)), "{trick}: {beside:?}");
            assert_eq!(span, 0..beside.len(), "{trick}");
        }
    }

    #[test]
    fn an_address_shows_without_its_password() {
        assert_eq!(line("ADD https://u:pw@h/x /"), "ADD https://****@h/x /");
        assert_eq!(line("no engine at `ssh://me:pw@big:22`"), "no engine at `ssh://me:**@big:22`");
        assert_eq!(line("tcp://h:1 me@b ssh://me@big"), "tcp://h:1 me@b ssh://me@big");
        assert_eq!(json("{\"a\": \"https://u:pw@h/x\"}"), "{\"a\": \"https://****@h/x\"}");
    }

    #[test]
    fn every_character_that_does_something_is_quoted() {
        for c in (0..=0x10_ffffu32).filter_map(char::from_u32) {
            let shown = line(&c.to_string());
            assert!(shown.chars().all(is_plain), "{:x}", u32::from(c));
            assert!(!c.is_control() || shown.is_ascii());
        }
    }

    #[test]
    fn output_of_programs_is_as_a_terminal_would_leave_it() {
        assert_eq!(output(b"10%\r50%\r100%"), "100%");
        assert_eq!(output(b"\x1b[31mred\x1b[0m\x1b[2J\r\n"), "red");
        assert_eq!(output(b"a\x07b\xff"), "ab\u{fffd}");
        assert_eq!(output(b"\x1b]0;title\x07x\x1b]8;;http://h\x1b\\link\x1b]8;;\x1b\\"), "xlink");
        assert_eq!(output("a\u{202e}b".as_bytes()), "a\\u{202e}b");
    }

    #[test]
    fn json_says_the_same_to_a_reader() {
        let value = serde_json::json!({"a\u{9b}": "x\u{7f}\u{202e}\u{e0041}\n##[error]"});
        for commands in [None, Some(&Commands { anywhere: &[], in_front: &[] })] {
            let quoted = json_for(&format!("{value:#}"), commands);
            assert!(quoted.chars().all(|c| c == '\n' || is_plain(c)), "{quoted}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&quoted).unwrap(), value);
            assert_eq!(quoted.contains("##["), commands.is_none());
        }
    }

    #[test]
    fn a_span_stays_where_it_was() {
        let text = "a\u{1b}\r\nFROM \u{202e}b c\n";
        let span = text.find('b').unwrap()..text.find(" c").unwrap();
        let (shown, span) = excerpt(text, span);
        assert_eq!((shown.as_str(), &shown[span]), ("a\\u{1b}\r\nFROM \\u{202e}b c\n", "b"));
        assert_eq!(excerpt("", 0..0), (String::new(), 0..0));
        assert_eq!(excerpt("a", 1..1), ("a".to_owned(), 1..1));
    }

    #[test]
    fn words_are_no_commands_to_a_ci() {
        let github = Commands { anywhere: &["##["], in_front: &["::"] };
        let front = |text: &str| in_front(text.to_owned(), Some(&github));
        assert_eq!(front("  ::set-output name=a::b"), "  : :set-output name=a::b");
        assert_eq!(front("a ::b"), "a ::b");
        assert_eq!(anywhere("x ##[error]y".to_owned(), Some(&github)), "x ## [error]y");
        assert_eq!(anywhere("::a ##[b]".to_owned(), None), "::a ##[b]");
    }
}
