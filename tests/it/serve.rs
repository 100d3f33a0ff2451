//! `imk serve`: what is pushed is found, queued, done and told, whoever is killed meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fs_err as fs;
use imk::service::model::{Job, JobState};
use imk::service::queue::redis::RedisQueue;
use imk::service::queue::sqlite::SqliteQueue;
use imk::service::queue::{Filter, Queue, Rules};

use crate::sandbox::{Sandbox, engine_or_skip};

/// However slow the machine is.
const LIMIT: Duration = Duration::from_secs(600);

/// Repositories that people push to, a folder for steps to write into, and services.
pub struct Lab {
    folder: tempfile::TempDir,
    settings: String,
    redis: Option<Child>,
}

/// A service, or a worker, that runs.
pub struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, heard) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&said));
        std::thread::spawn(move || {
            lines.lines().map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line));
        });
        Self { child, said }
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    pub fn until(&self, what: &str) {
        until(what, || self.said().contains(what), || self.said());
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub fn terminate(&mut self) -> i32 {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn until(what: &str, is_so: impl Fn() -> bool, said: impl Fn() -> String) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "not {what}:\n{}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Some numbers of one start, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most.max(1)
    }
}

impl Lab {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("imk-serve-").tempdir().unwrap();
        // Steps run as users of their own, where the service is root.
        fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let lab = Self { folder, settings: String::new(), redis: None };
        fs::create_dir(lab.path("out")).unwrap();
        fs::set_permissions(lab.path("out"), std::fs::Permissions::from_mode(0o777)).unwrap();
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A repository with these files on branches of these names, each with a commit of its own.
    pub fn repository(&mut self, name: &str, branches: &[String], policy: &str, files: &[(&str, &str)]) {
        let root = self.path("origins").join(name);
        fs::create_dir_all(&root).unwrap();
        git(&root, &["init", "-q", "-b", "main"]);
        for (path, text) in files {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        for branch in branches {
            fs::write(root.join("branch"), branch).unwrap();
            git(&root, &["checkout", "-q", "-B", branch]);
            git(&root, &["add", "-A"]);
            git(&root, &["commit", "-q", "-m", &format!("begin {branch}")]);
        }
        let out = self.path("out");
        self.settings += &format!(
            "{name:?}: (url: {:?}, branches: \"**\", env: {{\"OUT\": {:?}}}, {policy}),\n",
            root.display().to_string(),
            out.display().to_string()
        );
    }

    pub fn write(&self, top: &str) {
        fs::write(self.path("serve.ron"), format!("({top} repositories: {{{}}})", self.settings)).unwrap();
    }

    pub fn command(&self, verb: &str, state: &str) -> Command {
        let sandbox = Sandbox::empty();
        let mut command = sandbox.command("", verb);
        command.current_dir(self.folder.path()).arg("--config").arg(self.path("serve.ron"));
        command.arg("--state").arg(self.path(state));
        command
    }

    pub fn serve(&self) -> Running {
        let mut command = self.command("serve", "state");
        command.args(["--listen", "127.0.0.1:0"]);
        Running::start(command)
    }

    /// Jobs as the queue has them. Whoever serves from a file has ended.
    pub fn jobs(&self) -> Vec<Job> {
        let all = Filter { limit: 1_000_000, ..Filter::default() };
        match self.redis {
            Some(_) => self.queue().jobs(&all).unwrap(),
            None => {
                let path = self.path("state/queue/queue.db");
                SqliteQueue::open(&path, Rules::default()).unwrap().jobs(&all).unwrap()
            }
        }
    }

    fn start_redis(&mut self) {
        fs::create_dir_all(self.path("redis")).unwrap();
        let words = "--port 0 --unixsocket redis.sock --appendonly yes --appendfsync always --save";
        let child = Command::new("redis-server")
            .args(words.split(' '))
            .arg("")
            .current_dir(self.path("redis"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.redis = Some(child);
    }

    fn kill_redis(&mut self) {
        if let Some(child) = &mut self.redis {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn address(&self) -> String {
        format!("redis+unix://{}", self.path("redis/redis.sock").display())
    }

    fn queue(&self) -> RedisQueue {
        let end = Instant::now() + LIMIT;
        loop {
            match RedisQueue::open(&self.address(), Rules::default()) {
                Ok(queue) => return queue,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lines that steps of each branch wrote.
    fn written(&self) -> BTreeMap<String, Vec<String>> {
        let mut written = BTreeMap::new();
        for entry in fs::read_dir(self.path("out")).unwrap() {
            let entry = entry.unwrap();
            let lines = fs::read_to_string(entry.path()).unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            written.insert(name, lines.lines().map(str::to_owned).collect());
        }
        written
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill_redis();
    }
}

fn git(root: &Path, words: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=imk", "-c", "user.email=imk@invalid"])
        .args(words)
        .current_dir(root)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

const STEP: &[(&str, &str)] =
    &[("integration.yml", "step: works\nshell:\n  - echo $COMMIT >> $OUT/$(cat branch)\n  - \"true\"\n")];

/// As many as a variable says, for longer runs.
fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().expect(variable))
}

#[test]
fn what_is_pushed_is_found_and_done_and_a_restart_does_nothing_again() {
    let mut lab = Lab::new();
    lab.repository("team/app", &["main".into()], "poll: \"1s\"", STEP);
    lab.repository(
        "broken",
        &["main".into()],
        "poll: \"1s\"",
        &[("integration.yml", "step: fails\nshell: exit 3\n")],
    );
    lab.write("");
    let mut service = lab.serve();
    service.until("(team/app main) done: 1 step passed");
    service.until("(broken main) failed: ");
    let origin = lab.path("origins/team/app");
    fs::write(origin.join("branch"), "again").unwrap();
    git(&origin, &["commit", "-q", "-a", "-m", "push"]);
    until("the push is done", || lab.written().contains_key("again"), || service.said());
    service.until("job 3 (team/app main) done");
    assert_eq!(service.terminate(), 0, "{}", service.said());
    let jobs = lab.jobs();
    assert_eq!(jobs.len(), 3, "{jobs:?}");
    let log = fs::read_to_string(lab.path("state/logs/3.log")).unwrap();
    assert!(log.contains("== works") && log.contains("$ true"), "{log}");
    assert!(fs::read_dir(lab.path("state/checkouts")).unwrap().next().is_none(), "checkouts are left");
    // The queue is a file, and goes on where it was.
    let mut service = lab.serve();
    service.until("keeps fresh: broken, team/app");
    git(&origin, &["commit", "-q", "--allow-empty", "-m", "another"]);
    service.until("job 4 (team/app main) done");
    service.terminate();
    assert_eq!((lab.jobs().len(), lab.written()["again"].len()), (4, 2));
}

#[test]
fn without_a_file_it_starts_and_says_what_to_do_next() {
    let lab = Lab::new();
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command("", "serve --listen 127.0.0.1:0");
    command.arg("--state").arg(lab.path("state"));
    let mut service = Running::start(command);
    service.until("imk serve keys");
    assert!(service.said().contains("listening at http://127.0.0.1:"), "{}", service.said());
    // A second one does not share its folder.
    let mut second = sandbox.command("", "serve --listen 127.0.0.1:0");
    second.arg("--state").arg(lab.path("state"));
    let second = sandbox.run(second.output().unwrap()).code(2);
    assert!(second.err().contains("another service has the folder"), "{}", second.err());
    assert_eq!(service.terminate(), 0);
}

#[test]
fn a_mistake_in_the_file_has_its_place_and_secrets_are_shown_for_their_hook() {
    let mut lab = Lab::new();
    fs::write(lab.path("serve.ron"), "(\n    repositores: {},\n)\n").unwrap();
    let sandbox = Sandbox::empty();
    let run = |lab: &Lab, verb: &str| sandbox.run(lab.command(verb, "state").output().unwrap());
    let wrong = run(&lab, "serve check").code(2);
    assert!(
        wrong.err().contains("serve.ron:2:5") && wrong.err().contains("did you mean `repositories`"),
        "{}",
        wrong.err()
    );
    lab.repository("team/app", &["main".into()], "schedule: \"0 3 * * * Europe/Berlin\"", STEP);
    lab.write("public_url: \"https://imk.example.com\",");
    let checked = run(&lab, "serve check").code(0);
    assert!(checked.stdout.contains("team/app: publish **, looked at every 180s"), "{}", checked.out());
    assert!(checked.out().contains("\"0 3 * * * Europe/Berlin\", next 2"), "{}", checked.out());
    let one = run(&lab, "serve secret team/app").code(0).out();
    assert!(one.contains("https://imk.example.com/hook/team/app\n"), "{one}");
    assert_eq!(run(&lab, "serve secret team/app").code(0).out(), one);
    assert_ne!(run(&lab, "serve secret team/app --rotate").code(0).out(), one);
    let unknown = run(&lab, "serve secret team/ap").code(2);
    assert!(unknown.err().contains("there are: team/app"), "{}", unknown.err());
    assert!(run(&lab, "serve keys").code(0).out().contains("public_url"));
    let none = run(&lab, "worker").code(2);
    assert!(none.err().contains("--queue redis://HOST:PORT"), "{}", none.err());
}

/// Has services killed at random moments until all of so many branches are done, and looks whether that was once and right.
fn killed(
    lab: &mut Lab,
    jobs: usize,
    mut start: impl FnMut(&Lab, usize) -> Running,
    parts: usize,
    redis: bool,
) {
    let mut random = Random(jobs as u64);
    let done = |lab: &Lab| lab.written().len();
    let mut services: Vec<Running> = (0..parts).map(|part| start(lab, part)).collect();
    let mut kills = 0;
    while done(lab) < jobs {
        let next = done(lab) + 1 + usize::try_from(random.below(jobs as u64 / 6 + 1)).unwrap();
        let all = || services.iter().map(Running::said).collect::<Vec<_>>().join("\n--\n");
        until("more is done", || done(lab) >= next.min(jobs), all);
        if done(lab) >= jobs {
            break;
        }
        std::thread::sleep(Duration::from_millis(random.below(60)));
        let victim = usize::try_from(random.below(parts as u64 + u64::from(redis))).unwrap();
        if victim == parts {
            lab.kill_redis();
            lab.start_redis();
        } else {
            services[victim].kill();
            services[victim] = start(lab, victim);
        }
        kills += 1;
    }
    let all = || services.iter().map(Running::said).collect::<Vec<_>>().join("\n--\n");
    let marker = "all have ended";
    match redis {
        true => {
            let queue = lab.queue();
            let is_idle = || queue.counts().is_ok_and(|counts| counts.queued + counts.running == 0);
            until(marker, is_idle, all);
        }
        // Of a file, only its own service may ask: it drains, and the rest is looked at.
        false => services.iter_mut().for_each(|service| {
            service.terminate();
        }),
    }
    services.iter_mut().for_each(Running::kill);
    eprintln!("{jobs} jobs, {kills} kills");
}

/// Every branch was done, each to one result; nothing is dead.
fn check(lab: &Lab, jobs: usize) {
    let written = lab.written();
    assert_eq!(written.len(), jobs);
    for (branch, commits) in &written {
        assert!(commits.iter().all(|commit| *commit == commits[0]), "{branch}: {commits:?}");
    }
    let all = lab.jobs();
    let mut good: BTreeMap<&str, usize> = BTreeMap::new();
    for job in &all {
        match &job.state {
            JobState::Done { outcome } if outcome.ok => *good.entry(&job.work.branch).or_default() += 1,
            // It was at work when the last one was asked to end.
            JobState::Queued => {}
            other => panic!("job {}: {other:?}", job.id),
        }
    }
    assert!(good.values().all(|times| *times == 1), "{good:?}");
    assert_eq!(all.len(), jobs, "a job was lost, or made twice");
}

#[test]
fn a_service_that_is_killed_again_and_again_loses_no_job_and_does_none_twice_to_different_ends() {
    let jobs = count("IMK_TEST_JOBS", 60);
    let mut lab = Lab::new();
    for number in 0..10 {
        let branches = names(&format!("r{number}b"), jobs / 10);
        lab.repository(&format!("r{number}"), &branches, "poll: \"2s\"", STEP);
    }
    lab.write("workers: 3, tries: 20,");
    killed(&mut lab, jobs / 10 * 10, |lab, _| lab.serve(), 1, false);
    check(&lab, jobs / 10 * 10);
}

#[test]
fn workers_server_and_redis_are_killed_and_every_job_is_done() {
    let is_there = Command::new("redis-server").arg("--version").output().is_ok();
    if !is_there && std::env::var_os("IMK_TEST_NO_ENGINE").is_some() {
        eprintln!("SKIPPED: there is no `redis-server`, and IMK_TEST_NO_ENGINE is set");
        return;
    }
    let jobs = count("IMK_TEST_JOBS", 60);
    let mut lab = Lab::new();
    lab.start_redis();
    for number in 0..10 {
        let branches = names(&format!("r{number}b"), jobs / 10);
        lab.repository(&format!("r{number}"), &branches, "poll: \"2s\"", STEP);
    }
    lab.write(&format!("queue: {:?}, lease: \"3s\", tries: 100,", lab.address()));
    drop(lab.queue());
    let start = |lab: &Lab, part: usize| match part {
        0 => {
            let mut command = lab.command("serve", "state");
            command.args(["--listen", "127.0.0.1:0", "--workers", "0"]);
            Running::start(command)
        }
        part => {
            let mut command = lab.command("worker", &format!("worker{part}"));
            command.args(["--workers", "2", "--name", &format!("w{part}")]);
            Running::start(command)
        }
    };
    killed(&mut lab, jobs / 10 * 10, start, 3, true);
    check(&lab, jobs / 10 * 10);
    // Logs of workers elsewhere reach the server.
    let server = start(&lab, 0);
    let path = lab.path("state/logs");
    let logs = || fs::read_dir(&path).map(Iterator::count).unwrap_or_default();
    until("the logs are here", || logs() >= jobs / 10 * 10, || server.said());
}

/// A small file system of its own, until dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m,mode=755", "tmpfs"]).arg(&at).output();
        let is_good = mounted.is_ok_and(|output| output.status.success());
        if !is_good {
            eprintln!("SKIPPED: no file system can be mounted here");
        }
        is_good.then_some(Self(at))
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        for size in [64 << 10, 4 << 10, 512, 1] {
            while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_takes_no_job_and_loses_none() {
    let mut lab = Lab::new();
    let Some(disk) = Small::mount(lab.path("state")) else { return };
    lab.repository("a", &["main".into()], "poll: \"1s\"", STEP);
    lab.write("tries: 50,");
    let mut service = lab.serve();
    service.until("job 1 (a main) done");
    disk.fill();
    git(&lab.path("origins/a"), &["commit", "-q", "--allow-empty", "-m", "next"]);
    service.until("a cannot be looked at: the queue");
    disk.free();
    service.until("a answers again");
    service.until("job 2 (a main) done");
    assert_eq!(service.terminate(), 0, "{}", service.said());
    drop(service);
    assert_eq!(lab.jobs().len(), 2);
}

#[test]
fn real_builds_outlive_a_service_that_is_killed() {
    if engine_or_skip("serve-builds").is_none() {
        return;
    }
    let jobs = count("IMK_TEST_BUILDS", 20);
    let mut lab = Lab::new();
    for number in 0..4 {
        let dockerfile = format!("FROM scratch\nCOPY branch /r{number}\n");
        let branches = names(&format!("r{number}b"), jobs / 4);
        let files = [("Dockerfile", dockerfile.as_str())];
        lab.repository(&format!("r{number}"), &branches, "poll: \"2s\", do: \"build\"", &files);
    }
    lab.write("workers: 2, tries: 20,");
    let mut random = Random(7);
    let total = jobs / 4 * 4;
    let mut service = lab.serve();
    let mut done = 0;
    while done < total {
        let lines = |service: &Running| service.said().matches(" done: ").count();
        let next = 1 + usize::try_from(random.below(4)).unwrap();
        until("more is built", || done + lines(&service) >= (done + next).min(total), || service.said());
        std::thread::sleep(Duration::from_millis(random.below(400)));
        done += lines(&service);
        assert!(!service.said().contains(" failed: "), "{}", service.said());
        service.kill();
        // A line may be lost with its service; the queue is not.
        let good = lab
            .jobs()
            .iter()
            .filter(|job| matches!(&job.state, JobState::Done { outcome } if outcome.ok))
            .count();
        done = done.max(good);
        service = lab.serve();
    }
    service.terminate();
    let jobs = lab.jobs();
    assert_eq!(jobs.len(), total);
    for job in &jobs {
        let JobState::Done { outcome } = &job.state else { panic!("{job:?}") };
        assert!(outcome.ok && outcome.summary.contains(" 0 failed"), "{outcome:?}");
    }
}
