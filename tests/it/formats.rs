//! Imports against the programs whose files they read: `docker buildx bake --print` and `docker compose config`.
//!
//! Files are made at random, both read them, and what they say is compared image by image, by way of
//! `imk graph --bake`. `ci/peers` brings the programs; where they cannot be had each test says that it was skipped.
//! `IMK_TEST_SEED=n` plays a run again, `IMK_TEST_CASES=n` makes it longer, as in `differential`.

mod bake;
mod compose;
mod expressions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::differential::random::Random;
use crate::sandbox::Sandbox;

/// Seconds that the programs may take to arrive.
const WAIT: &str = "180";

/// The folder of the two programs; nothing, and a word of it, where they cannot be had.
pub fn peers_or_skip(test: &str) -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/peers");
    let output = Command::new("timeout").args([WAIT, "bash", script]).output();
    let why = match output {
        Ok(output) if output.status.success() => {
            return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()));
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("{test}: skipped: {why}");
    None
}

fn number(variable: &str, other: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(other)
}

/// A repository with the folders and Dockerfiles that the files name.
fn repository() -> Sandbox {
    let dockerfile =
        "ARG A\nARG B\nARG C\nARG Z\nFROM scratch AS s\nLABEL x=1\nFROM scratch AS t\nLABEL x=2\n";
    let sandbox = Sandbox::empty().without_engine();
    for folder in ["", "a/", "b/", "a/sub/", "a/b/", "other/", "other/b/"] {
        for name in ["Dockerfile", "x.Dockerfile"] {
            sandbox.edit(&format!("{folder}{name}"), dockerfile);
        }
    }
    sandbox
}

/// An image as both sides say it.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    context: String,
    dockerfile: String,
    args: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    target: String,
    platforms: BTreeSet<String>,
    tags: BTreeSet<String>,
    network: String,
    inline: String,
}

impl Said {
    /// Reads a target of bake's JSON, or a build of compose's, which names its keys alike.
    fn read(build: &Value, unescaped: fn(&str) -> String) -> Self {
        let text = |key: &str| build[key].as_str().unwrap_or_default().to_owned();
        let pairs = |key: &str| {
            let entries = build[key].as_object().into_iter().flatten();
            let pair = |(key, value): (&String, &Value)| Some((key.clone(), unescaped(value.as_str()?)));
            entries.filter_map(pair).collect()
        };
        let texts = |key: &str| {
            let items = build[key].as_array().cloned().unwrap_or_default();
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let context = clean(&text("context"));
        let inline = ["dockerfile-inline", "dockerfile_inline"].map(|key| unescaped(&text(key))).concat();
        let dockerfile = Some(text("dockerfile")).filter(|text| !text.is_empty());
        let network = Some(text("network")).filter(|network| network != "default");
        Self {
            dockerfile: match inline.is_empty() {
                true => clean(&format!("{context}/{}", dockerfile.as_deref().unwrap_or("Dockerfile"))),
                false => String::new(),
            },
            inline,
            context,
            args: pairs("args"),
            labels: pairs("labels"),
            target: text("target"),
            platforms: texts("platforms").into_iter().collect(),
            tags: texts("tags").iter().map(|tag| whole(tag)).collect(),
            network: network.unwrap_or_default(),
        }
    }
}

/// A path without detours; the root is empty.
fn clean(path: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    parts.join("/")
}

/// A reference with its tag.
fn whole(reference: &str) -> String {
    if reference.contains(':') { reference.to_owned() } else { format!("{reference}:latest") }
}

/// The images that an import declares, and its notes; what it said where it refused.
fn imported(
    sandbox: &Sandbox,
    environment: &[(&str, &str)],
) -> Result<(BTreeMap<String, Said>, String), String> {
    let imk = |words: &str| {
        let mut command = sandbox.command("", words);
        command.env_remove("IMK_PREFIX").envs(environment.iter().copied());
        command.output().unwrap()
    };
    let output = imk("import --force");
    let notes = text(&output.stderr);
    if !output.status.success() {
        return Err(notes);
    }
    // All of them, whatever is built when nothing is named.
    let file = sandbox.path("Imagefile.ron");
    let imagefile = fs_err::read_to_string(&file).unwrap();
    let mut inside = false;
    let lines = imagefile.lines().filter(|line| {
        let begins = line.starts_with("    default: [");
        let hidden = begins || inside;
        inside = (begins || inside) && !line.ends_with("],");
        !hidden
    });
    fs_err::write(&file, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let output = imk("graph --bake");
    assert!(output.status.success(), "{}\n{imagefile}", text(&output.stderr));
    let graph: Value = serde_json::from_slice(&output.stdout).unwrap();
    let targets = graph["target"].as_object().into_iter().flatten();
    Ok((targets.map(|(name, target)| (name.clone(), Said::read(target, of_bake))).collect(), notes))
}

/// bake writes what would be a template with a second sign.
fn of_bake(text: &str) -> String {
    text.replace("$${", "${").replace("%%{", "%{")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Keys, each so many times in a hundred, with one of its values.
fn chosen(keys: &[(&str, usize, &[&str])], between: &str, random: &mut Random) -> Vec<String> {
    let mut chosen = Vec::new();
    for (key, percent, values) in keys {
        if random.chance(*percent) {
            chosen.push(format!("{key}{between}{}", random.pick(values)));
        }
    }
    chosen
}

/// The output of the other program, or why it refused.
fn printed(output: &Output) -> Result<Value, String> {
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(text(&output.stderr))
    }
}

/// Compares images by name. A tag of another repository's name is one that imk tells instead of giving it.
fn differences(theirs: &BTreeMap<String, Said>, ours: &BTreeMap<String, Said>, notes: &str) -> Vec<String> {
    let mut differences = Vec::new();
    let named: BTreeMap<&str, String> = notes
        .lines()
        .filter_map(|line| line.split_once("` is named `"))
        .map(|(before, after)| {
            let new = after.trim_end_matches('`').replace([':', '.', '/'], "-");
            (before.rsplit('`').next().unwrap_or_default(), new)
        })
        .collect();
    for (name, theirs) in theirs {
        let new = named.get(name.as_str()).unwrap_or(name);
        let is_anothers = named.iter().any(|(old, taken)| old != name && taken == new);
        let Some(ours) = ours.get(new).filter(|_| !is_anothers) else {
            if !notes.contains(&format!("`{name}`")) {
                differences.push(format!("`{name}` is not there, and no note tells of it"));
            }
            continue;
        };
        let mut theirs = theirs.clone();
        let told = notes.contains("imk tags it") || notes.contains("has it already");
        if told || theirs.tags.is_empty() {
            theirs.tags.clone_from(&ours.tags);
        }
        if theirs != *ours {
            differences.push(format!("`{name}`:\n  theirs {theirs:?}\n  imk's  {ours:?}"));
        }
    }
    differences
}
