//! The one place where reasons and errors become words.

pub mod cause;
pub mod quantity;
pub mod release;
pub mod rule;

use std::collections::BTreeMap;

use crate::build::summary::{OutdatedName, TakenName};
use crate::engine::{EngineError, EngineIdentity};
use crate::exec::remote_cache::Unanswered;
use crate::model::reason::{Code, Reason};
use crate::plan::tags::missing::Missing;
use crate::query::effect::BuildError;
use crate::session::upstream::{Instead, Note};
use crate::syntax::reference;

/// A cause as the end of a line: ``` `src/main.rs` changed```.
pub fn reason(reason: &Reason) -> String {
    let subject = &reason.subject;
    let (before, after) = (reason.before.as_deref(), reason.after.as_deref());
    let change = |what: String| match (before, after) {
        (Some(before), Some(after)) => format!("{what} changed: {} → {}", shown(before), shown(after)),
        (None, Some(after)) => format!("{what} is new: {}", shown(after)),
        (Some(before), None) => format!("{what} is gone: it was {}", shown(before)),
        (None, None) => format!("{what} changed"),
    };
    match reason.code {
        Code::File => match (before, after) {
            (None, _) => format!("`{subject}` is new"),
            (_, None) => format!("`{subject}` is gone"),
            (Some(before), Some(after)) => match (before.split_once(' '), after.split_once(' ')) {
                (Some((hash, old)), Some((same, new))) if hash == same => {
                    format!("`{subject}` changed its mode: {old} → {new}")
                }
                _ => format!("`{subject}` changed"),
            },
        },
        Code::Dockerfile => match (before, after) {
            (Some(before), Some(after)) => {
                format!("instruction changed: {} → {}", shown(before), shown(after))
            }
            (None, Some(after)) => format!("new instruction: {}", shown(after)),
            (Some(before), None) => format!("instruction removed: {}", shown(before)),
            (None, None) => "its Dockerfile changed".into(),
        },
        Code::Arg => change(format!("argument `{subject}`")),
        Code::Base => match (before, after) {
            (Some(_), Some(_)) => format!("its base `{subject}` came out different"),
            (None, _) => format!("it has a new base `{subject}`"),
            (_, None) => format!("it has no more the base `{subject}`"),
        },
        Code::Upstream => match (before, after) {
            (Some(_), Some(_)) => format!("`{subject}` is another image now"),
            (None, _) => format!("it has a new base `{subject}`"),
            (_, None) => format!("it has no more the base `{subject}`"),
        },
        Code::Git | Code::Config => change(format!("`{subject}`")),
        Code::Builder => change(format!("the {subject}")),
        Code::Missing if before.is_some() => "its result is gone from the engine".into(),
        Code::Missing if !subject.is_empty() => "there was no such image".into(),
        Code::Missing if after.is_some() => "built on another engine, and not on this one".into(),
        Code::Missing => "never built here".into(),
        Code::Forced => "asked for".into(),
        Code::Test => format!("test `{subject}` changed"),
    }
}

/// Why no commit has what an image copies.
pub fn beyond_git(path: &str) -> String {
    format!("copies `{path}`: git ignores it, so a commit cannot hold it")
}

/// The first cause, and how many more there are.
pub fn first_reason(reasons: &[Reason]) -> String {
    match reasons {
        [] => "its inputs changed".into(),
        [only] => reason(only),
        [first, rest @ ..] => format!("{} (and {} more)", reason(first), rest.len()),
    }
}

/// A value on one line, cut where it gets long.
fn shown(value: &str) -> String {
    let line: String = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 60 {
        return format!("`{line}`");
    }
    format!("`{}…`", line.chars().take(57).collect::<String>())
}

/// Why a tag is not given, as the end of a sentence.
pub fn missing(why: &Missing) -> String {
    match why {
        Missing::Git(why) => why.clone(),
        Missing::NoRepository => "there is no git repository".into(),
        Missing::NoCommit => "nothing was committed yet".into(),
        Missing::NoBranch => "the head is detached, so there is no branch".into(),
        Missing::NoTag => "no git tag stands at the commit".into(),
        Missing::NoVersion(tag) => format!("the git tag `{tag}` is no version such as v1.2.3"),
        Missing::PreRelease(tag) => format!("`{tag}` is a pre-release"),
        Missing::NoPreRelease(tag) => format!("`{tag}` is no pre-release"),
        Missing::NoBuildNumber => {
            "there is no build number; --build-number or IMK_BUILD_NUMBER sets it, and CI as a rule".into()
        }
        Missing::NoVariable(name) => format!("the variable {name} is not set"),
        Missing::NoKey => "its key is not known before its base is built".into(),
    }
}

