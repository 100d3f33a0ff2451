//! What `hook` takes.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};

const MORE: &str = "\
`IMK_HOOK_MODE=build git push` builds what is lacking first; `git push --no-verify` pushes without a word;
`git config imk.hook.published true` asks that images be in their registry too.

An image is built when imk wrote down a result for exactly the files of the commit that is pushed, and the
engine or the image's registry has it. Without an engine, what is written down is believed. Uncommitted
changes do not count, deletions and tags of other things than commits are passed over.

What cannot be judged (a mistake in an Imagefile, objects that a partial clone does not have) is told, and
stops the push in the modes block and build.";

/// What `hook` takes.
#[derive(Clone, Debug, Group)]
#[command(after_help = MORE)]
pub struct HookArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: HookVerb,
}

/// What to do with the hook.
#[derive(Clone, Debug, Subcommand)]
pub enum HookVerb {
    /// Have git ask imk before it pushes; a hook that is there already runs first
    Install(InstallArgs),
    /// Take the hook away and put back the one that was there
    Uninstall,
    /// Say whether the hook is there, where, and what it does
    Status,
    /// What the hook calls: judges the commits that git names on standard input
    Run(RunArgs),
}

/// What `hook install` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct InstallArgs {
    /// What to do when an image is not built; written to git's configuration as imk.hook [default: warn]
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// Also where hooks are shared with other repositories, and where a hook was put aside before
    #[arg(long)]
    pub force: bool,
}

/// What `hook run` takes.
#[derive(Clone, Debug, Group)]
pub struct RunArgs {
    /// Git's own folder, where it is not found from here
    #[arg(long, value_name = "DIR", hide = true)]
    pub git_dir: Option<PathBuf>,
    /// The hook
    #[arg(value_name = "HOOK", value_parser = ["pre-push"])]
    pub hook: String,
    /// The remote that is pushed to: its name and its address
    #[arg(value_name = "REMOTE")]
    pub remote: Vec<String>,
}

/// What a push waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Tell what is not built, and push
    #[default]
    Warn,
    /// Push only when everything is built
    Block,
    /// Build what is not built, from the commits, and push when that went well
    Build,
    /// Do nothing
    Off,
}

impl Mode {
    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Block => "block",
            Self::Build => "build",
            Self::Off => "off",
        }
    }
}
