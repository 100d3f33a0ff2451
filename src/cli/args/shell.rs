//! What was typed for the verbs that serve shells and editors, and where builds leave word for scripts.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

/// What `completions` takes.
#[derive(Clone, Debug, Group)]
pub struct CompletionsArgs {
    /// The shell that is to complete
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// A shell that imk can teach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    /// What the shell's own program is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// What `man` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct ManArgs {
    /// Write the pages of all verbs to this folder, instead of printing imk's own
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}

/// What `fmt` takes.
#[derive(Clone, Debug, Default, Group)]
pub struct FmtArgs {
    /// Write nothing; exit 1 and name the file when it is not in order
    #[arg(long)]
    pub check: bool,
}

/// Where a build leaves word for scripts.
#[derive(Clone, Debug, Default, Group)]
pub struct RecordArgs {
    /// Write what was built to this file, in the layout of `docker buildx bake`
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Write the image's id to this file; for one target
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
}
