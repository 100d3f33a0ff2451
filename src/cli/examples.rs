//! Examples of every verb, shown below its help and in its man page.
//!
//! Words only. That each verb has some, and that each of them is a command
//! line imk takes, is what the tests of `command.rs` see to.

/// The examples of one verb, as help shows them.
pub fn of(verb: &str) -> Option<String> {
    let (_, text) = EXAMPLES.iter().find(|(name, _)| *name == verb)?;
    let lines: String = text.lines().map(|line| format!("\n  {line}")).collect();
    Some(format!("Examples:{lines}"))
}

/// Verbs and their examples, a line each: the command, then what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "build",
        "\
imk build                         build everything that is out of date; `imk` alone does the same
imk build api 'svc-*'             these images, with what they are built on
imk build -k -j 8                 eight at once, going on after a failure
imk build --metadata-file m.json  and leave word of the results",
    ),
    (
        "plan",
        "\
imk plan                         what would be built, and why
imk plan base+                   what an edit of base would set off
imk plan --json                  the same for a script
imk plan --rev v1.2              what that commit would build here",
    ),
    (
        "check",
        "\
imk check                        a line for each image that is out of date; exit 1 when there is one
imk check -q api && deploy       go on only when api is up to date",
    ),
    (
        "why",
        "\
imk why api                      the chain of causes, now or of the last build
imk why api --all                every cause",
    ),
    (
        "log",
        "\
imk log                          past builds of every image
imk log api --json               those of one, for a script",
    ),
    (
        "replay",
        "\
imk replay                       the last 300 commits
imk replay v1.0..v1.1 api        a stretch of history, for one image
imk replay --html page.html      with charts",
    ),
    (
        "graph",
        "\
imk graph                        a tree
imk graph +web --mermaid         what web is built on, as GitHub and GitLab draw it
imk graph --dot | dot -Tsvg      as a picture",
    ),
    (
        "inputs",
        "\
imk inputs api                   files with hashes, instructions, arguments, bases
imk inputs api --json            the same for a script",
    ),
    (
        "list",
        "\
imk list                         every image, with its description
imk list 'svc-*' --json          some of them, with Dockerfiles and tags",
    ),
    (
        "update",
        "\
imk update                       every base
imk update alpine                the bases that go by this name
imk update -n                    only say what would be written",
    ),
    (
        "outdated",
        "\
imk outdated                     a line for each base that has moved; exit 1 when there is one
imk outdated api --json          the bases of one image, for a script",
    ),
    (
        "init",
        "\
imk init                         write Imagefile.ron
imk init --print                 only show it",
    ),
    (
        "keys",
        "\
imk keys                         every key of an Imagefile with its meaning",
    ),
    (
        "completions",
        "\
imk completions bash > ~/.local/share/bash-completion/completions/imk
imk completions zsh >> ~/.zshrc          below its compinit
imk completions fish > ~/.config/fish/completions/imk.fish",
    ),
    (
        "man",
        "\
imk man | man -l -               read imk's own page
imk man ~/.local/share/man/man1  install the pages of all verbs",
    ),
    (
        "schema",
        "\
imk schema > imagefile.schema.json   for a tool that reads Imagefiles as JSON",
    ),
    (
        "fmt",
        "\
imk fmt                          put Imagefile.ron in order
imk fmt --check                  only say whether it is; exit 1 when not",
    ),
];
