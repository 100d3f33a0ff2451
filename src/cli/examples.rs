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
imk why api         api ← base ← `src/util.py` changed: a1b2 → c3d4, commit 9f8e123 “fix units”
imk why api --all   every way to every cause, with a diff of the instructions that changed",
    ),
    (
        "log",
        "\
imk log                          past builds of every image
imk log api -n 3                 the last three of one
imk log api --json               the same for a script",
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
imk graph --dot | dot -Tsvg      as a picture
imk graph --bake > docker-bake.json   for a day on which bake must build",
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
imk list              every image: how it stands, what it is called, how big it is
imk list +web         web and all it is built on
imk list -q 'svc-*'   names only, a line each
imk list --json       for scripts; times are absolute there",
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
    (
        "why-not",
        "\
imk why-not api                 the files that differ from HEAD and do not count for api
imk why-not api README.md       this one
imk why-not api --since v1.0    all that was changed since v1.0",
    ),
    (
        "diff",
        "\
imk diff api@1 api@2          two builds, as `imk log` numbers them
imk diff 3f2a91 77c0de        two builds by their keys
imk diff api:1.0 api:latest   two tags on the engine
imk diff HEAD~3 HEAD web      two commits: what counts of web and of all it is built on",
    ),
    (
        "what-if",
        "\
imk what-if lib/util.py          if this file changed, or were new
imk what-if --rm docs            if this folder were gone
imk what-if --base debian:12     if this base were another image
imk what-if --arg VERSION=2      if this build argument had another value",
    ),
    (
        "who-uses",
        "\
imk who-uses lib/util.py   the instructions that read it, line by line
imk who-uses base          what is built on the image base, directly or not",
    ),
    (
        "affected",
        "\
imk affected --since main...            what this branch changed, whatever main did meanwhile
imk affected --since HEAD~1 --json      [\"api\",\"web\"], as the matrix of a CI job wants it
imk affected --since v1.0 --json --waves   [[\"base\"],[\"api\",\"web\"]]: groups in building order",
    ),
    (
        "import",
        "\
imk import                       read the one of the known files that is there
imk import compose.yaml          read this one
imk import --print               show the Imagefile.ron, and write nothing",
    ),
    (
        "tags",
        "\
imk tags                         what every image is called now
imk tags api --newest            its newest tag with a time
imk tags --json                  the same for a script",
    ),
    (
        "push",
        "\
imk push                         build what is out of date, and publish everything
imk push api                     api with its tags, and what it is built on by its key
imk push -k                      go on after a failure",
    ),
    (
        "pull",
        "\
imk pull api                     fetch api as its files are now, if its registry has it",
    ),
    (
        "clean",
        "\
imk clean             remove .imk/: what imk knows; nothing is lost but time
imk clean -n          only say what would go, and how big it is
imk clean web         what is kept of web
imk clean web --images   and the images of web that imk built here",
    ),
    (
        "gc",
        "\
imk gc -n             say what nothing needs any more, how big it is, and why
imk gc                remove it
imk gc --keep 0       keep no past builds beside what is current
imk gc --published    let go of current results too that a registry has",
    ),
    (
        "doctor",
        "\
imk doctor            engine, registries, clocks, state: a line each, and what to do
imk doctor --json     for bug reports; it holds no secret",
    ),
    (
        "hook",
        "\
imk hook install                          tell, at every push, which images are not built
imk hook install --mode block             and refuse the push
imk hook status                           whether git asks imk, and how",
    ),
    (
        "watch",
        "\
imk watch              build everything, then whatever a change makes stale
imk watch api -j 4     this image and all it is built on, four at once
imk watch --trace      say of every change that came what it meant",
    ),
];
