//! `imk serve` on machines whose disk is slow or whose clock jumps: nothing is lost, and nothing is done twice.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use fs_err as fs;
use ring::hmac;
use serde_json::json;

use crate::webhooks::{Place, Server, git, until};

const STEPS: &str = "step: note\nshell: ['echo \"$BRANCH $COMMIT\" >> \"$OUT/log\"']\n";

/// A push as GitHub tells of it.
fn told(server: &Server, branch: &str, commit: &str) -> (u16, String) {
    let body = json!({"ref": format!("refs/heads/{branch}"), "after": commit, "repository": {"full_name": "team/app"}});
    let body = body.to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, server.secret.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = format!("sha256={hex}");
    let headers = [
        ("Content-Type", "application/json"),
        ("X-GitHub-Event", "push"),
        ("X-Hub-Signature-256", &signature),
    ];
    server.post("/hook/team/app", &headers, body.as_bytes()).unwrap()
}

fn count(place: &Place, line: &str) -> usize {
    place.written().lines().filter(|other| *other == line).count()
}

/// Makes every wait of a process for its disk last longer, as long as it lives.
struct SlowDisk(Child);

impl SlowDisk {
    fn of(server: &Server, seconds: u32, log: &Path) -> Option<Self> {
        let inject = format!("inject=fsync,fdatasync:delay_enter={}", seconds * 1_000_000);
        let child = Command::new("strace")
            .args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-e", &inject, "-o"])
            .arg(log)
            .args(["-p", &server.child.id().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let slow = Self(child);
        let status = || fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap_or_default();
        let is_traced =
            || status().lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !is_traced() {
            if std::time::Instant::now() > end {
                return None;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Some(slow)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // Whoever is let go by a tracer that ends in peace goes on.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn on_a_slow_disk_hooks_wait_together_and_each_push_is_done_once() {
    const BRANCHES: usize = 24;
    let place = Place::new(STEPS);
    let mut server = place.serve("lease: \"10s\",", "branches: \"**\"");
    let said = || place.written();
    until("the first commit is done", said, || place.written().contains("main").then_some(()));
    let clone = place.path("clone");
    let commits: Vec<(String, String)> = (0..BRANCHES)
        .map(|number| {
            let branch = format!("b{number}");
            git(&clone, &["checkout", "-q", "-b", &branch]);
            git(&clone, &["commit", "-q", "--allow-empty", "-m", &branch]);
            git(&clone, &["push", "-q", "origin", &branch]);
            let commit = git(&clone, &["rev-parse", "HEAD"]);
            (branch, commit)
        })
        .collect();
    let trace = place.path("trace");
    let Some(slow) = SlowDisk::of(&server, 1, &trace) else {
        eprintln!("SKIPPED: there is no strace, or it may trace nobody");
        return;
    };
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let server = &server;
        let asked: Vec<_> = commits
            .iter()
            .map(|(branch, commit)| scope.spawn(move || told(server, branch, commit).0))
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(answers, [202; BRANCHES]);
    let synced = fs::read_to_string(&trace).unwrap();
    let waits = synced.lines().filter(|line| line.contains("queue.db-wal")).count();
    assert!((1..BRANCHES).contains(&waits), "{waits} waits for {BRANCHES} hooks:\n{synced}");
    // Whatever was answered is on the disk: the service ends at once, and nothing of it is lost.
    drop(slow);
    let _ = server.child.kill();
    let _ = server.child.wait();
    let server = place.serve("lease: \"10s\",", "branches: \"**\"");
    let slow = SlowDisk::of(&server, 1, &place.path("trace-2"));
    let lines: Vec<String> = commits.iter().map(|(branch, commit)| format!("{branch} {commit}")).collect();
    until("all are done", said, || lines.iter().all(|line| count(&place, line) > 0).then_some(()));
    drop(slow);
    // At most the one that ran when the service was killed ran a second time; a lease was lost by nobody.
    let twice = lines.iter().filter(|line| count(&place, line) > 1).count();
    assert!(twice <= 1 && lines.iter().all(|line| count(&place, line) <= 2), "{}", place.written());
    assert!(!server.said().contains("said nothing"), "{}", server.said());
}

#[test]
fn with_nothing_but_imk_a_job_finds_what_an_earlier_one_built() {
    let place = Place::new("step: none\nshell: ['true']\n");
    let clone = place.path("clone");
    fs::remove_file(clone.join("integration.yml")).unwrap();
    fs::create_dir(clone.join("app")).unwrap();
    fs::write(clone.join("app/Dockerfile"), "FROM scratch\nCOPY a /\n").unwrap();
    fs::write(clone.join("app/a"), "1").unwrap();
    place.pushed("begin");
    let server = place.serve_as("", "do: \"build\"", |command| {
        command.env("IMK_ENGINE", "embedded");
    });
    let end = |job: usize| {
        let words = format!("job {job} (");
        until(
            &words,
            || server.said(),
            || server.said().lines().find(|line| line.starts_with(&words)).map(str::to_owned),
        )
    };
    let log = |job: usize| fs::read_to_string(place.path(&format!("state/logs/{job}.log"))).unwrap();
    assert!(end(1).contains("1 built"), "{}\n{}", server.said(), log(1));
    let commit = place.pushed("beside the image");
    assert_eq!(told(&server, "main", &commit).0, 202);
    assert!(end(2).contains("1 fresh"), "{}\n{}", server.said(), log(2));
}

/// The library that has a process believe another time.
const FAKETIME: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

#[test]
fn a_clock_that_jumps_by_days_loses_no_push_and_repeats_none() {
    let Some(library) = FAKETIME.iter().find(|path| Path::new(path).exists()) else {
        eprintln!("SKIPPED: there is no libfaketime");
        return;
    };
    let place = Place::new(STEPS);
    let clock = place.path("clock");
    let set = |days: i32| {
        fs::write(place.path("clock-new"), format!("{:+}\n", days * 86_400)).unwrap();
        fs::rename(place.path("clock-new"), &clock).unwrap();
    };
    set(0);
    // Half a day from now: a day ahead passes it once.
    let hour = (jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour() + 12) % 24;
    let serve = || {
        place.serve_as("lease: \"10s\",", &format!("schedule: \"0 {hour} * * * UTC\""), |command| {
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
            // What nobody can set on a real machine stays as it is here.
            command
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("NO_FAKE_STAT", "1");
        })
    };
    let mut server = serve();
    let said = || place.written();
    let done = |times: usize, line: &str| {
        until(line, said, || (count(&place, line) >= times).then_some(()));
    };
    let begin = format!("main {}", git(&place.path("clone"), &["rev-parse", "HEAD"]));
    done(1, &begin);
    let mut pushed = Vec::new();
    let push = |server: &Server, text: &str, pushed: &mut Vec<String>| {
        let commit = place.pushed(text);
        assert_eq!(told(server, "main", &commit).0, 202, "{text}");
        let line = format!("main {commit}");
        until(&line, said, || (count(&place, &line) > 0).then_some(()));
        pushed.push(commit);
    };
    set(1);
    // Its time came, so the outside is looked at once more.
    done(2, &begin);
    push(&server, "a day ahead", &mut pushed);
    set(0);
    push(&server, "today", &mut pushed);
    set(-1);
    push(&server, "yesterday", &mut pushed);
    // An old message, told again at another time.
    let answer = told(&server, "main", &pushed[2]);
    assert!(answer.0 == 202 && answer.1.contains("nothing"), "{answer:?}");
    let page = server.said();
    // In peace: a job that runs while its service is killed is done again.
    let process = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert!(server.child.wait().unwrap().success(), "{}", server.said());
    drop(server);
    set(0);
    let server = serve();
    push(&server, "after a restart", &mut pushed);
    let counts: Vec<usize> = pushed.iter().map(|commit| count(&place, &format!("main {commit}"))).collect();
    assert_eq!((counts, count(&place, &begin)), (vec![1; 4], 2), "{}", place.written());
    assert!(!page.contains("said nothing") && !page.contains("panicked"), "{page}");
}
