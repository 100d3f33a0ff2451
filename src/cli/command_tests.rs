use std::collections::BTreeMap;

use super::*;

/// Every verb with its flags, and imk itself.
fn verbs() -> Vec<Command> {
    let mut root = command();
    root.build();
    let verbs = root.get_subcommands().filter(|verb| verb.get_name() != "help").cloned();
    verbs.chain([root.clone()]).collect()
}

#[test]
fn every_flag_has_a_variable() {
    for verb in verbs() {
        for arg in verb.get_arguments().filter(|arg| !arg.is_positional()) {
            let long = arg.get_long().unwrap_or_else(|| panic!("{}: {} has no long name", verb, arg));
            assert_eq!(arg.get_env().is_none(), is_exception(long), "{} --{long}", verb.get_name());
        }
    }
}

#[test]
fn a_variable_means_the_same_to_every_verb() {
    let mut kinds: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for verb in verbs() {
        for arg in verb.get_arguments() {
            let Some(name) = arg.get_env() else { continue };
            let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
            let (other, was) = kinds
                .entry(name.to_string_lossy().into_owned())
                .or_insert_with(|| (verb.get_name().to_owned(), is_flag));
            assert_eq!(*was, is_flag, "{name:?} of {other} and of {}", verb.get_name());
        }
    }
}

#[test]
fn no_exception_outlives_its_flag() {
    let verbs = verbs();
    for (long, reason) in WITHOUT_VARIABLE {
        let found = verbs.iter().any(|verb| verb.get_arguments().any(|arg| arg.get_long() == Some(long)));
        assert!(found && !reason.is_empty(), "--{long}");
    }
}

#[test]
fn every_verb_has_examples_that_imk_understands() {
    for verb in verbs().iter().filter(|verb| verb.get_name() != "imk") {
        let name = verb.get_name();
        let text = examples::of(name).unwrap_or_else(|| panic!("`imk {name}` has no examples"));
        for line in text.lines().skip(1).map(str::trim_start) {
            assert!(line.starts_with(&format!("imk {name}")), "{line}");
            understood(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}

/// Reads a line of shell with `imk` and what is said of it as a command line.
fn understood(line: &str) -> Result<(), clap::Error> {
    let end = line.find(['|', '>', '&', '#']).unwrap_or(line.len());
    let end = line[..end].find("  ").unwrap_or(end);
    let words = line[..end].split_whitespace().map(|word| word.trim_matches('\'').into());
    let words: Vec<OsString> = words.collect();
    matches(&words, &|_| false).map(drop)
}

#[test]
fn commands_of_the_documentation_are_ones() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs_err::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for page in docs.chain([root.join("README.md")]) {
        let text = fs_err::read_to_string(&page).unwrap();
        for block in text.split("\n```sh\n").skip(1) {
            for line in block.split("\n```").next().unwrap().lines() {
                // Variables may stand before it.
                let command = line.split_once(" imk").filter(|(before, _)| before.contains('='));
                let command = command.map_or(line.to_owned(), |(_, rest)| format!("imk{rest}"));
                if command == "imk" || command.starts_with("imk ") {
                    understood(&command)
                        .unwrap_or_else(|error| panic!("{}: {line}: {error}", page.display()));
                    count += 1;
                }
            }
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn every_example_is_of_a_verb() {
    let verbs = verbs();
    for (name, _) in examples::EXAMPLES {
        assert!(verbs.iter().any(|verb| verb.get_name() == *name), "there is no verb `{name}`");
    }
}

#[test]
fn every_verb_can_be_meant() {
    for verb in verbs().iter().filter(|verb| verb.get_name() != "imk") {
        for name in verb.get_all_aliases().chain([verb.get_name()]) {
            assert!(VERBS.contains(&name), "VERBS lacks `{name}`, so nobody is told \"did you mean\"");
        }
    }
}

#[test]
fn a_flags_variable_says_yes_or_no() {
    for (text, expected) in [
        ("1", Some(true)),
        ("True", Some(true)),
        ("yes", Some(true)),
        ("", Some(false)),
        ("0", Some(false)),
        ("no", Some(false)),
        ("FALSE", Some(false)),
        ("maybe", None),
    ] {
        assert_eq!(yes_or_no(text), expected, "{text}");
    }
}
