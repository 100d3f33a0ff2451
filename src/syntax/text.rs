//! Lines of a text with their places, and texts cut to be shown.
//!
//! Knows nothing of what the lines say.

/// Every line with the place of its first byte: without the line break, without
/// the byte order mark of the first.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut at = skipped;
    text[skipped..].split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line)))
    })
}

/// A text that a user wrote, cut to a length that a message can hold.
pub fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{short}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_their_places() {
        let text = "\u{feff}a\r\nb\n\nc";
        let all: Vec<_> = lines(text).collect();
        assert_eq!(all, [(3, "a"), (6, "b"), (8, ""), (9, "c")]);
    }
}
