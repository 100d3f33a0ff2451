//! Payloads of GitLab: of a project's hook, and of a system hook.

use serde_json::Value;

use super::field::{branch, commit, line, list, number, text};
use super::received::{Proposal, Received};
use super::refs::{Moved, one, push};
use super::terms::Terms;

/// The meaning of a payload, which names its event itself.
pub(super) fn received(payload: &Value, terms: &Terms<'_>) -> Received {
    let kind = text(payload, &["object_kind"]).or_else(|| text(payload, &["event_name"]));
    match kind {
        Some("push") => pushed(payload, terms),
        Some("tag_push") => Received::Ignored("a tag moved, and only branches count".into()),
        Some("merge_request") => proposed(payload, terms),
        Some(other) => Received::Ignored(format!("the event `{}` sets nothing off", line(other))),
        None => Received::Ignored("the payload names no event".into()),
    }
}

fn pushed(payload: &Value, terms: &Terms<'_>) -> Received {
    let Some(reference) = text(payload, &["ref"]) else {
        return Received::Ignored("the push names no reference".into());
    };
    let after = text(payload, &["after"]);
    let commits = list(payload, &["commits"]);
    let of_head = |entry: &&Value| text(entry, &["id"]) == after;
    let head = commits.iter().find(of_head).or(commits.last());
    one(push(
        &Moved {
            reference,
            commit: after,
            message: head.and_then(|head| text(head, &["message"])).unwrap_or_default(),
            default_branch: text(payload, &["project", "default_branch"]),
        },
        terms,
    ))
}

fn proposed(payload: &Value, terms: &Terms<'_>) -> Received {
    let request = &payload["object_attributes"];
    let action = text(request, &["action"]);
    // An update without `oldrev` is one of words: title, labels, somebody who is to look.
    let is_news = matches!(action, Some("open" | "reopen"))
        || (action == Some("update") && text(request, &["oldrev"]).is_some());
    if !is_news {
        return Received::Ignored("nothing of the merge request's commits is new".into());
    }
    let of = |side: &str| number(request, &[side]);
    if of("source_project_id").is_some() && of("source_project_id") == of("target_project_id") {
        return Received::Ignored("the merge request is of a branch here, whose pushes count".into());
    }
    let found = number(request, &["iid"]).zip(text(request, &["last_commit", "id"]).and_then(commit));
    let Some((number, commit)) = found else {
        return Received::Ignored("the merge request names no commit".into());
    };
    let title = line(text(request, &["title"]).unwrap_or_default());
    let Some(onto) = text(request, &["target_branch"]).and_then(branch) else {
        return Received::Ignored("the merge request names no branch that it is for".into());
    };
    let own = text(payload, &["project", "default_branch"]);
    let reference = format!("refs/merge-requests/{number}/head");
    terms.proposal(Proposal { number, reference, commit, onto, title }, own)
}
