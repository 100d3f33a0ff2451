//! `imk why-not IMAGE`: files that do not count, and the rule that says so.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::args::{Global, Targets, WhyNotArgs};
use super::failure::Failure;
use super::words::rule;
use super::{open, out, plan};
use crate::explain::why_not::{self, Bearing};
use crate::source::git::GitStore;

pub fn run(global: &Global, args: &WhyNotArgs) -> Result<(), Failure> {
    let located = open::located(global)?;
    let rev = global.since.as_deref().unwrap_or("HEAD");
    let paths: BTreeSet<String> = if args.paths.is_empty() {
        let git = GitStore::open(&located.root).map_err(|_| {
            let message = "which files are to be told? There is no git repository that knows what changed";
            Failure::with_hint(message, format!("name them: `imk why-not {} PATH`", args.image))
        })?;
        git.changed_since(&git.since(rev)?)?
    } else {
        args.paths.iter().map(|typed| open::path(global, &located, typed)).collect::<Result<_, _>>()?
    };
    // Here --since says which files, not which images.
    let global = Global { since: None, ..global.clone() };
    let targets = Targets { words: vec![args.image.clone()] };
    let (session, synced, planned) = plan::planned(&global, &targets, false, None)?;
    plan::mistakes(&session, &planned)?;
    let mut counts = false;
    for image in &synced.targets {
        let found = why_not::bearings(&session, &synced, image, &paths)?;
        counts |= found.values().any(|bearing| matches!(bearing, Bearing::Counts { .. }));
        if args.json {
            let files: Vec<Value> =
                found.iter().map(|(path, bearing)| document(image, path, bearing)).collect();
            out::json(&json!({"image": image, "files": files}));
            continue;
        }
        if found.is_empty() {
            out::line(format_args!("{image}: no file differs from {rev}"));
        }
        for (path, bearing) in found {
            out::line(format_args!("{image}: `{path}` {}", rule::bearing(image, &bearing)));
        }
    }
    if counts { Err(Failure::silent(1)) } else { Ok(()) }
}

fn document(image: &str, path: &str, bearing: &Bearing) -> Value {
    let sentence = rule::bearing(image, bearing);
    match bearing {
        Bearing::DoesNotCount(rule) => {
            json!({"path": path, "counts": false, "rule": rule::code(rule), "sentence": sentence})
        }
        Bearing::Counts { image, by, reason } => json!({
            "path": path, "counts": true, "image": image, "read_by": by, "cause": reason, "sentence": sentence,
        }),
    }
}
