//! Pages, statuses, numbers and actions over a real socket: whoever asks, what they get, and what they may not do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::service::logs::FileLogs;
use crate::service::model::{ImageOutcome, JobId, Labels, Occasion, Outcome, RepositoryName, Verdict, Work};
use crate::service::queue::sqlite::SqliteQueue;
use crate::service::queue::{Rules, Worker};
use crate::syntax::serve::{Repository, Running, Settings};

const TOKEN: &str = "0123456789abcdef";

/// A service, and how it is asked.
struct Service {
    shared: Arc<Shared>,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Service {
    fn start(folder: &Path) -> Self {
        let mut settings = Settings::default();
        let name = RepositoryName::new("team/images").unwrap();
        settings.repositories.insert(name, Repository::at("https://me:secret@git.example.com/images.git"));
        fs_err::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
        let queue = SqliteQueue::in_memory(Rules { tries: 1, ..Rules::default() }).unwrap();
        let logs = FileLogs::open(&folder.join("logs"), 1 << 20).unwrap();
        let shared = Arc::new(Shared::new(settings, folder, Arc::new(queue), Arc::new(logs)));
        let runtime = crate::runtime::start().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(listen::serve(listener, None, router(Arc::clone(&shared)), shared.ending()));
        Self { shared, address, _runtime: runtime }
    }

    fn offer(&self, message: &str, commit: impl std::fmt::Display) -> JobId {
        let work = Work {
            repository: RepositoryName::new("team/images").unwrap(),
            branch: "main".to_owned(),
            commit: format!("{commit:0<40}"),
            message: message.to_owned(),
            occasion: Occasion::Push,
            hints: Labels::new(),
            delivery: None,
            pull_request: None,
        };
        self.shared.queue.offer(&work, Running::Finish).unwrap().job().unwrap()
    }

    fn done(&self, message: &str, commit: impl std::fmt::Display, ok: bool, report: &[&str]) -> JobId {
        self.offer(message, commit);
        let lease = self.shared.queue.take(&worker()).unwrap().unwrap();
        let verdict = if ok { Verdict::Built } else { Verdict::Failed };
        let image = ImageOutcome { name: "web".into(), verdict, reason: "`src/main.rs` changed".into() };
        let report = report.iter().map(|line| (*line).to_owned()).collect();
        let outcome = Outcome { ok, summary: "done".into(), images: vec![image], report };
        self.shared.queue.finish(&lease, &outcome).unwrap();
        lease.job.id
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { code, head: head.to_ascii_lowercase(), sent: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str, accept: &str) -> Answer {
        self.ask("GET", path, &[("Accept", accept)], "")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.end();
    }
}

struct Answer {
    code: u16,
    /// In small letters.
    head: String,
    sent: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let line =
            self.sent.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(": ").map(|(_, value)| value)
    }
}

fn worker() -> Worker {
    Worker { name: "here".to_owned(), labels: Labels::new() }
}

#[test]
fn every_answer_keeps_a_browser_from_doing_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    for path in
        ["/", "/jobs", "/jobs/7", "/nothing", "/healthz", "/metrics", "/-/sign-in", "/status/team/images"]
    {
        let answer = service.get(path, "text/html");
        for header in [
            "content-security-policy: default-src 'none';",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
        assert!(!answer.head.contains("unsafe"), "{path}: {}", answer.head);
        assert!(!answer.body.contains("secret@"), "{path} shows a password");
    }
}

#[test]
fn files_of_the_pages_may_be_kept_and_are_of_their_kind() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let page = service.get("/", "*/*").body;
    for (before, kind) in [
        ("rel=\"stylesheet\" href=\"", "text/css"),
        ("<script src=\"", "text/javascript"),
        ("rel=\"icon\" href=\"", "image/svg+xml"),
    ] {
        let path = page.split(before).nth(1).unwrap().split('"').next().unwrap();
        let answer = service.get(path, "*/*");
        assert_eq!(answer.code, 200, "{path}");
        assert!(
            answer.head.contains(&format!("content-type: {kind}")) && answer.head.contains("immutable"),
            "{}",
            answer.head
        );
    }
    assert_eq!(service.get("/-/../token", "*/*").code, 404);
}

