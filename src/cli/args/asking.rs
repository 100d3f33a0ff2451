//! What the verbs take that only ask: why, why not, what was, what if.

use clap::Args as Group;

use super::{Targets, pair};

/// What `why` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Of an image that is fresh, why it was built the last time. `imk why-not` tells why a file did not count.")]
pub struct WhyArgs {
    /// The image, or a word that means several
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Every cause, not the first alone
    #[arg(long)]
    pub all: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// What `why-not` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Exit status: 0 when none of the files counts, 1 when one does and api is not built with it, 2 error.")]
pub struct WhyNotArgs {
    /// The image, or a word that means several
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Files and folders, from where you are; without, those that differ from HEAD or from --since
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// What `log` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
A line tells when, which build, the beginnings of its key and of its result's id, how long and why; “same result”
says that it came out as the build before, so that what is built on it was left alone.")]
pub struct LogArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Only the newest so many
    #[arg(short = 'n', long = "number", value_name = "N")]
    pub number: Option<usize>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// What `diff` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Exit status: 0 whether they differ or not, 2 when one of them is not known.")]
pub struct DiffArgs {
    /// The one before: IMAGE@N, IMAGE for its newest build, the beginning of a key, a tag or an id; or a commit
    #[arg(value_name = "A")]
    pub before: String,
    /// The one after
    #[arg(value_name = "B")]
    pub after: String,
    /// Of two commits, only these images
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// What `what-if` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Nothing is built, changed or asked of an engine. Times are those of past builds, bytes are all that is read.")]
pub struct WhatIfArgs {
    /// Files or folders that would be of another content, from where you are
    #[arg(value_name = "PATH", required_unless_present_any = ["gone", "bases", "args"])]
    pub paths: Vec<String>,
    /// A file or folder that would be gone
    #[arg(long = "rm", value_name = "PATH")]
    pub gone: Vec<String>,
    /// A base that would be another image: a reference, with or without its tag, or an image of the repository
    #[arg(long = "base", value_name = "REF")]
    pub bases: Vec<String>,
    /// A build argument that would have this value
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    pub args: Vec<(String, String)>,
    /// Build so many images at once, for the time it takes [default: the number of processors]
    #[arg(short, long, value_name = "N", env = "IMK_JOBS", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// What `who-uses` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
A word with a slash in it is a path, any other an image if there is one of that name.")]
pub struct WhoUsesArgs {
    /// A file or folder, from where you are, or an image
    #[arg(value_name = "PATH|IMAGE")]
    pub what: String,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

/// What `affected` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Compares what counts at REV with what counts at HEAD, in git's own trees: nothing is checked out or built. An image
is listed with all that is built on it. Bases outside count by Imagefile.lock, else by name.")]
pub struct AffectedArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Compare with the work tree as git would commit it, instead of HEAD
    #[arg(long)]
    pub worktree: bool,
    /// In groups: each can be built at once when those before are
    #[arg(long)]
    pub waves: bool,
    /// As a JSON list on one line
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}
