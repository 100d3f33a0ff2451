//! `imk completions SHELL`: prints the script that teaches a shell.
//!
//! The script calls imk with [`VARIABLE`] set to the shell's name and the words of the line as
//! arguments; `cli/complete` answers.

use clap::{Args as Group, ValueEnum};
use clap_complete::env::Shells;

use crate::cli::failure::{Failure, cannot};
use crate::cli::out;

const EXAMPLES: &str = "\
imk completions bash > ~/.local/share/bash-completion/completions/imk
imk completions zsh >> ~/.zshrc          below its compinit
imk completions fish > ~/.config/fish/completions/imk.fish";

/// Print what teaches a shell to complete verbs, flags and images
#[derive(Clone, Debug, Group)]
#[command(after_long_help = EXAMPLES)]
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
    /// The name of the shell's own program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// Set by the scripts to the name of their shell.
pub const VARIABLE: &str = "IMK_COMPLETE";

/// Puts names with a tag together again, which bash parts.
const COLON: &str = include_str!("completions/colon.bash");

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let shell = shells.completer(args.shell.name()).ok_or_else(|| Failure::error("no such shell"))?;
    shell
        .write_registration(VARIABLE, "imk", "imk", "imk", &mut script)
        .map_err(cannot("write the script"))?;
    if args.shell.name() == "bash" {
        script.extend(COLON.as_bytes());
    }
    out::text(String::from_utf8_lossy(&script));
    Ok(())
}