#[test]
fn a_status_is_text_json_or_a_page_and_a_failure_is_412_for_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let path = "/status/team/images";
    assert_eq!(service.get(path, "text/raw").code, 404, "nothing was built yet");
    assert_eq!(service.get("/status/team/other", "text/raw").code, 404);
    service.done(
        "Say hello",
        '4',
        true,
        &["- commit 4444444444 (Say hello)", "- say hello", "[passed] echo hello... (0 seconds)"],
    );
    let answer = service.get(path, "text/raw");
    assert_eq!(answer.code, 200);
    assert!(answer.head.contains("content-type: text/plain; charset=utf-8"));
    assert_eq!(
        answer.body,
        "- commit 4444444444 (Say hello)\n- say hello\n[passed] echo hello... (0 seconds)\n"
    );
    assert_eq!(service.get("/status/main/team/images", "*/*").body, answer.body, "a branch in front");
    assert_eq!(service.get("/status/next/team/images", "*/*").code, 404);
    assert_eq!(service.get("/status/team/images?branch=next", "*/*").code, 404);

    let failed = service.done("Break it", '5', false, &[]);
    let waits = service.offer("Mend it", '6');
    let answer = service.get(path, "text/raw");
    assert_eq!(answer.code, 412);
    assert_eq!(
        answer.body,
        "- commit 5000000000 (Break it)\n- imk ci of team/images\n[failed] web: failed, `src/main.rs` changed\n"
    );
    let answer = service.get(path, "application/json");
    assert_eq!(answer.code, 200);
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((json["ok"].as_bool(), json["sha"].as_str().map(str::len)), (Some(false), Some(40)));
    assert_eq!(json["job"], failed.to_string());
    assert_eq!(
        (json["active"]["job"].as_str(), json["active"]["state"].as_str()),
        (Some(waits.to_string().as_str()), Some("queued"))
    );
    assert!(service.get(path, "text/html,*/*;q=0.8").body.contains("Break it"));
}

#[test]
fn nothing_is_done_without_the_token_on_loopback_too() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let job = service.done("Break it", '5', false, &[]);
    let body = format!("job={job}");
    let post = |headers: &[(&str, &str)]| service.ask("POST", "/-/retry", headers, &body);
    let refused = post(&[]);
    assert_eq!((refused.code, refused.body.contains("imk serve token")), (401, true));
    assert_eq!(post(&[("Accept", "text/html")]).header("location"), Some("/-/sign-in"));
    assert_eq!(post(&[("Authorization", "Bearer 0123456789abcdee")]).code, 401);
    assert_eq!(post(&[("Authorization", "Basic 0123456789abcdef")]).code, 401);
    let bearer = ("Authorization", "Bearer 0123456789abcdef");
    assert_eq!(post(&[bearer, ("Origin", "http://evil.example")]).code, 403);
    assert_eq!(post(&[bearer, ("Sec-Fetch-Site", "cross-site")]).code, 403);
    assert_eq!(service.shared.queue.counts().unwrap().queued, 0, "nothing was done");
    let done = post(&[bearer]);
    assert_eq!((done.code, done.body.contains("\"job\"")), (202, true), "{}", done.body);
    assert_eq!(service.shared.queue.counts().unwrap().queued, 1);
    let again = service.ask("POST", "/-/retry", &[bearer], "job=99");
    assert_eq!((again.code, again.body.contains("no such job")), (409, true));
    assert_eq!(service.ask("POST", "/-/retry", &[bearer], "job=x").code, 422);
    // No address acts by being looked at.
    assert_eq!(service.ask("GET", "/-/retry", &[bearer], "").code, 405);
}

