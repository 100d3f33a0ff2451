//! The command line as clap has it: what the verbs declare, furnished with what every verb and every flag has.
//!
//! Gives each verb its examples, each flag its `IMK_*` variable and each
//! target its completion, so that no declaration has to. Knows no verb by name.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{
    Arg, ArgAction, ArgMatches, Args as _, Command, CommandFactory, FromArgMatches, Parser, Subcommand as _,
};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::cli::args::Global;
use crate::cli::commands::Verb;
use crate::cli::commands::make::build::BuildArgs;
use crate::cli::verbose;
use crate::syntax::suggest::nearest;

const EXAMPLES: &str = "\
imk                   build everything that is out of date
imk api 'svc-*' +web  build these; +web names all that web is built on too
imk -n                say what would be built, and why
imk -k -j 8           eight at once, going on after a failure
imk graph --mermaid   draw what is built on what
imk --since main...   build what this branch changed, and nothing else
imk why api           say why api is stale, or was built
imk replay            say what imk would have built in the last 300 commits
imk watch             build on every change of a file that counts
imk hook install      have git say before a push what is not built
imk init              write the Imagefile.ron that discovery stands for
imk import            write the one that a bake, compose, dobi or Skaffold file stands for";

/// make for container images: builds what is out of date, in the right order, in parallel, and nothing else.
#[derive(Debug, Parser)]
#[command(
    name = "imk",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done or fresh, 1 not up to date (check, -q, why-not), 2 error, 130 interrupted.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    /// The verb; `build` when none is given.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The arguments of `build`, for bare `imk`.
    #[command(flatten)]
    pub build: BuildArgs,
    /// The arguments of every verb.
    #[command(flatten)]
    pub global: Global,
}

/// Says what a target that begins so can be; with `true`, `+api` and `api+` too.
pub type Completer = fn(&OsStr, bool) -> Vec<CompletionCandidate>;

/// Flags without a variable of their name, each with its reason.
const WITHOUT_VARIABLE: &[(&str, &str)] = &[
    ("var", "IMK_VAR_NAME sets the variable NAME"),
    ("build-arg", "IMK_BUILD_ARG_NAME sets the argument NAME"),
    ("help", "it is asked for by hand"),
    ("version", "it is asked for by hand"),
];

/// Reads the words of a command line, the program's own name first.
///
/// # Errors
/// clap's, which know how to print themselves; `--help` is one of them.
pub fn parse(words: &[OsString]) -> Result<Args, clap::Error> {
    let conflicts = |error: &clap::Error| error.kind() == ErrorKind::ArgumentConflict;
    let verbs = verbs();
    let words = &lists_behind_the_verb(words, &verbs);
    let matches = match matches(words, &|_| true) {
        // What was typed wins over the environment: a variable that contradicts it is passed over.
        Err(error) if conflicts(&error) => {
            let loses = |variable: &str| {
                is_set(variable)
                    && matches(words, &|other| other == variable).is_err_and(|error| conflicts(&error))
            };
            matches(words, &|variable| !loses(variable))
        }
        other => other,
    };
    let matches = matches.map_err(guessed)?;
    let mut args = Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
    args.global.verbs = verbs;
    args.global.typed = typed(&matches);
    Ok(args)
}

/// The words with every `--var` and the like behind the verb: where such a list stands on both sides of it, clap
/// forgets the one before.
fn lists_behind_the_verb(words: &[OsString], verbs: &[String]) -> Vec<OsString> {
    let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    if !words.get(1).is_some_and(is_flag) {
        return words.to_vec();
    }
    let is_verb = |word: &OsString| verbs.iter().any(|verb| word == verb.as_str());
    let before = |at: usize| matches(&words[..at], &|_| false).ok();
    // A flag's value may be called like a verb: then what stands before it is no whole command line.
    let found = (1..words.len()).filter(|at| is_verb(&words[*at])).find_map(|at| Some((at, before(at)?)));
    let Some((at, before)) = found.filter(|(at, _)| words[*at] != "help") else { return words.to_vec() };
    let lists = typed_of(&before, |arg| matches!(arg.get_action(), ArgAction::Append));
    words[..=at].iter().cloned().chain(lists).chain(words[at + 1..].iter().cloned()).collect()
}

/// The arguments of every verb that were typed, as another imk can be given them.
fn typed(matches: &ArgMatches) -> Vec<OsString> {
    typed_of(matches, |_| true)
}

fn typed_of(matches: &ArgMatches, is_meant: impl Fn(&Arg) -> bool) -> Vec<OsString> {
    // clap hands those of every verb down to the verb, wherever they stood.
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let is_typed = |arg: &&Arg| {
        let id = arg.get_id().as_str();
        matches.try_contains_id(id).is_ok()
            && matches.value_source(id) == Some(ValueSource::CommandLine)
            && is_meant(arg)
    };
    let mut words = Vec::new();
    for arg in Global::augment_args(Command::new("imk")).get_arguments().filter(is_typed) {
        let Some(long) = arg.get_long() else { continue };
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            words.push(format!("--{long}").into());
            continue;
        }
        for value in matches.get_raw(arg.get_id().as_str()).into_iter().flatten() {
            let mut word = OsString::from(format!("--{long}="));
            word.push(value);
            words.push(word);
        }
    }
    words
}

