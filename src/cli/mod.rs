//! The face: reads the command line, asks the driver, makes words. The only floor that prints.
//!
//! Results go to standard output, progress and trouble to standard error.

pub mod args;
mod build;
mod check;
mod failure;
mod graph;
mod hook;
mod init;
mod inputs;
mod keys;
mod list;
mod log;
mod open;
mod out;
mod plan;
mod pre_push;
mod progress;
mod pull;
mod replay;
mod tags;
mod update;
mod watch;
mod why;
mod words;

use clap::Parser;

use args::{Args, Verb};
pub use failure::Failure;

/// What may be typed where a target may stand, for "did you mean".
const VERBS: &[&str] = &[
    "build", "plan", "check", "hook", "watch", "why", "log", "replay", "graph", "inputs", "list", "tags",
    "update", "outdated", "push", "pull", "init", "keys", "help",
];

/// Runs the command line of this process; the number is its exit status.
pub fn main() -> u8 {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // clap exits with 2 for mistakes, as make does, and 0 for --help.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return code;
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
        Some(Verb::Log(log)) => log::run(global, log),
        Some(Verb::Replay(replay)) => replay::run(global, replay),
        Some(Verb::Graph(graph)) => graph::run(global, graph),
        Some(Verb::Inputs(inputs)) => inputs::run(global, inputs),
        Some(Verb::List(list)) => list::run(global, list),
        Some(Verb::Tags(tags)) => tags::run(global, tags),
        Some(Verb::Update(update)) => update::run(global, update),
        Some(Verb::Outdated(outdated)) => update::outdated(global, outdated),
        Some(Verb::Push(build)) => build::run(global, &args::BuildArgs { push: true, ..build.clone() }),
        Some(Verb::Pull(pull)) => pull::run(global, pull),
        Some(Verb::Init(init)) => init::run(global, init),
        Some(Verb::Keys) => keys::run(),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => {
            anstream::eprint!("{}", failure.text);
            failure.code
        }
    }
}
