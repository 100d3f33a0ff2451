//! Hooks against the router itself: who is heard, what is offered, and what strangers learn.

use axum::http::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use ring::hmac;

use super::*;
use crate::service::http::router;
use crate::service::http::tests::shared_with;
use crate::service::queue::{Filter, Worker};
use crate::syntax::serve;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

struct Lab {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
}

impl Lab {
    fn new() -> Self {
        let settings = serve::read(
            r#"(repositories: {
                "team/app": (url: "https://git.example.com/team/app.git", branches: ["main"], forks: "check"),
                "old": (url: "git@git.example.com:legacy/old.git", branches: ["main"], sha1: true),
            })"#,
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let shared = shared_with(settings, folder.path());
        Self {
            folder,
            shared,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    fn secrets(&self, name: &str) -> (String, String) {
        let pair = Secrets::at(self.folder.path()).of(name, Timestamp::now()).unwrap();
        (pair.hook[0].shown().to_owned(), pair.path[0].shown().to_owned())
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut request = Request::post(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        self.runtime.block_on(async {
            let answer =
                TowerToHyperService::new(router(Arc::clone(&self.shared))).call(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8_lossy(&body).into_owned())
        })
    }

    /// A push as GitHub sends it.
    fn push(&self, path: &str, name: &str, body: &str) -> (u16, String) {
        let signature = signed_with(hmac::HMAC_SHA256, &self.secrets(name).0, body);
        let signature = format!("sha256={signature}");
        self.post(path, &[("x-github-event", "push"), ("x-hub-signature-256", &signature)], body)
    }

    fn jobs(&self) -> usize {
        self.shared.queue.jobs(&Filter::default()).unwrap().len()
    }
}

fn signed_with(algorithm: hmac::Algorithm, secret: &str, body: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), body.as_bytes());
    hex::encode(tag)
}

fn body(branch: &str, commit: &str) -> String {
    json!({
        "ref": format!("refs/heads/{branch}"), "after": commit,
        "repository": {"full_name": "team/app", "default_branch": "main"},
        "head_commit": {"message": "mend it"},
    })
    .to_string()
}

#[test]
fn a_push_is_queued_once_and_everything_else_is_answered() {
    let lab = Lab::new();
    let (status, answer) = lab.push("/hook/team/app", "team/app", &body("main", SHA));
    assert_eq!(status, 202, "{answer}");
    assert!(answer.contains("\"note\":\"queued\"") && answer.contains("\"job\":"), "{answer}");
    let again = lab.push("/hook/team/app", "team/app", &body("main", SHA));
    assert!(again.0 == 202 && again.1.contains("nothing to do"), "{again:?}");
    let other = lab.push("/hook/team/app", "team/app", &body("other", SHA));
    assert!(other.0 == 200 && other.1.contains("not listed"), "{other:?}");
    let job = lab.shared.queue.jobs(&Filter::default()).unwrap().remove(0);
    assert_eq!((job.work.branch.as_str(), job.work.message.as_str()), ("main", "mend it"));
    assert_eq!(lab.jobs(), 1);
}

#[test]
fn strangers_learn_nothing_not_even_which_repositories_there_are() {
    let lab = Lab::new();
    let text = body("main", SHA);
    let wrong = format!("sha256={}", signed_with(hmac::HMAC_SHA256, "wrong", &text));
    let mut answers = Vec::new();
    for path in [
        "/hook/team/app",
        "/hook/team/none",
        "/hook/../../etc/passwd",
        "/hook/%2e%2e",
        "/hook/a%00b",
        "/",
        "/jdk8",
        "/registry/x/team/app",
        "/registry/x/none",
        "/hook/team/app?labels=$(id)",
    ] {
        for headers in [&[][..], &[("x-github-event", "push"), ("x-hub-signature-256", wrong.as_str())]] {
            for body in [text.as_str(), "", "{", "null"] {
                answers.push(lab.post(path, headers, body));
            }
        }
    }
    assert!(answers.iter().all(|answer| *answer == (401, String::new())), "{answers:?}");
    // The secret of one repository says nothing for another.
    assert_eq!(lab.push("/hook/old", "team/app", &text).0, 401);
    assert_eq!(lab.jobs(), 0);
}

