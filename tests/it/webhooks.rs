//! Hooks of every forge, against a running `imk serve`: a real `git push` to a repository whose hook signs and posts as that
//! forge does, statuses at a forge that listens, and thousands of requests of people who know no secret.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fs_err as fs;
use imk::service::secrets::Secrets;
use ring::hmac;

use crate::sandbox::Sandbox;

/// However slow the machine is.
const LIMIT: Duration = Duration::from_secs(600);

pub fn until<T>(what: &str, said: impl Fn() -> String, is_so: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = is_so() {
            return found;
        }
        assert!(Instant::now() < end, "never {what}:\n{}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn git(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"])
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A forge-like place: a bare repository, a clone of somebody who pushes, and a folder that steps write to.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new(steps: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("imk-webhooks-").tempdir().unwrap();
        // Steps run as a user of their own, where the service is root.
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let place = Self { folder };
        fs::create_dir_all(place.path("out")).unwrap();
        fs::set_permissions(place.path("out"), PermissionsExt::from_mode(0o777)).unwrap();
        fs::create_dir_all(place.path("forge/team")).unwrap();
        git(place.folder.path(), &["init", "-q", "--bare", "-b", "main", "forge/team/app.git"]);
        git(place.folder.path(), &["clone", "-q", "forge/team/app.git", "clone"]);
        git(&place.path("clone"), &["checkout", "-q", "-B", "main"]);
        fs::write(place.path("clone/integration.yml"), steps).unwrap();
        place.pushed("begin");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commits something and pushes it; gives the commit.
    pub fn pushed(&self, text: &str) -> String {
        let clone = self.path("clone");
        fs::write(clone.join("file"), text).unwrap();
        git(&clone, &["add", "-A"]);
        git(&clone, &["commit", "-q", "-m", text]);
        git(&clone, &["push", "-q", "origin", "main"]);
        git(&clone, &["rev-parse", "HEAD"])
    }

    pub fn serve(&self, top: &str, policy: &str) -> Server {
        self.serve_as(top, policy, |_| {})
    }

    /// As [`Self::serve`], with more in its environment.
    pub fn serve_as(&self, top: &str, policy: &str, furnish: impl FnOnce(&mut Command)) -> Server {
        let url = self.path("forge/team/app.git").display().to_string();
        let out = self.path("out").display().to_string();
        let text = format!(
            "({top} repositories: {{\"team/app\": (url: {url:?}, poll: \"never\", env: {{\"OUT\": {out:?}}}, {policy})}})"
        );
        fs::write(self.path("serve.ron"), text).unwrap();
        let sandbox = Sandbox::empty().without_engine();
        let mut command = sandbox.command("", "serve");
        command.current_dir(self.folder.path()).arg("--config").arg(self.path("serve.ron"));
        command.arg("--state").arg(self.path("state")).args(["--listen", "127.0.0.1:0"]);
        command.env("FORGE_TOKEN", "t0ken-of-the-forge").env("CHAT", "http://127.0.0.1:1/never");
        furnish(&mut command);
        Server::start(command, &self.path("state"))
    }

    /// Lines that steps wrote.
    pub fn written(&self) -> String {
        fs::read_to_string(self.path("out/log")).unwrap_or_default()
    }
}

/// A service that runs.
pub struct Server {
    pub child: Child,
    said: Arc<Mutex<Vec<String>>>,
    address: String,
    pub secret: String,
    path: String,
}

