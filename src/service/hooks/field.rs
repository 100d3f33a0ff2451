//! Fields of a payload, each of a form that can do no harm further on.

use serde_json::Value;

use crate::syntax::git_source;

/// Longer texts of somebody else are cut.
const LONGEST_LINE: usize = 200;
/// Longer names of branches are none.
const LONGEST_BRANCH: usize = 250;

/// The text at a path of keys.
pub(super) fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_str()
}

/// The list at a path of keys; none is as good as empty.
pub(super) fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    let found = path.iter().try_fold(value, |value, key| value.get(key)).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// The number at a path of keys.
pub(super) fn number(value: &Value, path: &[&str]) -> Option<u64> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_u64()
}

/// The name of a branch that git allows and no option of a program could be.
pub(super) fn branch(name: &str) -> Option<String> {
    let is_sound = name.len() <= LONGEST_BRANCH && !name.starts_with('-') && !name.contains(char::is_control);
    git_source::reference(name).ok().filter(|_| is_sound)
}

/// A commit's id in full.
pub(super) fn commit(id: &str) -> Option<String> {
    let is_sound = matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sound.then(|| id.to_ascii_lowercase())
}

/// Whether an id stands for no commit: the branch was deleted, or is new.
pub(super) fn is_nothing(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

/// The first line of a text, of a length that a screen has and without control characters.
pub(super) fn line(text: &str) -> String {
    let line = text.trim_start().lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(LONGEST_LINE).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_that_could_do_harm_are_none() {
        for name in ["-x", "--upload-pack=x", "a..b", "a b", "a\nb", "", "/a", "a/", "a~1", "@{-1}", "a:b"] {
            assert_eq!(branch(name), None, "{name}");
        }
        assert_eq!(branch(&"a".repeat(251)), None);
        for name in ["main", "feature/7-x", "über", "a'b", "$(id)", "a;b", "a&b"] {
            // A shell would mind some of these; no shell sees them.
            assert_eq!(branch(name).as_deref(), Some(name));
        }
        assert_eq!(
            commit("ABCDEF0123456789abcdef0123456789abcdef01").unwrap(),
            "abcdef0123456789abcdef0123456789abcdef01"
        );
        for id in
            ["", "main", "abc", &"g".repeat(40), &"a".repeat(41), "--abcdef0123456789abcdef0123456789abcde"]
        {
            assert_eq!(commit(id), None, "{id}");
        }
        assert_eq!(line("\n first\u{1b}[31m \nsecond"), "first[31m");
        assert_eq!(line(&"é".repeat(900)).chars().count(), LONGEST_LINE);
    }
}
