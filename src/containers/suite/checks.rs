//! Comparisons of what is with what is expected. Pure: each says what differs, or nothing.

use std::collections::BTreeMap;

use crate::containers::api::{FileFacts, ImageFacts, Output};
use crate::containers::suite::captured::{end_of, tail};
use crate::containers::suite::stage::MOST;
use crate::syntax::container::suite::{Command, File, Image, pattern};

/// Whether a text has a pattern; the patterns were tried when they were read.
fn has(text: &str, wanted: &str) -> bool {
    pattern(wanted).is_ok_and(|pattern| pattern.is_match(text))
}

fn is(text: &str, wanted: &str) -> bool {
    has(text, &format!("\\A(?:{wanted})\\z"))
}

/// The first of some texts that lacks one of the patterns.
pub fn lacks(name: &str, text: &[u8], wanted: &[String]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let missing = wanted.iter().find(|wanted| !has(&text, wanted))?;
    Some(format!("{name} does not match `{missing}`:\n{}", end_of(&text)))
}

/// Where one of the patterns is that may not be there.
pub fn bears(name: &str, text: &[u8], never: &[String]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let found = never.iter().find(|never| has(&text, never))?;
    Some(format!("{name} matches `{found}`, and may not:\n{}", end_of(&text)))
}

/// How a command came out other than it must.
pub fn command(wanted: &Command, output: &Output) -> Option<String> {
    if output.status != wanted.status {
        return Some(format!(
            "it ended with status {}, and {} is expected\n{}",
            output.status,
            wanted.status,
            tail(output)
        ));
    }
    lacks("its output", &output.out, &wanted.out)
        .or_else(|| lacks("its standard error", &output.err, &wanted.err))
        .map(|wrong| if output.is_cut { format!("{CUT}; {wrong}") } else { wrong })
        .or_else(|| bears("its output", &output.out, &wanted.never))
        .or_else(|| bears("its standard error", &output.err, &wanted.never))
        .or_else(|| unsure(output, &wanted.never))
}

/// Patterns that may not be there say nothing of an output whose end nobody kept.
pub fn unsure(output: &Output, never: &[String]) -> Option<String> {
    let never = never.first().filter(|_| output.is_cut)?;
    Some(format!("{CUT}, so nobody knows whether `{never}` is in the rest"))
}

/// The word on an output that is longer than what is kept.
const CUT: &str = "it wrote more than the 8 MB that are looked at";

/// How a file is other than it must be. `names` are passwd and group of the image.
pub fn file(
    wanted: &File,
    facts: Option<&FileFacts>,
    content: Option<&[u8]>,
    names: (&str, &str),
) -> Option<String> {
    let path = &wanted.path;
    let Some(facts) = facts else {
        return wanted.exists.then(|| format!("`{path}` is not there"));
    };
    if !wanted.exists {
        return Some(format!("`{path}` is there, as a {}", facts.kind));
    }
    if let Some(mode) = wanted.mode.filter(|mode| *mode != facts.mode) {
        return Some(format!("`{path}` has the mode {:04o}, and {mode:04o} is expected", facts.mode));
    }
    if let Some(owner) = &wanted.owner {
        let (user, group) =
            owner.split_once(':').map_or((owner.as_str(), None), |(user, group)| (user, Some(group)));
        let user_fits = number(user, names.0) == Some(facts.uid);
        if !user_fits || group.is_some_and(|group| number(group, names.1) != Some(facts.gid)) {
            return Some(format!(
                "`{path}` belongs to {}:{}, and `{owner}` is expected",
                facts.uid, facts.gid
            ));
        }
    }
    if wanted.content.is_empty() && wanted.never.is_empty() {
        return None;
    }
    let Some(content) = content else {
        return Some(format!("`{path}` is a {}, and has no content", facts.kind));
    };
    content_of(path, content, &wanted.content, &wanted.never)
}

/// How a file's content, of which at most `MOST` bytes are there, is other than it must be.
pub fn content_of(path: &str, content: &[u8], has: &[String], never: &[String]) -> Option<String> {
    let name = format!("`{path}`");
    let is_cut = content.len() as u64 >= MOST;
    lacks(&name, content, has).or_else(|| bears(&name, content, never)).or_else(|| {
        let never = never.first().filter(|_| is_cut)?;
        Some(format!("{name} has 4 MB or more, so nobody knows whether `{never}` is in the rest"))
    })
}

/// The number of a user or a group, by passwd or group of the image.
fn number(name: &str, names: &str) -> Option<u64> {
    name.parse().ok().or_else(|| {
        let line = names.lines().find(|line| line.split(':').next() == Some(name))?;
        line.split(':').nth(2)?.parse().ok()
    })
}