/// `` `gpu` and `jdk17` ``.
fn quoted(labels: &[String]) -> String {
    labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(" and ")
}

/// A line that says of a name that it was taken from an image which is not known here.
pub fn taken(taken: &TakenName) -> String {
    let TakenName { tag, from, kept_as } = taken;
    let kept =
        kept_as.as_ref().map_or(String::new(), |other| format!(", and that image is kept as `{other}`"));
    format!(
        "`{tag}` named the image {from}, which this repository does not know: it names the result here now{kept}"
    )
}

/// A line that says of a name that it is on an older result.
pub fn behind(behind: &OutdatedName) -> String {
    let OutdatedName { image, tag } = behind;
    format!(
        "`{tag}` is another image here, an older one perhaps: the current result is in its registry alone, and `imk pull {image}` fetches it"
    )
}

/// A line that says of a name for several platforms that its index was not put.
pub fn incomplete(name: &str, lacks: &[String]) -> String {
    let lacks = lacks.iter().map(|image| format!("`{image}`")).collect::<Vec<_>>().join(", ");
    format!("the index of `{name}` waits for {lacks}: it is put by a push of all its platforms")
}

/// A line that says of an image that it cannot be published.
pub fn no_registry(image: &str) -> String {
    format!("image `{image}` cannot be published: its name has no registry")
}

/// Why an image has no result, in one line.
pub fn build_error(error: &BuildError) -> String {
    match error {
        BuildError::Invalid(problems) => match problems.as_slice() {
            [] => "it has mistakes".into(),
            [first, ..] => first.message.clone(),
        },
        BuildError::Base(base) => format!("its base `{base}` has no result"),
        BuildError::BaseMissing(base) => format!(
            "the result of its base `{base}` was lost again while it was needed: neither an engine nor a registry has it"
        ),
        BuildError::Engine(error) => engine_error(error),
        BuildError::NoEngine { platform, labels, engines } => {
            let with = if labels.is_empty() { String::new() } else { format!(" with {}", quoted(labels)) };
            format!("no engine{with} builds {platform}; there are {}", engines.join(", "))
        }
        BuildError::Stuck { base, engine, why } => {
            format!("its base `{base}` is on another engine and cannot come to `{engine}`: {why}")
        }
        BuildError::Ledger(why) => {
            format!("it was built, but the result could not be written down, so it does not count: {why}")
        }
        BuildError::FilesChanged => {
            "its files changed while imk read them; run imk again when they rest".into()
        }
        BuildError::Secret(why) => why.clone(),
    }
}

/// An engine's failure in one line.
pub fn engine_error(error: &EngineError) -> String {
    match error {
        EngineError::FileChanged { path } => {
            format!("`{path}` changed while it was sent to the engine; run imk again when it rests")
        }
        EngineError::Failed(failure) if !failure.step.is_empty() => match failure.exit_code {
            Some(code) => format!("{} ended with exit code {code}", failure.step),
            None => format!("{}: {}", failure.step, failure.message),
        },
        other => other.to_string(),
    }
}

/// That the engine is another than it was in the last run.
pub fn other_engine(before: &EngineIdentity, now: &EngineIdentity) -> String {
    let who = |it: &EngineIdentity| {
        let (builder, store) = it.builder.split_once('/').unwrap_or((&it.builder, "?"));
        let name = if builder == "podman" { "Podman" } else { "Docker" };
        format!("{name} {} (store {store})", it.version)
    };
    let (was, is) = (who(before), who(now));
    let change = if was == is {
        format!("the engine is another {is} than in the last run")
    } else {
        format!("the engine was {was} in the last run and is {is} now")
    };
    format!("{change}: results that it has are used, whoever built them")
}

/// So many repositories are named in one line.
const NAMED: usize = 3;

/// The first of some names, and how many more there are.
fn listed(names: &[String]) -> String {
    match names {
        some if some.len() <= NAMED + 1 => some.join(", "),
        many => format!("{} and {} more", many[..NAMED].join(", "), many.len() - NAMED),
    }
}

