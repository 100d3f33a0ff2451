//! `imk serve` as systemd starts it, and as its neighbour on the command line asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

/// However slow the machine is.
const LIMIT: Duration = Duration::from_secs(120);
const IMK: &str = env!("CARGO_BIN_EXE_imk");

/// A service, ended with its test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let begun = Instant::now();
    loop {
        // Until the service takes it, the socket holds a connection: nobody is turned away.
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        if stream.read_to_string(&mut answer).is_ok() && !answer.is_empty() {
            return answer;
        }
        assert!(begun.elapsed() < LIMIT, "no answer to {path}");
    }
}

#[test]
fn a_socket_that_is_handed_over_is_listened_at_and_outlives_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    // The second start is an upgrade: whoever calls meanwhile waits, and is answered by the newer one.
    for _ in 0..2 {
        let handed = OwnedFd::from(socket.try_clone().unwrap());
        let script = "LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec \"$0\" serve --listen systemd --state \"$1\" 3<&0 </dev/null";
        let child = Command::new("sh")
            .args(["-c", script, IMK])
            .arg(folder.path().join("state"))
            .current_dir(folder.path())
            .stdin(Stdio::from(handed))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut serving = Serving(child);
        assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200 OK"));
        assert!(get(&address, "/").contains("Nothing was built yet"));
        let id = rustix::process::Pid::from_child(&serving.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(serving.0.wait().unwrap().success(), "it drains and ends well");
    }
}

#[test]
fn without_a_socket_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), "serve --listen systemd --state state");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no socket was handed over: LISTEN_FDS is not set"), "{said}");
}

#[test]
fn the_units_start_what_there_is() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd");
    let service = fs::read_to_string(units.join("imk-serve.service")).unwrap();
    let socket = fs::read_to_string(units.join("imk-serve.socket")).unwrap();
    let words = service.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/imk ")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("serve.ron"),
        "(repositories: {\"a\": (url: \"https://git.example.com/a.git\")})",
    )
    .unwrap();
    // The same words, for a service that only says what it would do.
    let words = words.replace("/etc/imk/serve.ron", "serve.ron");
    let output = run(folder.path(), &format!("{words} --state state check"));
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("a: publish"), "{said}");
    assert!(service.contains("Requires=imk-serve.socket") && socket.contains("ListenStream=127.0.0.1:8737"));
}

#[test]
fn jobs_are_listed_and_tried_again_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    // Steps run as users of their own, where the service is root.
    fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let origin = folder.path().join("origin");
    fs::create_dir(&origin).unwrap();
    for words in [&["init", "-q", "-b", "main"][..], &["commit", "-q", "--allow-empty", "-m", "Begin"]] {
        let git = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(words)
            .current_dir(&origin)
            .status();
        assert!(git.unwrap().success());
    }
    // Steps that fail, which needs no engine.
    fs::write(origin.join("integration.yml"), "step: fail\nshell:\n- echo from the step\n- exit 3\n")
        .unwrap();
    for words in [&["add", "-A"][..], &["commit", "-q", "-m", "Break it"]] {
        let git = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(words)
            .current_dir(&origin)
            .status();
        assert!(git.unwrap().success());
    }
    let settings = format!("(repositories: {{\"team/images\": (url: {:?})}})", origin.display().to_string());
    fs::write(folder.path().join("serve.ron"), settings).unwrap();
    let child = command(folder.path(), "serve --listen 127.0.0.1:0 --state state")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut serving = Serving(child);
    let mut lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let address = lines
        .find_map(|line| {
            Some(line.unwrap().split_once("listening at http://")?.1.split([',', ' ']).next()?.to_owned())
        })
        .unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    let ask = |words: &str| {
        let output = run(folder.path(), &format!("serve {words} --listen {address} --state state"));
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let begun = Instant::now();
    let listed = loop {
        let (code, listed) = ask("jobs team/images");
        assert_eq!(code, Some(0), "{listed}");
        if listed.contains("failed") {
            break listed;
        }
        assert!(begun.elapsed() < LIMIT, "the job does not end: {listed}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(listed.contains("team/images") && listed.contains("main"), "{listed}");
    let job = listed.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(ask(&format!("log {job}")).1.contains("from the step"));
    assert!(get(&address, "/status/team/images").contains("[failed] exit 3... ("));
    assert!(get(&address, &format!("/jobs/{job}")).contains("\nfrom the step\n$ exit 3\n"));
    let (code, said) = ask(&format!("retry {job}"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("does the work of job {job} again")), "{said}");
    assert_eq!(ask("retry 9999").0, Some(2));
    assert!(ask("retry 9999").1.contains("no such job"));
    assert_eq!(ask("jobs ../etc").0, Some(2));
    let other = run(folder.path(), &format!("serve jobs --listen {address} --state other"));
    assert!(String::from_utf8_lossy(&other.stderr).contains("another token"));
    drop(serving);
    let (code, said) = ask("jobs");
    assert_eq!(code, Some(2));
    assert!(said.contains("no service answers at") && said.contains("imk serve"), "{said}");
}

fn command(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(IMK);
    command.args(words.split_whitespace()).current_dir(folder).env("HOME", folder).env_remove("LISTEN_FDS");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, words: &str) -> Output {
    command(folder, words).output().unwrap()
}
