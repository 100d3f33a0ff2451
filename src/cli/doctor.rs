//! `imk doctor`: looks everything over that a build rests on, and says what to do.
//!
//! Changes nothing: it opens the repository as `plan` does and saves nothing. Shows no secret.

mod engine;
mod outside;
mod settings;
mod state;

use serde_json::json;

use super::args::{DoctorArgs, Global};
use super::failure::Failure;
use super::out::Line;
use super::{open, out};
use crate::engine::Cancel;

/// How something was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Check {
    section: &'static str,
    level: Level,
    text: String,
    /// What to do about it.
    advice: Option<String>,
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

pub fn run(global: &Global, args: &DoctorArgs) -> Result<(), Failure> {
    // What is asked is asked here, one by one, so that each answer can be told.
    let quiet = Global { offline: true, pull: false, ..global.clone() };
    let mut checks = Vec::new();
    let located = open::located(global)?;
    checks.push(settings::repository(global, &located));
    // Opening may mend what is looked at here.
    let files = state::files(global, &located);
    let opened = open::session(&quiet, false, &Cancel::default());
    checks.extend(engine::checks(opened.as_ref().ok()));
    checks.extend(files);
    match opened {
        Err(failure) => {
            checks.push(Check::fail("Imagefile", first_line(&failure), "`imk plan` shows the mistake"));
        }
        Ok(mut session) => {
            checks.push(Check::ok("Imagefile", format!("{} images", session.project.images.len())));
            checks.extend(state::comparison(&quiet, &mut session));
            checks.extend(outside::policies(global, &session));
            checks.extend(outside::registries(global, &located, &session));
            checks.extend(outside::git(global, &session));
        }
    }
    checks.extend(settings::machine(&located));
    checks.extend(settings::variables());
    let failed = checks.iter().filter(|check| check.level == Level::Fail).count();
    let warned = checks.iter().filter(|check| check.level == Level::Warn).count();
    if args.json {
        let lines = checks.iter().map(|check| {
            json!({"section": check.section, "level": check.level.word(), "text": check.text, "advice": check.advice})
        });
        let lines: Vec<_> = lines.collect();
        out::json(&json!({"checks": lines, "failed": failed, "warned": warned}));
    } else {
        tell(&checks);
        out::line(format_args!(
            "{failed} failed, {warned} to look at, {} fine",
            checks.len() - failed - warned
        ));
    }
    if failed == 0 { Ok(()) } else { Err(Failure::silent(2)) }
}

fn tell(checks: &[Check]) {
    let width = checks.iter().map(|check| check.section.len()).max().unwrap_or_default();
    for check in checks {
        let colour = match check.level {
            Level::Ok => anstyle::AnsiColor::Green,
            Level::Warn => anstyle::AnsiColor::Yellow,
            Level::Fail => anstyle::AnsiColor::Red,
        };
        let style = anstyle::Style::new().fg_color(Some(colour.into()));
        let word = check.level.word();
        let check_line = Line::styled(style, format_args!("{word:<4}"));
        out::line(check_line.and(format_args!("  {:<width$}  {}", check.section, check.text)));
        if let Some(advice) = &check.advice {
            out::line(format_args!("      {:<width$}  → {advice}", ""));
        }
    }
}

/// What a failure says in its first line, without colours.
pub(super) fn first_line(failure: &Failure) -> String {
    let plain = failure.text.plain();
    let line = plain.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
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