impl Server {
    fn start(mut command: Command, state: &Path) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, heard) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&said));
        std::thread::spawn(move || {
            lines.lines().map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line));
        });
        let all = || said.lock().unwrap().join("\n");
        let address = until("it listens", all, || {
            let all = all();
            let rest = all.split("listening at http://").nth(1)?;
            rest.contains(',').then(|| rest.split(',').next().unwrap_or_default().trim().to_owned())
        });
        let pair = Secrets::at(state).of("team/app", jiff::Timestamp::now()).unwrap();
        let (secret, path) = (pair.hook[0].shown().to_owned(), pair.path[0].shown().to_owned());
        Self { child, said, address, secret, path }
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Sends bytes as they are, and gives status and body of the answer; none where the connection was ended instead, as it
    /// is when the sender ends it first.
    fn raw(&self, request: &[u8], is_whole: bool) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // A server that has heard enough need not hear the rest.
        let _ = stream.write_all(request);
        if !is_whole {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned()))
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<(u16, String)> {
        let mut request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n", body.len());
        self.raw(&[request.as_bytes(), body].concat(), true)
    }

    /// A field of `/proc/PID/status`, in KiB.
    fn memory(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const STEPS: &str = "\
step: note
shell:
- printf '%s %s %s\\n' \"$BRANCH\" \"$COMMIT\" \"$MESSAGE\" >> \"$OUT/log\"
";

/// Signs and posts as each forge does; git calls it after a push.
const HOOK: &str = r#"#!/bin/sh
while read -r old new ref; do
    repository='"repository":{"full_name":"team/app","default_branch":"main"}'
    case "$FORGE" in
    gitlab*) body="{\"object_kind\":\"push\",\"ref\":\"$ref\",\"before\":\"$old\",\"after\":\"$new\",\"project\":{\"default_branch\":\"main\"}}" ;;
    bitbucket) body="{\"push\":{\"changes\":[{\"new\":{\"type\":\"branch\",\"name\":\"${ref#refs/heads/}\",\"target\":{\"hash\":\"$new\",\"message\":\"x\"}}}]}}" ;;
    *) body="{\"ref\":\"$ref\",\"before\":\"$old\",\"after\":\"$new\",$repository,\"head_commit\":{\"message\":\"x\"}}" ;;
    esac
    hex=$(printf %s "$body" | openssl dgst -sha256 -hmac "$SECRET" | sed 's/.* //')
    sha1=$(printf %s "$body" | openssl dgst -sha1 -hmac "$SECRET" | sed 's/.* //')
    now=$(date +%s)
    key=$(printf %s "${SECRET#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
    standard=$(printf '%s.%s.%s' "$new" "$now" "$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64 -w0)
    path=/hook/team/app
    case "$FORGE" in
    github) set -- -H 'X-GitHub-Event: push' -H "X-GitHub-Delivery: $new" -H "X-Hub-Signature-256: sha256=$hex" ;;
    gitea) set -- -H 'X-Gitea-Event: push' -H 'X-GitHub-Event: push' -H "X-Gitea-Signature: $hex" -H "X-Hub-Signature-256: sha256=$hex" ;;
    forgejo) set -- -H 'X-Forgejo-Event: push' -H 'X-Gitea-Event: push' -H 'X-GitHub-Event: push' -H "X-Forgejo-Signature: $hex" ;;
    gitlab) set -- -H 'X-Gitlab-Event: Push Hook' -H "X-Gitlab-Token: $SECRET" ;;
    gitlab-signed) set -- -H 'X-Gitlab-Event: Push Hook' -H "webhook-id: $new" -H "webhook-timestamp: $now" -H "webhook-signature: v1,$standard" ;;
    bitbucket) set -- -H 'X-Event-Key: repo:push' -H "X-Hub-Signature: sha256=$hex" ;;
    old) path=/; set -- -H "X-Hub-Signature: sha1=$sha1" ;;
    esac
    curl -sS -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/json' "$@" --data-binary "$body" "http://$ADDRESS$path" >> "$ANSWERS"
done
"#;

#[test]
fn a_push_to_each_forge_is_done_once_by_its_hook() {
    for program in ["curl", "openssl"] {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("SKIPPED: there is no `{program}`");
            return;
        }
    }
    let place = Place::new(STEPS);
    let server = place.serve("", "sha1: true");
    let said = || format!("{}\n{}", place.written(), server.said());
    // The first look finds what is there, since no hook told of it.
    until("the first commit is done", said, || place.written().contains("begin").then_some(()));
    let hook = place.path("forge/team/app.git/hooks/post-receive");
    let answers = place.path("answers");
    let install = |forge: &str, secret: &str| {
        let head = format!(
            "#!/bin/sh\nFORGE={forge} SECRET='{secret}' ADDRESS={} ANSWERS={}\n",
            server.address,
            answers.display()
        );
        fs::write(&hook, HOOK.replace("#!/bin/sh\n", &head)).unwrap();
        fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    };
    for forge in ["github", "gitea", "forgejo", "gitlab", "gitlab-signed", "bitbucket", "old"] {
        // Bitbucket does not say which branch is the repository's own; the look has found it.
        install(forge, &server.secret);
        let commit = place.pushed(&format!("by {forge}"));
        until(forge, said, || place.written().contains(&format!("main {commit} by {forge}")).then_some(()));
    }
    let codes = fs::read_to_string(&answers).unwrap();
    assert_eq!(codes.lines().collect::<Vec<_>>(), ["202"; 7]);

    // Others are answered, and nothing comes of them.
    fs::remove_file(&answers).unwrap();
    let clone = place.path("clone");
    install("github", &server.secret);
    git(&clone, &["push", "-q", "origin", "main:refs/heads/other"]);
    git(&clone, &["push", "-q", "origin", "main:refs/tags/v1"]);
    git(&clone, &["push", "-q", "origin", ":refs/heads/other"]);
    install("github", "not the secret");
    let unheard = place.pushed("unheard");
    let codes = fs::read_to_string(&answers).unwrap();
    assert_eq!(codes.lines().collect::<Vec<_>>(), ["200", "200", "200", "401"]);
    install("gitea", &server.secret);
    let last = place.pushed("last");
    until("the last", said, || place.written().contains(&last).then_some(()));
    let lines: Vec<String> = place.written().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 9, "{lines:#?}");
    assert!(!place.written().contains(&unheard), "{lines:#?}");
}

