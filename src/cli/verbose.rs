//! Additions of `-v` to each verb, as its help says them.
//!
//! `-v` tells more and does nothing else; `-s` stays silent beside it. Knows the names of verbs, and not what they do.

/// Of a build, by whichever verb.
const BUILD: &str = "every cause of a build, its output line by line, and each image that is published";

/// Verbs with the addition to each; bare `imk` is `build`.
const ADDITIONS: &[(&str, &str)] = &[
    ("imk", BUILD),
    ("build", BUILD),
    ("push", BUILD),
    ("publish", BUILD),
    ("apply", BUILD),
    ("ci", BUILD),
    ("auto", BUILD),
    ("tools", BUILD),
    ("watch", "every cause, output line by line, and which changes meant nothing"),
    ("hook", "every cause of a build and its output line by line"),
    ("test", "every cause of a build and its output line by line"),
    ("plan", "every cause, and the images that are fresh"),
    ("check", "every cause, and the images that are fresh"),
    ("why", "every way to every cause, as --all"),
    ("list", "a paragraph an image: Dockerfile, all names, whole id and key, where it is published"),
    ("tags", "the template of each name, and whether the image lacks it"),
    ("log", "every cause of each build, whole ids and keys"),
    ("affected", "the way from each image to what changed"),
    ("replay", "every commit's builds and their causes, as --trace"),
    ("pull", "images that are here already"),
    ("update", "names that stand for what they did"),
    ("outdated", "names that stand for what they did"),
    ("gc", "results that stay because they are current"),
];

/// The addition of `-v` to a verb; `None` when it tells all it knows anyway, or `-v` is something else there.
pub fn addition(verb: &str) -> Option<&'static str> {
    ADDITIONS.iter().find(|(name, _)| *name == verb).map(|(_, addition)| *addition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    /// Verbs that tell all they know, and `run`, whose `-v` is docker's.
    const NOTHING_TO_ADD: &[&str] = &[
        "run",
        "logs",
        "why-not",
        "diff",
        "what-if",
        "who-uses",
        "graph",
        "lint",
        "serve",
        "worker",
        "inputs",
        "clean",
        "doctor",
        "fsmonitor",
        "rollback",
        "init",
        "import",
        "keys",
        "completions",
        "man",
        "schema",
        "fmt",
    ];

    #[test]
    fn every_verb_says_what_it_adds_or_is_known_to_tell_everything() {
        let command = command::command();
        for verb in command.get_subcommands() {
            let name = verb.get_name();
            let is_known = NOTHING_TO_ADD.contains(&name);
            assert_ne!(addition(name).is_some(), is_known, "{name}");
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert_eq!(help.contains("-v tells more: "), !is_known, "{name}");
        }
    }
}
