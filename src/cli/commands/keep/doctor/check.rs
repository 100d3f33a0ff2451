//! One line of the doctor: how something was found to be, and what to do about it.

use serde::Serialize;

/// How something was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) section: &'static str,
    pub(super) level: Level,
    pub(super) text: String,
    /// The remedy.
    pub(super) advice: Option<String>,
}

impl Check {
    pub(super) fn ok(section: &'static str, text: impl Into<String>) -> Self {
        Self { section, level: Level::Ok, text: text.into(), advice: None }
    }

    pub(super) fn warn(section: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { section, level: Level::Warn, text: text.into(), advice: Some(advice.into()) }
    }

    /// A failure counts as a warning: work goes on without it.
    pub(super) fn weaker_unless(self, matters: bool) -> Self {
        let level = if self.level == Level::Fail && !matters { Level::Warn } else { self.level };
        Self { level, ..self }
    }

    pub(super) fn fail(section: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { section, level: Level::Fail, text: text.into(), advice: Some(advice.into()) }
    }
}

/// Milliseconds as a person says them.
pub(super) fn ahead(what: &str, milliseconds: i64) -> String {
    let seconds = milliseconds as f64 / 1000.0;
    match milliseconds {
        -1000..=1000 => format!("{what} agrees with this machine's clock"),
        1001.. => format!("{what} is {seconds:.1}s ahead of this machine"),
        _ => format!("{what} is {:.1}s behind this machine", -seconds),
    }
}

/// A clock that is more than this off makes times in tags and logs wrong, and tokens invalid.
pub(super) const SKEW: i64 = 5_000;

/// A check of a clock that is so many milliseconds ahead.
pub(super) fn clock(what: &str, milliseconds: i64) -> Check {
    let text = ahead(what, milliseconds);
    if milliseconds.abs() <= SKEW {
        return Check::ok("clocks", text);
    }
    Check::warn("clocks", text, "set the clocks by NTP: times in tags and tokens of registries go by them")
}