#[test]
fn an_old_hook_finds_its_repository_by_the_payload_and_its_worker_by_its_labels() {
    let lab = Lab::new();
    let text = json!({"ref": "refs/heads/main", "after": SHA, "repository": {"full_name": "legacy/old"}})
        .to_string();
    let signature =
        format!("sha1={}", signed_with(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &lab.secrets("old").0, &text));
    let headers = [("x-hub-signature", signature.as_str())];
    let worker = |labels: &str| {
        let worker = Worker { name: format!("w-{labels}"), labels: labels_of(labels) };
        lab.shared.queue.take(&worker).unwrap();
    };
    worker("jdk7");
    let (status, answer) = lab.post("/JDK8+SBT", &headers, &text);
    assert!(status == 403 && answer.contains("jdk8+sbt"), "{status} {answer}");
    worker("jdk8+sbt+gpu");
    assert_eq!(lab.post("/JDK8+SBT", &headers, &text).0, 202);
    let job = lab.shared.queue.jobs(&Filter::default()).unwrap().remove(0);
    assert_eq!(job.work.hints, labels_of("jdk8+sbt"));
    assert_eq!(lab.post("/a%20b", &headers, &text).0, 403);
    assert_eq!(lab.post("/$(id)", &headers, &text).0, 400);
    // SHA-1 is the old repository's alone.
    let text = body("main", SHA);
    let signature = format!(
        "sha1={}",
        signed_with(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &lab.secrets("team/app").0, &text)
    );
    assert_eq!(lab.post("/hook/team/app", &[("x-hub-signature", &signature)], &text).0, 401);
}

fn labels_of(text: &str) -> Labels {
    labels(text).unwrap()
}

#[test]
fn a_registry_has_the_repository_looked_at_and_a_fork_is_planned() {
    let lab = Lab::new();
    let hub =
        json!({"push_data": {"tag": "3.20"}, "repository": {"repo_name": "library/alpine"}}).to_string();
    let path = format!("/registry/{}/team/app", lab.secrets("team/app").1);
    let (status, answer) = lab.post(&path, &[], &hub);
    assert!(status == 202 && answer.contains("docker.io/library/alpine:3.20"), "{status} {answer}");
    let wished = lab.shared.wishes.take(std::time::Duration::ZERO);
    assert_eq!(wished.into_values().collect::<Vec<_>>(), [Occasion::Registry]);
    assert!(lab.post(&path, &[], &hub).1.contains("\"duplicate\":true"));
    let request = json!({
        "action": "opened", "repository": {"full_name": "team/app", "default_branch": "main"},
        "pull_request": {"number": 7, "title": "better", "head": {"sha": SHA, "repo": {"full_name": "evil/app"}},
            "base": {"ref": "main", "repo": {"full_name": "team/app"}}},
    })
    .to_string();
    let signature =
        format!("sha256={}", signed_with(hmac::HMAC_SHA256, &lab.secrets("team/app").0, &request));
    let headers = [("x-github-event", "pull_request"), ("x-hub-signature-256", signature.as_str())];
    assert_eq!(lab.post("/hook/team/app", &headers, &request).0, 202);
    let job = lab.shared.queue.jobs(&Filter::default()).unwrap().remove(0);
    assert_eq!(job.work.pull_request.as_deref(), Some("refs/pull/7/head"));
}

#[test]
fn a_body_has_a_limit_before_anybody_looks_at_it() {
    let lab = Lab::new();
    let large = "x".repeat(BODY + 1);
    let (status, answer) = lab.push("/hook/team/app", "team/app", &large);
    assert_eq!((status, answer.as_str()), (413, "the body is too large\n"));
    assert_eq!(ROOM.available_permits(), HELD, "what was held is given back");
}
