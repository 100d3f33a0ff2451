//! What was typed. What it means is decided in each verb's own file.

mod asking;
pub mod hook;
mod manage;
pub mod shell;
pub mod watch;

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args as Group, Parser, Subcommand, ValueEnum};

pub use asking::{AffectedArgs, DiffArgs, LogArgs, WhatIfArgs, WhoUsesArgs, WhyArgs, WhyNotArgs};
pub use manage::{CleanArgs, DoctorArgs, GcArgs, ListArgs};

/// make for container images: builds what is out of date, in the right order, in parallel, and nothing else.
#[derive(Debug, Parser)]
#[command(
    name = "imk",
    version,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub struct Args {
    /// The verb; `build` when none is given.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// What `build` takes, for bare `imk`.
    #[command(flatten)]
    pub build: BuildArgs,
    /// What every verb takes.
    #[command(flatten)]
    pub global: Global,
}

const EXAMPLES: &str = "\
Examples:
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
  imk import            write the one that a bake, compose, dobi or Skaffold file stands for

Exit status: 0 done or fresh, 1 not up to date (check, -q, why-not), 2 error, 130 interrupted.";

const IMPORT_HELP: &str = "\
Reads docker-bake.hcl and .json, compose.yaml, .shipwright.json, dobi.yaml, skaffold.yaml, and a
builder's list, `images: {name: {path: folder}}`. What a file is shows in its keys, whatever its name is.
What could not be carried over is told line by line on standard error; the exit status is 0.
`imk graph --bake` goes the other way.";

/// What every verb takes.
#[derive(Clone, Debug, Default, Group)]
pub struct Global {
    /// Change to this folder first
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true, env = "IMK_DIRECTORY")]
    pub directory: Option<PathBuf>,
    /// The Imagefile, or a folder whose Dockerfiles are to be discovered
    #[arg(short = 'f', long = "file", value_name = "PATH", global = true, env = "IMK_FILE")]
    pub file: Option<PathBuf>,
    /// Keep imk's state below this folder, one folder for each repository, and not in .imk
    #[arg(long = "state-dir", value_name = "DIR", global = true, env = "IMK_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Build this stage of the images that are named
    #[arg(long, value_name = "STAGE", global = true, env = "IMK_TARGET")]
    pub target: Option<String>,
    /// Put before every image's name, whatever the Imagefile says
    #[arg(long, value_name = "PREFIX", global = true, env = "IMK_PREFIX")]
    pub prefix: Option<String>,
    /// Set a variable of the Imagefile (also IMK_VAR_NAME)
    #[arg(long = "var", visible_alias = "set", value_name = "NAME=VALUE", global = true, value_parser = pair)]
    pub vars: Vec<(String, String)>,
    /// Set a build argument of every image that declares it
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]", global = true, value_parser = argument)]
    pub build_args: Vec<(String, String)>,
    /// The number of this build, for {build} in tags; else that of CI (BUILD_NUMBER, GITHUB_RUN_NUMBER, …)
    #[arg(long, value_name = "N", global = true, env = "IMK_BUILD_NUMBER")]
    pub build_number: Option<String>,
    /// Build on these engines: a docker context, unix://, tcp:// or ssh://HOST, or one of the
    /// Imagefile's `engines`, with ,labels=A+B ,platforms=linux/amd64+linux/arm64 ,jobs=N as needed
    ///
    /// May be repeated. The first is home: it decides what is built where nothing is said of the platform,
    /// and --load brings targets there. In the variable IMK_ENGINE, spaces or commas stand between
    /// engines. Without any, docker's own rules lead to home, and the Imagefile declares the others.
    #[arg(long = "engine", value_name = "ENGINE", global = true, env = "IMK_ENGINE")]
    pub engines: Vec<String>,
    /// Build for this platform
    #[arg(long, value_name = "OS/ARCH", global = true, env = "DOCKER_DEFAULT_PLATFORM")]
    pub platform: Option<String>,
    /// Of the images that are meant, only those that differ from this commit; `REV...`: from where HEAD left it
    #[arg(long, value_name = "REV", global = true, env = "IMK_SINCE")]
    pub since: Option<String>,
    /// Ask no registry and no git server: what is known of them must do
    #[arg(long, global = true, env = "IMK_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    /// Take every base and every git reference from Imagefile.lock, and fail when one is not there
    #[arg(long, global = true, env = "IMK_LOCKED", value_parser = FalseyValueParser::new())]
    pub locked: bool,
    /// A registry that may speak plain HTTP or show any certificate; this machine always may
    #[arg(
        long = "insecure-registry",
        value_name = "HOST",
        global = true,
        env = "IMK_INSECURE_REGISTRY",
        value_delimiter = ','
    )]
    pub insecure_registries: Vec<String>,
    /// Ask this address before the registry itself when something is read
    #[arg(long = "registry-mirror", value_name = "HOST=URL", global = true, env = "IMK_REGISTRY_MIRROR", value_delimiter = ',', value_parser = pair)]
    pub mirrors: Vec<(String, String)>,
    /// Ask registries and git servers again, though their last answers still hold
    #[arg(long, global = true, env = "IMK_PULL", conflicts_with = "offline", value_parser = FalseyValueParser::new())]
    pub pull: bool,
}

