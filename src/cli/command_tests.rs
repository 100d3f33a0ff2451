//! The command line as a whole: every flag, verb and example, and that fewer verbs built answer as all do.

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
    let declared = Args::command();
    for verb in declared.get_subcommands() {
        let name = verb.get_name();
        let text = examples(verb).unwrap_or_else(|| panic!("`imk {name}` has no examples"));
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
    let whole = furnished(Args::command(), &|_| false).try_get_matches_from(&words)?;
    let read = |matches: &ArgMatches| Args::from_arg_matches(matches).map(|args| format!("{args:?}"));
    assert_eq!(read(&matches(&words, &|_| false)?)?, read(&whole)?, "{line}");
    Ok(())
}

#[test]
fn commands_of_the_documentation_are_ones() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs_err::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
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
fn every_verb_can_be_meant() {
    let verbs = super::verbs();
    for name in ["build", "plan", "status", "ls", "why-not", "help"] {
        assert!(verbs.iter().any(|verb| verb == name), "nobody is told of `{name}` by \"did you mean\"");
    }
}

#[test]
fn verbs_that_are_no_words_here_make_no_difference() {
    for line in [
        "imk",
        "imk api",
        "imk -k api",
        "imk -C plan",
        "imk -C plan check",
        "imk ls",
        "imk status api",
        "imk --target push",
        "imk hook run pre-push",
        "imk fsmonitor start",
        "imk help",
        "imk help plan",
        "imk plan help",
        "imk plan --help",
        "imk paln",
        "imk --version",
        "imk -V",
        "imk --nonsense",
        "imk plan --nonsense",
        "imk -- plan",
        "imk plan -- check",
    ] {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let told = |made: Result<ArgMatches, clap::Error>| match made {
            Ok(matches) => format!("{:?}", Args::from_arg_matches(&matches).unwrap()),
            Err(error) => error.render().to_string(),
        };
        let whole = furnished(Args::command(), &|_| false).try_get_matches_from(&words);
        assert_eq!(told(matches(&words, &|_| false)), told(whole), "{line}");
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

#[test]
fn the_command_line_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn bare_words_are_targets_and_verbs_are_verbs() {
    let args = Args::parse_from(["imk", "api", "svc-*", "+web", "-j4", "-k"]);
    assert!(args.verb.is_none());
    assert_eq!(args.build.targets.words, ["api", "svc-*", "+web"]);
    assert_eq!((args.build.jobs, args.build.keep_going), (Some(4), true));
    let args = Args::parse_from(["imk", "-C", "x", "plan", "api", "--build-arg", "A=b=c"]);
    assert!(matches!(args.verb, Some(Verb::Plan(plan)) if plan.targets.words == ["api"]));
    assert_eq!(args.global.build_args, [("A".to_owned(), "b=c".to_owned())]);
    // A value may be called like a verb.
    let args = Args::parse_from(["imk", "api", "--target", "build"]);
    assert!(args.verb.is_none());
    assert_eq!(args.global.target.as_deref(), Some("build"));
}

#[test]
fn a_list_on_both_sides_of_the_verb_is_one_list() {
    let parsed = |line: &str| parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).unwrap().global;
    let vars = |line: &str| {
        let vars = parsed(line).vars;
        vars.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(vars("imk --var A=1 plan --var B=2"), "A=1 B=2");
    assert_eq!(vars("imk --var A=1 --var=B=2 plan api --var C=3"), "A=1 B=2 C=3");
    assert_eq!(vars("imk --var A=1 plan"), "A=1");
    assert_eq!(vars("imk --var A=1 api"), "A=1");
    // A value that is called like a verb.
    assert_eq!(vars("imk --target plan --var A=1 check --var B=2"), "A=1 B=2");
    assert_eq!(parsed("imk --engine a --verbose push --engine b").engines, ["a", "b"]);
}

#[test]
fn what_was_typed_for_every_verb_can_be_handed_to_another_imk() {
    let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    let args = parse(&words(
        "imk --verbose --var A=1 auto --engine embedded --var B=2 ../images -k svc-* --var C=3",
    ))
    .unwrap();
    let mut again = words("imk");
    again.extend(args.global.typed.clone());
    assert_eq!(args.global.typed.len(), 4, "{:?}", args.global.typed);
    let again = parse(&again).unwrap();
    assert_eq!(again.global.vars, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
    assert!(again.global.verbose && again.global.engines == ["embedded"]);
    // Words behind the repository are those of the run.
    assert!(matches!(args.verb, Some(Verb::Auto(auto)) if auto.words.len() == 5));
    assert_eq!(parse(&words("imk plan")).unwrap().global.typed, [""; 0]);
}
