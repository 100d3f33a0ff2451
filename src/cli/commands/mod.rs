//! The verbs: a file each, with what the verb takes, its examples and what it does.

pub mod ask;
pub mod containers;
pub mod imagefile;
pub mod keep;
pub mod make;
pub mod release;
pub mod service;
pub mod shell;

use clap::{Command, Subcommand};

use crate::cli::args::Global;
use crate::cli::failure::Failure;

use ask::{affected, diff, graph, inputs, lint, list, log, replay, tags, what_if, who_uses, why, why_not};
use containers::{logs, run, test};
use imagefile::{fmt, import, init, keys, schema};
use keep::{clean, doctor, fsmonitor, gc, outdated, update};
use make::{build, check, hook, plan, pull, push, watch};
use release::{apply, auto, ci, publish, rollback};
use service::{serve, tools, worker};
use shell::{completions, man};

/// A verb. Its file says what help says of it.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Build(build::BuildArgs),
    #[command(visible_alias = "status")]
    Plan(plan::PlanArgs),
    Check(check::CheckArgs),
    Hook(hook::HookArgs),
    Watch(watch::WatchArgs),
    Why(why::WhyArgs),
    WhyNot(why_not::WhyNotArgs),
    Log(log::LogArgs),
    Diff(diff::DiffArgs),
    WhatIf(what_if::WhatIfArgs),
    WhoUses(who_uses::WhoUsesArgs),
    Affected(affected::AffectedArgs),
    Replay(replay::ReplayArgs),
    Graph(graph::GraphArgs),
    Inputs(inputs::InputsArgs),
    Lint(lint::LintArgs),
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    Clean(clean::CleanArgs),
    Gc(gc::GcArgs),
    Doctor(doctor::DoctorArgs),
    Fsmonitor(fsmonitor::FsmonitorArgs),
    Tags(tags::TagsArgs),
    Update(update::UpdateArgs),
    Outdated(outdated::OutdatedArgs),
    Run(Box<run::RunArgs>),
    Test(test::TestArgs),
    Logs(logs::LogsArgs),
    Push(push::PushArgs),
    Pull(pull::PullArgs),
    Publish(publish::PublishArgs),
    Rollback(rollback::RollbackArgs),
    Apply(apply::ApplyArgs),
    Ci(Box<ci::CiArgs>),
    Auto(auto::AutoArgs),
    Serve(Box<serve::ServeArgs>),
    Worker(worker::WorkerArgs),
    Tools(tools::ToolsArgs),
    Init(init::InitArgs),
    Import(import::ImportArgs),
    Keys(keys::KeysArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    Schema(schema::SchemaArgs),
    Fmt(fmt::FmtArgs),
}

/// Does what a verb says; `command` is the whole command line, for verbs that tell of it.
///
/// # Errors
/// What is told before the program ends, and its exit status.
pub fn run(global: &Global, verb: &Verb, command: fn() -> Command) -> Result<(), Failure> {
    match verb {
        Verb::Build(build) => build::run(global, build),
        Verb::Plan(plan) => plan::run(global, plan),
        Verb::Check(check) => check::run(global, check),
        Verb::Hook(hook) => hook::run(global, hook),
        Verb::Watch(watch) => watch::run(global, watch),
        Verb::Why(why) => why::run(global, why),
        Verb::WhyNot(why_not) => why_not::run(global, why_not),
        Verb::Log(log) => log::run(global, log),
        Verb::Diff(diff) => diff::run(global, diff),
        Verb::WhatIf(what_if) => what_if::run(global, what_if),
        Verb::WhoUses(who_uses) => who_uses::run(global, who_uses),
        Verb::Affected(affected) => affected::run(global, affected),
        Verb::Replay(replay) => replay::run(global, replay),
        Verb::Graph(graph) => graph::run(global, graph),
        Verb::Inputs(inputs) => inputs::run(global, inputs),
        Verb::Lint(lint) => lint::run(global, lint),
        Verb::List(list) => list::run(global, list),
        Verb::Clean(clean) => clean::run(global, clean),
        Verb::Gc(gc) => gc::run(global, gc),
        Verb::Doctor(doctor) => doctor::run(global, doctor, &command()),
        Verb::Fsmonitor(fsmonitor) => fsmonitor::run(global, fsmonitor),
        Verb::Tags(tags) => tags::run(global, tags),
        Verb::Update(update) => update::run(global, update),
        Verb::Outdated(outdated) => outdated::run(global, outdated),
        Verb::Run(run) => run::run(global, run),
        Verb::Test(test) => test::run(global, test),
        Verb::Logs(logs) => logs::run(global, logs),
        Verb::Push(push) => push::run(global, push),
        Verb::Pull(pull) => pull::run(global, pull),
        Verb::Publish(publish) => publish::run(global, publish),
        Verb::Rollback(rollback) => rollback::run(global, rollback),
        Verb::Apply(apply) => apply::run(global, apply),
        Verb::Ci(ci) => ci::run(global, ci),
        Verb::Auto(auto) => auto::run(global, auto),
        Verb::Serve(serve) => serve::run(global, serve),
        Verb::Worker(worker) => worker::run(global, worker),
        Verb::Tools(tools) => tools::run(global, tools),
        Verb::Init(init) => init::run(global, init),
        Verb::Import(import) => import::run(global, import),
        Verb::Keys(_) => keys::run(),
        Verb::Completions(completions) => completions::run(completions),
        Verb::Man(man) => man::run(global, man, command),
        Verb::Schema(_) => schema::run(),
        Verb::Fmt(fmt) => fmt::run(global, fmt),
    }
}
