//! Causes in full: values before and after, the commit behind them, and what changed line by line.

use similar::{ChangeTag, TextDiff};

use crate::explain::why::Chain;
use crate::model::reason::{Code, Reason};
use crate::source::git::origin::Origin;
use crate::state::evidence::read_shown;

/// A line longer than this is broken at `&&` before it is compared.
const LONG: usize = 60;

/// A cause with its values and where it comes from: `` `a.py` changed: a1b2 → c3d4, commit 9f8e123 “fix units” ``.
pub fn cause(reason: &Reason, origin: Option<&Origin>) -> String {
    values(reason).unwrap_or_else(|| super::reason(reason)) + &self::origin(origin)
}

/// Where a cause comes from, as the end of a line.
pub fn origin(origin: Option<&Origin>) -> String {
    match origin {
        Some(Origin::Commit(commit)) => {
            format!(", commit {} “{}”", &commit.id[..commit.id.len().min(7)], commit.summary)
        }
        Some(Origin::Uncommitted) => ", uncommitted".into(),
        Some(Origin::Elsewhere { from, commit: None }) => format!(", from {from}"),
        Some(Origin::Elsewhere { from, commit: Some(commit) }) => {
            format!(", from {from} at commit {}", &commit[..commit.len().min(12)])
        }
        None => String::new(),
    }
}

/// The first cause in full, and how many more there are.
pub fn first(reasons: &[Reason], origin: Option<&Origin>) -> String {
    match reasons {
        [] => super::first_reason(reasons),
        [only] => cause(only, origin),
        [first, rest @ ..] => format!("{} (and {} more)", cause(first, origin), rest.len()),
    }
}

/// The way from an image to the root of why it is stale: `` app ← base ← `a.py` changed: a1b2 → c3d4 ``. Of an image that is its own
/// root the cause alone.
pub fn chain(chain: &Chain) -> String {
    let cause = first(&chain.causes, None);
    match chain.images.as_slice() {
        [] | [_] => cause,
        images => format!("{} ← {cause}", images.join(" ← ")),
    }
}

/// The causes whose values are hashes; words for all others hold their values already.
fn values(reason: &Reason) -> Option<String> {
    let subject = &reason.subject;
    let (before, after) = (reason.before.as_deref(), reason.after.as_deref());
    match (reason.code, before, after) {
        (Code::File, Some(before), Some(after)) => Some(match (read_shown(before), read_shown(after)) {
            (Some(old), Some(new)) if old.mode.is_some() == new.mode.is_some() && old.hash != new.hash => {
                let (from, to) = shortest(old.hash, new.hash);
                let modes = match (old.mode, new.mode) {
                    (Some(old), Some(new)) if old != new => format!(", its mode {old:04o} → {new:04o}"),
                    _ => String::new(),
                };
                format!("`{subject}` changed: {from} → {to}{modes}")
            }
            (Some(old), Some(new)) if old.hash == new.hash => return None,
            _ => format!("`{subject}` changed: {before} → {after}"),
        }),
        (Code::File, None, Some(after)) => Some(read_shown(after).map_or_else(
            || super::reason(reason),
            |new| format!("`{subject}` is new: {}", &new.hash[..4.min(new.hash.len())]),
        )),
        (Code::File, Some(before), None) => Some(read_shown(before).map_or_else(
            || super::reason(reason),
            |old| format!("`{subject}` is gone: it was {}", &old.hash[..4.min(old.hash.len())]),
        )),
        (Code::Base | Code::Upstream, Some(before), Some(after)) => {
            let hash = |value: &str| value.rsplit(':').next().unwrap_or_default().to_owned();
            let (before, after) = (hash(before), hash(after));
            let (before, after) = shortest(&before, &after);
            Some(format!("{}: {before} → {after}", super::reason(reason)))
        }
        _ => None,
    }
}

/// The beginnings of two hashes: four digits, more where those are the same. Words stay whole.
fn shortest<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let digits = [4, 6, 8, 12].into_iter().find(|digits| a.get(..*digits) != b.get(..*digits)).unwrap_or(12);
    let cut = |text: &'a str| match text.chars().all(|c| c.is_ascii_hexdigit()) {
        true => text.get(..digits).unwrap_or(text),
        false => text,
    };
    (cut(a), cut(b))
}

