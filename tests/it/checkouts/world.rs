//! A machine in a folder: a checkout of a stranger's, what lies beside it, a home with logins, and servers
//! that write down what they are told. Knows no trick and no verb.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use fs_err as fs;

use crate::sandbox::can_trace;

/// The password that no request may show.
pub const PASSWORD: &str = "hunter2-of-the-user";
/// What stands in the files outside, and in no output.
pub const OUTSIDE: &str = "SHADOW-OF-THE-MACHINE";

/// The folder and its servers.
pub struct World {
    folder: tempfile::TempDir,
    /// Answers every request with 401 and a challenge.
    pub registry: Recorder,
    /// Where the challenge leads.
    pub realm: Recorder,
}

/// How a run of imk ended.
pub struct Ended {
    pub status: Option<i32>,
    pub output: String,
    /// Programs that were started, each with its words, and connections; empty where strace is forbidden.
    pub trace: Vec<String>,
}

impl World {
    /// A checkout with one image, a commit, and nothing wrong.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("imk-world-").tempdir().unwrap();
        let realm = Recorder::start("");
        let registry = Recorder::start(&format!(
            "www-authenticate: Basic realm=\"x\"\r\nwww-authenticate: Bearer realm=\"http://127.0.0.1:{}/token\",service=\"s\"\r\n",
            realm.port
        ));
        let world = Self { folder, registry, realm };
        world.write("checkout/Dockerfile", "FROM scratch\nCOPY src /src\n");
        world.write("checkout/src/a.txt", "a\n");
        world.write("outside/profile", &format!("{OUTSIDE}\n"));
        world.write("outside/folder/file", &format!("{OUTSIDE}\n"));
        world.write("outside/Dockerfile", &format!("FROM scratch\nLABEL x={OUTSIDE}\n"));
        world.write("home/.gitconfig", "[user]\n\tname = user\n\temail = user@invalid\n");
        fs::create_dir_all(world.path("home/.cache")).unwrap();
        let login = base64::engine::general_purpose::STANDARD.encode(format!("robot:{PASSWORD}"));
        let config = format!(r#"{{"auths":{{"r.example":{{"auth":"{login}"}}}}}}"#);
        world.write("home/.docker/config.json", &config);
        // The author's program: whoever starts it is caught.
        let evil = world.path("author/evil");
        world
            .write("author/evil", &format!("#!/bin/sh\necho \"$0 $*\" >> {}\n", world.path("ran").display()));
        fs::set_permissions(&evil, std::fs::Permissions::from_mode(0o755)).unwrap();
        world
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The author's program.
    pub fn evil(&self) -> String {
        self.path("author/evil").display().to_string()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn link(&self, path: &str, target: &Path) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::os::unix::fs::symlink(target, path).unwrap();
    }

    pub fn pipe(&self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// Puts all of the checkout into git, `.imk` with it when `state` says so.
    pub fn commit(&self, state: bool, message: &str) {
        let checkout = self.path("checkout");
        let git = git2::Repository::init(&checkout).unwrap();
        let mut index = git.index().unwrap();
        let mut keep = |path: &Path, _: &[u8]| i32::from(!state && path.starts_with(".imk"));
        index.add_all(["*"], git2::IndexAddOption::FORCE, Some(&mut keep)).unwrap();
        index.write().unwrap();
        let tree = git.find_tree(index.write_tree().unwrap()).unwrap();
        let who =
            git2::Signature::new("author", "author@invalid", &git2::Time::new(1_700_000_000, 0)).unwrap();
        git.commit(Some("HEAD"), &who, &who, message, &tree, &[]).unwrap();
    }

    /// Runs imk in the checkout as the user would; one that does not end within a minute has no status.
    pub fn imk(&self, words: &[&str], patience: Duration) -> Ended {
        let trace = self.path("trace");
        let imk = env!("CARGO_BIN_EXE_imk");
        let mut command = if can_trace() {
            let mut strace = Command::new("strace");
            strace.args([
                "-f",
                "--seccomp-bpf",
                "-qq",
                "-s",
                "300",
                "-e",
                "trace=execve,connect",
                "-e",
                "signal=none",
                "-o",
            ]);
            strace.arg(&trace).arg(imk);
            strace
        } else {
            Command::new(imk)
        };
        let (home, output) = (self.path("home"), fs::File::create(self.path("output")).unwrap().into_file());
        command.args(words).current_dir(self.path("checkout")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &home).env("NO_COLOR", "1");
        command.env("XDG_CACHE_HOME", home.join(".cache")).env("TMPDIR", self.path("tmp"));
        command.env("DOCKER_HOST", format!("unix://{}", self.path("no.sock").display()));
        command.env("IMK_REGISTRY_USER", "robot").env("IMK_REGISTRY_PASSWORD", PASSWORD);
        command.env("IMK_REGISTRY_HOST", "r.example").env("IMK_GIT_TOKEN_R_EXAMPLE", PASSWORD);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
        fs::create_dir_all(self.path("tmp")).unwrap();
        let mut child = command.spawn().unwrap();
        let end = Instant::now() + patience;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            if Instant::now() > end {
                // All of its group: strace alone would leave imk behind.
                if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                }
                let _ = child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let output = String::from_utf8_lossy(&fs::read(self.path("output")).unwrap()).into_owned();
        let trace =
            fs::read(&trace).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        Ended { status, output, trace: trace.lines().map(str::to_owned).collect() }
    }

    /// Everything but imk's own state and what the harness writes, each with all that a write would change.
    pub fn snapshot(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut todo = vec![self.folder.path().to_owned()];
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(self.folder.path()).unwrap().to_string_lossy().into_owned();
                let seen = fs::symlink_metadata(&path).unwrap();
                let own = ["checkout/.imk", "home/.cache/imk", "trace", "output", "ran", "tmp"];
                if own.contains(&name.as_str()) && !(name == "checkout/.imk" && seen.is_symlink()) {
                    continue;
                }
                // The folder that state is made in is changed by that, and by nothing else that is allowed.
                let holds_state = ["checkout", "home", "home/.cache"].contains(&name.as_str());
                let mut what =
                    format!("{:o} {}", seen.mode(), if holds_state { 0 } else { seen.mtime_nsec() });
                if seen.is_symlink() {
                    what += &format!(" -> {}", fs::read_link(&path).unwrap().display());
                } else if seen.is_dir() {
                    todo.push(path);
                } else if seen.is_file() {
                    what += &format!(" {}", blake3::hash(&fs::read(&path).unwrap()).to_hex());
                }
                found.insert(name, what);
            }
        }
        found
    }

