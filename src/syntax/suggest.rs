//! "Did you mean …?": the known word nearest to an unknown one.

/// The candidate that is nearest to what was typed, if one is near enough.
///
/// ```
/// use imk::syntax::suggest::nearest;
///
/// assert_eq!(nearest("contxt", ["context", "target"]), Some("context"));
/// assert_eq!(nearest("banana", ["context", "target"]), None);
/// ```
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

/// ``did you mean `web`?``, ready to be a hint.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let words = ["context", "dockerfile", "target"];
        assert_eq!(nearest("contxt", words), Some("context"));
        assert_eq!(nearest("Dockerfile", words), Some("dockerfile"));
        assert_eq!(nearest("tagret", words), Some("target"));
        assert_eq!(nearest("zzz", words), None);
    }

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
}
