//! Command line: reads what was typed, has the rooms below answer, makes words. The only room that prints.
//!
//! Results go to standard output, progress and trouble to standard error.

pub mod args;
mod attached;
mod ci;
pub mod command;
mod commands;
mod complete;
mod embedded;
mod engines;
mod failure;
mod habits;
mod locate;
mod monitor;
mod open;
mod ordered;
mod out;
mod overrides;
mod progress;
mod quote;
mod records;
mod registries;
mod remarks;
mod synced;
mod table;
mod typed;
mod verbose;
mod words;

use std::ffi::OsString;

use commands::service::tools;
pub use failure::Failure;
use out::Drawn;

/// Runs the command line of this process; the number is its exit status.
pub fn main() -> u8 {
    // A process that runs commands of an image is imk itself, called by imk.
    if let Some(status) = crate::embedded::answered() {
        return status;
    }
    if complete::answered() {
        return 0;
    }
    let words = match in_own_terms(tools::meant(std::env::args_os().collect())) {
        Ok(words) => words,
        Err(failure) => {
            failure::draw::show(&failure);
            return out::status(failure.exit.code());
        }
    };
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
        None => commands::make::build::run(global, &args.build),
        Some(verb) => commands::run(global, verb, command::command),
    };
    out::status(match done {
        Ok(()) => 0,
        Err(failure) => {
            failure::draw::show(&failure);
            failure.exit.code()
        }
    })
}

/// The words as imk has them. Most command lines have nothing to translate, and clap's tables are not made for them.
fn in_own_terms(words: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let is_foreign = |word: &OsString| {
        let word = word.to_string_lossy();
        word.contains('=')
            || ["-j", "-t", "-f", "--tag"].iter().any(|flag| word.starts_with(flag))
            || typed::is_cluster_with(&word, 'v')
            || typed::is_habit(&word)
    };
    // What steps have always typed is theirs.
    let is_of_steps = words.get(1).is_some_and(|word| word == tools::VERB);
    if is_of_steps || !words.iter().skip(1).any(is_foreign) {
        return Ok(words);
    }
    typed::translated(&words, &command::command()).map_err(|it| Failure::with_hint(it.message, it.hint))
}

/// The words of clap: help and versions are results, in colours; a mistake quotes what was typed.
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
