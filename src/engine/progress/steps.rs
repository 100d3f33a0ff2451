//! Lines of builders that work step by step: Docker's old one and Podman's.
//!
//! Pure. What a command prints between such lines is told apart by their exact form.

/// The count and the instruction of a step that begins: `2/4` and `COPY . /src` of `Step 2/4 : COPY . /src`
/// (Docker) and `STEP 2/4: COPY . /src` (Podman); with several stages, `[1/2] STEP 2/4: …`.
pub(super) fn begins(text: &str) -> Option<(String, &str)> {
    if let Some((count, name)) = text.strip_prefix("Step ").and_then(|rest| rest.split_once(" : ")) {
        return Some((count.to_owned(), name.trim_end()));
    }
    let (stage, rest) = match text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((stage, rest)) if is_count(stage) => (stage.split('/').next(), rest),
        _ => (None, text),
    };
    let (count, name) = rest.strip_prefix("STEP ")?.split_once(": ")?;
    let stage = stage.map_or_else(String::new, |stage| format!("stage {stage}, "));
    is_count(count).then(|| (format!("{stage}{count}"), name.trim_end()))
}

/// Whether the step that runs was in the builder's cache.
pub(super) fn is_cached(text: &str) -> bool {
    let hash = text.strip_prefix("--> Using cache ").map(str::trim_end);
    text.starts_with(" ---> Using cache") || hash.is_some_and(is_hash)
}

/// Whether Podman says what a step led to, which ends it.
pub(super) fn ends(text: &str) -> bool {
    text.strip_prefix("--> ").map(str::trim_end).is_some_and(is_hash)
}

/// Whether it is the builder that speaks, of what nobody needs.
pub(super) fn is_chatter(text: &str) -> bool {
    text.starts_with(" ---> ")
        || text.starts_with("Removing intermediate container")
        || text.trim_end().rsplit("] ").next() == Some("COMMIT")
}

fn is_count(text: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('/').is_some_and(|(one, other)| number(one) && number(other))
}

fn is_hash(text: &str) -> bool {
    (11..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
