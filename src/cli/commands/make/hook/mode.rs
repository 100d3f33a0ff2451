//! The mode of the hook, from the environment or git's configuration: whether a push waits, and for what.

use clap::ValueEnum;

use crate::cli::failure::Failure;

/// Where git keeps the mode.
pub const SETTING: &str = "imk.hook";

/// The mode of the hook.
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

/// The mode in force: of the environment, else of git's configuration.
pub fn mode(setting: impl FnOnce(&str) -> Option<String>) -> Result<Mode, Failure> {
    const VARIABLE: &str = "IMK_HOOK_MODE";
    let (from, word) = match std::env::var(VARIABLE) {
        Ok(word) if !word.is_empty() => (VARIABLE, word),
        _ => match setting(SETTING) {
            Some(word) => (SETTING, word),
            None => return Ok(Mode::default()),
        },
    };
    Mode::from_str(&word, true).map_err(|_| {
        Failure::with_hint(format!("{from} is `{word}`, which is no mode"), "it is warn, block, build or off")
    })
}