/// `imk help paln`: clap guesses verbs everywhere but there.
fn guessed(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let verbs = verbs();
    if error.get(ContextKind::SuggestedSubcommand).is_none()
        && let Some(verb) = nearest(typed, verbs.iter().map(String::as_str))
    {
        let verb = ContextValue::Strings(vec![verb.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, verb);
    }
    error
}

/// The matches of some words, as clap finds them. Its tables of all verbs, each with the flags of every verb, take longer than a run in
/// which nothing changed: so the first try has only the verbs that are words here. Help and mistakes are told by all.
fn matches(words: &[OsString], heard: &dyn Fn(&str) -> bool) -> Result<ArgMatches, clap::Error> {
    // Only the whole one has `help` as a verb.
    let asks_help = words.iter().any(|word| word == "help");
    let few = (!asks_help).then(|| furnished(with_verbs_among(words), heard).try_get_matches_from(words));
    match few {
        Some(Ok(matches)) => Ok(matches),
        _ => furnished(Args::command(), heard).try_get_matches_from(words),
    }
}

/// The command with those verbs alone that are among some words. What it understands, the whole one understands so too.
fn with_verbs_among(words: &[OsString]) -> Command {
    let is_word = |name: &str| words.iter().skip(1).any(|word| word == name);
    let bare = Global::augment_args(BuildArgs::augment_args(Command::new("imk")));
    let verbs = Verb::augment_subcommands(Command::new("imk"));
    let meant = |verb: &&Command| verb.get_all_aliases().chain([verb.get_name()]).any(is_word);
    bare.subcommands(verbs.get_subcommands().filter(meant).cloned())
}

/// The whole command, as help and man pages want it.
pub fn command() -> Command {
    furnished(Args::command(), &|_| true)
}

/// As [`command`], each target with what completes it.
pub fn completed(completer: Completer) -> Command {
    fn each(command: Command, completer: Completer) -> Command {
        command.mut_args(|arg| target(arg, completer)).mut_subcommands(|verb| each(verb, completer))
    }
    each(command(), completer)
}

/// The verbs there are, with their other names.
pub fn verbs() -> Vec<String> {
    let command = Verb::augment_subcommands(Command::new("imk"));
    let verbs = command.get_subcommands();
    let verbs = verbs.flat_map(|verb| verb.get_all_aliases().chain([verb.get_name()]));
    // clap adds the last when it builds, which takes its time.
    verbs.chain(["help"]).map(str::to_owned).collect()
}

/// A verb's file has its examples as the longer help; they stand below the shorter one, too.
fn furnished(command: Command, heard: &dyn Fn(&str) -> bool) -> Command {
    let said = command.get_after_help().map(ToString::to_string);
    let more = verbose::addition(command.get_name()).map(|addition| format!("-v tells more: {addition}."));
    let parts: Vec<String> = examples(&command).into_iter().chain(more).chain(said).collect();
    let command = if parts.is_empty() { command } else { command.after_help(parts.join("\n\n")) };
    command
        .after_long_help(Resettable::Reset)
        .mut_args(|arg| with_variable(arg, heard))
        .mut_subcommands(|verb| furnished(verb, heard))
}

/// The examples of a verb, as help shows them.
fn examples(command: &Command) -> Option<String> {
    let text = command.get_after_long_help()?.to_string();
    let lines: String = text.lines().map(|line| format!("\n  {line}")).collect();
    Some(format!("Examples:{lines}"))
}

/// Gives a flag the variable of its name. One that docker or BuildKit named
/// keeps that name too, and the variable of its own wins.
fn with_variable(arg: Arg, heard: &dyn Fn(&str) -> bool) -> Arg {
    let Some(long) = arg.get_long().filter(|long| !is_exception(long)) else { return arg };
    let own = variable_of(long);
    let declared = arg.get_env().map(|name| name.to_string_lossy().into_owned());
    // Another tool's variable gives way to imk's own; one that imk declares is its own.
    let is_ours = |name: &String| name.starts_with("IMK_");
    let name = declared.filter(|name| is_ours(name) || !is_set(&own)).unwrap_or(own);
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
    let value = std::env::var_os(&name);
    let says_nothing = match &value {
        None => false,
        Some(value) if is_flag => value.to_str().and_then(yes_or_no) == Some(false),
        // An empty prefix is one; nothing else can be empty.
        Some(value) => value.is_empty() && long != "prefix",
    };
    let arg = if is_flag { arg.value_parser(flag) } else { arg };
    if says_nothing || !heard(&name) { arg.env(Resettable::Reset) } else { arg.env(name) }
}

/// `IMK_KEEP_GOING` for `keep-going`.
fn variable_of(long: &str) -> String {
    format!("IMK_{}", long.to_uppercase().replace('-', "_"))
}

fn is_exception(long: &str) -> bool {
    WITHOUT_VARIABLE.iter().any(|(name, _)| *name == long)
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The meaning of a flag's variable. Not set, empty and `0` are the same.
fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" | "t" => Some(true),
        "" | "0" | "false" | "no" | "off" | "n" | "f" => Some(false),
        _ => None,
    }
}

fn flag(text: &str) -> Result<bool, &'static str> {
    yes_or_no(text).ok_or("say 1 or 0, true or false, yes or no")
}

/// Words that mean images are completed with them.
fn target(arg: Arg, completer: Completer) -> Arg {
    let is_word = |word: &str| {
        arg.is_positional()
            && arg.get_value_names().unwrap_or_default().iter().any(|name| name.contains(word))
    };
    if is_word("TARGET") {
        return arg.add(ArgValueCompleter::new(move |typed: &OsStr| completer(typed, true)));
    }
    if is_word("IMAGE") || is_word("NAME") {
        return arg.add(ArgValueCompleter::new(move |typed: &OsStr| completer(typed, false)));
    }
    arg
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