    /// What the author's program was called with, if anybody called it.
    pub fn ran(&self) -> Option<String> {
        fs::read_to_string(self.path("ran")).ok()
    }

    /// Ports of this world's servers.
    pub fn ports(&self) -> BTreeSet<u16> {
        BTreeSet::from([self.registry.port, self.realm.port])
    }
}

/// A server that refuses everything and remembers all it was told.
pub struct Recorder {
    pub port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn start(headers: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let answer =
            format!("HTTP/1.1 401 Unauthorized\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
        let heard_too = Arc::clone(&heard);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (heard, answer) = (Arc::clone(&heard_too), answer.clone());
                std::thread::spawn(move || refuse(client, &answer, &heard));
            }
        });
        Self { port, heard }
    }

    /// All that was heard, and below it what its words say when they are base64.
    pub fn heard(&self) -> String {
        let all = self.heard.lock().unwrap().join("\n");
        let mut decoded = String::new();
        for word in all.split(|c: char| c.is_whitespace() || ":\"&".contains(c)) {
            let word = word.trim_end_matches('=');
            for alphabet in [
                &base64::engine::general_purpose::STANDARD_NO_PAD,
                &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            ] {
                decoded += &alphabet
                    .decode(word)
                    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                    .unwrap_or_default();
            }
        }
        format!("{all}\n{decoded}")
    }
}

fn refuse(client: TcpStream, answer: &str, heard: &Mutex<Vec<String>>) {
    let _ = client.set_read_timeout(Some(Duration::from_secs(5)));
    let mut reader = BufReader::new(&client);
    let mut length = 0;
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(1..) if !line.trim().is_empty() => {
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap_or(0);
                }
                heard.lock().unwrap().push(line);
            }
            _ => break,
        }
    }
    let mut body = Vec::new();
    let _ = reader.take(length).read_to_end(&mut body);
    heard.lock().unwrap().push(String::from_utf8_lossy(&body).into_owned());
    let _ = (&client).write_all(answer.as_bytes());
}
