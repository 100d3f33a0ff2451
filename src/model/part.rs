//! One line of what an action key is made of, and how two lists of them differ.
//!
//! The hash and the explanation come from the same list, so that a reason can
//! always be given for a key that changed. Knows nothing of where parts come from.

use serde::{Deserialize, Serialize};

use crate::model::hash::{ContentHash, FieldHasher};
use crate::model::reason::{Code, Reason};

/// One thing that counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Part {
    /// Which kind of thing, and the code of the reason when it changes.
    pub code: Code,
    /// Its name among its kind: an argument, a base's reference; empty for an instruction.
    pub name: String,
    /// Its value. Never a secret's.
    pub value: String,
}

impl Part {
    /// A part of these three.
    pub fn new(code: Code, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { code, name: name.into(), value: value.into() }
    }
}

/// The hash of a list of parts, order included.
pub fn hash(domain: &str, parts: &[Part]) -> ContentHash {
    let mut hasher = FieldHasher::new(domain);
    hasher.number(parts.len() as u64);
    for part in parts {
        hasher.number(part.code as u64).field(&part.name).field(&part.value);
    }
    hasher.finish()
}

/// The differences of `new`, in the order of `new`. Named parts are compared
/// by name, instructions by their order: only those that differ are told.
///
/// ```
/// use imk::model::part::{Part, differences};
/// use imk::model::reason::Code;
///
/// let old = [Part::new(Code::Arg, "V", "1"), Part::new(Code::Dockerfile, "", "RUN a")];
/// let new = [Part::new(Code::Arg, "V", "2"), Part::new(Code::Dockerfile, "", "RUN a")];
/// let reasons = differences(&old, &new);
/// assert_eq!(reasons.len(), 1);
/// assert_eq!((reasons[0].subject.as_str(), reasons[0].after.as_deref()), ("V", Some("2")));
/// ```
pub fn differences(old: &[Part], new: &[Part]) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let named = |parts: &[Part]| -> Vec<Part> {
        parts.iter().filter(|part| !part.name.is_empty()).cloned().collect()
    };
    let (old_named, new_named) = (named(old), named(new));
    for part in &new_named {
        let before = old_named.iter().find(|other| other.code == part.code && other.name == part.name);
        if before.is_none_or(|before| before.value != part.value) {
            reasons.push(reason(part, before.map(|part| part.value.clone()), Some(part.value.clone())));
        }
    }
    for part in &old_named {
        if !new_named.iter().any(|other| other.code == part.code && other.name == part.name) {
            reasons.push(reason(part, Some(part.value.clone()), None));
        }
    }
    reasons.extend(instructions(old, new));
    reasons.sort_by_key(|reason| reason.code);
    reasons
}

fn reason(part: &Part, before: Option<String>, after: Option<String>) -> Reason {
    Reason { code: part.code, subject: part.name.clone(), before, after }
}

fn instructions(old: &[Part], new: &[Part]) -> Vec<Reason> {
    fn unnamed(parts: &[Part]) -> Vec<&Part> {
        parts.iter().filter(|part| part.name.is_empty()).collect()
    }
    let (old, new) = (unnamed(old), unnamed(new));
    let changed = |op: &similar::DiffOp| -> Vec<Reason> {
        if op.tag() == similar::DiffTag::Equal {
            return Vec::new();
        }
        let (old, new) = (&old[op.old_range()], &new[op.new_range()]);
        let at = |number: usize| (old.get(number), new.get(number));
        (0..old.len().max(new.len()))
            .map(|number| {
                let (before, after) = at(number);
                let shown = after.or(before).copied();
                Reason {
                    code: shown.map_or(Code::Dockerfile, |part| part.code),
                    subject: String::new(),
                    before: before.map(|part| part.value.clone()),
                    after: after.map(|part| part.value.clone()),
                }
            })
            .collect()
    };
    similar::capture_diff_slices(similar::Algorithm::Myers, &old, &new).iter().flat_map(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Part> {
        text.split('|')
            .filter(|part| !part.is_empty())
            .map(|part| match part.split_once('=') {
                Some((name, value)) => Part::new(Code::Arg, name, value),
                None => Part::new(Code::Dockerfile, "", part),
            })
            .collect()
    }

    #[track_caller]
    fn check(old: &str, new: &str, expected: &[(&str, Option<&str>, Option<&str>)]) {
        let found = differences(&list(old), &list(new));
        let found: Vec<_> = found
            .iter()
            .map(|reason| (reason.subject.as_str(), reason.before.as_deref(), reason.after.as_deref()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn equal_lists_have_no_differences() {
        check("FROM a|A=1|RUN x", "FROM a|A=1|RUN x", &[]);
    }

    #[test]
    fn named_parts_are_compared_by_name() {
        check(
            "A=1|B=2",
            "B=3|C=4",
            &[("B", Some("2"), Some("3")), ("C", None, Some("4")), ("A", Some("1"), None)],
        );
    }

    #[test]
    fn only_the_instructions_that_differ_are_told() {
        check("FROM a|RUN x|CMD c", "FROM a|RUN y|CMD c", &[("", Some("RUN x"), Some("RUN y"))]);
        check("FROM a|CMD c", "FROM a|RUN y|CMD c", &[("", None, Some("RUN y"))]);
        check("FROM a|RUN x|CMD c", "FROM a|CMD c", &[("", Some("RUN x"), None)]);
        check(
            "ARG 1|COPY a|RUN x|CMD c",
            "ARG 2|COPY a|RUN y|CMD c",
            &[("", Some("ARG 1"), Some("ARG 2")), ("", Some("RUN x"), Some("RUN y"))],
        );
    }

    #[test]
    fn the_hash_sees_order_and_kind() {
        assert_ne!(hash("d", &list("RUN a|RUN b")), hash("d", &list("RUN b|RUN a")));
        let arg = [Part::new(Code::Arg, "x", "1")];
        let config = [Part::new(Code::Config, "x", "1")];
        assert_ne!(hash("d", &arg), hash("d", &config));
    }
}