/// A verb.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build what is out of date (the default)
    Build(BuildArgs),
    /// Say what would be built and why, and touch nothing
    #[command(visible_alias = "status")]
    Plan(PlanArgs),
    /// Ask whether everything is up to date: exit 0 when it is, 1 when not
    Check(CheckArgs),
    /// Have git ask before a push whether the images of the pushed commits are built
    Hook(hook::HookArgs),
    /// Build on every change of a file that counts, until Ctrl-C
    Watch(watch::WatchArgs),
    /// Tell the chain of causes: why an image is stale, or was built
    Why(WhyArgs),
    /// Tell why files do not count for an image: which rule leaves them out
    WhyNot(WhyNotArgs),
    /// List past builds: when, how long, why
    Log(LogArgs),
    /// Tell what two builds, two tags or two commits have different of what counts
    Diff(DiffArgs),
    /// Say what would be built if files, arguments or a base changed, how long it takes and what it sends
    WhatIf(WhatIfArgs),
    /// Say which instructions read a file, or what is built on an image
    WhoUses(WhoUsesArgs),
    /// List the images that a change concerns, from git's trees alone: for CI
    Affected(AffectedArgs),
    /// Say what imk would have built in the past, commit by commit, beside what others would
    Replay(ReplayArgs),
    /// Show what is built on what
    Graph(GraphArgs),
    /// List everything that counts for an image: files, instructions, arguments, bases
    Inputs(InputsArgs),
    /// List the images: how each stands, what it is called, how big it is, when it was built
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Remove what imk knows, of some images or of all; with --images the images it built too
    Clean(CleanArgs),
    /// Remove images and records that nothing reaches any more
    Gc(GcArgs),
    /// Look over engine, registries, clocks and state, and say what to do
    Doctor(DoctorArgs),
    /// List the names that images are given, or tell the newest tag with a time
    Tags(TagsArgs),
    /// Ask registries what bases are now, and write it to Imagefile.lock
    Update(UpdateArgs),
    /// List the bases that are not what Imagefile.lock says: exit 0 when there is none, 1 when there are
    Outdated(OutdatedArgs),
    /// Build what is out of date and publish the targets, with their tags
    Push(BuildArgs),
    /// Fetch what registries have of the targets, and build nothing
    Pull(PullArgs),
    /// Write the Imagefile.ron that discovery stands for
    Init(InitArgs),
    /// Write the Imagefile.ron that a bake, compose, Shipwright, dobi or Skaffold file stands for
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Explain every key of an Imagefile
    Keys,
    /// Print what teaches a shell to complete verbs, flags and images
    Completions(shell::CompletionsArgs),
    /// Print the manual page, or write the pages of all verbs
    Man(shell::ManArgs),
    /// Print the JSON schema of an Imagefile
    Schema,
    /// Put the Imagefile's spaces and commas in order
    Fmt(shell::FmtArgs),
}

/// Words that mean images.
#[derive(Clone, Debug, Default, Group)]
pub struct Targets {
    /// Names, globs, groups; +NAME adds all it is built on, NAME+ all built on it
    #[arg(value_name = "TARGET")]
    pub words: Vec<String>,
}

/// What `build` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct BuildArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Build so many images at once [default: the number of processors]
    #[arg(short, long, value_name = "N", env = "IMK_JOBS", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// Go on with what does not depend on a failure
    #[arg(short, long, env = "IMK_KEEP_GOING", value_parser = FalseyValueParser::new())]
    pub keep_going: bool,
    /// Only say what would be done, as `imk plan`
    #[arg(short = 'n', long, env = "IMK_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// Say nothing; exit 1 when something is out of date
    #[arg(short, long, env = "IMK_QUESTION", conflicts_with = "dry_run", value_parser = FalseyValueParser::new())]
    pub question: bool,
    /// Build the targets though they are fresh
    #[arg(short = 'B', long, env = "IMK_ALWAYS_MAKE", value_parser = FalseyValueParser::new())]
    pub always_make: bool,
    /// As -B, and have the engine forget its own cache
    #[arg(long, env = "IMK_NO_CACHE", value_parser = FalseyValueParser::new())]
    pub no_cache: bool,
    /// Publish the results: everything by its key, the targets under their tags
    #[arg(long, env = "IMK_PUSH", value_parser = FalseyValueParser::new())]
    pub push: bool,
    /// Fetch the targets that only their registry or another engine has
    #[arg(long, env = "IMK_LOAD", value_parser = FalseyValueParser::new())]
    pub load: bool,
    /// An image in a registry whose layers may serve, as docker spells it: type=registry,ref=NAME
    #[arg(long = "cache-from", value_name = "CACHE", env = "IMK_CACHE_FROM", value_delimiter = ' ')]
    pub cache_from: Vec<String>,
    /// Where layers are left for others: type=inline, into the image itself
    #[arg(long = "cache-to", value_name = "CACHE", env = "IMK_CACHE_TO", value_delimiter = ' ')]
    pub cache_to: Vec<String>,
    /// How to show progress
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW", env = "BUILDKIT_PROGRESS")]
    pub progress: Progress,
    /// As --progress quiet
    #[arg(short = 's', long, env = "IMK_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// As --progress json; with -n, the plan as JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
    /// Tell every cause, not the first alone
    #[arg(long, env = "IMK_TRACE", value_parser = FalseyValueParser::new())]
    pub trace: bool,
    /// What is left behind for scripts.
    #[command(flatten)]
    pub records: shell::RecordArgs,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Live lines on a terminal, else plain ones
    #[default]
    Auto,
    /// Live lines
    Tty,
    /// One line an event, the image's name in front
    Plain,
    /// One JSON object an event, on standard error
    #[value(alias = "rawjson")]
    Json,
    /// Failures and the summary only
    Quiet,
}

