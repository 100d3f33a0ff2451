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
fn systemd_accepts_the_units_and_finds_them_shut() {
    let analyze = |words: &[&str], folder: &Path| {
        Command::new("systemd-analyze").args(words).current_dir(folder).env("SYSTEMD_COLORS", "0").output()
    };
    if analyze(&["--version"], Path::new("/")).is_err() {
        eprintln!("SKIPPED systemd_accepts_the_units: there is no systemd-analyze");
        return;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd");
    let folder = tempfile::tempdir().unwrap();
    for unit in ["imk-serve.service", "imk-serve.socket"] {
        let text = fs::read_to_string(units.join(unit)).unwrap();
        // systemd looks for the program.
        fs::write(folder.path().join(unit), text.replace("/usr/bin/imk", IMK)).unwrap();
    }
    let verified = analyze(&["verify", "./imk-serve.service", "./imk-serve.socket"], folder.path()).unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // It says as well what is wrong with other units of this machine.
    assert!(verified.status.success() && !said.contains("imk-serve"), "{said}");
    let words = ["security", "--offline=true", "--threshold=65", "./imk-serve.service"];
    let security = analyze(&words, folder.path()).unwrap();
    assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
}

#[test]
fn jobs_are_listed_and_tried_again_from_the_command_line() {
    // Steps that fail, which needs no engine.
    let folder = place("step: fail\nshell:\n- echo from the step\n- exit 3\n", "");
    let (serving, address) = served(folder.path());
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
    let (code, said) = ask("log 9999");
    assert!(code == Some(2) && said.contains("`imk serve jobs` lists"), "{said}");
    assert_eq!(ask("jobs ../etc").0, Some(2));
    let other = run(folder.path(), &format!("serve jobs --listen {address} --state other"));
    assert!(String::from_utf8_lossy(&other.stderr).contains("no service has been started with the state"));
    run(folder.path(), "serve token --state other");
    let other = run(folder.path(), &format!("serve jobs --listen {address} --state other"));
    assert!(String::from_utf8_lossy(&other.stderr).contains("another token"));
    let (code, said) = ask("jobs team/imagse");
    assert!(code == Some(2) && said.contains("there are: team/images"), "{said}");
    // Whoever has the folder needs no address.
    let build = run(folder.path(), "serve build team/images --state state");
    assert_eq!(build.status.code(), Some(0), "{}", String::from_utf8_lossy(&build.stderr));
    let begun = Instant::now();
    while ask("log 3").0 != Some(0) {
        assert!(begun.elapsed() < LIMIT, "no job is made");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (code, said) = ask("log 3 --follow");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("from the step") && said.contains("job 3 failed: [failed] exit 3"), "{said}");
    drop(serving);
    let (code, said) = ask("jobs");
    assert_eq!(code, Some(2));
    assert!(said.contains("no service answers at") && said.contains("imk serve"), "{said}");
}

#[test]
fn a_log_is_followed_to_the_end_of_its_job_while_the_service_drains() {
    let folder = place(
        "step: waits\nshell:\n- echo begun\n- while [ ! -e $OUT/go ]; do sleep 0.1; done\n- echo on\n",
        "",
    );
    let (mut serving, address) = served(folder.path());
    // Nothing may have been looked at yet.
    let follow = loop {
        let output = run(folder.path(), "serve log 1 --state state");
        if String::from_utf8_lossy(&output.stdout).contains("begun") {
            break command(folder.path(), "serve log 1 --follow --state state").spawn();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let id = rustix::process::Pid::from_child(&serving.0);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let begun = Instant::now();
    while !get(&address, "/healthz").ends_with("\r\n\r\ndraining\n") {
        assert!(begun.elapsed() < LIMIT, "it does not say that it drains");
    }
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 503 "));
    assert!(get(&address, "/").contains("running for "));
    fs::write(folder.path().join("out/go"), "").unwrap();
    let followed = follow.unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&followed.stderr).into_owned();
    assert!(followed.status.success() && said.contains("job 1 passed: 1 step passed"), "{said}");
    assert!(String::from_utf8_lossy(&followed.stdout).contains("\n$ echo on\non\n"));
    assert!(serving.0.wait().unwrap().success());
}

#[test]
fn the_command_line_knows_a_service_with_tls_by_its_certificate() {
    let folder =
        place("step: passes\nshell: echo well\n", "tls: (certificate: \"chain.pem\", key: \"key.pem\"),");
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=imk.example.com -keyout key.pem -out chain.pem";
    let made = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (_serving, address) = served(folder.path());
    let ask = |words: &str| {
        let output = run(folder.path(), &format!("serve {words} --state state"));
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let begun = Instant::now();
    while !ask("jobs").1.contains("team/images") {
        assert!(begun.elapsed() < LIMIT, "{}", ask("jobs").1);
    }
    let (code, said) = ask("log 1 --follow");
    assert!(
        code == Some(0) && said.contains("\nwell\n") && said.contains("job 1 passed: 1 step passed"),
        "{said}"
    );
    assert_eq!(ask(&format!("jobs --listen {address}")).0, Some(0));
    // Elsewhere nobody has written down which certificate it is.
    let (code, said) = ask(&format!("jobs --url https://{address}"));
    assert!(code == Some(2) && said.contains("no service answers at https://"), "{said}");
    let (_, said) = ask(&format!("jobs --url http://{address}"));
    assert!(said.contains("it may speak TLS"), "{said}");
    let (_, said) = ask("jobs --url http://imk.example.com");
    assert!(said.contains("write https"), "{said}");
}

/// A folder with a repository whose steps are these, and a serve.ron that has it.
fn place(steps: &str, top: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    // Steps run as users of their own, where the service is root.
    fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let origin = folder.path().join("origin");
    fs::create_dir(&origin).unwrap();
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(words).current_dir(&origin);
        assert!(git.status().unwrap().success());
    };
    git(&["init", "-q", "-b", "main"]);
    fs::write(origin.join("integration.yml"), steps).unwrap();
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "Begin"]);
    let (url, out) = (origin.display().to_string(), out.display().to_string());
    let settings =
        format!("({top} repositories: {{\"team/images\": (url: {url:?}, env: {{\"OUT\": {out:?}}})}})");
    fs::write(folder.path().join("serve.ron"), settings).unwrap();
    folder
}

/// A service of a folder, and where it listens.
fn served(folder: &Path) -> (Serving, String) {
    let child =
        command(folder, "serve --listen 127.0.0.1:0 --state state").stderr(Stdio::piped()).spawn().unwrap();
    let mut serving = Serving(child);
    let mut lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let address = lines
        .find_map(|line| {
            let line = line.unwrap();
            let (_, after) = line.split_once("listening at ")?;
            Some(after.split_once("://")?.1.split([',', ' ']).next()?.to_owned())
        })
        .unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    (serving, address)
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