#[test]
fn a_session_acts_with_the_key_of_its_own_forms_alone() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let job = service.done("Break it", '5', false, &[]);
    let wrong = service.ask("POST", "/-/sign-in", &[], "token=0123456789abcdeg");
    assert_eq!((wrong.code, wrong.header("set-cookie")), (403, None));
    let from_elsewhere =
        service.ask("POST", "/-/sign-in", &[("Origin", "http://evil.example")], "token=0123456789abcdef");
    assert_eq!((from_elsewhere.code, from_elsewhere.header("set-cookie")), (403, None));
    let signed_in = service.ask("POST", "/-/sign-in", &[("Origin", "null")], "token=0123456789abcdef");
    let cookie = signed_in.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = service.ask("GET", &format!("/jobs/{job}"), &[("Cookie", &format!("a=b; {cookie}"))], "").body;
    let key = page.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let post = |cookie: &str, key: &str| {
        service.ask("POST", "/-/retry", &[("Cookie", cookie)], &format!("job={job}&key={key}")).code
    };
    assert_eq!(post(cookie, ""), 403);
    assert_eq!(post(cookie, "AAAA"), 403);
    assert_eq!(post("imk=1.AAAA", key), 401);
    assert_eq!(post(&cookie.replace('1', "2"), key), 401);
    assert_eq!(service.shared.queue.counts().unwrap().queued, 0);
    assert_eq!(post(cookie, key), 303);
    assert_eq!(service.shared.queue.counts().unwrap().queued, 1);
}

#[test]
fn numbers_are_in_the_form_that_prometheus_reads() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    service.done("Break it", '5', false, &[]);
    service.offer("Mend it", '6');
    let answer = service.get("/metrics", "*/*");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    for line in [
        "imk_jobs{state=\"queued\"} 1",
        "imk_jobs{state=\"failed\"} 1",
        "imk_branch_ok{repository=\"team/images\",branch=\"main\"} 0",
        "imk_images{repository=\"team/images\",branch=\"main\",verdict=\"stale\"} 1",
        "# TYPE imk_jobs gauge",
    ] {
        assert!(answer.body.lines().any(|said| said == line), "{line}: {}", answer.body);
    }
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("imk_") && value.parse::<u64>().is_ok(), "{line}");
    }
}

#[test]
fn a_log_is_text_whatever_it_says_and_events_end_with_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let id = service.offer("Say it", '7');
    let lease = service.shared.queue.take(&worker()).unwrap().unwrap();
    let say = |text: &str| service.shared.logs.append(id, text.as_bytes()).unwrap();
    say("one\n\u{1b}[31m<b>two</b>\r\nevent: over\n\nhalf");
    let log = format!("/jobs/{id}/log");
    assert!(service.get(&log, "*/*").body.contains("<b>two</b>\nevent: over\n\n"), "whole lines");
    assert!(!service.get(&log, "*/*").body.contains("half"));
    service.shared.queue.finish(&lease, &Outcome { ok: true, ..Outcome::default() }).unwrap();
    let text = service.get(&log, "*/*");
    assert!(text.head.contains("content-type: text/plain") && text.body.contains("half\n"), "{}", text.body);
    let events = service.get(&format!("/jobs/{id}/events?from=4"), "text/event-stream");
    assert!(events.head.contains("content-type: text/event-stream"));
    assert!(
        events.body.contains("data: <b>two</b>\ndata: event: over\ndata: \ndata: half\n"),
        "{}",
        events.body
    );
    assert!(
        !events.body.contains("data: one") && events.body.contains("event: over\ndata: {"),
        "{}",
        events.body
    );
    assert_eq!(service.get("/jobs/99/events", "*/*").code, 404);
    assert_eq!(service.get("/jobs/x/log", "*/*").code, 404);
}

#[test]
fn logs_and_jobs_go_by_age_and_size_but_the_newest_of_a_branch_stays() {
    use crate::model::time::UnixSeconds;
    use crate::service::retention;
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let old = service.done("One", '1', true, &[]);
    let new = service.done("Two", '2', true, &[]);
    for job in [old, new] {
        service.shared.logs.append(job, &[b'x'; 100]).unwrap();
    }
    let now = UnixSeconds::now();
    assert_eq!(retention::tidy(&service.shared, now).unwrap(), retention::Removed::default());
    let later = UnixSeconds(now.0 + 365 * 24 * 3600);
    assert_eq!(retention::tidy(&service.shared, later).unwrap().jobs, 1);
    assert_eq!(service.shared.logs.list().unwrap(), [(new, 100)]);
    assert_eq!(service.get(&format!("/jobs/{old}"), "text/html").code, 404);
    assert!(service.get(&format!("/jobs/{new}"), "text/html").body.contains("Two"));
}

