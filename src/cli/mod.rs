//! The face: reads the command line, asks the driver, makes words. The only floor that prints.
//!
//! Results go to standard output, progress and trouble to standard error.

mod affected;
pub mod args;
mod build;
mod check;
mod ci;
mod clean;
mod command;
mod completions;
mod diff;
mod doctor;
mod engines;
mod examples;
mod failure;
mod fmt;
mod gc;
mod graph;
mod hook;
mod import;
mod init;
mod inputs;
mod keys;
mod list;
mod log;
mod man;
mod open;
mod out;
mod plan;
mod pre_push;
mod progress;
mod pull;
mod quote;
mod records;
mod replay;
mod schema;
mod table;
mod tags;
mod update;
mod watch;
mod what_if;
mod who_uses;
mod why;
mod why_not;
mod words;

use std::ffi::OsString;

use args::Verb;
pub use failure::Failure;
use out::Drawn;

/// What may be typed where a target may stand, for "did you mean".
const VERBS: &[&str] = &[
    "build",
    "plan",
    "check",
    "hook",
    "watch",
    "why",
    "why-not",
    "log",
    "diff",
    "what-if",
    "who-uses",
    "affected",
    "replay",
    "graph",
    "inputs",
    "list",
    "clean",
    "gc",
    "doctor",
    "tags",
    "update",
    "outdated",
    "push",
    "pull",
    "init",
    "import",
    "keys",
    "help",
    "status",
    "ls",
    "completions",
    "man",
    "schema",
    "fmt",
];

/// Runs the command line of this process; the number is its exit status.
pub fn main() -> u8 {
    if completions::answered() {
        return 0;
    }
    let words: Vec<_> = std::env::args_os().collect();
    let args = match command::parse(&words) {
        Ok(args) => args,
        Err(error) => {
            // clap exits with 2 for mistakes, as make does, and 0 for --help.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            usage(&error, &words);
            return out::status(code);
        }
    };
    let global = &args.global;
    let done = match &args.verb {
        None => build::run(global, &args.build),
        Some(Verb::Build(build)) => build::run(global, build),
        Some(Verb::Plan(plan)) => plan::run(global, plan),
        Some(Verb::Check(check)) => check::run(global, check),
        Some(Verb::Hook(hook)) => hook::run(global, hook),
        Some(Verb::Watch(watch)) => watch::run(global, watch),
        Some(Verb::Why(why)) => why::run(global, why),
        Some(Verb::WhyNot(why_not)) => why_not::run(global, why_not),
        Some(Verb::Log(log)) => log::run(global, log),
        Some(Verb::Diff(diff)) => diff::run(global, diff),
        Some(Verb::WhatIf(what_if)) => what_if::run(global, what_if),
        Some(Verb::WhoUses(who_uses)) => who_uses::run(global, who_uses),
        Some(Verb::Affected(affected)) => affected::run(global, affected),
        Some(Verb::Replay(replay)) => replay::run(global, replay),
        Some(Verb::Graph(graph)) => graph::run(global, graph),
        Some(Verb::Inputs(inputs)) => inputs::run(global, inputs),
        Some(Verb::List(list)) => list::run(global, list),
        Some(Verb::Clean(clean)) => clean::run(global, clean),
        Some(Verb::Gc(gc)) => gc::run(global, gc),
        Some(Verb::Doctor(doctor)) => doctor::run(global, doctor),
        Some(Verb::Tags(tags)) => tags::run(global, tags),
        Some(Verb::Update(update)) => update::run(global, update),
        Some(Verb::Outdated(outdated)) => update::outdated(global, outdated),
        Some(Verb::Push(build)) => build::run(global, &args::BuildArgs { push: true, ..build.clone() }),
        Some(Verb::Pull(pull)) => pull::run(global, pull),
        Some(Verb::Init(init)) => init::run(global, init),
        Some(Verb::Import(import)) => import::run(global, import),
        Some(Verb::Keys) => keys::run(),
        Some(Verb::Completions(completions)) => completions::run(completions),
        Some(Verb::Man(man)) => man::run(global, man),
        Some(Verb::Schema) => schema::run(),
        Some(Verb::Fmt(fmt)) => fmt::run(global, fmt),
    };
    out::status(match done {
        Ok(()) => 0,
        Err(failure) => {
            out::drawn(&failure.text);
            failure.code
        }
    })
}

/// What clap has to say: help and versions are results, in colours; a mistake quotes what was typed.
fn usage(error: &clap::Error, typed: &[OsString]) {
    let text = error.render();
    if !error.use_stderr() {
        return out::help(&text.ansi().to_string());
    }
    let variables = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("IMK_"));
    let quoted: Vec<String> = typed
        .iter()
        .cloned()
        .chain(variables.map(|(_, value)| value))
        .map(|word| word.to_string_lossy().into_owned())
        .filter(|word| !word.chars().all(quote::is_plain))
        .collect();
    if quoted.is_empty() {
        return out::drawn(&Drawn::quoted_already(text.ansi().to_string()));
    }
    // Colours go where they cannot be told from those that were typed.
    let mut plain = text.to_string();
    for word in &quoted {
        let value = word.split_once('=').map_or(word.as_str(), |(_, value)| value);
        plain = plain.replace(word, &quote::line(word)).replace(value, &quote::line(value));
    }
    out::drawn(&Drawn::quoted_already(quote::text(&plain)));
}
