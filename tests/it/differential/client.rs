//! Where the judge sends too little: docker's client.
//!
//! BuildKit asks its client for the paths that are copied, and the client looks
//! where links among them lead (fsutil's `FollowLinks`). To this day it follows
//! no link twice: of `COPY link/a /` and `COPY link/b /` it sends `a` alone, and
//! the build fails on `b`, or finds nothing for `link/b*` (moby/buildkit #3238).
//! imk serves the files itself and sends both. Since a client that is asked for
//! the context as a whole sends all of it, every build of the judge has one
//! recipe more that says `COPY .` ([`Recipe::whole`](super::recipe::Recipe::whole)).
//!
//! The rest is about the ignore rules of the client of 20.10.
//! imk follows `MatchesUsingParentResults` and `patternWithoutTrailingGlob`, which
//! BuildKit's clients have used since 2021. The older client let `!*` bring back
//! what lies in a folder that nothing ignored (`fileutils.Matches` asks one parent
//! of a path), did not walk an ignored folder for the sake of `!**/x`, and sent
//! ignored folders empty. Trees that show such a difference are no case.

use std::collections::BTreeSet;

use imk::syntax::dockerignore;
use imk::syntax::patterns::{MatchInfo, Patterns};

use super::tree::{Node, Tree};

/// Do the old rules and those of today send the same of this tree? A bad file is refused by both.
pub fn sees_what_today_is_sent(tree: &Tree) -> bool {
    match lines(tree) {
        Some(lines) => sent_of_old(tree, &lines) == sent_today(tree, &lines),
        None => true,
    }
}

fn lines(tree: &Tree) -> Option<Vec<String>> {
    dockerignore::parse(&tree.ignore_text()).ok().map(Vec::from)
}

struct Line {
    exception: bool,
    text: String,
    alone: Patterns,
}

impl Line {
    fn matches(&self, path: &str) -> bool {
        // Something known of the parent keeps the matcher from lookups about it.
        let (_, nothing) = self.alone.matches_below("\u{1}", &MatchInfo::default());
        self.alone.matches_below(path, &nothing).0
    }
}

fn sent_of_old(tree: &Tree, lines: &[String]) -> BTreeSet<String> {
    let compiled = lines.iter().map(|line| {
        let text = line.trim_start_matches('!').to_owned();
        let alone = Patterns::new(std::slice::from_ref(&text)).unwrap();
        Line { exception: line.starts_with('!'), text, alone }
    });
    let compiled: Vec<Line> = compiled.collect();
    let mut sent = BTreeSet::new();
    let mut skipped: Vec<String> = Vec::new();
    for (path, node) in &tree.nodes {
        if skipped.iter().any(|folder| super::tree::within(path, folder)) {
            continue;
        }
        let parents: Vec<&str> = path.rsplit_once('/').map_or(Vec::new(), |it| it.0.split('/').collect());
        let mut ignored = false;
        for line in &compiled {
            let deep = line.text.split('/').count();
            let matched = line.matches(path)
                || (!parents.is_empty() && deep <= parents.len() && line.matches(&parents[..deep].join("/")));
            if matched {
                ignored = !line.exception;
            }
        }
        let leads =
            |line: &Line| line.exception && format!("{}/", line.text).starts_with(&format!("{path}/"));
        match node {
            Node::Folder { .. } if ignored && !compiled.iter().any(leads) => skipped.push(path.clone()),
            Node::Folder { .. } => {
                sent.insert(path.clone());
            }
            _ if ignored => {}
            _ => {
                sent.insert(path.clone());
            }
        }
    }
    sent
}

fn sent_today(tree: &Tree, lines: &[String]) -> BTreeSet<String> {
    let ignore = Patterns::new(lines).unwrap();
    let mut sent = BTreeSet::new();
    for (path, _) in tree.nodes.iter().filter(|(path, _)| !ignore.matches(path)) {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        sent.extend(ends.map(|end| path[..end].to_owned()));
    }
    sent
}
