//! Arguments of several verbs: those of every run, words that mean images, how progress is shown.
//!
//! Knows no verb. Arguments of one verb alone stand in its own file below `commands/`.

pub mod embedded;
pub mod monitor;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args as Group, ValueEnum};

use crate::syntax::imagefile::{self, Setting};
use crate::syntax::resolve::platform;

/// The arguments of every verb.
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
    #[arg(long = "var", value_name = "NAME=VALUE", global = true, value_parser = pair)]
    pub vars: Vec<(String, String)>,
    /// Set a key of images, as bake does: IMAGE.KEY[.NAME]=VALUE, 'svc-*.target=prod'; without a dot a variable, as --var
    #[arg(long = "set", value_name = "IMAGE.KEY=VALUE", global = true, value_parser = set)]
    pub settings: Vec<Set>,
    /// Set a build argument of every image that declares it
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]", global = true, value_parser = argument)]
    pub build_args: Vec<(String, String)>,
    /// Give a name in Dockerfiles a meaning: a folder, a git address, docker-image://NAME or an image here
    #[arg(long = "build-context", value_name = "NAME=VALUE", global = true, value_parser = pair)]
    pub build_contexts: Vec<(String, String)>,
    /// Let `RUN --mount=type=ssh` use an agent: `default` for that of SSH_AUTH_SOCK, or ID=PATH for a socket or keys
    #[arg(long, value_name = "ID[=PATH]", global = true, env = "IMK_SSH", value_delimiter = ' ', value_parser = ssh)]
    pub ssh: Vec<Ssh>,
    /// Let steps have a right that an Imagefile asks for: network.host or security.insecure
    #[arg(long, value_name = "RIGHT", global = true, env = "IMK_ALLOW", value_delimiter = ' ', value_parser = ["network.host", "security.insecure"])]
    pub allow: Vec<String>,
    /// The number of this build, for {build} in tags; else that of CI (BUILD_NUMBER, GITHUB_RUN_NUMBER, …)
    #[arg(long, value_name = "N", global = true, env = "IMK_BUILD_NUMBER")]
    pub build_number: Option<String>,
    /// Build on these engines: a docker context, unix://, tcp:// or ssh://HOST, `embedded` for imk's own
    /// builder, or one of the Imagefile's `engines`, with ,labels=A+B ,platforms=linux/amd64+linux/arm64 ,jobs=N as needed
    ///
    /// May be repeated. The first is the default engine: its platform is built where nothing says another, and --load
    /// brings targets there. In the variable IMK_ENGINE, spaces or commas stand between
    /// engines. Without any, docker's own rules lead to the default engine, and the
    /// Imagefile declares the others.
    #[arg(long = "engine", value_name = "ENGINE", global = true, env = "IMK_ENGINE")]
    pub engines: Vec<String>,
    /// imk's own builder.
    #[command(flatten)]
    pub embedded: embedded::EmbeddedArgs,
    /// The file system monitor.
    #[command(flatten)]
    pub monitor: monitor::MonitorArgs,
    /// Build for this platform; for several with commas between them. Of images that declare several, for these of them
    #[arg(
        long = "platform",
        value_name = "OS/ARCH",
        global = true,
        env = "DOCKER_DEFAULT_PLATFORM",
        value_delimiter = ',',
        value_parser = platform
    )]
    pub platforms: Vec<String>,
    /// Of the images that are meant, only those that differ from this commit; `REV...`: from where HEAD left it
    #[arg(long, value_name = "REV", global = true, env = "IMK_SINCE")]
    pub since: Option<String>,
    /// Ask no registry and no git server: what is known of them must do
    #[arg(long, global = true, env = "IMK_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    /// Tell more; the help of each verb says what (also -v, but for `imk run`, where that is docker's)
    #[arg(long, global = true, env = "IMK_VERBOSE", value_parser = FalseyValueParser::new())]
    pub verbose: bool,
    /// How long a registry, a git server or an engine may say nothing before the run goes on without it [default: 20]
    #[arg(long, value_name = "SECONDS", global = true, env = "IMK_TIMEOUT", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
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
    /// The text of an Imagefile that is taken whatever files there are: `imk tools push`.
    #[arg(skip)]
    pub imagefile: Option<String>,
    /// Tags of the images that are asked for, whatever they declare: `imk push -t`.
    #[arg(skip)]
    pub tags: Vec<String>,
    /// The verbs there are, with their other names, for "did you mean".
    #[arg(skip)]
    pub verbs: Vec<String>,
    /// The arguments of every verb that stood on the command line, for verbs that call imk again.
    #[arg(skip)]
    pub typed: Vec<OsString>,
}

/// Words that mean images.
#[derive(Clone, Debug, Default, Group)]
pub struct Targets {
    /// Names, globs, groups; +NAME adds all it is built on, NAME+ all built on it
    #[arg(value_name = "TARGET")]
    pub words: Vec<String>,
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

/// A platform in its canonical spelling; an empty variable asks for none.
fn platform(text: &str) -> Result<String, String> {
    let asked = if text.is_empty() { Ok(String::new()) } else { platform::asked(text) };
    asked.map_err(|(why, hint)| format!("{why}; {hint}"))
}

/// A setting, as typed.
#[derive(Clone, Debug)]
pub enum Set {
    /// A variable and its value.
    Variable(String, String),
    /// A key of images.
    Key(Setting),
}

fn set(text: &str) -> Result<Set, String> {
    let (place, value) = pair(text)?;
    if !place.contains('.') {
        return Ok(Set::Variable(place, value));
    }
    let setting = imagefile::setting(&place, &value);
    setting.map(Set::Key).map_err(|(message, hint)| format!("{message}; {hint}"))
}

/// An agent or keys for ssh, as typed.
#[derive(Clone, Debug)]
pub struct Ssh {
    /// Its id.
    pub id: String,
    /// Paths of a socket or of keys; none for the caller's own agent.
    pub paths: Vec<String>,
}

/// Paths begin where imk was called.
fn ssh(text: &str) -> Result<Ssh, String> {
    let (id, paths) = imagefile::ssh(text).map_err(|(message, hint)| format!("{message}; {hint}"))?;
    let here = |path: String| match path.starts_with("~/") {
        true => path,
        false => std::path::absolute(&path).map_or(path, |path| path.display().to_string()),
    };
    Ok(Ssh { id, paths: paths.into_iter().map(here).collect() })
}

/// `NAME=VALUE`, as typed.
///
/// # Errors
/// When it is not of that form.
pub fn pair(text: &str) -> Result<(String, String), String> {
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