/// A request that a forge heard: its first line, its headers in small letters, its body.
pub type Heard = (String, String, String);

/// A forge that answers everything well, but for its first request.
pub fn forge() -> (String, Arc<Mutex<Vec<Heard>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
    let all = Arc::clone(&heard);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut reader = BufReader::new(stream);
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            let headers = lines.iter().skip(1).map(|line| line.to_lowercase()).collect::<Vec<_>>().join("\n");
            let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
            let _ = reader.read_exact(&mut body);
            let status = if number == 0 { "502 Bad Gateway" } else { "201 Created" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = reader.get_mut().write_all(answer.as_bytes());
            let body = String::from_utf8_lossy(&body).into_owned();
            all.lock().unwrap().push((lines.first().cloned().unwrap_or_default(), headers, body));
        }
    });
    (address, heard)
}

#[test]
fn the_forge_and_the_chat_hear_how_a_job_went_and_no_log_has_their_secrets() {
    for (software, path, login) in [
        ("github", "/repos/team/app/statuses/", "authorization: bearer t0ken-of-the-forge"),
        ("gitlab", "/projects/team%2Fapp/statuses/", "private-token: t0ken-of-the-forge"),
        ("gitea", "/repos/team/app/statuses/", "authorization: token t0ken-of-the-forge"),
        ("bitbucket", "/repositories/team/app/commit/", "authorization: bearer t0ken-of-the-forge"),
    ] {
        let place = Place::new(
            "step: a\nshell: ['echo said', 'tools hipchat -c red 883987 hello there -d', 'false']\n",
        );
        let (address, heard) = forge();
        let top = format!(
            "credentials: {{\"team\": (forge_token: Env(\"FORGE_TOKEN\"))}}, notify: {{\"chat\": Slack(\"http://{address}/chat/s3cr3t-path\")}},"
        );
        let policy = format!(
            "credentials: \"team\", forge: {software:?}, forge_api: \"http://{address}/api\", notify: [\"chat\"]"
        );
        let server = place.serve(&top, &policy);
        let said = || format!("{:#?}\n{}", heard.lock().unwrap(), server.said());
        let is_end = |(line, _, body): &Heard| line.contains("/chat/") && body.contains("failed");
        until("the end is told", said, || heard.lock().unwrap().iter().any(is_end).then_some(()));
        let all = heard.lock().unwrap().clone();
        let statuses: Vec<&Heard> = all.iter().filter(|(line, ..)| line.contains("/api")).collect();
        // Beginning and end; what was first of all was told twice, since the forge was in trouble.
        assert!(statuses.len() >= 2, "{all:#?}");
        for (line, headers, _) in &statuses {
            assert!(
                line.starts_with(&format!("POST /api{path}")) && headers.contains(login),
                "{line}\n{headers}"
            );
        }
        let last = &statuses[statuses.len() - 1].2;
        assert!(last.to_lowercase().contains("fail"), "{last}");
        assert!(all.iter().any(|(_, _, body)| body.contains("hello there")), "{all:#?}");
        let log = fs::read_to_string(place.path("state/logs/1.log")).unwrap_or_default();
        assert!(log.contains("said\n") && log.contains("HipChat is no more"), "{log}");
        for text in [log, server.said()] {
            assert!(!text.contains("t0ken-of-the-forge") && !text.contains("s3cr3t-path"), "{text}");
        }
    }
}

/// Some numbers of one start, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

const PATHS: &[&str] = &[
    "/hook/team/app",
    "/hook/team/app?labels=$(id)",
    "/hook/../../../../etc/passwd",
    "/hook/%2e%2e/%2e%2e/etc/shadow",
    "/hook/team%2Fapp%00",
    "/hook//",
    "/hook/team/app/../../../state/secrets.json",
    "/registry/x/team/app",
    "/registry/%ff%fe/team/app",
    "/",
    "/JDK8+SBT",
    "/%00",
];

