//! Payloads of GitHub, and of Gitea and Forgejo, which have the same form.

use serde_json::Value;

use super::field::{branch, commit, line, list, number, text};
use super::images;
use super::received::{Proposal, Received};
use super::refs::{Moved, one, push};
use super::terms::Terms;

/// The meaning of an event.
pub(super) fn received(event: &str, payload: &Value, terms: &Terms<'_>) -> Received {
    match event {
        "ping" => Received::Ping,
        "push" => pushed(payload, terms),
        "pull_request" => proposed(payload, terms),
        "registry_package" | "package" => images::of_github(payload),
        _ => Received::Ignored(format!("the event `{}` sets nothing off", line(event))),
    }
}

fn pushed(payload: &Value, terms: &Terms<'_>) -> Received {
    let Some(reference) = text(payload, &["ref"]) else {
        return Received::Ignored("the push names no reference".into());
    };
    let is_deleted = payload.get("deleted").and_then(Value::as_bool) == Some(true);
    let last = list(payload, &["commits"]).last();
    let message = text(payload, &["head_commit", "message"]).or_else(|| text(last?, &["message"]));
    one(push(
        &Moved {
            reference,
            commit: text(payload, &["after"]).filter(|_| !is_deleted),
            message: message.unwrap_or_default(),
            default_branch: text(payload, &["repository", "default_branch"]),
        },
        terms,
    ))
}

fn proposed(payload: &Value, terms: &Terms<'_>) -> Received {
    let request = &payload["pull_request"];
    // Gitea says `synchronized` where GitHub says `synchronize`.
    let is_news = matches!(
        text(payload, &["action"]),
        Some("opened" | "reopened" | "synchronize" | "synchronized" | "ready_for_review")
    );
    if !is_news {
        return Received::Ignored("nothing of the pull request's commits is new".into());
    }
    let of = |side: &str| text(request, &[side, "repo", "full_name"]);
    // A repository that was deleted is no longer named; nobody can say that it is ours.
    if of("head").is_some() && of("head") == of("base") {
        return Received::Ignored("the pull request is of a branch here, whose pushes count".into());
    }
    let found = number(request, &["number"]).zip(text(request, &["head", "sha"]).and_then(commit));
    let Some((number, commit)) = found else {
        return Received::Ignored("the pull request names no commit".into());
    };
    let title = line(text(request, &["title"]).unwrap_or_default());
    let Some(onto) = text(request, &["base", "ref"]).and_then(branch) else {
        return Received::Ignored("the pull request names no branch that it is for".into());
    };
    let own = text(payload, &["repository", "default_branch"]);
    let reference = format!("refs/pull/{number}/head");
    terms.proposal(Proposal { number, reference, commit, onto, title }, own)
}
