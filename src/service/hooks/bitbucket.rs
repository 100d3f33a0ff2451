//! Payloads of Bitbucket, in the cloud and in a data center.

use serde_json::Value;

use super::field::{branch, commit, line, list, number, text};
use super::received::{Proposal, Received};
use super::refs::{Moved, push};
use super::terms::Terms;

/// More references that move at once are told as so many, and the others are found by looking.
const MOST: usize = 100;

/// The meaning of an event.
pub(super) fn received(event: &str, payload: &Value, terms: &Terms<'_>) -> Received {
    match event {
        "diagnostics:ping" => Received::Ping,
        "repo:push" => {
            all(list(payload, &["push", "changes"]).iter().map(|change| in_cloud(payload, change)), terms)
        }
        "repo:refs_changed" => all(list(payload, &["changes"]).iter().map(in_data_center), terms),
        "pullrequest:created" | "pullrequest:updated" => proposed(payload, terms),
        "pr:opened" | "pr:reopened" | "pr:from_ref_updated" => proposed_in_data_center(payload, terms),
        _ => Received::Ignored(format!("the event `{}` sets nothing off", line(event))),
    }
}

/// A reference that moved: its full name, its commit, its message, the repository's own branch.
type Change<'p> = Option<(String, Option<&'p str>, &'p str, Option<&'p str>)>;

fn in_cloud<'p>(payload: &'p Value, change: &'p Value) -> Change<'p> {
    let is_there = change.get("new").is_some_and(|new| !new.is_null());
    let side = &change[if is_there { "new" } else { "old" }];
    let kind = match text(side, &["type"])? {
        "branch" | "named_branch" => "heads",
        _ => "tags",
    };
    let commit = text(side, &["target", "hash"]).filter(|_| is_there);
    let message = text(side, &["target", "message"]).unwrap_or_default();
    let own = text(payload, &["repository", "mainbranch", "name"]);
    Some((format!("refs/{kind}/{}", text(side, &["name"])?), commit, message, own))
}

fn in_data_center(change: &Value) -> Change<'_> {
    let reference = text(change, &["ref", "id"]).or_else(|| text(change, &["refId"]))?;
    let is_deleted = text(change, &["type"]) == Some("DELETE");
    Some((reference.to_owned(), text(change, &["toHash"]).filter(|_| !is_deleted), "", None))
}

fn all<'p>(changes: impl Iterator<Item = Change<'p>>, terms: &Terms<'_>) -> Received {
    let mut pushes = Vec::new();
    let mut why = None;
    for change in changes.take(MOST) {
        let Some((reference, commit, message, default_branch)) = change else { continue };
        match push(&Moved { reference: &reference, commit, message, default_branch }, terms) {
            Ok(push) => pushes.push(push),
            Err(reason) => why = Some(reason),
        }
    }
    match pushes.is_empty() {
        false => Received::Pushes(pushes),
        true => Received::Ignored(why.unwrap_or_else(|| "the push names no reference".into())),
    }
}

fn proposed_in_data_center(payload: &Value, terms: &Terms<'_>) -> Received {
    let request = &payload["pullRequest"];
    // A number is the repository's own in all of a data center.
    let of = |side: &str| number(request, &[side, "repository", "id"]);
    if of("fromRef").is_some() && of("fromRef") == of("toRef") {
        return Received::Ignored("the pull request is of a branch here, whose pushes count".into());
    }
    let commit = text(request, &["fromRef", "latestCommit"]).and_then(commit);
    let Some((number, commit)) = number(request, &["id"]).zip(commit) else {
        return Received::Ignored("the pull request names no commit".into());
    };
    let title = line(text(request, &["title"]).unwrap_or_default());
    let onto = text(request, &["toRef", "id"]).and_then(|name| name.strip_prefix("refs/heads/"));
    let Some(onto) = onto.and_then(branch) else {
        return Received::Ignored("the pull request names no branch that it is for".into());
    };
    let reference = format!("refs/pull-requests/{number}/from");
    terms.proposal(Proposal { number, reference, commit, onto, title }, None)
}

fn proposed(payload: &Value, terms: &Terms<'_>) -> Received {
    let request = &payload["pullrequest"];
    let of = |side: &str| text(request, &[side, "repository", "full_name"]);
    if of("source").is_some() && of("source") == of("destination") {
        return Received::Ignored("the pull request is of a branch here, whose pushes count".into());
    }
    // Bitbucket's cloud tells 12 digits, and has no reference of its own for the commit of another repository.
    let found = number(request, &["id"]).zip(text(request, &["source", "commit", "hash"]).and_then(commit));
    let Some((number, commit)) = found else {
        return Received::Ignored("Bitbucket gives no commit of a fork that could be looked at".into());
    };
    let title = line(text(request, &["title"]).unwrap_or_default());
    let Some(onto) = text(request, &["destination", "branch", "name"]).and_then(branch) else {
        return Received::Ignored("the pull request names no branch that it is for".into());
    };
    let own = text(payload, &["repository", "mainbranch", "name"]);
    let reference = format!("refs/pull-requests/{number}/from");
    terms.proposal(Proposal { number, reference, commit, onto, title }, own)
}
