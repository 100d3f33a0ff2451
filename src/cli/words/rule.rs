//! Why a file does not count, in words.

use crate::explain::line::InstructionLine;
use crate::explain::why_not::{Bearing, Rule};

/// The bearing of a file on an image, as the words behind its name.
pub fn bearing(image: &str, bearing: &Bearing) -> String {
    match bearing {
        Bearing::DoesNotCount(Rule::AsBuilt { image: whose, by }) => {
            let whose = if whose == image { String::new() } else { format!(" for its base `{whose}`") };
            let by = by.first().map(|by| format!(" by {}", instruction(by))).unwrap_or_default();
            format!("is as it was at the last build, read{whose}{by}; time and owner do not count")
        }
        Bearing::DoesNotCount(rule) => format!("does not count: {}", self::rule(rule)),
        Bearing::Counts { image: whose, by, reason } => {
            let how = match by.as_slice() {
                [] => String::new(),
                [first, ..] => format!(", read by {}", instruction(first)),
            };
            let whose = if whose == image { String::new() } else { format!(" for its base `{whose}`") };
            let what = match reason {
                Some(reason) => super::cause::cause(reason, None),
                None => "it was never built here".into(),
            };
            format!("counts{whose}{how}: {what}")
        }
    }
}

/// A rule, as a part of a sentence.
fn rule(rule: &Rule) -> String {
    match rule {
        Rule::OwnState => "it is imk's own state".into(),
        Rule::Outside { context } => format!("it lies outside the context `{context}`"),
        Rule::Ignored { file, line, pattern } => format!("`{pattern}` in {file}:{line} keeps it from the engine"),
        Rule::IgnoreFile => "an ignore file counts by what it lets through, not by its text".into(),
        Rule::Excluded { by } => format!("--exclude leaves it out of {}, and nothing else reads it", instruction(by)),
        Rule::OtherStage { by, stage, target } => {
            format!("only stage {stage} reads it ({}), which the target {target} does not reach", instruction(by))
        }
        Rule::Unread { nearest: None } => "no instruction reads any file".into(),
        Rule::Unread { nearest: Some(nearest) } => {
            format!("no instruction reads it; the nearest is {}", instruction(nearest))
        }
        Rule::SameRecipe => {
            "comments, blank lines, joins, case and stages not reached aside, it says what it said at the last build"
                .into()
        }
        Rule::SameOptions => "it says of this image what it said at the last build".into(),
        Rule::AsBuilt { .. } => "it is as it was at the last build".into(),
    }
}

/// A code for scripts.
pub fn code(rule: &Rule) -> &'static str {
    match rule {
        Rule::OwnState => "OWN_STATE",
        Rule::Outside { .. } => "OUTSIDE_CONTEXT",
        Rule::Ignored { .. } => "IGNORED",
        Rule::IgnoreFile => "IGNORE_FILE",
        Rule::Excluded { .. } => "EXCLUDED",
        Rule::OtherStage { .. } => "STAGE_NOT_REACHED",
        Rule::Unread { .. } => "NOT_READ",
        Rule::SameRecipe => "SAME_DOCKERFILE",
        Rule::SameOptions => "SAME_IMAGEFILE",
        Rule::AsBuilt { .. } => "AS_BUILT",
    }
}

/// `` `COPY src/ /app` (api/Dockerfile:4) ``.
pub fn instruction(line: &InstructionLine) -> String {
    format!("`{}` ({}:{})", line.text, line.path, line.line)
}
