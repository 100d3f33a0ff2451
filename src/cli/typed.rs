//! Words that users of make and docker type, as imk has them.
//!
//! | typed | means |
//! |---|---|
//! | `NAME=VALUE` | `--var NAME=VALUE`, as make has it |
//! | `-j` alone | as many at once as may be, as make has it |
//! | `-v`, also among other letters | `--verbose`, but where a verb has a `-v` of its own |
//! | `-f x/Dockerfile` | the images of that Dockerfile, as docker has it |
//! | `--flag=true`, `--flag=false` | the flag, or none, as docker has it |
//! | `-t NAME` and others of `habits` | a mistake that says imk's way |
//!
//! Knows the declared flags, and no verb but those whose words are something else.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::iter::{Peekable, Skip};
use std::slice::Iter;

use clap::{Arg, Command};

use crate::cli::habits::{self, Untranslatable};
use crate::source::recipe_name::is_recipe;

/// As many at once as the flag takes.
const ALL_AT_ONCE: &str = "-j512";

/// Verbs whose words are no targets, and may have a `=` in them.
const OTHER_WORDS: [&str; 5] = ["what-if", "run", "test", "import", "help"];

/// The flags of a command and its verbs.
struct Flags {
    /// Long ones that take a value.
    valued: BTreeSet<String>,
    /// Long ones that take none.
    bare: BTreeSet<String>,
    /// Short ones that take a value.
    short_valued: BTreeSet<char>,
}

/// The words of a command line, the program's own name first, in imk's own terms.
///
/// # Errors
/// See [`Untranslatable`].
pub fn translated(words: &[OsString], command: &Command) -> Result<Vec<OsString>, Untranslatable> {
    let mut line = Line {
        command,
        flags: Flags::of(command, None),
        verb: None,
        targets: 0,
        out: words.iter().take(1).cloned().collect(),
    };
    let mut words = words.iter().skip(1).peekable();
    while let Some(word) = words.next() {
        match word.to_str() {
            // The command of a container is its own.
            _ if line.is_in_a_command() => line.out.push(word.clone()),
            None => line.out.push(word.clone()),
            Some("--") => {
                line.out.push(word.clone());
                line.out.extend(words.by_ref().cloned());
            }
            Some(text) => match (text.strip_prefix("--"), text.strip_prefix('-')) {
                (Some(long), _) => line.long(long, &mut words)?,
                (None, Some(cluster)) if !cluster.is_empty() => line.short(cluster, &mut words)?,
                _ => line.word(text),
            },
        }
    }
    Ok(line.out)
}

/// A command line while it is translated.
struct Line<'a> {
    command: &'a Command,
    flags: Flags,
    verb: Option<&'a Command>,
    targets: usize,
    out: Vec<OsString>,
}

type Words<'a> = Peekable<Skip<Iter<'a, OsString>>>;

impl Line<'_> {
    fn is_in_a_command(&self) -> bool {
        self.targets > 0 && self.verb.is_some_and(|verb| verb.get_name() == "run")
    }

    /// Whether the verb has a flag of this letter, or bare `imk`.
    fn has_short(&self, letter: char) -> bool {
        self.verb.unwrap_or(self.command).get_arguments().any(|arg| arg.get_short() == Some(letter))
    }

    fn long(&mut self, long: &str, words: &mut Words<'_>) -> Result<(), Untranslatable> {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        match value {
            Some("true" | "1") if self.flags.bare.contains(name) => self.out.push(format!("--{name}").into()),
            Some("false" | "0") if self.flags.bare.contains(name) => {}
            None if self.flags.valued.contains(name) => {
                self.out.push(format!("--{name}").into());
                self.out.extend(words.next().cloned());
            }
            _ if self.flags.has(name) => self.out.push(format!("--{long}").into()),
            _ => {
                if let Some(untranslatable) = habits::flag(name, &format!("--{long}")) {
                    return Err(untranslatable);
                }
                self.out.push(format!("--{long}").into());
            }
        }
        Ok(())
    }

    fn short(&mut self, cluster: &str, words: &mut Words<'_>) -> Result<(), Untranslatable> {
        if cluster == "j" {
            let number = words.next_if(|next| next.to_str().is_some_and(|next| next.parse::<u16>().is_ok()));
            match number {
                Some(number) => self.out.extend(["-j".into(), number.clone()]),
                None => self.out.push(ALL_AT_ONCE.into()),
            }
            return Ok(());
        }
        if let Some((_, untranslatable)) = short_habit(cluster).filter(|(letter, _)| !self.has_short(*letter))
        {
            return Err(untranslatable);
        }
        if cluster == "f"
            && let Some(file) = words.next_if(|next| names_a_dockerfile(next))
        {
            self.targets += 1;
            self.out.push(file.clone());
            return Ok(());
        }
        let others = match self.has_short('v') {
            true => cluster.to_owned(),
            false => self.flags.without_v(cluster),
        };
        if others != cluster {
            self.out.push("--verbose".into());
        }
        if !others.is_empty() {
            self.out.push(format!("-{others}").into());
        }
        if cluster.chars().last().is_some_and(|last| self.flags.short_valued.contains(&last)) {
            self.out.extend(words.next().cloned());
        }
        Ok(())
    }

    fn word(&mut self, text: &str) {
        let other = self.verb.is_some_and(|verb| OTHER_WORDS.contains(&verb.get_name()));
        match self.command.find_subcommand(text).filter(|_| self.verb.is_none() && self.targets == 0) {
            Some(found) => {
                self.verb = Some(found);
                self.flags = Flags::of(self.command, self.verb);
            }
            None if is_assignment(text) && !other => self.out.push("--var".into()),
            None => self.targets += 1,
        }
        self.out.push(text.into());
    }
}

