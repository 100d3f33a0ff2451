//! Statuses and notices of whole jobs: who hears what, and what is not said to anybody.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::engine::Cancel;
use crate::model::time::UnixSeconds;
use crate::registry::fake::{FakeFault, FakeRegistry};
use crate::service::logins::Logins;
use crate::service::logs::FileLogs;
use crate::service::model::{ImageOutcome, JobId, Labels, Occasion, RepositoryName, Work};
use crate::service::queue::Rules;
use crate::service::queue::sqlite::SqliteQueue;
use crate::syntax::serve;

const SETTINGS: &str = r#"(
    public_url: "https://imk.example.com",
    credentials: {"team": (forge_token: Env("TOKEN"))},
    notify: {"chat": Slack(Env("CHAT")), "log": Webhook("https://log.example/in")},
    repositories: {
        "hub": (url: "https://github.com/team/app.git", credentials: "team", notify: ["chat", "log"], statuses: "images"),
        "lab": (url: "https://gitlab.com/team/app.git", credentials: "team"),
        "tea": (url: "https://codeberg.org/team/app.git", credentials: "team"),
        "bucket": (url: "https://bitbucket.org/team/app.git", credentials: "team"),
        "quiet": (url: "https://github.com/team/quiet.git", credentials: "team", statuses: "never"),
        "none": (url: "/srv/git/app.git"),
    },
)"#;

fn shared(folder: &Path) -> Arc<Shared> {
    let environment = [("TOKEN", "t0ken"), ("CHAT", "https://chat.example/s3cr3t")];
    let environment = environment.map(|(name, value)| (name.into(), value.into())).into();
    let queue = Arc::new(SqliteQueue::in_memory(Rules::default()).unwrap());
    let logs = Arc::new(FileLogs::open(&folder.join("logs"), 1 << 20).unwrap());
    let shared = Shared::new(serve::read(SETTINGS).unwrap(), folder, queue, logs);
    Arc::new(shared.with(Logins { environment, root: folder.to_owned() }, Arc::new(|_| {})))
}

fn job(repository: &str) -> Job {
    Job {
        id: JobId(7),
        work: Work {
            repository: RepositoryName::new(repository).unwrap(),
            branch: "main".into(),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            message: "mend it".into(),
            occasion: Occasion::Push,
            hints: Labels::new(),
            delivery: None,
            pull_request: None,
        },
        state: JobState::Queued,
        tries: 1,
        queued_at: UnixSeconds::now(),
        started_at: None,
        ended_at: None,
    }
}

fn outcome(ok: bool, verdict: Verdict) -> Outcome {
    let image = ImageOutcome { name: "web".into(), verdict, reason: "`src/a` changed".into() };
    Outcome { ok, summary: "1 built".into(), images: vec![image], ..Outcome::default() }
}

/// Everything that a job's beginning and end send, as address and body.
fn sent(registry: &Arc<FakeRegistry>, repository: &str, outcome: &Outcome) -> (Vec<(String, Value)>, String) {
    let folder = tempfile::tempdir().unwrap();
    let shared = shared(folder.path());
    let patience = Patience { waits: vec![Duration::ZERO], cancel: Cancel::default() };
    let teller = Teller::new(&shared, Arc::<FakeRegistry>::clone(registry), patience).unwrap();
    teller.begun(&job(repository));
    teller.ended(&job(repository), outcome);
    drop(teller);
    let posted = registry.posted().into_iter();
    let posted = posted.map(|(url, _, body)| (url, serde_json::from_slice(&body).unwrap())).collect();
    let log = shared.logs.read_from(JobId(7), 0, 1 << 20).unwrap();
    (posted, String::from_utf8(log).unwrap())
}

