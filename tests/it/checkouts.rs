//! Every verb in every stranger's checkout: no program of the author's is started, nothing outside imk's state is
//! touched, no login goes where he points, no line on the screen is his, and it ends.
//!
//! Verbs are those that the command line has, so a new one is here by itself. By default each trick meets
//! the verbs that people run first and every eighth of the others; with `IMK_TEST_LONG=1` all of them.

mod tricks;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::CommandFactory;
use rayon::prelude::*;

use tricks::{TRICKS, Trick};
use world::{Ended, OUTSIDE, PASSWORD, World};

/// Verbs as they are called; `None` is imk without any.
fn verbs() -> Vec<Option<String>> {
    let command = imk::cli::command::Args::command();
    let names = command.get_subcommands().map(|verb| Some(verb.get_name().to_owned()));
    [None].into_iter().chain(names).collect()
}

/// Words behind a verb that needs some, or does more with them.
fn words(verb: Option<&str>) -> &'static [&'static str] {
    match verb {
        None | Some("build" | "push") => &["--keep-going"],
        Some("why-not") => &["app", "src/a.txt"],
        Some("what-if") => &["src/a.txt"],
        Some("who-uses") => &["src/a.txt"],
        Some("diff") => &["HEAD", "HEAD"],
        Some("affected") => &["--since", "HEAD"],
        Some("replay") => &["HEAD"],
        Some("hook") => &["install"],
        Some("gc" | "clean") => &["--dry-run"],
        Some("completions") => &["bash"],
        Some("inputs" | "log") => &["app"],
        // It would wait until it is stopped, and look at no Imagefile.
        Some("serve") => &["check"],
        Some("fsmonitor") => &["status"],
        _ => &[],
    }
}

/// Files of the checkout that a verb is there to write.
fn writes(verb: Option<&str>, path: &str) -> bool {
    match verb {
        Some("init" | "import" | "fmt") => path == "checkout/Imagefile.ron",
        Some("update") => path == "checkout/Imagefile.lock",
        Some("hook") => path.starts_with("checkout/.git/hooks") || path == "checkout/.git/config",
        _ => false,
    }
}

fn is_long() -> bool {
    std::env::var_os("IMK_TEST_LONG").is_some()
}

/// Verbs that a trick meets.
fn meets(trick: usize, at: usize, verb: Option<&str>) -> bool {
    match verb {
        // It waits until it is stopped.
        Some("watch") => is_long() || trick.is_multiple_of(8),
        None | Some("plan" | "check") => true,
        _ => is_long() || (trick + at).is_multiple_of(8),
    }
}

#[test]
fn no_verb_serves_the_author_of_a_checkout() {
    let verbs = verbs();
    let mut cases = Vec::new();
    for (number, trick) in TRICKS.iter().enumerate() {
        for (at, verb) in verbs.iter().enumerate() {
            if meets(number, at, verb.as_deref()) {
                cases.push((trick, verb.as_deref()));
            }
        }
    }
    let only = std::env::var("IMK_TEST_TRICK").unwrap_or_default();
    let cases: Vec<_> = cases.into_iter().filter(|(trick, _)| trick.name.contains(&only)).collect();
    let wrong: Vec<String> = cases.par_iter().flat_map(|(trick, verb)| try_it(trick, *verb)).collect();
    eprintln!("{} tricks, {} runs", TRICKS.len(), cases.len());
    assert!(wrong.is_empty(), "{} of {} runs:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What a verb did for the author.
fn try_it(trick: &Trick, verb: Option<&str>) -> Vec<String> {
    let world = World::new();
    (trick.lay)(&world);
    let before = world.snapshot();
    let mut line: Vec<&str> = verb.into_iter().collect();
    line.extend(words(verb));
    let waits = verb == Some("watch");
    let ended = world.imk(&line, Duration::from_secs(if waits { 2 } else { patience() }));
    let mut wrong = judge(&world, &ended, waits);
    wrong.extend(changes(&before, &world.snapshot(), verb));
    wrong.into_iter().map(|what| format!("[{}] imk {}: {what}", trick.name, line.join(" "))).collect()
}

/// Seconds that a run may take: many, for machines are loaded, and none that hangs ends in any.
fn patience() -> u64 {
    std::env::var("IMK_TEST_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(90)
}

fn judge(world: &World, ended: &Ended, waits: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    match ended.status {
        None if !waits => wrong.push(format!("does not end: {}", ended.output)),
        Some(101) => wrong.push(format!("panics: {}", ended.output)),
        Some(0..=2 | 130) | None => {}
        Some(status) => wrong.push(format!("ends with {status}: {}", ended.output)),
    }
    if let Some(ran) = world.ran() {
        wrong.push(format!("started the author's program: {}", ran.trim()));
    }
    if let Some(line) = ended.output.lines().find(|line| line.contains(OUTSIDE)) {
        wrong.push(format!("shows what lies outside: {line:?}"));
    }
    let moves = |c: char| c.is_control() && c != '\n' && c != '\t';
    if let Some(line) =
        ended.output.lines().find(|line| line.contains(moves) || line.trim_start().starts_with("FORGED"))
    {
        wrong.push(format!("lets a line be forged: {line:?}"));
    }
    for (who, heard) in [("the registry", world.registry.heard()), ("the realm", world.realm.heard())] {
        if heard.contains(PASSWORD) {
            wrong.push(format!("{who} got the login:\n{heard}"));
        }
    }
    wrong.extend(ended.trace.iter().filter(|line| is_odd(line, world)).map(|line| format!("did {line}")));
    wrong
}

/// Whether a line of the trace is a program that is neither imk nor git, or a connection to anybody else than this
/// world's servers.
fn is_odd(line: &str, world: &World) -> bool {
    if let Some(at) = line.find("execve(\"") {
        // Git looks a program up by trying every folder of PATH.
        if !line.contains(" = 0") {
            return false;
        }
        let program = line[at + 8..].split('"').next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        return !(name == "imk" || name == "git" || name.starts_with("git-"));
    }
    if let Some(port) = line.split_once("sin_port=htons(").and_then(|(_, rest)| rest.split(')').next()) {
        let ours = port.parse().is_ok_and(|port| world.ports().contains(&port));
        return !(ours && line.contains("inet_addr(\"127.0.0.1\")"));
    }
    line.contains("sin6_port")
}

fn changes(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    verb: Option<&str>,
) -> Vec<String> {
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed =
        paths.into_iter().filter(|path| before.get(*path) != after.get(*path) && !writes(verb, path));
    changed
        .map(|path| format!("changed `{path}`: {:?}, now {:?}", before.get(path), after.get(path)))
        .collect()
}