/// Whether a word may be a flag of docker or make that imk does otherwise.
pub fn is_habit(word: &str) -> bool {
    match (word.strip_prefix("--"), word.strip_prefix('-')) {
        (Some(long), _) => habits::flag(long.split('=').next().unwrap_or_default(), word).is_some(),
        (None, Some(cluster)) => short_habit(cluster).is_some(),
        _ => false,
    }
}

/// A short flag of docker or make, with or without a value.
fn short_habit(cluster: &str) -> Option<(char, Untranslatable)> {
    let letter = cluster.chars().next()?;
    Some((letter, habits::flag(&letter.to_string(), &format!("-{cluster}"))?))
}

/// Whether a word is made of letters that are flags, or a flag and its value, with this one among them.
pub fn is_cluster_with(word: &str, letter: char) -> bool {
    word.strip_prefix('-').is_some_and(|cluster| !cluster.starts_with('-') && cluster.contains(letter))
}

/// `NAME=VALUE`
fn is_assignment(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    text.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// Whether a file is a Dockerfile by its name, and no folder and no Imagefile.
fn names_a_dockerfile(file: &OsString) -> bool {
    let name = std::path::Path::new(file).file_name().map(|name| name.to_string_lossy().into_owned());
    name.is_some_and(|name| is_recipe(&name))
}

impl Flags {
    /// Those of a verb with those of every verb; without one, those of bare `imk`. A letter is a flag of its own for
    /// each verb: `-n` takes a number of `log`, and none of `build`.
    fn of(command: &Command, verb: Option<&Command>) -> Self {
        let mut flags =
            Self { valued: BTreeSet::new(), bare: BTreeSet::new(), short_valued: BTreeSet::new() };
        let every = command.get_arguments().filter(|arg| verb.is_none() || arg.is_global_set());
        let own = verb.into_iter().flat_map(Command::get_arguments);
        every.chain(own).for_each(|arg| flags.add(arg));
        flags
    }

    fn has(&self, long: &str) -> bool {
        self.valued.contains(long) || self.bare.contains(long)
    }

    /// The letters of a cluster but for `v`; from one that takes a value on, they are that value.
    fn without_v(&self, cluster: &str) -> String {
        let value = cluster.find(|letter| self.short_valued.contains(&letter)).unwrap_or(cluster.len());
        let (letters, value) = cluster.split_at(value);
        letters.replace('v', "") + value
    }

    fn add(&mut self, arg: &Arg) {
        if arg.is_positional() {
            return;
        }
        let takes = arg.get_action().takes_values();
        let longs = arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten());
        for long in longs {
            let list = if takes { &mut self.valued } else { &mut self.bare };
            list.insert(long.to_owned());
        }
        self.short_valued.extend(arg.get_short().filter(|_| takes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[track_caller]
    fn check(typed: &str, meant: &str) {
        let words: Vec<OsString> = ["imk"].into_iter().chain(typed.split(' ')).map(OsString::from).collect();
        let found = match translated(&words, &command::command()) {
            Ok(words) => words[1..].join(std::ffi::OsStr::new(" ")).into_string().unwrap(),
            Err(error) => error.message,
        };
        assert_eq!(found, meant, "{typed}");
    }

    #[test]
    fn words_of_make_and_docker_are_imks() {
        check("VERSION=2", "--var VERSION=2");
        check("api VERSION=2 -n", "api --var VERSION=2 -n");
        check("--build-arg A=1 --var B=2 -C a=b", "--build-arg A=1 --var B=2 -C a=b");
        check("plan VERSION=2", "plan --var VERSION=2");
        check("-- VERSION=2", "-- VERSION=2");
        check("what-if api=2", "what-if api=2");
        check("-j", "-j512");
        check("-j api", "-j512 api");
        check("-j 4 api", "-j 4 api");
        check("-j4", "-j4");
        check("-v plan", "--verbose plan");
        check("-n -v", "-n --verbose");
        check("-kv", "--verbose -k");
        check("-nvj4", "--verbose -nj4");
        check("-Cvv", "-Cvv");
        check("run -v a:/b image", "run -v a:/b image");
        check("-n --var A=1 -j 2", "-n --var A=1 -j 2");
        check("log -n 5 A=1", "log -n 5 --var A=1");
        check("-f api/Dockerfile -n", "api/Dockerfile -n");
        check("-f other.ron -n", "-f other.ron -n");
        check("--pull=true --no-cache=false", "--pull");
        check("--platform=linux/amd64", "--platform=linux/amd64");
        let tag = "imk has no `-t`: an image has its name and its tags from the Imagefile";
        check("build -t me/api:1 .", tag);
        check("build --tag=x", "imk has no `--tag=x`: an image has its name and its tags from the Imagefile");
        check("push -t 1 api", "push -t 1 api");
        check("build --label a=b", "imk has no `--label`");
        check("run --network host api", "run --network host api");
        check("run api prog -t x --label y A=1", "run api prog -t x --label y A=1");
        check("plan -o plan.json", "plan -o plan.json");
        check("build -o out", "build -o out");
        check("-o out", "-o out");
    }
}
