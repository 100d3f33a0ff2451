//! Lines of a text with their places, and the word that was probably meant.
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

/// The candidate that is nearest to what was typed, if one is near enough.
pub fn nearest<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Nobody mistypes a word this long into a short one, and the comparison is quadratic.
    if typed.is_empty() || typed.len() > 64 {
        return None;
    }
    let typed = typed.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 64)
        .map(|candidate| (strsim::damerau_levenshtein(&typed, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(3) / 3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?"
pub fn did_you_mean<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(typed, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// What a user wrote, cut to a length that a message can hold.
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
    fn a_near_word_is_found_and_a_far_one_is_not() {
        let all = ["FROM", "RUN", "COPY", "ENTRYPOINT", "HEALTHCHECK"];
        for (typed, meant) in [
            ("FORM", Some("FROM")),
            ("ruun", Some("RUN")),
            ("COPPY", Some("COPY")),
            ("ENTRYPONT", Some("ENTRYPOINT")),
            ("healthchek", Some("HEALTHCHECK")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, all), meant, "{typed}");
        }
    }

    #[test]
    fn lines_know_their_places() {
        let text = "\u{feff}a\r\nb\n\nc";
        let all: Vec<_> = lines(text).collect();
        assert_eq!(all, [(3, "a"), (6, "b"), (8, ""), (9, "c")]);
    }
}
