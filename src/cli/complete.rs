//! Answers a shell on every Tab: which verbs, flags and images can stand here.
//!
//! Completing never fails, prints no error, asks no engine and no registry, and gives up before a
//! person gets impatient.

use std::ffi::{OsStr, OsString};
use std::sync::mpsc;
use std::time::Duration;

use clap::{Command, FromArgMatches};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;

use crate::cli::args::Global;
use crate::cli::commands::shell::completions::VARIABLE;
use crate::cli::{command, locate, out, quote};
use crate::session::project::{self, Overrides};
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::syntax::imagefile;

/// Nobody waits longer for a Tab. Dockerfiles of a folder that is neither a git
/// work tree nor has an Imagefile may be far and wide: a home folder, say.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers a shell that asks; false when none does.
pub fn answered() -> bool {
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return false };
    let shells = Shells::builtins();
    let Some(shell) = name.to_str().and_then(|name| shells.completer(name)) else { return false };
    // The words of the line stand behind `--`.
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let mut candidates = Vec::new();
    let here = std::env::current_dir().ok();
    let mut command = without_flags(command::completed(targets), &words);
    if shell.write_complete(&mut command, words, here.as_deref(), &mut candidates).is_ok() {
        // Byte for byte: bash has them parted by a control character. A shell that is gone needs none.
        out::bytes(&candidates);
    }
    true
}

/// Where nothing was typed, verbs and images are offered and flags are not.
fn without_flags(command: Command, words: &[OsString]) -> Command {
    fn hidden(command: Command) -> Command {
        let hide = |arg: clap::Arg| if arg.is_positional() { arg } else { arg.hide(true) };
        command.mut_args(hide).mut_subcommands(hidden)
    }
    if words.get(current(words)).is_none_or(|word| !word.is_empty()) {
        return command;
    }
    let mut command = command;
    // clap adds `--help` when it builds.
    command.build();
    hidden(command)
}

/// Which word the cursor is on: bash and zsh say so, with fish it is the last.
fn current(words: &[OsString]) -> usize {
    let told = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
    told.unwrap_or(words.len().saturating_sub(1))
}

/// All targets that begin so. With `plus`, `+api` and `api+` too.
pub fn targets(typed: &OsStr, plus: bool) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(names(&global())));
    let names = receiver.recv_timeout(PATIENCE).unwrap_or_default();
    forms(&names, typed, plus).into_iter().map(CompletionCandidate::new).collect()
}

/// A leading `+` is kept. A trailing one is offered for a name that stands there whole:
/// offered earlier, it would keep the shell from ending the word.
fn forms(names: &[String], typed: &str, plus: bool) -> Vec<String> {
    let (before, bare) = match typed.strip_prefix('+').filter(|_| plus) {
        Some(bare) => ("+", bare),
        None => ("", typed),
    };
    let mut forms = Vec::new();
    for name in names {
        // A shell writes it into the line: what would not be seen there is not offered.
        if !name.chars().all(quote::is_plain) {
            continue;
        }
        if name.starts_with(bare) {
            forms.push(format!("{before}{name}"));
        }
        if plus && bare.strip_suffix('+').unwrap_or(bare) == name {
            forms.push(format!("{before}{name}+"));
        }
    }
    forms
}

/// The `-C`, `-f` and the rest of the line, however unfinished it is.
fn global() -> Global {
    let mut words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let current = current(&words);
    if current < words.len() {
        words.remove(current);
    }
    let parsed = command::completed(targets).ignore_errors(true).try_get_matches_from(words);
    parsed.ok().and_then(|matches| Global::from_arg_matches(&matches).ok()).unwrap_or_default()
}

/// Images and groups, sorted. A repository with mistakes has those that can be read.
fn names(global: &Global) -> Vec<String> {
    let Ok(located) = locate::located_silently(global) else { return Vec::new() };
    let Ok(state) = locate::state_silently(global, &located) else { return Vec::new() };
    let Ok(tree) = DiskTree::open(&located.root, &state) else { return Vec::new() };
    let mut names = match &located.imagefile {
        Some(file) => locate::text(&tree, file).map(|text| imagefile::names(&text)).unwrap_or_default(),
        None => {
            let recipes = || discover(&located.root, &state);
            let project = project::read(&located, &tree, recipes, &Overrides::default());
            project.map(|project| project.images.into_keys().collect()).unwrap_or_default()
        }
    };
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, plus: bool, expected: &str) {
        let names = ["api", "api-dev", "web"].map(str::to_owned);
        assert_eq!(forms(&names, typed, plus).join(" "), expected);
    }

    #[test]
    fn a_target_is_completed_with_its_pluses() {
        check("", true, "api api-dev web");
        check("w", true, "web");
        check("+a", true, "+api +api-dev");
        check("web", true, "web web+");
        check("api+", true, "api+");
        check("+web", true, "+web +web+");
        check("x", true, "");
        check("+w", false, "");
        check("web", false, "web");
    }
}