#[test]
fn building_now_and_a_new_secret_need_the_token_and_a_known_name() {
    use crate::service::secrets::Secrets;
    use jiff::Timestamp;
    use std::time::Duration;
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let name = RepositoryName::new("team/images").unwrap();
    let old = Secrets::at(folder.path()).of(name.as_str(), Timestamp::now()).unwrap().hook.remove(0);
    let bearer = [("Authorization", "Bearer 0123456789abcdef")];
    for path in ["/-/build", "/-/rotate"] {
        assert_eq!(service.ask("POST", path, &[], "repository=team/images").code, 401, "{path}");
        assert_eq!(service.ask("POST", path, &bearer, "repository=../etc").code, 404, "{path}");
        assert_eq!(service.ask("POST", path, &bearer, "repository=team/other").code, 404, "{path}");
    }
    assert!(service.shared.wishes.take(Duration::ZERO).is_empty(), "nothing was wished");
    assert_eq!(service.ask("POST", "/-/build", &bearer, "repository=team/images").code, 202);
    assert_eq!(service.shared.wishes.take(Duration::ZERO).get(&name), Some(&Occasion::Asked));
    let answer = service.ask("POST", "/-/rotate", &bearer, "repository=team/images");
    let value: Value =
        serde_json::from_str(answer.body.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    let now = Secrets::at(folder.path()).of(name.as_str(), Timestamp::now()).unwrap().hook;
    assert_eq!(value["secret"], now[0].shown());
    assert_eq!(now[1].shown(), old.shown(), "the old one counts for a while");
}

#[test]
fn jobs_are_listed_for_programs_and_what_is_asked_wrongly_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    for number in 0..52 {
        service.done(&format!("change {number}"), format!("{number:03}"), number % 2 == 0, &[]);
    }
    let list = |query: &str| {
        let answer = service.get(&format!("/jobs{query}"), "application/json");
        (answer.code, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    let (code, first) = list("");
    assert_eq!((code, first["jobs"].as_array().unwrap().len()), (200, 50));
    let (_, rest) = list(&format!("?before={}", first["older_than"].as_str().unwrap()));
    assert_eq!((rest["jobs"].as_array().unwrap().len(), rest["older_than"].is_null()), (2, true));
    assert_eq!(list("?state=dead").1["jobs"].as_array().unwrap().len(), 0);
    assert_eq!(list("?state=nonsense").0, 404);
    assert_eq!(list("?repository=..").0, 404);
    assert!(service.get("/jobs", "text/html").body.contains("Older jobs"));
}

#[test]
fn whoever_spreads_requests_is_told_of_the_end_and_hooks_are_taken_still() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    assert_eq!(service.get("/healthz", "*/*").code, 200);
    service.shared.drain();
    let health = service.get("/healthz", "*/*");
    assert_eq!((health.code, health.body.as_str()), (503, "draining\n"));
    assert_eq!(service.get("/jobs", "application/json").code, 200);
    let bearer = [("Authorization", "Bearer 0123456789abcdef")];
    assert_eq!(service.ask("POST", "/-/build", &bearer, "repository=team/images").code, 202);
}

#[test]
fn a_job_that_runs_says_for_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let id = service.offer("Mend it", 'a');
    let waiting = service.get(&format!("/jobs/{id}"), "text/html").body;
    assert!(waiting.contains("<dt>Waiting for</dt>"), "{waiting}");
    service.shared.queue.take(&worker()).unwrap().unwrap();
    let page = service.get(&format!("/jobs/{id}"), "text/html").body;
    assert!(page.contains("<dt>Running for</dt>"), "{page}");
    assert!(!page.contains("<dt>Took</dt>"), "{page}");
    assert!(service.get("/jobs", "text/html").body.contains("running for "));
    let job: Value =
        serde_json::from_str(&service.get(&format!("/jobs/{id}"), "application/json").body).unwrap();
    assert_eq!((&job["state"], &job["seconds"]), (&Value::from("running"), &Value::Null));
    assert_eq!(service.get("/jobs/99", "application/json").code, 404);
}

#[test]
fn a_repository_that_never_was_is_told_from_one_without_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    assert_eq!(service.get("/jobs?repository=team/images", "application/json").code, 200);
    let wrong = service.get("/jobs?repository=team/imagse", "application/json");
    assert_eq!(wrong.code, 404);
    assert!(wrong.body.contains("has no repository `team/imagse`"), "{}", wrong.body);
}