/// A registry that did not say whether it has results, whatever it was asked about.
pub fn unanswered(unanswered: &Unanswered) -> String {
    let names: Vec<String> = unanswered.repositories.iter().map(|name| format!("`{name}`")).collect();
    let all = listed(&names);
    let why = unanswered.error.to_string();
    let one = unanswered.error.about().map(|name| format!("`{name}`")).filter(|_| names.len() > 1);
    let why = one.map_or(why.clone(), |one| why.replacen(&one, &all, 1));
    format!("{why}; it may have results that imk does not know of")
}

/// Remarks on the bases outside, a line for each registry's trouble.
pub fn notes(notes: &[Note]) -> Vec<String> {
    // One registry's trouble is told once, whatever it was asked about.
    let all = |note: &Note| match note.instead {
        Instead::Address | Instead::Absent => "its files",
        _ => "its images",
    };
    let general = |note: &Note| match reference::parse(&note.reference) {
        Ok(name) => note.why.replace(&format!("`{}`", name.repository), all(note)),
        Err(_) => note.why.clone(),
    };
    let mut by_trouble: BTreeMap<(String, Instead), Vec<&Note>> = BTreeMap::new();
    for note in notes {
        by_trouble.entry((general(note), note.instead)).or_default().push(note);
    }
    let line = |((why, instead), notes): ((String, Instead), Vec<&Note>)| {
        let why = if let [only] = notes.as_slice() { only.why.clone() } else { why };
        let names = listed(&notes.iter().map(|note| format!("`{}`", note.reference)).collect::<Vec<_>>());
        let what = match instead {
            Instead::LastKnown => format!("{names}: what was known before serves"),
            Instead::Engine => format!("{names}: what the engine has serves"),
            Instead::Name => format!("{names}: counts by its name, whatever the engine will pull"),
            Instead::Address => {
                format!("{names}: counts by its address, whatever the engine fetches from there")
            }
            Instead::Absent => format!("{names}: the build will fail there, unless it is back by then"),
            Instead::NoConfiguration => {
                format!("{names}: ONBUILD triggers and environment of it are not known")
            }
        };
        format!("{why}; {what}")
    };
    by_trouble.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: Code, subject: &str, before: Option<&str>, after: Option<&str>, expected: &str) {
        let cause = Reason {
            code,
            subject: subject.into(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(reason(&cause), expected);
    }

    #[test]
    fn every_cause_reads_as_the_end_of_a_sentence() {
        check(Code::File, "a.py", Some("1f 0644"), Some("2f 0644"), "`a.py` changed");
        check(Code::File, "a.py", Some("1f 0644"), Some("1f 0755"), "`a.py` changed its mode: 0644 → 0755");
        check(Code::File, "a.py", None, Some("1f 0644"), "`a.py` is new");
        check(Code::File, "a.py", Some("1f 0644"), None, "`a.py` is gone");
        check(Code::Arg, "V", Some("1"), Some("2"), "argument `V` changed: `1` → `2`");
        check(Code::Dockerfile, "", Some("RUN  a"), Some("RUN b"), "instruction changed: `RUN a` → `RUN b`");
        check(Code::Config, "platform", Some("a"), Some("b"), "`platform` changed: `a` → `b`");
        check(Code::Base, "py3dev", Some("1"), Some("2"), "its base `py3dev` came out different");
        check(Code::Missing, "", None, None, "never built here");
        check(Code::Missing, "image", None, None, "there was no such image");
        check(Code::Missing, "", None, Some("x"), "built on another engine, and not on this one");
        check(Code::Missing, "", Some("sha256:1"), None, "its result is gone from the engine");
        check(Code::Forced, "", None, None, "asked for");
    }

    #[test]
    fn long_values_are_cut_and_many_causes_counted() {
        let cause =
            Reason { code: Code::Arg, subject: "V".into(), before: None, after: Some("x".repeat(99)) };
        assert!(reason(&cause).chars().count() < 100);
        let more = [Reason::forced(), Reason::forced(), Reason::forced()];
        assert_eq!(first_reason(&more), "asked for (and 2 more)");
        assert_eq!(first_reason(&[]), "its inputs changed");
    }
}
