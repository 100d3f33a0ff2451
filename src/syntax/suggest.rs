//! "Did you mean …?": the known word nearest to an unknown one.

/// The candidate that a person most likely meant, or `None` when none is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()).div_ceil(3))
        .min()
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
}