/// What `plan` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct PlanArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Plan as if the targets were stale
    #[arg(short = 'B', long, env = "IMK_ALWAYS_MAKE", value_parser = FalseyValueParser::new())]
    pub always_make: bool,
    /// Tell every cause, not the first alone
    #[arg(long, env = "IMK_TRACE", value_parser = FalseyValueParser::new())]
    pub trace: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Plan the files of this commit instead of those on the disk
    ///
    /// Nothing is checked out. Modes are those that git knows, 0644 and 0755, as a checkout under the
    /// umask 022 makes them, so keys agree with the work tree's. Under another umask the disk has others, and every image that copies files shows as stale.
    /// Files that git does not track are not there, submodules are empty folders.
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
}

/// What `replay` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct ReplayArgs {
    /// A range of commits, A..B, and which images, with all they are built on
    #[arg(value_name = "A..B | TARGET")]
    pub words: Vec<String>,
    /// Replay so many commits up to HEAD
    #[arg(long, value_name = "N", default_value = "300", value_parser = clap::value_parser!(u32).range(1..))]
    pub last: u32,
    /// Leave out what merges brought in
    #[arg(long)]
    pub first_parent: bool,
    /// Tell every commit's builds and their causes too
    #[arg(long, env = "IMK_TRACE", value_parser = FalseyValueParser::new())]
    pub trace: bool,
    /// As a stable JSON document
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Write a page with charts to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// What `check` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct CheckArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Say nothing
    #[arg(short, long, env = "IMK_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,
}

/// What `graph` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct GraphArgs {
    /// Which images, with all they are built on.
    #[command(flatten)]
    pub targets: Targets,
    /// In Graphviz' language
    #[arg(long, group = "form")]
    pub dot: bool,
    /// In Mermaid's language, as GitHub and GitLab draw it
    #[arg(long, group = "form")]
    pub mermaid: bool,
    /// As a stable JSON document
    #[arg(long, group = "form", env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// As the docker-bake.json that builds the same images
    #[arg(long, group = "form")]
    pub bake: bool,
}

/// What `inputs` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct InputsArgs {
    /// Which image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

/// What `pull` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct PullArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
}

/// What `tags` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct TagsArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Tell of each image the newest tag with a time, by name, of the engine's and its registry's
    #[arg(long)]
    pub newest: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// What `update` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct UpdateArgs {
    /// Bases, with or without their tag, or images, which stand for all their bases; everything without
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only say what would be written
    #[arg(short = 'n', long, env = "IMK_DRY_RUN")]
    pub dry_run: bool,
}

/// What `outdated` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct OutdatedArgs {
    /// Bases, with or without their tag, or images, which stand for all their bases; everything without
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// What `init` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct InitArgs {
    /// Write over an Imagefile.ron that is there
    #[arg(long)]
    pub force: bool,
    /// Print it instead of writing it
    #[arg(long)]
    pub print: bool,
}

/// What `import` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct ImportArgs {
    /// The file to read; the one of a known name when none is given
    #[arg(value_name = "FILE")]
    pub source: Option<PathBuf>,
    /// Write over an Imagefile.ron that is there
    #[arg(long)]
    pub force: bool,
    /// Print it instead of writing it
    #[arg(long)]
    pub print: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

/// As docker reads `--build-arg`: a name alone takes its value from the environment.
fn argument(text: &str) -> Result<(String, String), String> {
    if text.contains('=') {
        return pair(text);
    }
    let value = std::env::var(text).map_err(|_| format!("write {text}=VALUE, or set the variable {text}"))?;
    Ok((text.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

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
}