#[test]
fn the_forge_hears_of_beginning_and_end_and_people_of_the_end() {
    let registry = Arc::new(FakeRegistry::new());
    let (sent, log) = sent(&registry, "hub", &outcome(true, Verdict::Built));
    let states: Vec<String> = sent
        .iter()
        .map(|(_, body)| format!("{} {}", body["context"], body["state"]).replace('"', ""))
        .collect();
    assert_eq!(states, ["imk pending", "imk success", "imk/web success", "null null", "null null"]);
    assert!(sent[0].0.starts_with("https://api.github.com/repos/team/app/statuses/0123"));
    assert_eq!(sent[1].1["target_url"], "https://imk.example.com/jobs/7");
    assert_eq!(sent[1].1["description"], "1 built; web ← `src/a` changed");
    assert_eq!(sent[2].1["description"], "built: `src/a` changed");
    assert_eq!(sent[3].0, "https://chat.example/s3cr3t");
    assert!(sent[3].1["text"].as_str().unwrap().starts_with("hub main 0123456789 passed: 1 built"));
    assert_eq!((&sent[4].1["event"], &sent[4].1["images"]["web"]), (&"job".into(), &"built".into()));
    assert_eq!(log, "");
}

#[test]
fn the_one_status_tells_the_way_to_the_root_of_what_failed_or_is_farthest() {
    let image = |name: &str, verdict, reason: &str| ImageOutcome {
        name: name.into(),
        verdict,
        reason: reason.into(),
    };
    let mut outcome = Outcome { ok: true, summary: "1 fresh, 3 built".into(), ..Outcome::default() };
    outcome.images = vec![
        image("app", Verdict::Built, "app ← infra ← base ← `src/util.sh` changed: c9cb → b328"),
        image("base", Verdict::Built, "`src/util.sh` changed: c9cb → b328"),
        image("infra", Verdict::Built, "infra ← base ← `src/util.sh` changed: c9cb → b328"),
        image("other", Verdict::Fresh, ""),
    ];
    assert_eq!(
        told_of(&outcome),
        "1 fresh, 3 built; app ← infra ← base ← `src/util.sh` changed: c9cb → b328"
    );
    outcome.images[1] = image("base", Verdict::Failed, "exit status 2");
    assert_eq!(told_of(&outcome), "1 fresh, 3 built; base ← exit status 2");
    outcome.images.clear();
    assert_eq!(told_of(&outcome), "1 fresh, 3 built");
}

#[test]
fn each_forge_is_asked_in_its_own_way_and_nobody_where_there_is_none() {
    for (repository, hosts) in [
        ("lab", &["gitlab.com"; 2][..]),
        ("tea", &["codeberg.org"; 2]),
        ("bucket", &["api.bitbucket.org"; 2]),
        ("quiet", &[]),
        ("none", &[]),
        ("gone", &[]),
    ] {
        let registry = Arc::new(FakeRegistry::new());
        let (sent, _) = sent(&registry, repository, &outcome(false, Verdict::Failed));
        let asked: Vec<&str> = sent.iter().map(|(url, _)| url.split('/').nth(2).unwrap()).collect();
        assert_eq!(asked, hosts, "{repository}");
    }
}

#[test]
fn a_night_in_which_nothing_was_to_do_is_told_to_no_chat() {
    let registry = Arc::new(FakeRegistry::new());
    let (sent, _) = sent(&registry, "hub", &outcome(true, Verdict::Fresh));
    assert!(sent.iter().all(|(url, _)| url.contains("api.github.com")), "{sent:?}");
}

#[test]
fn a_place_that_is_away_is_a_line_of_the_log_without_its_secret() {
    let registry = Arc::new(FakeRegistry::new());
    registry.fail("chat.example", FakeFault::Unreachable);
    registry.fail("api.github.com", FakeFault::Refused("bad credentials".into()));
    let (_, log) = sent(&registry, "hub", &outcome(false, Verdict::Failed));
    assert!(log.contains("the notifier `chat` was not told: chat.example does not answer"), "{log}");
    assert!(log.contains("the status `imk` was not told"), "{log}");
    assert!(!log.contains("s3cr3t") && !log.contains("t0ken"), "{log}");
}
