//! First sentences of comments: does each name the thing that it is about?

/// Words that hide the noun of a sentence that begins with them.
const HIDING: [&str; 6] = ["What", "Whatever", "Who", "Whoever", "Whom", "Whose"];

/// Head and doc comments of a text that begin with a riddle: the number and the text of each first line.
/// `Whether` is the noun of a truth value, and of nothing else.
pub fn riddles(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let kind = |line: &str| ["//!", "///"].into_iter().find(|kind| line.starts_with(kind));
    let mut riddles = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(kind) = kind(line) else { continue };
        if at > 0 && lines[at - 1].starts_with(kind) {
            continue;
        }
        let rest = || lines[at..].iter().skip_while(|line| line.starts_with(kind) || line.starts_with("#["));
        match line[kind.len()..].split_whitespace().next() {
            Some(first) if HIDING.contains(&first) => riddles.push((at + 1, *line)),
            Some("Whether") if !item(rest().copied()).to_lowercase().contains("bool") => {
                riddles.push((at + 1, *line));
            }
            _ => {}
        }
    }
    riddles
}

/// The item that follows a comment, up to its body or its end.
fn item<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    let mut item = String::new();
    for line in lines {
        item += line;
        let inside = item.matches('(').count() > item.matches(')').count();
        if !inside && line.ends_with(['{', ';', ',']) {
            break;
        }
    }
    item
}

#[test]
fn riddles_are_found_where_a_comment_begins() {
    let text = "//! Who knows.\n\n/// What it is.\npub size: u64,\n/// A size.\n/// What follows is fine.\npub size: u64,\n\
                /// Whether it is a folder.\n#[inline]\nfn is_folder(\n    &self,\n) -> Result<bool> {\n\
                /// Whether it is one.\nfn check() -> Result<(), Error> {\n";
    let lines: Vec<usize> = riddles(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 3, 13]);
}