/// A cause without its values: they follow line by line.
pub fn title(reason: &Reason) -> String {
    match (reason.code, &reason.before, &reason.after) {
        (Code::Dockerfile, Some(_), Some(_)) => "instruction changed".into(),
        (Code::Dockerfile, None, _) => "new instruction".into(),
        (Code::Dockerfile, _, None) => "instruction removed".into(),
        _ => super::reason(&Reason { before: None, after: None, ..reason.clone() }),
    }
}

/// The difference of an instruction or of a long value, line by line; nothing of
/// a file or a base, and of a value that a sentence can hold.
pub fn lines(reason: &Reason) -> Vec<String> {
    let long = |value: &Option<String>| value.as_ref().is_some_and(|it| it.len() > LONG || it.contains('\n'));
    match reason.code {
        Code::Dockerfile => {}
        Code::Config | Code::Arg if long(&reason.before) || long(&reason.after) => {}
        _ => return Vec::new(),
    }
    let text = |value: &Option<String>| value.as_deref().map(broken).unwrap_or_default();
    let (before, after) = (text(&reason.before), text(&reason.after));
    let diff = TextDiff::from_lines(&before, &after);
    let line = |change: similar::Change<&str>| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{sign} {}", change.value().trim_end_matches('\n'))
    };
    let hunks = diff.grouped_ops(2);
    let mut lines = Vec::new();
    for (number, hunk) in hunks.iter().enumerate() {
        if number > 0 {
            lines.push("  …".to_owned());
        }
        lines.extend(hunk.iter().flat_map(|op| diff.iter_changes(op)).map(line));
    }
    lines
}

/// A value as lines that can be compared: a long command has one for each step.
fn broken(value: &str) -> String {
    let long = |line: &str| if line.len() > LONG { line.replace(" && ", " &&\n  ") } else { line.to_owned() };
    value.lines().map(|line| long(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: Code, subject: &str, before: Option<&str>, after: Option<&str>) -> Reason {
        let text = |value: Option<&str>| value.map(str::to_owned);
        Reason { code, subject: subject.into(), before: text(before), after: text(after) }
    }

    #[track_caller]
    fn check(code: Code, subject: &str, before: Option<&str>, after: Option<&str>, expected: &str) {
        assert_eq!(cause(&reason(code, subject, before, after), None), expected);
    }

    #[test]
    fn causes_have_their_values() {
        let [old, new] = ["a1b2c3d4 0644", "c3d4e5f6 0644"].map(Some);
        check(Code::File, "a", old, new, "`a` changed: a1b2 → c3d4");
        check(Code::File, "a", old, Some("c3d4e5f6 0755"), "`a` changed: a1b2 → c3d4, its mode 0644 → 0755");
        check(Code::File, "a", old, Some("a1b2c3d4 0755"), "`a` changed its mode: 0644 → 0755");
        check(Code::File, "a", old, Some("a1b2ffff 0644"), "`a` changed: a1b2c3 → a1b2ff");
        check(Code::File, "a", old, Some("link c3d4e5f6"), "`a` changed: a1b2c3d4 0644 → link c3d4e5f6");
        check(Code::File, "a", None, new, "`a` is new: c3d4");
        check(Code::File, "a", old, None, "`a` is gone: it was a1b2");
        check(Code::File, "a", None, Some("folder 0755"), "`a` is new");
        let [old, new] = ["sha256:aaaa1111", "sha256:bbbb2222"].map(Some);
        check(Code::Upstream, "debian:12", old, new, "`debian:12` is another image now: aaaa → bbbb");
        check(
            Code::Upstream,
            "debian:12",
            Some("by name"),
            new,
            "`debian:12` is another image now: by name → bbbb",
        );
    }

    #[test]
    fn what_changed_of_a_long_command_is_one_of_its_steps() {
        let run = |what: &str| {
            format!("RUN apt-get update && apt-get install -y {what} && rm -rf /var/lib/apt/lists/*")
        };
        let lines = lines(&reason(Code::Dockerfile, "", Some(&run("curl")), Some(&run("curl git"))));
        assert_eq!(
            lines,
            [
                "  RUN apt-get update &&",
                "-   apt-get install -y curl &&",
                "+   apt-get install -y curl git &&",
                "    rm -rf /var/lib/apt/lists/*",
            ]
        );
    }
}
