//! Payloads of every forge and registry, as they are sent: what each means, and what each may not set off.

use ring::hmac;
use serde_json::json;

use super::*;
use crate::service::hooks::received::{Proposal, Push, Received};

const SECRET: &str = "a secret for tests";
const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const ZERO: &str = "0000000000000000000000000000000000000000";

fn secrets() -> Vec<HookSecret> {
    vec![HookSecret::new(SECRET).unwrap()]
}

fn signature(body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body);
    hex::encode(tag)
}

/// A request with the headers of a forge, as that forge signs it.
fn sent(event: &[(&str, &str)], payload: &Value, checks_forks: bool) -> Result<Delivery, Fault> {
    let body = payload.to_string().into_bytes();
    let (bare, marked) = (signature(&body), format!("sha256={}", signature(&body)));
    let mut headers: Vec<(&str, &str)> = event.to_vec();
    let has = |name: &str| event.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if has("X-Gitlab-Event") {
        headers.push(("X-Gitlab-Token", SECRET));
    } else if has("X-Event-Key") {
        headers.push(("X-Hub-Signature", &marked));
    } else {
        headers.push(("X-Hub-Signature-256", &marked));
        if has("X-Gitea-Event") {
            headers.push(("X-Gitea-Signature", &bare));
        }
    }
    let headers = Headers::new(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    let lists = |branch: &str, own: Option<&str>| match own {
        Some(own) => branch == own,
        None => branch == "main",
    };
    let terms = Terms { lists: &lists, checks_forks, allows_sha1: false };
    receive(&headers, &body, &secrets(), &terms, Timestamp::from_second(0).unwrap())
}

fn meaning(event: &[(&str, &str)], payload: &Value) -> Received {
    sent(event, payload, false).unwrap().received
}

fn pushed(branch: &str, message: &str) -> Received {
    Received::Pushes(vec![Push { branch: branch.into(), commit: SHA.into(), message: message.into() }])
}

fn ignored(received: Received) -> String {
    match received {
        Received::Ignored(why) => why,
        other => panic!("{other:?}"),
    }
}

fn github(reference: &str, after: &str) -> Value {
    json!({
        "ref": reference, "before": ZERO, "after": after, "deleted": after == ZERO,
        "repository": {"full_name": "team/app", "default_branch": "trunk"},
        "head_commit": {"id": after, "message": "mend it\n\nat length", "timestamp": "2026-11-26T20:00:00Z"},
        "commits": [{"id": ZERO, "message": "older"}, {"id": after, "message": "mend it"}],
    })
}

const GITHUB_PUSH: &[(&str, &str)] = &[("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "1")];
const GITEA_PUSH: &[(&str, &str)] = &[
    ("X-GitHub-Event", "push"),
    ("X-Gogs-Event", "push"),
    ("X-Gitea-Event", "push"),
    ("X-Gitea-Delivery", "1"),
];
const GITLAB: &[(&str, &str)] = &[("X-Gitlab-Event", "Push Hook")];

#[test]
fn a_push_of_each_forge_is_a_branch_a_commit_and_a_message() {
    assert_eq!(meaning(GITHUB_PUSH, &github("refs/heads/trunk", SHA)), pushed("trunk", "mend it"));
    assert_eq!(meaning(GITEA_PUSH, &github("refs/heads/trunk", SHA)), pushed("trunk", "mend it"));
    let gitlab = json!({
        "object_kind": "push", "ref": "refs/heads/trunk", "before": ZERO, "after": SHA, "checkout_sha": SHA,
        "project": {"path_with_namespace": "team/app", "default_branch": "trunk"},
        "commits": [{"id": SHA, "message": "mend it\n"}, {"id": ZERO, "message": "other"}],
    });
    assert_eq!(meaning(GITLAB, &gitlab), pushed("trunk", "mend it"));
    let cloud = json!({
        "repository": {"full_name": "team/app"},
        "push": {"changes": [
            {"new": {"type": "tag", "name": "v1", "target": {"hash": SHA}}, "old": null},
            {"new": {"type": "branch", "name": "main", "target": {"hash": SHA, "message": "mend it\n"}}},
            {"new": null, "old": {"type": "branch", "name": "main", "target": {"hash": SHA}}},
        ]},
    });
    assert_eq!(meaning(&[("X-Event-Key", "repo:push")], &cloud), pushed("main", "mend it"));
    let center = json!({"changes": [
        {"ref": {"id": "refs/heads/main", "type": "BRANCH"}, "refId": "refs/heads/main", "toHash": SHA, "type": "UPDATE"},
        {"refId": "refs/heads/main", "toHash": ZERO, "type": "DELETE"},
    ]});
    assert_eq!(meaning(&[("X-Event-Key", "repo:refs_changed")], &center), pushed("main", ""));
    // Scene 4's hooks bear no event at all.
    assert_eq!(meaning(&[], &github("refs/heads/trunk", SHA)), pushed("trunk", "mend it"));
}

#[test]
fn tags_deleted_and_other_branches_and_pings_are_answered_and_set_nothing_off() {
    for (reference, after, why) in [
        ("refs/tags/v1", SHA, "a tag moved"),
        ("refs/heads/other", SHA, "`other` is not listed"),
        ("refs/heads/trunk", ZERO, "was deleted"),
        ("refs/heads/trunk", "HEAD", "id is none"),
        ("refs/notes/x", SHA, "no branch"),
        ("trunk", SHA, "no branch"),
        ("refs/heads/--upload-pack=evil", SHA, "does not allow"),
        ("refs/heads/../../etc", SHA, "does not allow"),
        ("refs/heads/", SHA, "does not allow"),
    ] {
        for event in [GITHUB_PUSH, GITEA_PUSH] {
            let got = ignored(meaning(event, &github(reference, after)));
            assert!(got.contains(why), "{reference} {after}: {got}");
        }
        let gitlab = json!({"object_kind": "push", "ref": reference, "after": after, "project": {"default_branch": "trunk"}});
        let got = ignored(meaning(GITLAB, &gitlab));
        assert!(got.contains(why), "{reference} {after}: {got}");
    }
    assert_eq!(meaning(&[("X-GitHub-Event", "ping")], &json!({"zen": "so"})), Received::Ping);
    assert_eq!(meaning(&[("X-Event-Key", "diagnostics:ping")], &json!({"test": true})), Received::Ping);
    for (event, payload) in [
        (&[("X-GitHub-Event", "star")][..], json!({"action": "created"})),
        (GITLAB, json!({"object_kind": "tag_push", "ref": "refs/tags/v1", "after": SHA})),
        (GITLAB, json!({"object_kind": "note"})),
        (GITLAB, json!({})),
        (&[("X-Event-Key", "repo:fork")][..], json!({})),
        (&[("X-Event-Key", "repo:push")][..], json!({"push": {"changes": [{"new": null, "old": null}, 7]}})),
        (GITHUB_PUSH, json!({})),
        (GITHUB_PUSH, json!({"ref": 7, "after": {}})),
    ] {
        ignored(meaning(event, &payload));
    }
}

#[test]
fn requests_of_forks_are_looked_at_by_option_alone() {
    let github = |head: &str| {
        json!({"action": "synchronize", "number": 7, "pull_request": {
            "number": 7, "title": "better\u{1b}[2J", "head": {"sha": SHA, "repo": {"full_name": head}},
            "base": {"ref": "main", "repo": {"full_name": "team/app"}},
        }})
    };
    let event = &[("X-GitHub-Event", "pull_request")];
    let looked = |payload: &Value| sent(event, payload, true).unwrap().received;
    assert!(ignored(meaning(event, &github("evil/app"))).contains("forks run nothing"));
    assert!(ignored(looked(&github("team/app"))).contains("whose pushes count"));
    let proposal = Proposal {
        number: 7,
        reference: "refs/pull/7/head".into(),
        commit: SHA.into(),
        onto: "main".into(),
        title: "better[2J".into(),
    };
    assert_eq!(looked(&github("evil/app")), Received::Proposal(proposal.clone()));
    // A fork that is gone is a fork.
    let mut gone = github("evil/app");
    gone["pull_request"]["head"]["repo"] = Value::Null;
    assert_eq!(looked(&gone), Received::Proposal(proposal.clone()));
    let mut elsewhere = github("evil/app");
    elsewhere["pull_request"]["base"]["ref"] = "other".into();
    assert!(ignored(looked(&elsewhere)).contains("not listed"));
    let mut labelled = github("evil/app");
    labelled["action"] = "labeled".into();
    ignored(looked(&labelled));
    let gitlab = |source: u64| {
        json!({"object_kind": "merge_request", "object_attributes": {
            "action": "open", "iid": 7, "title": "better", "source_project_id": source, "target_project_id": 1, "target_branch": "main",
            "last_commit": {"id": SHA},
        }})
    };
    let event = &[("X-Gitlab-Event", "Merge Request Hook")];
    ignored(meaning(event, &gitlab(2)));
    ignored(sent(event, &gitlab(1), true).unwrap().received);
    let expected =
        Proposal { reference: "refs/merge-requests/7/head".into(), title: "better".into(), ..proposal };
    assert_eq!(sent(event, &gitlab(2), true).unwrap().received, Received::Proposal(expected));
}

#[test]
fn requests_of_forks_in_a_data_center_of_bitbucket_are_looked_at_by_option_alone() {
    let request = |from: u64, onto: &str| {
        json!({"eventKey": "pr:opened", "pullRequest": {
            "id": 7, "title": "better\u{1b}[2J", "state": "OPEN",
            "fromRef": {"id": "refs/heads/fix", "latestCommit": SHA, "repository": {"slug": "app", "id": from, "project": {"key": "~EVIL"}}},
            "toRef": {"id": onto, "latestCommit": ZERO, "repository": {"slug": "app", "id": 1, "project": {"key": "TEAM"}}},
        }})
    };
    let expected = Proposal {
        number: 7,
        reference: "refs/pull-requests/7/from".into(),
        commit: SHA.into(),
        onto: "main".into(),
        title: "better[2J".into(),
    };
    for event in ["pr:opened", "pr:reopened", "pr:from_ref_updated"] {
        let event = &[("X-Event-Key", event)];
        let looked = |payload: &Value| sent(event, payload, true).unwrap().received;
        assert_eq!(looked(&request(2, "refs/heads/main")), Received::Proposal(expected.clone()));
        assert!(ignored(meaning(event, &request(2, "refs/heads/main"))).contains("forks run nothing"));
        assert!(ignored(looked(&request(1, "refs/heads/main"))).contains("whose pushes count"));
        assert!(ignored(looked(&request(2, "refs/heads/other"))).contains("not listed"));
        assert!(ignored(looked(&request(2, "refs/tags/main"))).contains("no branch"));
        // Nobody can say that it is ours.
        let mut nameless = request(2, "refs/heads/main");
        nameless["pullRequest"]["fromRef"]["repository"] = Value::Null;
        assert_eq!(looked(&nameless), Received::Proposal(expected.clone()));
        let mut without = request(2, "refs/heads/main");
        without["pullRequest"]["fromRef"]["latestCommit"] = "abc".into();
        assert!(ignored(looked(&without)).contains("names no commit"));
    }
    for event in ["pr:merged", "pr:declined", "pr:modified", "pr:deleted", "pr:comment:added"] {
        ignored(sent(&[("X-Event-Key", event)], &request(2, "refs/heads/main"), true).unwrap().received);
    }
}

#[test]
fn the_same_message_has_the_same_id_whatever_its_unsigned_headers_say() {
    let payload = github("refs/heads/trunk", SHA);
    let id = |delivery: &str| {
        sent(&[("X-GitHub-Event", "push"), ("X-GitHub-Delivery", delivery)], &payload, false).unwrap().id
    };
    assert_eq!(id("1"), id("2"));
    let other = github("refs/heads/trunk", "1123456789abcdef0123456789abcdef01234567");
    assert_ne!(id("1"), sent(GITHUB_PUSH, &other, false).unwrap().id);
    // A token signs nothing, so GitLab's own word tells one push from the same push a second time.
    let gitlab = json!({"object_kind": "push", "ref": "refs/heads/trunk", "after": SHA});
    let id = |key: &str| {
        sent(&[("X-Gitlab-Event", "Push Hook"), ("Idempotency-Key", key)], &gitlab, false).unwrap().id
    };
    assert!(id("a") == id("a") && id("a") != id("b"));
}

#[test]
fn a_form_is_read_as_json_is_and_anything_else_is_told() {
    let send = |kind: &str, body: &[u8]| {
        let marked = format!("sha256={}", signature(body));
        let headers = Headers::new([
            ("Content-Type", kind.as_bytes()),
            ("X-GitHub-Event", b"push".as_slice()),
            ("X-Hub-Signature-256", marked.as_bytes()),
        ]);
        let terms = Terms { lists: &|_, _| true, checks_forks: false, allows_sha1: false };
        receive(&headers, body, &secrets(), &terms, Timestamp::from_second(0).unwrap())
    };
    let json = format!(r#"{{"ref":"refs/heads/a+b","after":"{SHA}"}}"#);
    let escaped: String = json.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let form =
        send("application/x-www-form-urlencoded; charset=utf-8", format!("a=1&payload={escaped}").as_bytes());
    assert_eq!(form.unwrap().received, pushed("a+b", ""));
    for body in ["payload=%7", "payload=%zz", "payload=%FF", "a=1", "", "payload"] {
        let got = send("application/x-www-form-urlencoded", body.as_bytes());
        assert!(matches!(got, Err(Fault::Unreadable(_))), "{body}: {got:?}");
    }
    let deep = "[".repeat(100_000);
    for body in ["", "[]", "7", "{", "{\"a\":\u{0}}", &deep] {
        let got = send("application/json", body.as_bytes());
        assert!(matches!(got, Err(Fault::Unreadable(_))), "{got:?}");
    }
    assert!(matches!(send("application/json", b"{\"a\":\"\xff\"}"), Err(Fault::Unreadable(_))));
}

#[test]
fn a_wrong_signature_learns_nothing_of_the_payload() {
    let headers =
        Headers::new([("X-GitHub-Event", b"push".as_slice()), ("X-Hub-Signature-256", b"sha256=00")]);
    let terms =
        Terms { lists: &|_, _| panic!("asked for a stranger"), checks_forks: true, allows_sha1: true };
    for body in [b"{".as_slice(), b"{}", b"\xff"] {
        let got = receive(&headers, body, &secrets(), &terms, Timestamp::from_second(0).unwrap());
        assert_eq!(got, Err(Fault::Refused));
        assert_eq!(
            receive(&headers, body, &[], &terms, Timestamp::from_second(0).unwrap()),
            Err(Fault::Refused)
        );
    }
}

#[test]
fn each_registry_names_the_images_that_were_published() {
    let names = |payload: &Value| {
        let got = receive_images(&Headers::default(), payload.to_string().as_bytes(), SECRET, &secrets());
        match got.unwrap().received {
            Received::Images(images) => images.iter().map(ToString::to_string).collect::<Vec<_>>(),
            other => vec![format!("{other:?}")],
        }
    };
    let hub = json!({"push_data": {"tag": "1.2", "pusher": "me"}, "repository": {"repo_name": "team/app"}});
    assert_eq!(names(&hub), ["docker.io/team/app:1.2"]);
    let quay =
        json!({"repository": "team/app", "docker_url": "quay.io/team/app", "updated_tags": ["latest", "1"]});
    assert_eq!(names(&quay), ["quay.io/team/app:1", "quay.io/team/app:latest"]);
    let resources = json!([{"digest": "sha256:1", "tag": "1", "resource_url": "harbor.example/team/app:1"}]);
    let harbor = json!({"type": "PUSH_ARTIFACT", "event_data": {"resources": resources}});
    assert_eq!(names(&harbor), ["harbor.example/team/app:1"]);
    let event =
        json!({"specversion": "1.0", "type": "harbor.artifact.pushed", "data": {"resources": resources}});
    assert_eq!(names(&event), ["harbor.example/team/app:1"]);
    let own = json!({"events": [
        {"action": "pull", "target": {"repository": "x", "tag": "1"}, "request": {"host": "r.example:5000"}},
        {"action": "push", "target": {"repository": "team/app", "tag": "1"}, "request": {"host": "r.example:5000"}},
    ]});
    assert_eq!(names(&own), ["r.example:5000/team/app:1"]);
    let github = |url: &str, tag: &str| {
        json!({"action": "published", "registry_package": {
            "name": "App", "namespace": "Team", "package_type": "CONTAINER",
            "package_version": {"package_url": url, "container_metadata": {"tag": {"name": tag}}},
        }})
    };
    for (url, tag) in
        [("ghcr.io/team/app:1", ""), ("ghcr.io/team/app:", "1"), ("ghcr.io/team/app", "1"), ("", "1")]
    {
        assert_eq!(names(&github(url, tag)), ["ghcr.io/team/app:1"], "{url} {tag}");
        let signed = meaning(&[("X-GitHub-Event", "registry_package")], &github(url, tag));
        assert!(matches!(signed, Received::Images(_)), "{signed:?}");
    }
    for nothing in [
        json!({}),
        json!({"type": "DELETE_ARTIFACT", "event_data": {"resources": resources}}),
        json!({"push_data": {"tag": "1"}, "repository": {"repo_name": "../../etc/passwd"}}),
        json!({"push_data": {"tag": "$(id)"}, "repository": {"repo_name": "team/app"}}),
        json!({"docker_url": "quay.io/team/app", "updated_tags": []}),
        json!({"registry_package": {"package_type": "npm", "name": "app"}}),
        github("", ""),
    ] {
        assert!(names(&nothing)[0].starts_with("Ignored"), "{nothing}");
    }
    for shown in ["", "a secret for test", "a secret for tests "] {
        let got = receive_images(&Headers::default(), b"{}", shown, &secrets());
        assert_eq!(got, Err(Fault::Refused));
    }
}