/// A request of somebody who knows no secret, and whether it is a whole one.
fn hostile(random: &mut Random) -> (Vec<u8>, bool) {
    let path = PATHS[random.below(PATHS.len())];
    let zeros = "0".repeat(64);
    let long = "a".repeat(20_000);
    let signatures = [
        format!("X-Hub-Signature-256: sha256={zeros}"),
        format!("X-Hub-Signature-256: sha256={zeros}\r\nX-Hub-Signature-256: sha256={zeros}"),
        "X-Hub-Signature-256: sha256=".to_owned(),
        "X-Hub-Signature: sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709".to_owned(),
        format!("X-Gitea-Event: push\r\nX-Gitea-Signature: {zeros}"),
        "X-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: ".to_owned(),
        "X-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: whsec_AAAA".to_owned(),
        "webhook-id: 1\r\nwebhook-timestamp: 99999999999999999999\r\nwebhook-signature: v1,AAAA".to_owned(),
        format!("webhook-id: 1\r\nwebhook-timestamp: {}\r\nwebhook-signature: v1,{long}", i64::MIN),
        "X-GitHub-Event: \u{fffd}\u{202e}".to_owned(),
        "Content-Encoding: gzip\r\nX-GitHub-Event: push".to_owned(),
        "Content-Type: application/x-www-form-urlencoded\r\nX-GitHub-Event: push".to_owned(),
        String::new(),
    ];
    let signature = &signatures[random.below(signatures.len())];
    let signature = if signature.is_empty() { String::new() } else { format!("{signature}\r\n") };
    let deep = "[".repeat(50_000);
    let escapes = "%".repeat(5_000);
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        br#"{"ref":"refs/heads/main","after":"0123456789abcdef0123456789abcdef01234567","repository":{"full_name":"team/app"}}"#,
        b"\xff\xfe\x00{\"ref\":1}",
        b"payload=%7B%22ref%22%3A%22x%22%7D",
        deep.as_bytes(),
        escapes.as_bytes(),
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    ];
    let body = bodies[random.below(bodies.len())];
    let way = random.below(20);
    let length = match way {
        0 => "Content-Length: 99999999999\r\n".to_owned(),
        1 => "Content-Length: -1\r\n".to_owned(),
        2 => "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(),
        3 => "Transfer-Encoding: chunked\r\n".to_owned(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let host = ["localhost", "127.0.0.1", "evil.example", ""][random.below(40).min(3).min(random.below(4))];
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{signature}{length}\r\n");
    ([head.as_bytes(), body].concat(), way > 3)
}

#[test]
fn ten_thousand_hostile_requests_change_nothing_and_cost_nothing_that_stays() {
    let place = Place::new(STEPS);
    let server = place.serve("", "");
    let said = || server.said();
    until("the first commit is done", said, || place.written().contains("begin").then_some(()));
    let attack = |count: usize, seed: u64| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    let mut random = Random(seed + thread);
                    for _ in 0..count / 4 {
                        let (request, is_whole) = hostile(&mut random);
                        let answer = server.raw(&request, is_whole);
                        assert!(answer.is_some() || !is_whole || request.len() > 20_000, "no answer");
                        let Some((status, body)) = answer else { continue };
                        let is_no =
                            matches!(status, 400 | 401 | 404 | 405 | 408 | 411 | 413 | 414 | 421 | 431);
                        assert!(is_no, "{status} {body}");
                        assert!(!body.contains(&server.secret) && !body.contains("root:"), "{body}");
                        assert!(status != 401 || body.is_empty(), "{body}");
                    }
                });
            }
        });
    };
    // Slow ones, who say a little and then nothing, are there all the time.
    let slow: Vec<TcpStream> = (0..100)
        .map(|number| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            let begun: &[u8] = match number % 3 {
                0 => b"POST /hook/team/app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{",
                1 => b"POST /hook/team/app HT",
                _ => b"",
            };
            stream.write_all(begun).unwrap();
            stream
        })
        .collect();
    attack(2_000, 1);
    let (memory, files) = (server.memory(), server.open_files());
    attack(8_000, 100);
    let huge = vec![b'x'; 6 << 20];
    for _ in 0..20 {
        let answer = server.post("/hook/team/app", &[("X-GitHub-Event", "push")], &huge);
        assert!(answer.is_none_or(|(status, _)| status == 413));
    }
    let after = server.memory();
    assert!(after < memory + 48 * 1024, "{memory} KiB before, {after} KiB after 8,000 requests");
    drop(slow);
    until("its files are closed", said, || (server.open_files() <= files).then_some(()));
    let log = format!("{}\n{}", server.said(), place.written());
    assert!(
        !log.contains("panicked") && !log.contains(&server.secret) && !log.contains(&server.path),
        "{log}"
    );
    assert_eq!(place.written().lines().count(), 1, "{log}");
    // Whoever knows the secret is heard as before.
    let commit = place.pushed("after all of them");
    let body = format!(
        "{{\"ref\":\"refs/heads/main\",\"after\":\"{commit}\",\"repository\":{{\"full_name\":\"team/app\",\"default_branch\":\"main\"}}}}"
    );
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, server.secret.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = [("X-GitHub-Event", "push"), ("X-Hub-Signature-256", &format!("sha256={hex}"))];
    assert_eq!(server.post("/hook/team/app", &headers, body.as_bytes()).unwrap().0, 202);
    until("the push is done", said, || place.written().contains(&commit).then_some(()));
}
