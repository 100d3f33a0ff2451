//! `imk lint`: remarks on Dockerfiles, imk's own and the builder's.

use clap::Args as Group;
use serde::Serialize;

use crate::build::run;
use crate::cli::args::{Global, Targets};
use crate::cli::commands::make::plan;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{open, out, synced};
use crate::engine::{Caches, Cancel};
use crate::explain::lint::{self, Findings};

const EXAMPLES: &str = "\
imk lint                         remarks on the Dockerfiles of all images; exit 1 when there are any
imk lint api --json              those of one image, for a script";

/// Check Dockerfiles: imk's own remarks, and the checks of the engine's BuildKit where it has them
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct LintArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// As JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

pub fn run(global: &Global, args: &LintArgs) -> Result<(), Failure> {
    let mut session = open::session(global, false, &Cancel::default())?;
    let synced = synced::synced(global, &mut session, &args.targets.words)?;
    let problems = run::problems(&session, &synced, false, &Caches::default());
    let findings = lint::lint(&session, &synced);
    if args.json {
        out::json(&Answer::of(&findings));
    } else {
        told(&findings);
        for remark in plan::warnings(&session, &synced) {
            out::line(format_args!("{}", remark.line));
        }
    }
    if !problems.is_empty() {
        return Err(Failure::problems(problems.values().flatten(), |path| session.text(path)));
    }
    let clean = findings.own.is_empty() && findings.builder.values().all(Vec::is_empty);
    if clean { Ok(()) } else { Err(Failure::silent(Exit::NotUpToDate)) }
}

/// A line for each of the builder's findings, as compilers write them.
fn told(findings: &Findings) {
    if let Some(why) = &findings.unasked {
        out::note(format_args!("note: BuildKit's checks are left out: {why}"));
    }
    for (path, found) in &findings.builder {
        for finding in found {
            let line = finding.line.map_or(String::new(), |line| format!(":{line}"));
            let page = if finding.url.is_empty() { String::new() } else { format!(" ({})", finding.url) };
            out::line(format_args!("{path}{line}: {}: {}{page}", finding.rule, finding.message));
        }
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    findings: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unasked: Option<&'a str>,
}

/// One remark; the rule is `imk` for imk's own.
#[derive(Serialize)]
struct Entry<'a> {
    rule: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "str::is_empty")]
    url: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    images: &'a [String],
}

impl<'a> Answer<'a> {
    fn of(findings: &'a Findings) -> Self {
        let own = findings.own.iter().map(|warning| Entry {
            rule: "imk",
            message: &warning.message,
            path: None,
            line: None,
            url: "",
            images: &warning.images,
        });
        let builder = findings.builder.iter().flat_map(|(path, found)| {
            found.iter().map(move |finding| Entry {
                rule: &finding.rule,
                message: &finding.message,
                path: Some(path),
                line: finding.line,
                url: &finding.url,
                images: &[],
            })
        });
        Self { findings: own.chain(builder).collect(), unasked: findings.unasked.as_deref() }
    }
}
