//! Words that users of make and docker type, as imk has them.
//!
//! | typed | means |
//! |---|---|
//! | `NAME=VALUE` | `--var NAME=VALUE`, as make has it |
//! | `-j` alone | as many at once as may be, as make has it |
//! | `-v` | `--verbose`, but where a verb has a `-v` of its own |
//! | `-f x/Dockerfile` | the images of that Dockerfile, as docker has it |
//! | `--flag=true`, `--flag=false` | the flag, or none, as docker has it |
//! | `-t NAME` | a mistake that says where imk's tags are |
//!
//! Knows the declared flags, and no verb but those whose words are something else.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::{Arg, Command};

use crate::source::recipe_name::is_recipe;

/// As many at once as the flag takes.
const ALL_AT_ONCE: &str = "-j512";

/// Verbs whose words are no targets, and may have a `=` in them.
const OTHER_WORDS: [&str; 5] = ["what-if", "run", "test", "import", "help"];

/// A word that imk has no place for, and the way in which imk does it.
#[derive(Debug, PartialEq, Eq)]
pub struct Untranslatable {
    /// The mistake.
    pub message: String,
    /// The way to go.
    pub hint: &'static str,
}

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
    let mut flags = Flags::of(command, None);
    let mut out: Vec<OsString> = words.iter().take(1).cloned().collect();
    let mut words = words.iter().skip(1).peekable();
    let mut verb: Option<&Command> = None;
    let mut targets = 0;
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            out.push(word.clone());
            continue;
        };
        let has_short = |letter: char| {
            verb.is_some_and(|verb| verb.get_arguments().any(|arg| arg.get_short() == Some(letter)))
        };
        if text == "--" {
            out.push(word.clone());
            out.extend(words.cloned());
            break;
        }
        if let Some(long) = text.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, "true" | "1")) if flags.bare.contains(name) => {
                    out.push(format!("--{name}").into())
                }
                Some((name, "false" | "0")) if flags.bare.contains(name) => {}
                _ if long.split('=').next() == Some("tag") && !has_short('t') => return Err(a_tag(text)),
                None if flags.valued.contains(long) => {
                    out.push(word.clone());
                    out.extend(words.next().cloned());
                }
                _ => out.push(word.clone()),
            }
        } else if text == "-j" {
            let number = words.next_if(|next| next.to_str().is_some_and(|next| next.parse::<u16>().is_ok()));
            match number {
                Some(number) => out.extend([word.clone(), number.clone()]),
                None => out.push(ALL_AT_ONCE.into()),
            }
        } else if text == "-v" && !has_short('v') {
            out.push("--verbose".into());
        } else if text.starts_with("-t") && !has_short('t') {
            return Err(a_tag(text));
        } else if text == "-f"
            && let Some(file) = words.next_if(|next| names_a_dockerfile(next))
        {
            targets += 1;
            out.push(file.clone());
        } else if let Some(cluster) = text.strip_prefix('-').filter(|cluster| !cluster.is_empty()) {
            out.push(word.clone());
            if cluster.chars().last().is_some_and(|last| flags.short_valued.contains(&last)) {
                out.extend(words.next().cloned());
            }
        } else {
            let other = verb.is_some_and(|verb| OTHER_WORDS.contains(&verb.get_name()));
            match command.find_subcommand(text).filter(|_| verb.is_none() && targets == 0) {
                Some(found) => {
                    verb = Some(found);
                    flags = Flags::of(command, verb);
                }
                None if is_assignment(text) && !other => out.push("--var".into()),
                None => targets += 1,
            }
            out.push(word.clone());
        }
    }
    Ok(out)
}

fn a_tag(typed: &str) -> Untranslatable {
    Untranslatable {
        message: format!("imk has no `{typed}`: an image has its name and its tags from the Imagefile"),
        hint: "`tags: [\"1.2\"]` of an image there; `imk push -t` gives one for once",
    }
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
        check("-n --var A=1 -j 2", "-n --var A=1 -j 2");
        check("log -n 5 A=1", "log -n 5 --var A=1");
        check("-f api/Dockerfile -n", "api/Dockerfile -n");
        check("-f other.ron -n", "-f other.ron -n");
        check("--pull=true --no-cache=false", "--pull");
        check("--platform=linux/amd64", "--platform=linux/amd64");
        let tag = "imk has no `-t`: an image has its name and its tags from the Imagefile";
        check("build -t me/api:1 .", tag);
    }
}