/// How an image's configuration is other than it must be.
pub fn image(wanted: &Image, facts: &ImageFacts) -> Option<String> {
    let env = facts.variables();
    let labels = facts.config["Labels"].as_object().into_iter().flatten();
    let labels: BTreeMap<String, String> =
        labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let text = |what: &str, wanted: &Option<String>, key: &str| {
        let found = facts.text(key);
        let wanted = wanted.as_ref().filter(|wanted| *wanted != found)?;
        Some(format!("its {what} is `{found}`, and `{wanted}` is expected"))
    };
    let list = |what: &str, wanted: &Option<Vec<String>>, key: &str| {
        let found = facts.texts(key);
        let wanted = wanted.as_ref().filter(|wanted| **wanted != found)?;
        Some(format!("its {what} is {found:?}, and {wanted:?} is expected"))
    };
    let exposed = facts.keys("ExposedPorts");
    let exposes = |port: &u16| exposed.iter().any(|name| name.split('/').next() == Some(&port.to_string()));
    pairs("variable", &wanted.env, &env)
        .or_else(|| pairs("label", &wanted.labels, &labels))
        .or_else(|| text("user", &wanted.user, "User"))
        .or_else(|| text("working directory", &wanted.workdir, "WorkingDir"))
        .or_else(|| list("entry point", &wanted.entrypoint, "Entrypoint"))
        .or_else(|| list("command", &wanted.cmd, "Cmd"))
        .or_else(|| {
            wanted
                .ports
                .iter()
                .find(|port| !exposes(port))
                .map(|port| format!("it does not expose port {port}"))
        })
        .or_else(|| {
            wanted
                .closed_ports
                .iter()
                .find(|port| exposes(port))
                .map(|port| format!("it exposes port {port}"))
        })
        .or_else(|| {
            let volumes = facts.keys("Volumes");
            let missing = wanted.volumes.iter().find(|volume| !volumes.contains(volume))?;
            Some(format!("it declares no volume `{missing}`"))
        })
        .or_else(|| {
            let most = wanted.size_below.filter(|most| facts.size >= *most)?;
            Some(format!("it has {} bytes, and fewer than {most} are expected", facts.size))
        })
}

fn pairs(noun: &str, wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Option<String> {
    wanted.iter().find_map(|(name, pattern)| match found.get(name) {
        None => Some(format!("it has no {noun} `{name}`")),
        Some(value) if !is(value, pattern) => {
            Some(format!("its {noun} `{name}` is `{value}`, and `{pattern}` is expected"))
        }
        Some(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::containers::api::Channel;

    #[test]
    fn an_image_is_as_expected_or_the_difference_is_named() {
        let facts = ImageFacts {
            config: json!({"Env": ["A=1.2"], "User": "app", "Cmd": ["x"], "ExposedPorts": {"80/tcp": {}}, "Labels": {"v": "3"}}),
            size: 100,
            ..ImageFacts::default()
        };
        let env =
            |pattern: &str| Image { env: BTreeMap::from([("A".into(), pattern.into())]), ..Image::default() };
        assert_eq!(image(&env(r"1\.\d"), &facts), None);
        assert!(image(&env("1"), &facts).unwrap().contains("`1.2`"), "the whole value counts");
        let wrong = [
            Image { user: Some("root".into()), ..Image::default() },
            Image { cmd: Some(vec!["y".into()]), ..Image::default() },
            Image { ports: vec![81], ..Image::default() },
            Image { closed_ports: vec![80], ..Image::default() },
            Image { size_below: Some(100), ..Image::default() },
            Image { volumes: vec!["/d".into()], ..Image::default() },
            Image { labels: BTreeMap::from([("w".into(), ".*".into())]), ..Image::default() },
        ];
        for wanted in wrong {
            assert!(image(&wanted, &facts).is_some(), "{wanted:?}");
        }
    }

    #[test]
    fn an_output_that_is_cut_is_no_proof_of_what_is_not_in_it() {
        let mut output = Output::default();
        output.take(Channel::Out, &vec![b'x'; Output::MOST + 1]);
        let wanted = |out: &[&str], never: &[&str]| Command {
            out: out.iter().map(|it| (*it).to_owned()).collect(),
            never: never.iter().map(|it| (*it).to_owned()).collect(),
            ..Command::default()
        };
        assert_eq!(command(&wanted(&["^x"], &[]), &output), None);
        for wrong in [command(&wanted(&["y"], &[]), &output), command(&wanted(&[], &["y"]), &output)] {
            let wrong = wrong.unwrap();
            assert!(wrong.starts_with(CUT) && wrong.len() < 2000, "{wrong}");
        }
    }

    #[test]
    fn a_file_is_as_expected_or_the_difference_is_named() {
        let facts = FileFacts { kind: "file", mode: 0o644, uid: 10, gid: 20, target: None };
        let wanted = File { path: "/a".into(), exists: true, ..File::default() };
        let names = ("app:x:10:10::/:", "staff:x:20:");
        let check = |wanted: &File| file(wanted, Some(&facts), Some(b"one\ntwo\n"), names);
        assert_eq!(
            check(&File { owner: Some("app:staff".into()), mode: Some(0o644), ..wanted.clone() }),
            None
        );
        assert_eq!(check(&File { content: vec!["^two$".into()], ..wanted.clone() }), None);
        assert!(check(&File { owner: Some("root".into()), ..wanted.clone() }).is_some());
        assert!(check(&File { mode: Some(0o600), ..wanted.clone() }).unwrap().contains("0644"));
        assert!(check(&File { never: vec!["one".into()], ..wanted.clone() }).is_some());
        assert!(check(&File { exists: false, ..wanted.clone() }).is_some());
        let long = vec![b'x'; usize::try_from(MOST).unwrap()];
        assert_eq!(content_of("/a", &long, &["x".into()], &[]), None);
        assert!(content_of("/a", &long, &[], &["y".into()]).unwrap().contains("nobody knows"));
        assert!(file(&wanted, None, None, names).unwrap().contains("not there"));
    }
}
