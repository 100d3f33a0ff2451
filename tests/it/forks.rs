//! Pull requests of forks, as each forge tells of them to a running `imk serve`: a plan is made and told, and nothing of theirs runs.

use fs_err as fs;
use ring::hmac;
use serde_json::{Value, json};

use crate::webhooks::{Heard, Place, Server, forge, git, until};

/// The steps of the repository itself, and those of a fork.
const OWN: &str = "step: own\nshell: ['echo own >> \"$OUT/log\"']\n";
const EVIL: &str = "step: evil\nshell: ['echo evil >> \"$OUT/log\"', 'env']\n";
const IMAGEFILE: &str = r#"(images: {"app": (context: "app", secrets: {"x": Env("FORGE_TOKEN")}, labels: {"a": "{V}"})}, vars: {"V": "1"})"#;

/// A forge by its name in serve.ron, the place of a request's commit, and its payload.
struct Case {
    software: &'static str,
    reference: &'static str,
    header: (&'static str, &'static str),
    payload: fn(&str) -> Value,
}

const CASES: &[Case] = &[
    Case {
        software: "github",
        reference: "refs/pull/7/head",
        header: ("X-GitHub-Event", "pull_request"),
        payload: github,
    },
    Case {
        software: "gitea",
        reference: "refs/pull/7/head",
        header: ("X-Gitea-Event", "pull_request"),
        payload: github,
    },
    Case {
        software: "gitlab",
        reference: "refs/merge-requests/7/head",
        header: ("X-Gitlab-Event", "Merge Request Hook"),
        payload: gitlab,
    },
    Case {
        software: "bitbucket",
        reference: "refs/pull-requests/7/from",
        header: ("X-Event-Key", "pr:opened"),
        payload: data_center,
    },
    Case {
        software: "bitbucket",
        reference: "refs/pull-requests/7/from",
        header: ("X-Event-Key", "pr:from_ref_updated"),
        payload: data_center,
    },
];

fn github(commit: &str) -> Value {
    json!({"action": "opened", "number": 7, "repository": {"full_name": "team/app", "default_branch": "main"}, "pull_request": {
        "number": 7, "title": "better", "head": {"sha": commit, "repo": {"full_name": "evil/app"}},
        "base": {"ref": "main", "repo": {"full_name": "team/app"}},
    }})
}

fn gitlab(commit: &str) -> Value {
    json!({"object_kind": "merge_request", "project": {"default_branch": "main"}, "object_attributes": {
        "action": "open", "iid": 7, "title": "better", "source_project_id": 2, "target_project_id": 1,
        "target_branch": "main", "last_commit": {"id": commit},
    }})
}

fn data_center(commit: &str) -> Value {
    json!({"pullRequest": {
        "id": 7, "title": "better",
        "fromRef": {"id": "refs/heads/x", "latestCommit": commit, "repository": {"slug": "app", "id": 2}},
        "toRef": {"id": "refs/heads/main", "repository": {"slug": "app", "id": 1}},
    }})
}

fn posted(server: &Server, header: (&str, &str), payload: &Value) -> (u16, String) {
    let body = payload.to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, server.secret.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let marked = format!("sha256={hex}");
    let proof = match header.0 {
        "X-Gitlab-Event" => ("X-Gitlab-Token", server.secret.as_str()),
        "X-Gitea-Event" => ("X-Gitea-Signature", hex.as_str()),
        "X-Event-Key" => ("X-Hub-Signature", marked.as_str()),
        _ => ("X-Hub-Signature-256", marked.as_str()),
    };
    let headers = [("Content-Type", "application/json"), header, proof];
    server.post("/hook/team/app", &headers, body.as_bytes()).unwrap()
}

/// A repository with an image, and a commit of a fork under the forge's reference.
fn place(reference: &str) -> (Place, String) {
    let place = Place::new(OWN);
    let clone = place.path("clone");
    fs::create_dir(clone.join("app")).unwrap();
    fs::write(clone.join("app/Dockerfile"), "FROM scratch\nCOPY file /\n").unwrap();
    fs::write(clone.join("app/file"), "1").unwrap();
    fs::write(clone.join("Imagefile.ron"), IMAGEFILE).unwrap();
    place.pushed("own");
    git(&clone, &["checkout", "-q", "-b", "fork"]);
    fs::write(clone.join("integration.yml"), EVIL).unwrap();
    fs::write(
        clone.join("app/Dockerfile"),
        "FROM scratch\nRUN --mount=type=secret,id=x cat /run/secrets/x\n",
    )
    .unwrap();
    git(&clone, &["commit", "-q", "-a", "-m", "evil"]);
    git(&clone, &["push", "-q", "origin", &format!("HEAD:{reference}")]);
    let commit = git(&clone, &["rev-parse", "HEAD"]);
    (place, commit)
}

#[test]
fn a_request_of_a_fork_is_planned_alone_and_that_is_told_to_its_forge() {
    for case in CASES {
        let (place, commit) = place(case.reference);
        let (address, heard) = forge();
        let top = "credentials: {\"team\": (forge_token: Env(\"FORGE_TOKEN\"))},";
        let policy = format!(
            "credentials: \"team\", forge: {:?}, forge_api: \"http://{address}/api\", forks: \"check\"",
            case.software
        );
        let server = place.serve(top, &policy);
        let said = || format!("{}\n{:#?}\n{}", place.written(), heard.lock().unwrap(), server.said());
        until("the repository's own commit is done", said, || place.written().contains("own").then_some(()));
        let payload = (case.payload)(&commit);
        assert_eq!(posted(&server, case.header, &payload).0, 202, "{}", case.software);
        let is_end = |(line, _, body): &&Heard| line.contains(&commit) && body.contains("out of date");
        let end = until("the plan is told", said, || heard.lock().unwrap().iter().find(is_end).cloned());
        assert!(end.2.to_lowercase().contains("success"), "{end:?}");
        let log = fs::read_to_string(place.path("state/logs/2.log")).unwrap();
        assert!(log.contains("$ imk plan --json") && log.contains("app: stale"), "{log}");
        assert!(!log.contains("== evil") && !log.contains("t0ken-of-the-forge"), "{log}");
        // The same word a second time is no second job.
        assert_eq!(posted(&server, case.header, &payload).0, 202);
        assert!(!place.written().contains("evil") && !place.path("state/logs/3.log").exists(), "{}", said());
        let ledger = fs::read_dir(place.path("state/imk/team+app")).unwrap().flatten();
        let built: Vec<_> = ledger.map(|entry| entry.file_name()).filter(|name| name == "ledger").collect();
        assert!(built.is_empty(), "{built:?}");
    }
}

#[test]
fn requests_of_forks_run_nothing_unless_that_is_said() {
    let (place, commit) = place("refs/pull/7/head");
    let server = place.serve("", "");
    for case in CASES {
        let (status, answer) = posted(&server, case.header, &(case.payload)(&commit));
        assert!(status == 200 && answer.contains("forks run nothing"), "{} {status} {answer}", case.software);
    }
    // The cloud of Bitbucket gives a part of the commit's id, and keeps no commit of a fork in the repository.
    let cloud = json!({"pullrequest": {
        "id": 7, "title": "better", "source": {"commit": {"hash": &commit[..12]}, "repository": {"full_name": "evil/app"}},
        "destination": {"branch": {"name": "main"}, "repository": {"full_name": "team/app"}},
    }});
    let (status, answer) = posted(&server, ("X-Event-Key", "pullrequest:created"), &cloud);
    assert!(status == 200 && answer.contains("no commit of a fork"), "{status} {answer}");
    assert!(!place.written().contains("evil"), "{}", place.written());
}
